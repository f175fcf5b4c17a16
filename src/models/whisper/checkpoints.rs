//! The dimensions of Whisper's published checkpoints (openai/whisper, `ModelDimensions`; the `config.json` of the hub's).

use super::Config;

/// Names, and width, encoder layers, decoder layers, heads, mel bins, vocabulary.
const KNOWN: [(&str, [usize; 6]); 16] = [
    ("tiny.en", [384, 4, 4, 6, 80, 51_864]),
    ("tiny", [384, 4, 4, 6, 80, 51_865]),
    ("base.en", [512, 6, 6, 8, 80, 51_864]),
    ("base", [512, 6, 6, 8, 80, 51_865]),
    ("small.en", [768, 12, 12, 12, 80, 51_864]),
    ("small", [768, 12, 12, 12, 80, 51_865]),
    ("medium.en", [1024, 24, 24, 16, 80, 51_864]),
    ("medium", [1024, 24, 24, 16, 80, 51_865]),
    ("large-v1", [1280, 32, 32, 20, 80, 51_865]),
    ("large-v2", [1280, 32, 32, 20, 80, 51_865]),
    ("large-v3", [1280, 32, 32, 20, 128, 51_866]),
    ("large-v3-turbo", [1280, 32, 4, 20, 128, 51_866]),
    ("distil-small.en", [768, 12, 4, 12, 80, 51_864]),
    ("distil-medium.en", [1024, 24, 2, 16, 80, 51_864]),
    ("distil-large-v2", [1280, 32, 2, 20, 80, 51_865]),
    ("distil-large-v3", [1280, 32, 2, 20, 128, 51_866]),
];

/// All names.
pub fn names() -> impl Iterator<Item = &'static str> {
    KNOWN.into_iter().map(|(name, _)| name)
}

/// The dimensions of a checkpoint, by its name with or without `whisper-` before it.
pub fn find(name: &str) -> Option<Config> {
    let name = name.strip_prefix("whisper-").unwrap_or(name);
    let (_, [d_model, encoder_layers, decoder_layers, heads, num_mel_bins, vocab_size]) =
        KNOWN.into_iter().find(|(known, _)| *known == name)?;
    Some(Config {
        num_mel_bins,
        max_source_positions: 1500,
        d_model,
        encoder_attention_heads: heads,
        encoder_layers,
        vocab_size,
        max_target_positions: 448,
        decoder_attention_heads: heads,
        decoder_layers,
        suppress_tokens: Vec::new(),
    })
}

/// Whether a checkpoint knows more than English.
pub fn is_multilingual(name: &str) -> bool {
    !name.ends_with(".en") && !name.contains("distil")
}

/// The numbers in the weights of a checkpoint with these dimensions.
pub fn parameters(config: &Config) -> usize {
    let (width, square) = (config.d_model, config.d_model * config.d_model);
    // Four projections, of which the keys' has no bias; the MLP; a layer norm for each of the parts.
    let (attention, mlp, norm) = (4 * square + 3 * width, 8 * square + 5 * width, 2 * width);
    let encoder = (3 * config.num_mel_bins * width + width)
        + (3 * square + width)
        + config.max_source_positions * width
        + config.encoder_layers * (attention + mlp + 2 * norm)
        + norm;
    let decoder = (config.vocab_size + config.max_target_positions) * width
        + config.decoder_layers * (2 * attention + mlp + 3 * norm)
        + norm;
    encoder + decoder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_checkpoint_has_heads_of_64() {
        for name in names() {
            let config = find(name).unwrap();
            assert_eq!(config.d_model, 64 * config.encoder_attention_heads, "{name}");
        }
        assert_eq!(find("whisper-base"), find("base"));
        assert_eq!(find("gigantic"), None);
    }

    #[test]
    fn parameters_are_those_of_the_published_table() {
        // openai/whisper's README, in millions.
        for (name, millions) in [("tiny", 39), ("base", 74), ("small", 244), ("medium", 769), ("large-v2", 1550)] {
            let counted = parameters(&find(name).unwrap()) as f64 / 1e6;
            assert!((counted / f64::from(millions) - 1.0).abs() < 0.04, "{name}: {counted}");
        }
        // Counted over the tensors of the published files.
        for (name, count) in [("base", 72_593_920), ("tiny.en", 37_760_256), ("large-v3", 1_543_490_560)] {
            assert_eq!(parameters(&find(name).unwrap()), count, "{name}");
        }
    }
}
