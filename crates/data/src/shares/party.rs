//! Share files that a party writes itself, of what the three have computed together.

use std::path::Path;

use zeroize::Zeroizing;

use super::{Header, KIND, SEED, WORDS};
use crate::container::Writer;
use crate::encrypted::StorageKey;
use crate::error::{DataError, Result};

/// A party's own share file of rows that the three have computed together, written as they come.
pub struct PartyWriter {
    file: Writer,
    block: Zeroizing<Vec<u64>>,
    missing: u64,
}

impl PartyWriter {
    /// Begins a share file, which replaces one that is there; encrypted, if there is a key.
    ///
    /// `seeds` are those of the components "mine" and "next" of this party, as far as these are streams.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn create(
        path: &Path,
        form: &ShareForm<'_>,
        seeds: [Option<&[u8; 16]>; 2],
        key: Option<&StorageKey>,
    ) -> Result<Self> {
        let ShareForm { party, dataset, rows, cols, frac } = *form;
        let header = Header { rows, cols, frac, party, dataset: dataset.to_owned() };
        let missing = if party == 0 { 0 } else { (rows * cols) as u64 };
        let body = (seeds.iter().flatten().count() * SEED) as u64 + 8 * missing;
        let mut file = Writer::create(path, &KIND, &header, key.map(|key| (key, body)))?;
        for seed in seeds.into_iter().flatten() {
            file.append(seed)?;
        }
        Ok(Self { file, block: Zeroizing::new(Vec::with_capacity(WORDS)), missing })
    }

    /// Appends the words of component 2 of the next rows.
    ///
    /// # Errors
    ///
    /// If they are more than was said, or the file cannot be written.
    pub fn push(&mut self, mut words: &[u64]) -> Result<()> {
        let missing = self.missing.checked_sub(words.len() as u64);
        self.missing = missing.ok_or_else(|| self.wrong_length(words.len()))?;
        while !words.is_empty() {
            let (now, later) = words.split_at(words.len().min(WORDS - self.block.len()));
            self.block.extend_from_slice(now);
            words = later;
            if self.block.len() == WORDS {
                self.write_block()?;
            }
        }
        Ok(())
    }

    /// Completes the file, and waits for the disk.
    ///
    /// # Errors
    ///
    /// If there are fewer words than was said, or the file cannot be written.
    pub fn finish(mut self) -> Result<()> {
        if self.missing > 0 {
            return Err(self.wrong_length(0));
        }
        if !self.block.is_empty() {
            self.write_block()?;
        }
        self.file.finish()?.publish()
    }

    fn write_block(&mut self) -> Result<()> {
        for word in self.block.iter_mut() {
            *word = word.to_le();
        }
        let bytes = bytemuck::cast_slice(&self.block);
        self.file.append_block(bytes, &blake3::hash(bytes))?;
        self.block.clear();
        Ok(())
    }

    fn wrong_length(&self, found: usize) -> DataError {
        DataError::Length { operation: "writing a share file", expected: self.missing as usize, found }
    }
}

/// What a share file is of.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "whoever writes a share file has to say all of it")]
pub struct ShareForm<'a> {
    /// Whose share.
    pub party: usize,
    /// Id of the data set.
    pub dataset: &'a str,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// Fractional bits.
    pub frac: u32,
}
