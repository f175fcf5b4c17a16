//! The assignment problem: which of their speakers is which of ours.

use pathfinding::prelude::{Matrix, kuhn_munkres};

/// Pairs rows with columns, each with one at most, so that the sum of the pairs' weights is largest. `weights`
/// (rows, columns) are zero or above; pairs of weight zero are left out. In order of rows.
pub(super) fn best_pairs(weights: &[Vec<i64>]) -> Vec<(usize, usize)> {
    let columns = weights.first().map_or(0, Vec::len);
    // The algorithm wants no fewer columns than rows; nobody gains by the columns that are added.
    let width = columns.max(weights.len());
    if columns == 0 {
        return Vec::new();
    }
    let at = |(row, column): (usize, usize)| weights[row].get(column).copied().unwrap_or(0);
    let (_, chosen) = kuhn_munkres(&Matrix::from_fn(weights.len(), width, at));
    chosen.into_iter().enumerate().filter(|&pair| at(pair) > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_sum_is_not_the_greedy_one() {
        assert_eq!(best_pairs(&[vec![10, 9], vec![9, 1]]), [(0, 1), (1, 0)]);
    }

    #[test]
    fn rows_and_columns_need_not_be_equal_in_number() {
        assert_eq!(best_pairs(&[vec![1], vec![5], vec![3]]), [(1, 0)]);
        assert_eq!(best_pairs(&[vec![1, 5, 3]]), [(0, 1)]);
        assert_eq!(best_pairs(&[vec![0, 0], vec![0, 2]]), [(1, 1)]);
    }

    #[test]
    fn nothing_has_no_pairs() {
        assert_eq!(best_pairs(&[]), []);
        assert_eq!(best_pairs(&[vec![], vec![]]), []);
    }
}
