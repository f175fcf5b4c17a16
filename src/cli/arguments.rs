//! What `palabra transcribe` can be asked for, and the request that it makes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use palabra::{
    Error, Result,
    engine::{Align, Channels, Options},
    formats::Format,
    language::Language,
    models::whisper::tokenizer::Task,
    stages::{
        beam::Beam, chunk::ChunkOptions, diarize::DiarizeOptions, language::LanguageChoice, row::Gates,
        transcribe::TranscribeOptions, vad::VadOptions,
    },
};

use super::speakers::SpeakerArguments;

/// More processor threads than this are a slip of the keyboard.
pub const MOST_THREADS: usize = 1024;

/// Turn recordings into text with times and speakers.
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub struct TranscribeArguments {
    /// Recordings: audio or video files of any common format
    #[arg(value_name = "FILE", required_unless_present = "sample")]
    pub files: Vec<PathBuf>,
    /// Transcribe a short recording of two speakers, fetched once, to see what Palabra does
    #[arg(long)]
    pub sample: bool,

    /// Whisper model: tiny, base, small, medium, large-v3, large-v3-turbo, distil-large-v3, ... (see `palabra models
    /// list`), a repository of the hub (owner/name), or a folder
    #[arg(short, long, default_value = "base", help_heading = "Text")]
    pub model: String,
    /// Language spoken, as a code (en, de) or an English name; `auto` detects it anew in every chunk of about 30 s, for
    /// recordings that mix languages [default: detected once for the recording]
    #[arg(short, long, value_name = "LANGUAGE", help_heading = "Text")]
    language: Option<String>,
    /// Write what is said, or its English translation
    #[arg(long, default_value = "transcribe", help_heading = "Text")]
    task: TaskArgument,
    /// Text that is told to the model as if it went before: sets spelling, names, style
    #[arg(long, value_name = "TEXT", help_heading = "Text")]
    initial_prompt: Option<String>,
    /// Words that are likely to occur, such as names and terms
    #[arg(long, value_name = "WORDS", help_heading = "Text")]
    hotwords: Option<String>,
    /// Temperatures tried in turn until a text passes the three thresholds below; a single 0 never tries again
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "T,...",
        default_value = "0,0.2,0.4,0.6,0.8,1",
        allow_hyphen_values = true,
        help_heading = "Text"
    )]
    temperature: Vec<f32>,
    /// Texts of a chunk that are followed side by side at temperature 0, 1 to 16; 1 takes the likeliest token each time.
    /// At temperatures above 0 a single text is drawn
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Text")]
    beam_size: usize,
    /// The search of a chunk ends when beam size times this many texts have ended, 0.1 to 10 (with --beam-size)
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, allow_hyphen_values = true, help_heading = "Text")]
    patience: f32,
    /// Of the texts found, the one is kept whose log-probability over ((5 + tokens) / 6)^A is highest, A from 0 to 1 (with
    /// --beam-size) [default: over the number of tokens]
    #[arg(long, value_name = "A", allow_hyphen_values = true, help_heading = "Text")]
    length_penalty: Option<f32>,
    /// A text that compresses better than this repeats itself and is written again
    #[arg(long, value_name = "RATIO", default_value_t = 2.4, allow_hyphen_values = true, help_heading = "Text")]
    compression_ratio_threshold: f32,
    /// A text with a lower mean log-probability is a guess and is written again
    #[arg(long, value_name = "LOGPROB", default_value_t = -1.0, allow_hyphen_values = true, help_heading = "Text")]
    logprob_threshold: f32,
    /// A guess where the probability of no speech is higher than this is dropped as silence
    #[arg(long, value_name = "PROBABILITY", default_value_t = 0.6, allow_hyphen_values = true, help_heading = "Text")]
    no_speech_threshold: f32,

    /// Word times: the best way at hand, forced alignment (ctc), cross-attention (dtw), or none
    #[arg(long, default_value = "auto", help_heading = "Times")]
    align: AlignArgument,
    /// Aligner of all files: a wav2vec2, HuBERT or WavLM with a CTC head, as a name (`palabra models list`), a folder, or a
    /// repository of the hub [default: the best at hand for each language]
    #[arg(long, value_name = "MODEL", help_heading = "Times")]
    pub align_model: Option<String>,
    /// Aligners whose licence forbids commercial use may serve languages that have no other
    #[arg(long, help_heading = "Times")]
    pub noncommercial_aligners: bool,
    /// JSON also tells the time of every character
    #[arg(long, help_heading = "Times")]
    chars: bool,
    /// Network that finds speech: silero, or pyannote, which --diarize hears with anyway
    #[arg(long, value_name = "NAME", default_value = "silero", help_heading = "Times")]
    vad: String,
    /// Speech begins where its probability rises to this
    #[arg(long, value_name = "PROBABILITY", default_value_t = 0.5, allow_hyphen_values = true, help_heading = "Times")]
    vad_onset: f32,
    /// Speech ends where its probability falls below this [default: 0.15 below the onset; 0.137 for pyannote]
    #[arg(long, value_name = "PROBABILITY", allow_hyphen_values = true, help_heading = "Times")]
    vad_offset: Option<f32>,
    /// Longest chunk handed to Whisper, in seconds, 1 to 30
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, allow_hyphen_values = true, help_heading = "Times")]
    chunk_size: f64,

    /// Tell speakers apart; several files share their labels where voices are alike
    #[arg(short, long, help_heading = "Speakers")]
    pub diarize: bool,
    /// At least this many speakers (with --diarize)
    #[arg(long, value_name = "N", help_heading = "Speakers")]
    min_speakers: Option<usize>,
    /// At most this many speakers (with --diarize)
    #[arg(long, value_name = "N", help_heading = "Speakers")]
    max_speakers: Option<usize>,
    /// Exactly this many speakers (with --diarize)
    #[arg(long, value_name = "N", help_heading = "Speakers")]
    num_speakers: Option<usize>,
    #[command(flatten)]
    pub speakers: SpeakerArguments,

    /// Also write files: txt, srt, vtt, tsv, json, rttm (with --diarize), or all; several separated by commas
    #[arg(short, long, value_delimiter = ',', value_name = "FORMAT,...", help_heading = "Output")]
    format: Vec<String>,
    /// Folder of these files, which are named after their input; without --format it gets all of them [default: the
    /// current folder]
    #[arg(short, long, value_name = "FOLDER", help_heading = "Output")]
    pub output_dir: Option<PathBuf>,

    /// Where to compute: auto takes a GPU where there is one; cpu, cuda, cuda:1, or several GPUs side by side, each with the
    /// models in its memory: cuda:0,cuda:1
    #[arg(long, default_value = "auto", help_heading = "Machine")]
    pub device: String,
    /// Numbers in which the transcriber computes: float32, float16 (on a GPU), bfloat16 (on a GPU, or a processor with
    /// AMX-BF16), int8 (on the CPU); auto takes float16 on a GPU, and on the CPU int8 where the processor has instructions for it
    #[arg(
        long,
        env = "PALABRA_COMPUTE_TYPE",
        default_value = "auto",
        value_name = "TYPE",
        hide_env_values = true,
        help_heading = "Machine"
    )]
    pub compute_type: String,
    /// Processor threads [default: all cores]
    #[arg(long, value_name = "N", help_heading = "Machine")]
    pub threads: Option<usize>,
    /// Chunks that are written side by side on each device; fewer where its memory ends
    #[arg(short, long, value_name = "N", default_value_t = 16, help_heading = "Machine")]
    pub batch_size: usize,
}

const NOTES: &str = "\
The transcript goes to standard output, one line per sentence; everything else goes to standard error.
Several files follow one another there; --format or --output-dir gives each its own files.
With --diarize a speaker of one file keeps the label in all the files after it, where the voices are alike.
The first run fetches the models that it needs, later runs work without a network.

Examples:
  palabra transcribe --diarize --sample
  palabra transcribe interview.m4a --diarize --format srt,json --output-dir out
  palabra transcribe call.wav --diarize --speaker Ann=ann.wav --speaker Bob=bob.mp3
  palabra transcribe *.mp3 --model small --language de --format txt";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TaskArgument {
    Transcribe,
    Translate,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AlignArgument {
    Auto,
    Ctc,
    Dtw,
    Off,
}

impl TranscribeArguments {
    /// The request that the flags make, checked.
    ///
    /// # Errors
    /// [`Error::Request`] naming the flag and the remedy.
    pub fn options(&self) -> Result<Options> {
        self.check_speakers()?;
        self.check_alignment()?;
        let language = match self.language.as_deref() {
            None => LanguageChoice::Detect,
            Some("auto") => LanguageChoice::PerChunk,
            Some(language) => LanguageChoice::Fixed(language.parse::<Language>()?),
        };
        let options = Options {
            vad: VadOptions::with_thresholds(self.vad.parse()?, Some(self.vad_onset), self.vad_offset)?,
            chunk: self.chunks(),
            transcribe: TranscribeOptions {
                language,
                task: match self.task {
                    TaskArgument::Transcribe => Task::Transcribe,
                    TaskArgument::Translate => Task::Translate,
                },
                batch_size: self.batch_size,
                temperatures: self.temperature.clone(),
                beam: Beam { size: self.beam_size, patience: self.patience, length_penalty: self.length_penalty },
                gates: Gates {
                    compression_ratio: Some(self.compression_ratio_threshold),
                    logprob: Some(self.logprob_threshold),
                    no_speech: Some(self.no_speech_threshold),
                },
                initial_prompt: self.initial_prompt.clone(),
                hotwords: self.hotwords.clone(),
                ..TranscribeOptions::default()
            },
            align: match self.align {
                AlignArgument::Auto => Align::Auto,
                AlignArgument::Ctc => Align::Ctc,
                AlignArgument::Dtw => Align::Dtw,
                AlignArgument::Off => Align::Off,
            },
            characters: self.chars,
            diarize: self.diarize.then_some(DiarizeOptions {
                min_speakers: self.min_speakers,
                max_speakers: self.max_speakers,
                num_speakers: self.num_speakers,
            }),
            channels: self.speakers.channels(),
            speaker_changes: self.speakers.changes(),
            ..Options::default()
        };
        options.validate()?;
        Ok(options)
    }

    /// Chunks of the length asked for; short ones leave less room for padding.
    fn chunks(&self) -> ChunkOptions {
        let defaults = ChunkOptions::default();
        let padding = defaults.padding.min(self.chunk_size / 4.0);
        ChunkOptions { chunk_size: self.chunk_size, padding }
    }

    /// The formats asked for; a folder without formats asks for all.
    ///
    /// # Errors
    /// [`Error::Request`] for an unknown format, and for RTTM without speakers.
    pub fn formats(&self) -> Result<Vec<Format>> {
        let every = || Format::ALL.into_iter().filter(|format| *format != Format::Rttm || self.tells_speakers());
        if self.format.is_empty() && self.output_dir.is_some() {
            return Ok(every().collect());
        }
        let mut formats = Vec::new();
        for name in &self.format {
            if name == "all" {
                formats.extend(every());
            } else {
                formats.push(format_of(name)?);
            }
        }
        if formats.contains(&Format::Rttm) && !self.tells_speakers() {
            return Err(Error::Request("--format rttm tells who speaks when; add --diarize".into()));
        }
        if self.chars && !formats.contains(&Format::Json) {
            return Err(Error::Request("--chars tells the time of characters in JSON; add --format json".into()));
        }
        if self.speakers.speaker_embeddings && !formats.contains(&Format::Json) {
            return Err(Error::Request("--speaker-embeddings go into JSON; add --format json".into()));
        }
        formats.sort();
        formats.dedup();
        Ok(formats)
    }

    /// Whether the transcript says who speaks.
    fn tells_speakers(&self) -> bool {
        self.diarize || self.speakers.channels() == Channels::Speakers
    }

    fn check_alignment(&self) -> Result<()> {
        let align = match self.align {
            AlignArgument::Auto | AlignArgument::Ctc => return Ok(()),
            AlignArgument::Dtw => "dtw",
            AlignArgument::Off => "off",
        };
        let named = [
            ("--align-model", self.align_model.is_some()),
            ("--noncommercial-aligners", self.noncommercial_aligners),
            ("--chars", self.chars),
        ];
        match named.iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(Error::Request(format!("{flag} needs an aligner; leave out --align {align}"))),
            None => Ok(()),
        }
    }

    fn check_speakers(&self) -> Result<()> {
        let named = [
            ("--num-speakers", self.num_speakers),
            ("--min-speakers", self.min_speakers),
            ("--max-speakers", self.max_speakers),
        ];
        match named.iter().find(|(_, count)| count.is_some() && !self.diarize) {
            Some((flag, _)) => Err(Error::Request(format!("{flag} is about telling speakers apart; add --diarize"))),
            None => self.speakers.check(self.diarize),
        }
    }
}

/// Starts the threads that all computing shares; to be called before any other thread is started.
///
/// # Errors
/// [`Error::Request`] for a number that cannot be, [`Error::Machine`] when the machine has no room for them.
pub fn start_threads(threads: Option<usize>) -> Result<()> {
    match threads {
        None => Ok(()),
        Some(threads) if !(1..=MOST_THREADS).contains(&threads) => {
            Err(Error::Request(format!("--threads must lie between 1 and {MOST_THREADS}, not be {threads}")))
        }
        Some(threads) => {
            limit_candle(threads);
            rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().map_err(|reason| {
                Error::Machine(format!("{threads} threads cannot be started ({reason}); ask for fewer"))
            })
        }
    }
}

/// Candle spreads its own element-wise operations over threads of its own, as many as this variable says when the first of them
/// runs; else as many as there are cores, whatever the user asked for.
fn limit_candle(threads: usize) {
    const VARIABLE: &str = "CANDLE_NUM_THREADS";
    if std::env::var_os(VARIABLE).is_none() {
        // SAFETY: no other thread runs yet that could read the environment.
        unsafe { std::env::set_var(VARIABLE, threads.to_string()) };
    }
}

fn format_of(name: &str) -> Result<Format> {
    name.parse().map_err(|_| {
        let known = Format::ALL.map(Format::extension).join(", ");
        Error::Request(format!("unknown format '{name}': use {known}, or all for every one of them"))
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct CommandLine {
        #[command(flatten)]
        arguments: TranscribeArguments,
    }

    fn parsed(text: &str) -> TranscribeArguments {
        CommandLine::parse_from(text.split(' ')).arguments
    }

    #[test]
    fn without_flags_the_request_is_the_default() {
        let options = parsed("transcribe a.wav").options();
        let wanted = Options::default();
        let same = |options: Options| {
            options.vad == wanted.vad && options.chunk == wanted.chunk && options.transcribe == wanted.transcribe
        };
        assert!(options.is_ok_and(same));
    }

    #[test]
    fn the_shortest_and_the_longest_chunks_are_possible() {
        for seconds in ["1", "1.5", "30"] {
            assert!(parsed(&format!("transcribe a.wav --chunk-size {seconds}")).options().is_ok(), "{seconds}");
        }
    }

    #[test]
    fn every_format_is_written_once_and_speakers_only_where_they_are_told_apart() {
        let formats = |text: &str| parsed(text).formats().map(|formats| formats.len()).ok();
        assert_eq!(formats("transcribe a.wav"), Some(0));
        assert_eq!(formats("transcribe a.wav --format json,txt,json --format txt"), Some(2));
        assert_eq!(formats("transcribe a.wav --format all,srt"), Some(5));
        assert_eq!(formats("transcribe a.wav --diarize --format all"), Some(6));
        assert_eq!(formats("transcribe a.wav --output-dir out"), Some(5));
    }
}
