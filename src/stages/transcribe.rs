//! Whisper as a transcriber: a checkpoint with everything that turns chunks of speech into text, and what it can be asked.

use std::sync::Arc;

use super::{beam::Beam, budget::Need, language::LanguageChoice, row::Gates, rules};
use crate::{
    audio::mel::LogMel,
    device::Compute,
    error::{Error, Result},
    language::Language,
    models::{
        aligner::Aligner,
        whisper::{Config, GenerationConfig, Tokenizer, Whisper, tokenizer::Task},
    },
    ops::Masks,
};

/// How speech is turned into text.
#[derive(Debug, Clone, PartialEq)]
pub struct TranscribeOptions {
    /// The language, or how to find it.
    pub language: LanguageChoice,
    /// Same language or English.
    pub task: Task,
    /// Chunks of one recording that are written side by side.
    pub batch_size: usize,
    /// The temperatures that are tried in turn until a text passes the gates.
    pub temperatures: Vec<f32>,
    /// How many texts of a chunk are followed at temperature 0; above, a single one is drawn.
    pub beam: Beam,
    /// When a text is not believed.
    pub gates: Gates,
    /// Text that is told to the model as if it went before.
    pub initial_prompt: Option<String>,
    /// Words that are likely to occur.
    pub hotwords: Option<String>,
    /// Whether the model writes times of segments.
    pub timestamps: bool,
    /// Whether the text is wanted as words with times.
    pub word_times: bool,
}

impl Default for TranscribeOptions {
    fn default() -> Self {
        Self {
            language: LanguageChoice::Detect,
            task: Task::Transcribe,
            batch_size: 16,
            temperatures: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
            beam: Beam::default(),
            gates: Gates::default(),
            initial_prompt: None,
            hotwords: None,
            timestamps: false,
            word_times: true,
        }
    }
}

impl TranscribeOptions {
    /// Checks everything that can be checked without a checkpoint.
    ///
    /// # Errors
    /// [`Error::Request`] naming the option and the remedy.
    pub fn validate(&self) -> Result<()> {
        if self.batch_size == 0 {
            return Err(Error::Request("--batch-size must be at least 1".into()));
        }
        if self.temperatures.is_empty() || self.temperatures.iter().any(|t| !(0.0..=2.0).contains(t)) {
            return Err(Error::Request("--temperature takes numbers from 0 to 2, at least one of them".into()));
        }
        self.beam.validate()?;
        if self.beam.size > 1 && !self.temperatures.contains(&0.0) {
            return Err(Error::Request("--beam-size acts at temperature 0; let --temperature begin with 0".into()));
        }
        self.gates.validate()
    }
}

/// A Whisper checkpoint ready to work.
#[derive(Debug)]
pub struct Transcriber {
    whisper: Whisper,
    tokenizer: Tokenizer,
    alignment_heads: Vec<(usize, usize)>,
    mel: LogMel,
    masks: Masks,
    heads: Vec<Arc<Aligner>>,
    compute: Compute,
}

impl Transcriber {
    /// Puts the parts of a checkpoint together.
    ///
    /// # Errors
    /// When the device refuses the suppress lists.
    pub fn new(
        whisper: Whisper,
        tokenizer: Tokenizer,
        generation: &GenerationConfig,
        compute: Compute,
    ) -> Result<Self> {
        let alignment_heads = generation.alignment_heads(&whisper.config);
        let mel = LogMel::new(whisper.config.num_mel_bins);
        let masks = rules::masks(generation, &tokenizer, whisper.config.vocab_size, &compute.device)?;
        Ok(Self { whisper, tokenizer, alignment_heads, mel, masks, heads: Vec::new(), compute })
    }

    /// The same with aligner heads that were trained on this checkpoint's encoder: what they hear comes with the text.
    #[must_use]
    pub fn with_heads(self, heads: Vec<Arc<Aligner>>) -> Self {
        Self { heads, ..self }
    }

    /// The network.
    pub fn whisper(&self) -> &Whisper {
        &self.whisper
    }

    /// The checkpoint's dimensions.
    pub fn config(&self) -> &Config {
        &self.whisper.config
    }

    /// The checkpoint's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The checkpoint's suppress lists, where it runs.
    pub fn masks(&self) -> &Masks {
        &self.masks
    }

    /// (layer, head) pairs that follow time.
    pub fn alignment_heads(&self) -> &[(usize, usize)] {
        &self.alignment_heads
    }

    /// The features the encoder reads.
    pub fn mel(&self) -> &LogMel {
        &self.mel
    }

    /// The aligner heads that listen to its encoder.
    pub fn heads(&self) -> &[Arc<Aligner>] {
        &self.heads
    }

    /// Where it runs.
    pub fn compute(&self) -> &Compute {
        &self.compute
    }

    /// What it needs of its device's memory.
    pub fn need(&self) -> Need {
        let taps = self.heads.first().map_or(0, |head| head.config.taps.len());
        Need::of(self.config(), self.compute.dtype, taps)
    }

    /// Refuses options that this checkpoint cannot serve.
    ///
    /// # Errors
    /// [`Error::Request`] naming the option and the remedy.
    pub fn check(&self, options: &TranscribeOptions) -> Result<()> {
        options.validate()?;
        if !self.tokenizer.is_multilingual() && options.task == Task::Translate {
            return Err(Error::Request(
                "an English-only model cannot translate; choose a multilingual one such as base".into(),
            ));
        }
        match options.language {
            LanguageChoice::Fixed(language) if self.tokenizer.is_multilingual() => {
                self.tokenizer.language(language).map(|_| ()).ok_or_else(|| {
                    Error::Request(format!("this model does not know {}; large-v3 does", language.name()))
                })
            }
            LanguageChoice::Fixed(language) if language != Language::ENGLISH => Err(Error::Request(format!(
                "an English-only model cannot transcribe {}; choose a multilingual one such as base",
                language.name()
            ))),
            _ => Ok(()),
        }
    }
}
