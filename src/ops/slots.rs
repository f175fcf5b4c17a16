//! Where the rows of a decoding batch keep their keys and values.
//!
//! Texts that share a beginning, such as the beams of a search, share its keys and values: each text writes to a slot of its
//! own, and a table of its ancestors says which slot holds the key of each earlier position. A text that forks costs a copy
//! of that table and nothing of the caches.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor, bail};

/// Where a batch row keeps its keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The slot of the cache.
    pub index: usize,
    /// The number of keys visible to the row's last query.
    pub length: usize,
}

/// The slots that hold the first keys of a row, position by position; the row's own slot holds those after them.
pub type Ancestors = Arc<[u32]>;

/// The slots of all rows of a batch; on a GPU also as tables there, made once for all layers.
#[derive(Debug, Clone)]
pub struct Slots {
    rows: Vec<Slot>,
    /// Of each row; none at all where every row's keys lie in its own slot.
    ancestors: Vec<Option<Ancestors>>,
    /// (B, 2) u32: index and length.
    table: Option<Tensor>,
    /// (B, Tmax) u32: the slot of each position, where there are ancestors.
    holders: Option<Tensor>,
}

impl Slots {
    /// The slots of a batch on `device`.
    ///
    /// # Errors
    /// When the device refuses the table.
    pub fn new(rows: Vec<Slot>, device: &Device) -> Result<Self> {
        let table = (!device.is_cpu()).then(|| Tensor::from_vec(Self::words(&rows), (rows.len(), 2), device));
        Ok(Self { table: table.transpose()?, rows, ancestors: Vec::new(), holders: None })
    }

    /// The same with words that are on the device already: `table` (2 B) as [`Slots::words`] gives them.
    pub(crate) fn with_words(rows: Vec<Slot>, table: &Tensor) -> Result<Self> {
        Ok(Self { table: Some(table.reshape((rows.len(), 2))?), rows, ancestors: Vec::new(), holders: None })
    }

    /// The same slots, for caches of `limit` positions, where the first keys of rows lie in the slots of their `ancestors`
    /// (one entry for each row).
    ///
    /// # Errors
    /// When there are not as many entries as rows, one is longer than its row, or the device refuses the table.
    pub fn with_ancestors(self, ancestors: Vec<Option<Ancestors>>, limit: usize, device: &Device) -> Result<Self> {
        if ancestors.iter().all(Option::is_none) {
            return Ok(self);
        }
        let longer = |(row, own): (&Slot, &Option<Ancestors>)| own.as_ref().is_some_and(|own| own.len() > row.length);
        if ancestors.len() != self.rows.len() || self.rows.iter().zip(&ancestors).any(longer) {
            bail!("{} tables of ancestors do not fit rows {:?}", ancestors.len(), self.rows);
        }
        let slots = Self { ancestors, ..self };
        let all = || (0..slots.rows.len()).flat_map(|row| (0..limit).map(move |place| (row, place)));
        let words = || all().map(|(row, place)| slots.holder(row, place) as u32).collect::<Vec<_>>();
        let table = (!device.is_cpu()).then(|| Tensor::from_vec(words(), (slots.rows.len(), limit), device));
        Ok(Self { holders: table.transpose()?, ..slots })
    }

    /// Index and length of each row.
    pub(crate) fn words(rows: &[Slot]) -> Vec<u32> {
        rows.iter().flat_map(|slot| [slot.index as u32, slot.length as u32]).collect()
    }

    /// The slot of each row.
    pub fn rows(&self) -> &[Slot] {
        &self.rows
    }

    /// The slots of a row's first keys, where they are not its own.
    pub fn ancestors(&self, row: usize) -> Option<&[u32]> {
        self.ancestors.get(row)?.as_deref()
    }

    /// Whether keys of any row lie in another one's slot.
    pub fn are_shared(&self) -> bool {
        !self.ancestors.is_empty()
    }

    /// The slot that holds a row's key at `place`.
    pub fn holder(&self, row: usize, place: usize) -> usize {
        let ancestor = self.ancestors(row).and_then(|own| own.get(place));
        ancestor.map_or(self.rows[row].index, |&slot| slot as usize)
    }

    /// Index and length of each row (B, 2), u32, on the GPU.
    ///
    /// # Errors
    /// When the slots are those of a batch on the CPU, which reads [`Slots::rows`].
    pub fn table(&self) -> Result<&Tensor> {
        self.table.as_ref().ok_or_else(|| candle_core::Error::Msg("slots of the CPU were given to a GPU".into()))
    }

    /// The slot that holds each row's key at each position (B, Tmax), u32, on the GPU; `None` where it is the row's own.
    pub fn holders(&self) -> Option<&Tensor> {
        self.holders.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ancestors_hold_the_first_keys_and_the_row_the_rest() -> Result<()> {
        let rows = vec![Slot { index: 4, length: 3 }, Slot { index: 1, length: 5 }];
        let own = Slots::new(rows.clone(), &Device::Cpu)?;
        assert_eq!((own.holder(1, 0), own.are_shared()), (1, false));
        let ancestors = vec![None, Some(Ancestors::from([4, 2]))];
        let shared = own.clone().with_ancestors(ancestors, 6, &Device::Cpu)?;
        assert!(shared.are_shared());
        assert_eq!((0..5).map(|place| shared.holder(1, place)).collect::<Vec<_>>(), [4, 2, 1, 1, 1]);
        assert_eq!((shared.holder(0, 0), shared.ancestors(0)), (4, None));
        assert!(!own.clone().with_ancestors(vec![None, None], 6, &Device::Cpu)?.are_shared());
        assert!(own.clone().with_ancestors(vec![Some(Ancestors::from([1]))], 6, &Device::Cpu).is_err());
        assert!(own.with_ancestors(vec![Some(Ancestors::from([1; 4])), None], 6, &Device::Cpu).is_err());
        Ok(())
    }
}
