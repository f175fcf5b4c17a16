//! What `palabra bench diarization` can be asked for.

use std::path::PathBuf;

use clap::Args;
use palabra::{Error, Result, evaluation::turns::Scoring};

use crate::cli::speakers::SpeakerChangesArgument;

/// Measure how well speakers are told apart.
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub struct DiarizationArguments {
    /// Folder of recordings, each with a reference (see below)
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,

    /// Seconds on either side of every border of the reference that are not scored; 0 scores everything
    #[arg(long, value_name = "SECONDS", default_value_t = 0.25, allow_hyphen_values = true, help_heading = "Scoring")]
    pub collar: f64,
    /// Leave out times at which several people of the reference speak
    #[arg(long, help_heading = "Scoring")]
    pub skip_overlap: bool,
    /// Tell Palabra how many speakers the reference has
    #[arg(long, help_heading = "Scoring")]
    pub known_count: bool,
    /// Only these sets of the manifest, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "SET,...", help_heading = "Scoring")]
    pub sets: Vec<String>,

    /// Also transcribe, and score who said which word, where the words of the reference are known
    #[arg(long, help_heading = "Words")]
    pub words: bool,
    /// Whisper model that transcribes: a name (`palabra models list`), a repository of the hub, or a folder [default: base]
    #[arg(short, long, value_name = "MODEL", requires = "words", help_heading = "Words")]
    pub model: Option<String>,

    /// What a change of speaker does: none, smoothed or word (see `palabra transcribe --help`) [default: smoothed]
    #[arg(long, value_name = "MODE", hide_possible_values = true, requires = "words", help_heading = "Words")]
    pub speaker_changes: Option<SpeakerChangesArgument>,

    /// What tells voices apart, as a name (`palabra models list`) or a folder [default: campplus]
    #[arg(long, value_name = "MODEL", help_heading = "Speakers")]
    pub speaker_model: Option<String>,

    /// Print JSON with the figures of every recording instead of a table
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Write what was found to this folder: ID.rttm and, with --words, ID.seglst.json
    #[arg(short, long, value_name = "FOLDER", help_heading = "Output")]
    pub output_dir: Option<PathBuf>,

    /// Where to compute: auto takes a GPU where there is one; cpu, cuda, cuda:1
    #[arg(long, default_value = "auto", help_heading = "Machine")]
    pub device: String,
    /// Processor threads [default: all cores]
    #[arg(long, value_name = "N", help_heading = "Machine")]
    pub threads: Option<usize>,
}

const NOTES: &str = "\
DIR holds pairs of the same name: NAME.wav (.flac, .mp3, ...) and NAME.rttm, who speaks when:
  SPEAKER NAME 1 START LENGTH <NA> <NA> WHO <NA> <NA>
For --words also NAME.seglst.json, who says what, a JSON list of
  {\"speaker\": WHO, \"start_time\": SECONDS, \"end_time\": SECONDS, \"words\": TEXT}
In the place of pairs DIR may hold manifest.jsonl, a JSON object a line, whose paths start at DIR:
path (of the recording), rttm (or rttm_words, which is preferred) and if you like id, set, and
segments, a list as above.

Columns, pooled over the recordings of a set:
  DER%     diarization error rate: miss + false + conf, in percent of the speech of the reference
  miss     speech that was not heard
  false    speech heard where there is none
  conf     speech that was given to somebody else
  JER%     Jaccard error rate, which weighs all speakers alike
  count    recordings in which as many speakers were found as there are
  off by   how far the number of speakers is off, on average
  right%   words with the right speaker, of those that were heard (100 - WDER)
  cpWER%   word error rate of each speaker's words, speakers paired as well as can be
  CPU/min  seconds of all processors per minute of audio; with --words transcription is in it
  s/min    seconds that went by per minute of audio
The figures are those of pyannote.metrics (whose collar is twice --collar), MeetEval and
DiarizationLM; words are compared in lower case, letters and digits only.
A recording that cannot be measured is named and left out; the exit code is then 3.

Examples:
  palabra bench diarization meetings
  palabra bench diarization meetings --collar 0 --known-count --output-dir found
  palabra bench diarization meetings --words --model small --json > figures.json";

impl DiarizationArguments {
    /// How the result is scored.
    ///
    /// # Errors
    /// [`Error::Request`] for a collar that is no time.
    pub fn scoring(&self) -> Result<Scoring> {
        if !self.collar.is_finite() || self.collar < 0.0 {
            return Err(Error::Request(format!("--collar must be a number of seconds from 0 up, not {}", self.collar)));
        }
        Ok(Scoring { collar: self.collar, skip_overlap: self.skip_overlap })
    }
}
