//! What time is told by: the stages of a request, and the kinds of operations in them.

/// The stages of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// From a file to samples.
    Decode,
    /// Where there is speech, and the chunks that follow from it.
    VoiceDetection,
    /// Spectrograms of chunks.
    Spectrogram,
    /// Whisper's encoder.
    Encoder,
    /// Keys and values of the audio for the decoder's cross-attention.
    CrossKeys,
    /// The decoder over several tokens of each text at once: prompts, given texts.
    Prompt,
    /// The decoder over one token of each text.
    Step,
    /// States to logits of the vocabulary.
    Logits,
    /// Logits to tokens.
    Choice,
    /// Tokens to text, rows that come and go, checks: all of writing that is none of the above.
    Writing,
    /// Word times.
    Alignment,
    /// Who of a window's speakers is active when.
    Segmentation,
    /// How voices sound.
    Embeddings,
    /// Voices to speakers and turns.
    Clustering,
}

impl Stage {
    /// All of them, in the order in which a request meets them.
    pub const ALL: [Self; 14] = [
        Self::Decode,
        Self::VoiceDetection,
        Self::Spectrogram,
        Self::Encoder,
        Self::CrossKeys,
        Self::Prompt,
        Self::Step,
        Self::Logits,
        Self::Choice,
        Self::Writing,
        Self::Alignment,
        Self::Segmentation,
        Self::Embeddings,
        Self::Clustering,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decode => "audio decoding",
            Self::VoiceDetection => "voice detection",
            Self::Spectrogram => "log-mel",
            Self::Encoder => "encoder",
            Self::CrossKeys => "cross keys",
            Self::Prompt => "prompt",
            Self::Step => "decoder step",
            Self::Logits => "logits",
            Self::Choice => "token choice",
            Self::Writing => "text",
            Self::Alignment => "alignment",
            Self::Segmentation => "segmentation",
            Self::Embeddings => "speaker embeddings",
            Self::Clustering => "clustering",
        }
    }
}

/// The kinds of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Spectrograms and filterbanks.
    Spectrum,
    /// Convolutions with what is fused into them.
    Convolution,
    /// Matrix products with weights, with what is fused into them.
    Linear,
    /// Attention of whole sequences, its softmax included.
    Attention,
    /// Attention to the cached keys of the text.
    TextAttention,
    /// Attention to the cached keys of the audio.
    AudioAttention,
    /// Recurrent layers.
    Recurrence,
    /// Norms, activations, sums and means that stand alone.
    Elementwise,
    /// Keys, values and states that are copied into caches, and caches that grow.
    CacheCopy,
    /// Masks, largest logit, log-probabilities.
    Choice,
    /// Viterbi paths.
    Path,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Spectrum,
        Self::Convolution,
        Self::Linear,
        Self::Attention,
        Self::TextAttention,
        Self::AudioAttention,
        Self::Recurrence,
        Self::Elementwise,
        Self::CacheCopy,
        Self::Choice,
        Self::Path,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spectrum => "log-mel, filterbank",
            Self::Convolution => "convolution",
            Self::Linear => "linear",
            Self::Attention => "attention",
            Self::TextAttention => "attention to text",
            Self::AudioAttention => "attention to audio",
            Self::Recurrence => "recurrence",
            Self::Elementwise => "norm, GELU, sums",
            Self::CacheCopy => "cache copies",
            Self::Choice => "choice",
            Self::Path => "path search",
        }
    }
}

/// The numbers that an operation multiplies, whatever it reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Numbers {
    /// f32, also where weights are stored in less.
    #[default]
    Float32,
    /// bfloat16 with sums in f32.
    BFloat16,
    /// int8 with sums in int32.
    Int8,
}

impl Numbers {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Float32, Self::BFloat16, Self::Int8];

    /// Their name, as compute types are called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::BFloat16 => "bfloat16",
            Self::Int8 => "int8",
        }
    }
}
