//! Word against word: the fewest substitutions, deletions and insertions that make one text of another (Levenshtein).

/// The fewest errors between two texts.
pub(super) fn distance<T: PartialEq>(reference: &[T], hypothesis: &[T]) -> usize {
    let mut costs: Vec<usize> = (0..=hypothesis.len()).collect();
    for (row, word) in reference.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut costs[0], row + 1);
        for (column, other) in hypothesis.iter().enumerate() {
            let pair = diagonal + usize::from(word != other);
            diagonal = costs[column + 1];
            costs[column + 1] = pair.min(diagonal + 1).min(costs[column] + 1);
        }
    }
    costs[hypothesis.len()]
}

/// The words that stand for each other, equal or not, in an alignment with the fewest errors: (reference, hypothesis)
/// indices in order. Of several such alignments it is the one that DiarizationLM takes: from the end, a word too many
/// rather than one that is missing, and this rather than a pair.
pub(super) fn pairs<T: PartialEq>(reference: &[T], hypothesis: &[T]) -> Vec<(usize, usize)> {
    let steps = Steps::find(reference, hypothesis);
    let (mut row, mut column) = (reference.len(), hypothesis.len());
    let mut found = Vec::new();
    while row > 0 && column > 0 {
        match steps.get(row - 1, column - 1) {
            INSERTION => column -= 1,
            DELETION => row -= 1,
            _ => {
                (row, column) = (row - 1, column - 1);
                found.push((row, column));
            }
        }
    }
    found.reverse();
    found
}

const PAIR: u8 = 0;
const INSERTION: u8 = 1;
const DELETION: u8 = 2;

/// The last step of a best alignment of each two beginnings of the texts, four in a byte: an hour of speech takes 25 MB.
struct Steps {
    columns: usize,
    packed: Vec<u8>,
}

impl Steps {
    fn find<T: PartialEq>(reference: &[T], hypothesis: &[T]) -> Self {
        let columns = hypothesis.len();
        let mut steps = Self { columns, packed: vec![0; (reference.len() * columns).div_ceil(4)] };
        let mut costs: Vec<usize> = (0..=columns).collect();
        for (row, word) in reference.iter().enumerate() {
            let mut diagonal = std::mem::replace(&mut costs[0], row + 1);
            for (column, other) in hypothesis.iter().enumerate() {
                let pair = diagonal + usize::from(word != other);
                let (insertion, deletion) = (costs[column] + 1, costs[column + 1] + 1);
                let best = pair.min(insertion).min(deletion);
                let step = match best {
                    _ if best == insertion => INSERTION,
                    _ if best == deletion => DELETION,
                    _ => PAIR,
                };
                steps.set(row, column, step);
                diagonal = std::mem::replace(&mut costs[column + 1], best);
            }
        }
        steps
    }

    fn set(&mut self, row: usize, column: usize, step: u8) {
        let at = row * self.columns + column;
        self.packed[at / 4] |= step << (2 * (at % 4));
    }

    fn get(&self, row: usize, column: usize) -> u8 {
        let at = row * self.columns + column;
        self.packed[at / 4] >> (2 * (at % 4)) & 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        text.split_whitespace().collect()
    }

    #[test]
    fn the_fewest_errors() {
        let between = |a: &str, b: &str| distance(&split(a), &split(b));
        assert_eq!(between("a b c", "a b c"), 0);
        assert_eq!(between("a b c d", "a x c"), 2);
        assert_eq!(between("", "a b"), 2);
        assert_eq!(between("a b", ""), 2);
        assert_eq!(between("a b c", "b c d"), 2);
    }

    #[test]
    fn pairs_hold_words_that_stand_for_each_other() {
        let of = |a: &str, b: &str| pairs(&split(a), &split(b));
        assert_eq!(of("a b c d", "a x c"), [(0, 0), (1, 1), (2, 2)]);
        assert_eq!(of("a b c", "b c d"), [(1, 0), (2, 1)]);
        assert_eq!(of("", "a b"), []);
        assert_eq!(of("a b", ""), []);
    }

    #[test]
    fn errors_of_the_pairs_and_of_what_is_left_make_the_distance() {
        let letters = b"kitten sitting on the mitten knitting";
        for cut in 1..letters.len() {
            let (a, b) = letters.split_at(cut);
            let pairs = pairs(a, b);
            let wrong = pairs.iter().filter(|(row, column)| a[*row] != b[*column]).count();
            assert_eq!(wrong + a.len() + b.len() - 2 * pairs.len(), distance(a, b));
        }
    }
}
