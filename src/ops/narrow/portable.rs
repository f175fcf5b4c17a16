//! int8 sums without instructions of their own: the definition of the others.

use super::{Block, Line, bytes};
use crate::ops::matrix::PANEL;

/// `out[r][c] = sum of rows[r] · panel[c]`.
pub(super) fn tile(rows: Block<'_>, panel: &[Line], out: &mut [[i32; PANEL]]) {
    for (index, out) in out[..rows.count].iter_mut().enumerate() {
        out.fill(0);
        let (words, _) = rows.row(index).as_chunks::<4>();
        let (groups, _) = bytes(panel).as_chunks::<{ 4 * PANEL }>();
        for (word, group) in words.iter().zip(groups) {
            for (sum, column) in out.iter_mut().zip(group.as_chunks::<4>().0) {
                *sum += (0..4).map(|k| i32::from(word[k] as i8) * i32::from(column[k] as i8)).sum::<i32>();
            }
        }
    }
}
