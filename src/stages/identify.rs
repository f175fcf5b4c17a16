//! Which of the known speakers each speaker of a recording is: by the likeness of their voices.
//!
//! Likeness is the cosine of two embeddings. Measured with CAM++ (the speaker embedder of this program) on English
//! recordings of one speaker of 2 to 8 s, 49 speakers, many of them over the telephone: of 528 pairs of one voice 1.9% are less alike
//! than 0.5, of 14,178 pairs of two voices 0.5% are more alike (bounds of 0.4 and 0.6: 0.2% and 0.9%, 4.5% and 0.1%). In 15
//! conversations of 2 to 8 speakers, where a voice is a mean over many turns, every speaker is at least 0.55 alike to
//! each of 2 to 12 references from other recordings (180 pairs), 0.60 to one cut from the conversation, and at most 0.45
//! to any stranger; all 55 speakers get their own name. The other embedders use the same bound, which is not measured for them.

use crate::error::{Error, Result};

/// The longest name of a speaker, in characters.
const LONGEST_NAME: usize = 64;

/// Two voices at least this alike are one speaker's; the numbers stand above.
pub const ALIKE: f32 = 0.5;

/// The cosine of two embeddings of length one.
pub fn likeness(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// For each of `voices` (embeddings of length one, by number of the speaker) the index of its known speaker among
/// `references` (embeddings of length one), where it is one of them. The most alike pair is matched first, and both leave:
/// no two speakers of a recording are the same known one.
pub fn identify(voices: &[Vec<f32>], references: &[Vec<f32>]) -> Vec<Option<usize>> {
    let mut pairs: Vec<(f32, usize, usize)> = Vec::with_capacity(voices.len() * references.len());
    for (voice, heard) in voices.iter().enumerate() {
        let of = |(reference, known): (usize, &Vec<f32>)| (likeness(heard, known), voice, reference);
        pairs.extend(references.iter().enumerate().map(of).filter(|(likeness, ..)| *likeness >= ALIKE));
    }
    // A stable sort: among equals the speaker who was heard first, then the reference that was named first.
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut found = vec![None; voices.len()];
    for (_, voice, reference) in pairs {
        if found[voice].is_none() && !found.contains(&Some(reference)) {
            found[voice] = Some(reference);
        }
    }
    found
}

/// How the speaker of a reference sounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Voice {
    /// An embedding of length one.
    pub embedding: Vec<f32>,
    /// Whether nobody else is heard in the reference.
    pub alone: bool,
}

/// Speakers who are to be called by name, and how they sound.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KnownVoices {
    names: Vec<String>,
    /// The sum of each speaker's embeddings.
    sums: Vec<Vec<f32>>,
    warnings: Vec<String>,
}

impl KnownVoices {
    /// Adds a `voice` of the speaker called `name`, which `reference` holds; several of one name are averaged. A reference
    /// with more than one voice is a warning.
    pub fn add(&mut self, name: &str, voice: Voice, reference: &str) {
        if !voice.alone {
            self.warn(format!(
                "{reference}: more than one voice is heard; the one that speaks most is taken for {name}"
            ));
        }
        match self.names.iter().position(|known| known == name) {
            Some(index) => self.sums[index].iter_mut().zip(voice.embedding).for_each(|(sum, value)| *sum += value),
            None => {
                self.names.push(name.to_owned());
                self.sums.push(voice.embedding);
            }
        }
    }

    /// The names of the speakers with these `voices` (embeddings of length one), by number, where they are known; empty
    /// where nobody is.
    pub fn names_of(&self, voices: &[Vec<f32>]) -> Vec<Option<String>> {
        if self.names.is_empty() {
            return Vec::new();
        }
        let references: Vec<Vec<f32>> = self.sums.iter().map(|sum| of_length_one(sum)).collect();
        let found = identify(voices, &references);
        found.into_iter().map(|known| known.map(|index| self.names[index].clone())).collect()
    }

    /// Adds what the user should know, a sentence.
    pub fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// What the user should know of the references.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// A vector in the same direction; one without a direction as it is.
pub(super) fn of_length_one(vector: &[f32]) -> Vec<f32> {
    let length = likeness(vector, vector).sqrt();
    if length > 0.0 { vector.iter().map(|value| value / length).collect() } else { vector.to_vec() }
}

/// What a speaker may be called: the name without white space around it.
///
/// # Errors
/// [`Error::Request`] for a name that is empty, too long, breaks a line, or is a label that unknown speakers get.
pub fn checked_name(name: &str) -> Result<String> {
    let name = name.trim();
    let quoted = || name.chars().filter(|letter| !letter.is_control()).take(LONGEST_NAME).collect::<String>();
    if name.is_empty() {
        return Err(Error::Request("the name of a speaker is empty; give each speaker a name".into()));
    }
    if name.chars().count() > LONGEST_NAME {
        return Err(Error::Request(format!(
            "the name of the speaker '{}...' is longer than {LONGEST_NAME} characters; shorten it",
            quoted()
        )));
    }
    if name.chars().any(char::is_control) {
        return Err(Error::Request(format!(
            "the name of the speaker '{}' holds control characters; drop them",
            quoted()
        )));
    }
    let number = name.get(..8).filter(|start| start.eq_ignore_ascii_case("SPEAKER_")).map(|_| &name[8..]);
    if number.is_some_and(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())) {
        return Err(Error::Request(format!("{name} is what unknown speakers are called; choose another name")));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An embedding of length one at `degrees` in a plane.
    fn voice(degrees: f32) -> Vec<f32> {
        vec![degrees.to_radians().cos(), degrees.to_radians().sin(), 0.0]
    }

    #[test]
    fn each_speaker_gets_the_likeliest_name_and_strangers_none() {
        let references = [voice(0.0), voice(90.0)];
        assert_eq!(identify(&[voice(80.0), voice(10.0), voice(180.0)], &references), [Some(1), Some(0), None]);
    }

    #[test]
    fn a_name_is_given_once_to_the_most_alike() {
        let references = [voice(0.0)];
        assert_eq!(identify(&[voice(20.0), voice(5.0)], &references), [None, Some(0)]);
        // The second choice of a speaker whose first was taken.
        let references = [voice(0.0), voice(30.0)];
        assert_eq!(identify(&[voice(10.0), voice(2.0)], &references), [Some(1), Some(0)]);
        assert_eq!(identify(&[voice(0.0)], &[voice(0.0), voice(0.0)]), [Some(0)]);
    }

    #[test]
    fn several_references_of_a_name_are_averaged_and_company_is_told() {
        let mut known = KnownVoices::default();
        assert_eq!(known.names_of(&[voice(0.0)]), []);
        known.add("Ann", Voice { embedding: voice(0.0), alone: true }, "a.wav");
        known.add("Bob", Voice { embedding: voice(180.0), alone: false }, "b.wav");
        // Alone, a voice at 62 degrees is not like the first reference; the mean lies at 30.
        assert_eq!(known.names_of(&[voice(62.0), voice(170.0)]), [None, Some("Bob".into())]);
        known.add("Ann", Voice { embedding: voice(60.0), alone: true }, "c.wav");
        assert_eq!(known.names_of(&[voice(62.0), voice(270.0)]), [Some("Ann".into()), None]);
        assert!(known.warnings().len() == 1 && known.warnings()[0].starts_with("b.wav: more than one voice"));
    }

    #[test]
    fn names_are_short_lines_that_no_unknown_speaker_has() {
        assert_eq!(checked_name("  Dr. Ann = Bob ").unwrap(), "Dr. Ann = Bob");
        assert_eq!(checked_name("SPEAKER_A").unwrap(), "SPEAKER_A");
        assert_eq!(checked_name("Пётр из Москвы").unwrap(), "Пётр из Москвы");
        for name in ["", "  ", "a\nb", "\u{1b}[2J", "SPEAKER_00", "speaker_7", &"x".repeat(65)] {
            assert!(matches!(checked_name(name), Err(Error::Request(_))), "{name}");
        }
    }

    #[test]
    fn the_bound_decides_and_broken_embeddings_match_nothing() {
        let at = |cosine: f32| vec![cosine, (1.0 - cosine * cosine).sqrt()];
        let reference = [vec![1.0, 0.0]];
        assert_eq!(identify(&[at(ALIKE + 0.01)], &reference), [Some(0)]);
        assert_eq!(identify(&[at(ALIKE - 0.01)], &reference), [None]);
        assert_eq!(identify(&[vec![f32::NAN, 0.0]], &reference), [None]);
        assert_eq!(identify(&[vec![0.0, 0.0]], &reference), [None]);
        assert_eq!(identify(&[], &reference), []);
        assert_eq!(identify(&[at(0.9)], &[]), [None]);
    }
}
