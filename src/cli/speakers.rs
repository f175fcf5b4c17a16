//! What `palabra transcribe` can be told of speakers beyond their number.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use palabra::{
    Error, Result,
    audio::decode::{Limits, check_file, decode_file},
    engine::{Channels, Engine},
    progress::Watch,
    stages::identify::{KnownVoices, checked_name},
    transcript::SpeakerChanges,
};

/// Speakers, their names and voices.
#[derive(Debug, Args)]
pub struct SpeakerArguments {
    /// Channels of a recording: mix them, or take each for a speaker of its own, the first for SPEAKER_00 (instead of
    /// --diarize; at most 8; a recording of one channel has one speaker) [default: mix]
    #[arg(long, value_name = "MODE", hide_possible_values = true, help_heading = "Speakers")]
    channels: Option<ChannelsArgument>,
    /// What a change of speaker does (with --diarize): none leaves each sentence to who says most of it, smoothed splits it
    /// at real changes, word at every change that is heard; the words of a segment always have its speaker [default:
    /// smoothed]
    #[arg(long, value_name = "MODE", hide_possible_values = true, help_heading = "Speakers")]
    speaker_changes: Option<SpeakerChangesArgument>,
    /// Call a speaker by name (with --diarize): FILE holds 2 s or more of nobody else's voice; once for each speaker, and
    /// for each further recording of one
    #[arg(long = "speaker", value_name = "NAME=FILE", help_heading = "Speakers")]
    known: Vec<String>,
    /// What tells voices apart (with --diarize), as a name (`palabra models list`) or a folder [default: campplus]
    #[arg(long, value_name = "MODEL", help_heading = "Speakers")]
    pub speaker_model: Option<String>,
    /// JSON also holds the voice of each speaker, as numbers to compare voices by (with --diarize)
    #[arg(long, help_heading = "Speakers")]
    pub speaker_embeddings: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum ChannelsArgument {
    Mix,
    Speakers,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum SpeakerChangesArgument {
    None,
    Smoothed,
    Word,
}

impl SpeakerChangesArgument {
    /// The mode of that name.
    pub fn mode(self) -> SpeakerChanges {
        match self {
            Self::None => SpeakerChanges::None,
            Self::Smoothed => SpeakerChanges::Smoothed,
            Self::Word => SpeakerChanges::Word,
        }
    }
}

/// A recording of a known speaker.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// What the speaker is to be called.
    name: String,
    /// Where the recording lies.
    file: PathBuf,
}

impl SpeakerArguments {
    /// Refuses what needs speakers where they are not told apart by voice, and both ways at once.
    ///
    /// # Errors
    /// [`Error::Request`] naming the flag.
    pub fn check(&self, diarize: bool) -> Result<()> {
        if diarize && self.channels == Some(ChannelsArgument::Speakers) {
            return Err(Error::Request(
                "--channels speakers takes each channel for a speaker; leave out --diarize, or use --channels mix"
                    .into(),
            ));
        }
        let named = [
            ("--speaker-changes", self.speaker_changes.is_some()),
            ("--speaker", !self.known.is_empty()),
            ("--speaker-model", self.speaker_model.is_some()),
            ("--speaker-embeddings", self.speaker_embeddings),
        ];
        match named.iter().find(|(_, given)| *given && !diarize) {
            Some((flag, _)) => Err(Error::Request(format!("{flag} is about telling speakers apart; add --diarize"))),
            None => Ok(()),
        }
    }

    /// Who speaks in a recording of several channels.
    pub fn channels(&self) -> Channels {
        match self.channels {
            None | Some(ChannelsArgument::Mix) => Channels::Mix,
            Some(ChannelsArgument::Speakers) => Channels::Speakers,
        }
    }

    /// What a change of speaker does.
    pub fn changes(&self) -> SpeakerChanges {
        self.speaker_changes.map_or_else(SpeakerChanges::default, SpeakerChangesArgument::mode)
    }

    /// The recordings of known speakers, none of them read yet.
    ///
    /// # Errors
    /// [`Error::Request`] for what is no name and file, [`Error::Audio`] for a file that is missing or no audio.
    pub fn references(&self) -> Result<Vec<Reference>> {
        let reference = |text: &String| {
            let (name, file) = text.split_once('=').filter(|(_, file)| !file.is_empty()).ok_or_else(|| {
                Error::Request(format!(
                    "--speaker {text} must be a name and a recording, such as --speaker Ann=ann.wav"
                ))
            })?;
            let name = checked_name(name).map_err(|reason| Error::Request(format!("--speaker {text}: {reason}")))?;
            check_file(file.as_ref(), &Limits::default())?;
            Ok(Reference { name, file: file.into() })
        };
        self.known.iter().map(reference).collect()
    }
}

/// Listens to the recordings of known speakers.
///
/// # Errors
/// [`Error::Audio`] or [`Error::Request`] naming a file that cannot be decoded or holds too little speech; otherwise as
/// [`Engine::voice`].
pub fn hear(references: &[Reference], engine: &Engine, watch: &Watch) -> Result<KnownVoices> {
    let mut known = KnownVoices::default();
    for Reference { name, file } in references {
        let place = file.display().to_string();
        let decoded = decode_file(file, &Limits::default(), watch)?;
        let voice = engine.voice(&decoded.audio, watch).map_err(|error| match error {
            Error::Request(reason) => Error::Request(format!("--speaker {name}={place}: {reason}")),
            other => other,
        })?;
        known.add(name, voice, &place);
    }
    Ok(known)
}
