//! Whether and how speakers are told apart: what the form says, the format shows and the model implies.

use super::{format::ResponseFormat, names::Model};
use crate::{
    http::{failure::Failure, fields::Fields},
    stages::diarize::DiarizeOptions,
    transcript::SpeakerChanges,
};

/// What the form says of speakers.
pub struct Speakers {
    diarize: Option<bool>,
    numbers: DiarizeOptions,
    changes: Option<SpeakerChanges>,
}

impl Speakers {
    /// Reads the fields.
    pub fn read(fields: &mut Fields) -> Self {
        let mut count = |name| fields.integer(name, 1..=1000).and_then(|count| usize::try_from(count).ok());
        let numbers = DiarizeOptions {
            num_speakers: count("num_speakers"),
            min_speakers: count("min_speakers"),
            max_speakers: count("max_speakers"),
        };
        let changes = fields.choice("speaker_changes", &SpeakerChanges::NAMES);
        Self { diarize: fields.boolean("diarize_audio"), numbers, changes }
    }

    /// How speakers are told apart, where the response shows them, and what their changes do.
    ///
    /// # Errors
    /// 400 for what contradicts the format, and for numbers that cannot be.
    pub fn wanted(
        self,
        model: &Model,
        format: ResponseFormat,
    ) -> Result<(Option<DiarizeOptions>, SpeakerChanges), Failure> {
        let about = |message: &str| Err(Failure::request(message).about("diarize_audio"));
        let wanted = match (self.diarize, format) {
            (Some(false), ResponseFormat::DiarizedJson) => {
                return about("response_format=diarized_json shows who speaks; drop diarize_audio=false");
            }
            (Some(true), format) if !format.shows_speakers() => {
                return about("response_format=json has no place for speakers; ask for diarized_json or verbose_json");
            }
            (Some(wanted), _) => wanted,
            (None, ResponseFormat::DiarizedJson) => true,
            // As at OpenAI: this model's plain text names nobody.
            (None, ResponseFormat::Json | ResponseFormat::Text) => false,
            (None, _) => model.speakers,
        };
        if !wanted && self.numbers != DiarizeOptions::default() {
            return about(
                "numbers of speakers are about telling them apart; send diarize_audio=true or ask for diarized_json",
            );
        }
        // Forms send the default of every field.
        if !wanted && self.changes.is_some_and(|changes| changes != SpeakerChanges::default()) {
            let message =
                "speaker_changes is about telling speakers apart; send diarize_audio=true or ask for diarized_json";
            return Err(Failure::request(message).about("speaker_changes"));
        }
        self.numbers.bounds().map_err(|error| Failure::from(error).about("min_speakers"))?;
        Ok((wanted.then_some(self.numbers), self.changes.unwrap_or_default()))
    }
}
