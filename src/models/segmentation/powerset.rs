//! The classes of the segmentation network: every set of at most two of a window's three speakers.

/// Speakers that a window tells apart. They are numbered within their window only: speaker 0 of the next window may be
/// another person.
pub const LOCAL_SPEAKERS: usize = 3;
/// Sets of at most two of them.
pub const CLASSES: usize = 7;

/// One class: the speakers who are active together in a frame.
///
/// Reference: `pyannote/audio/utils/powerset.py` (Plaquet and Bredin, "Powerset multi-class cross entropy loss for neural
/// speaker diarization", Interspeech 2023).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Powerset(u8);

impl Powerset {
    /// The classes in the order of the network's output: {}, {0}, {1}, {2}, {0, 1}, {0, 2}, {1, 2}.
    pub const ALL: [Self; CLASSES] =
        [Self(0b000), Self(0b001), Self(0b010), Self(0b100), Self(0b011), Self(0b101), Self(0b110)];
    /// The class in which nobody speaks: the first.
    pub const NOBODY: usize = 0;

    /// The most likely class of a frame, given its log-probabilities; the first of equals.
    pub fn most_likely(log_probabilities: &[f32; CLASSES]) -> Self {
        let mut best = 0;
        for class in 1..CLASSES {
            if log_probabilities[class] > log_probabilities[best] {
                best = class;
            }
        }
        Self::ALL[best]
    }

    /// The active speakers as bits: bit k is local speaker k.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Whether local speaker `speaker` is active.
    pub fn contains(self, speaker: usize) -> bool {
        self.0 >> speaker & 1 == 1
    }

    /// The active local speakers, in order.
    pub fn speakers(self) -> impl Iterator<Item = usize> {
        (0..LOCAL_SPEAKERS).filter(move |&speaker| self.contains(speaker))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_the_sets_of_at_most_two_in_order_of_size() {
        let sets: Vec<Vec<usize>> = Powerset::ALL.iter().map(|class| class.speakers().collect()).collect();
        assert_eq!(sets, [vec![], vec![0], vec![1], vec![2], vec![0, 1], vec![0, 2], vec![1, 2]]);
        assert_eq!(Powerset::ALL[Powerset::NOBODY].bits(), 0);
    }

    #[test]
    fn the_most_likely_class_wins_and_the_first_of_equals() {
        assert_eq!(Powerset::most_likely(&[-3.0, -2.0, -2.5, -4.0, -0.5, -9.0, -9.0]).bits(), 0b011);
        assert_eq!(Powerset::most_likely(&[-1.0; CLASSES]).bits(), 0);
    }
}
