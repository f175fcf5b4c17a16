//! Which language is spoken, from the probabilities of Whisper's language tokens over several chunks.

use crate::language::Language;

/// How the language of a recording is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LanguageChoice {
    /// One language for the whole recording, detected.
    #[default]
    Detect,
    /// Each chunk in its own language: for recordings that mix them.
    PerChunk,
    /// This one.
    Fixed(Language),
}

/// A detection surer than this is believed; below it the candidates are tried.
pub const SURE: f32 = 0.85;
/// Candidates tried when the detection is unsure, and when it is lost.
const CANDIDATES: (usize, usize) = (3, 5);
/// Below this the likeliest language is as good as none.
const LOST: f32 = 0.3;
/// Languages less likely than this are not tried.
const UNLIKELY: f32 = 0.02;

/// Probabilities of the languages, by language index; they sum to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution(pub Vec<f32>);

impl Distribution {
    /// Softmax over the logits of the language tokens.
    pub fn from_logits(logits: &[f32]) -> Self {
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weights: Vec<f32> = logits.iter().map(|logit| (logit - highest).exp()).collect();
        let total: f32 = weights.iter().sum();
        Self(weights.iter().map(|weight| weight / total).collect())
    }

    /// The mean of several, each with a weight (seconds of speech).
    pub fn mean(parts: &[(Distribution, f64)]) -> Self {
        let total: f64 = parts.iter().map(|(_, weight)| weight).sum();
        let languages = parts.first().map_or(0, |(part, _)| part.0.len());
        let mean = |index: usize| parts.iter().map(|(part, weight)| f64::from(part.0[index]) * weight).sum::<f64>();
        Self((0..languages).map(|index| (mean(index) / total.max(1e-9)) as f32).collect())
    }

    /// Languages from the likeliest down.
    pub fn ranked(&self) -> Vec<(Language, f32)> {
        let mut ranked: Vec<(Language, f32)> =
            self.0.iter().enumerate().filter_map(|(index, &p)| Some((Language::from_index(index)?, p))).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked
    }

    /// The languages worth trying; a single one when the detection is sure.
    pub fn candidates(&self) -> Vec<(Language, f32)> {
        let mut ranked = self.ranked();
        let best = ranked.first().map_or(0.0, |(_, p)| *p);
        ranked.truncate(match best {
            sure if sure >= SURE => 1,
            lost if lost < LOST => CANDIDATES.1,
            _ => CANDIDATES.0,
        });
        ranked.retain(|(_, p)| *p >= UNLIKELY.min(best));
        ranked
    }

    /// The probability of one language.
    pub fn of(&self, language: Language) -> f32 {
        self.0.get(language.index()).copied().unwrap_or(0.0)
    }

    /// This chunk's language where it is sure of it; else weighed with what the whole recording says.
    pub fn likeliest_within(&self, recording: &Distribution) -> Option<Language> {
        let (language, probability) = self.ranked().first().copied()?;
        if probability >= SURE {
            return Some(language);
        }
        let weighed = self.0.iter().zip(&recording.0).map(|(own, all)| own * all).collect();
        Distribution(weighed).ranked().first().map(|(language, _)| *language)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distribution(english: f32, german: f32) -> Distribution {
        let mut all = vec![0.0; 99];
        (all[0], all[2]) = (english, german);
        Distribution(all)
    }

    #[test]
    fn sure_detections_have_one_candidate() {
        assert_eq!(distribution(0.95, 0.05).candidates().len(), 1);
        let codes: Vec<_> = distribution(0.4, 0.5).candidates().iter().map(|(l, _)| l.code()).collect();
        assert_eq!(codes, ["de", "en"]);
    }

    #[test]
    fn long_chunks_weigh_more() {
        let mean = Distribution::mean(&[(distribution(0.9, 0.1), 30.0), (distribution(0.0, 1.0), 3.0)]);
        assert_eq!(mean.ranked()[0].0, Language::ENGLISH);
    }

    #[test]
    fn an_unsure_chunk_listens_to_the_recording() {
        let recording = distribution(0.9, 0.1);
        assert_eq!(distribution(0.4, 0.6).likeliest_within(&recording), Some(Language::ENGLISH));
        assert_eq!(distribution(0.1, 0.9).likeliest_within(&recording).map(Language::code), Some("de"));
    }
}
