//! Share files: a matrix in three parts, any one of which says nothing about it.
//!
//! A matrix x of fixed-point words is shared as x = x0 + x1 + x2 modulo 2^64. The components x0 and x1 are
//! pseudo-random streams of seeds that the dealer draws from the operating system; x2 is what is left. Party i holds
//! the components i ("mine") and i + 1 ("next"):
//!
//! | party | mine | next | on the disk |
//! |---|---|---|---|
//! | 0 | x0 | x1 | two seeds |
//! | 1 | x1 | x2 | a seed, and x2 in full |
//! | 2 | x2 | x0 | x2 in full, and a seed |
//!
//! A single party sees one or two of the streams and, in x2, the data under a stream whose seed it does not hold;
//! to it all of this is indistinguishable from random words as long as AES-128 is a pseudo-random permutation.
//! Any two parties together can read everything.
//!
//! A file begins with its magic number and version and a JSON header (rows, columns, fractional bits, party and data
//! set). The seeds follow, 16 bytes each and "mine" before "next", then x2 as little-endian words, row after row,
//! and last a BLAKE3 hash of all before, which finds damage (it is no signature): x2 enters it by the hashes of its blocks
//! of a megabyte. The word at row r and column c is the word r * columns + c of a stream.
//!
//! A matrix is dealt row by row ([`Dealer`]), and rows are read as they are needed ([`ShareFile::gather`]), by positioned
//! reads: no file has to fit into memory.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shamisen_ring::fixed;
use shamisen_ring::prg::Prg;
use zeroize::Zeroizing;

use crate::atomic::{AtomicFile, create_dir, random_hex};
use crate::container::{BLOCK, Kind, Reader, Writer};
use crate::encrypted::StorageKey;
use crate::error::{DataError, Result};
use crate::table::Matrix;

mod party;

pub use party::{PartyWriter, ShareForm};

const KIND: Kind = Kind { magic: *b"shamisen-share\0", version: 2, name: "a share file of shamisen" };

const SEED: usize = 16;

/// The only stream that is used of a seed, which serves one matrix.
const STREAM: u64 = 0;

/// Words of a block.
const WORDS: usize = BLOCK / 8;

/// Most fractional bits of a shared matrix.
pub const MAX_FRAC: u32 = 62;

/// A random id of 32 hexadecimal digits, for a data set or a model.
///
/// # Errors
///
/// If the operating system has no random bytes.
pub fn random_id() -> Result<String> {
    random_hex::<16>()
}

/// Splits words into three summands modulo 2^64, any two of which are random.
///
/// # Errors
///
/// If the operating system has no random bytes.
pub fn split(words: Vec<u64>) -> Result<[Zeroizing<Vec<u64>>; 3]> {
    let random = || {
        let mut component = Zeroizing::new(vec![0; words.len()]);
        Prg::new(&*random_seed()?).fill(STREAM, 0, &mut component);
        Ok::<_, DataError>(component)
    };
    let (first, second) = (random()?, random()?);
    let mut rest = Zeroizing::new(words);
    for (word, (first, second)) in rest.iter_mut().zip(first.iter().zip(second.iter())) {
        *word = word.wrapping_sub(*first).wrapping_sub(*second);
    }
    Ok([first, second, rest])
}

/// The path of the share file `name` in a directory.
pub fn share_path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.share"))
}

/// Shares a matrix as fixed-point numbers with `frac` fractional bits, and writes a share file `name` into the
/// directory of each party.
///
/// `dataset` is an id from [`random_id`], the same for all matrices that belong together. Directories are created
/// where missing. No file appears before all three are complete.
///
/// # Errors
///
/// As [`Dealer::create`], [`Dealer::push`] and [`Dealer::finish`].
pub fn deal(dirs: [&Path; 3], name: &str, dataset: &str, matrix: &Matrix, frac: u32) -> Result<()> {
    let mut dealer = Dealer::create(dirs, name, dataset, (matrix.rows(), matrix.cols()), frac)?;
    dealer.push(matrix)?;
    dealer.finish()
}

/// Shares a matrix whose rows come one after the other; its memory does not grow with them.
///
/// Dropped before it has finished, it leaves nothing.
pub struct Dealer {
    files: [Writer; 3],
    streams: [Prg; 2],
    /// Words of x2 that do not fill a block yet.
    block: Zeroizing<Vec<u64>>,
    /// Words before them.
    written: u64,
    missing: u64,
    cols: usize,
    frac: u32,
}

impl Dealer {
    /// Begins a share file `name` in the directory of each party, of a matrix of so many rows and columns.
    ///
    /// # Errors
    ///
    /// If the name is not fit for a file, or two directories are one; if the matrix is empty or too large; if a file
    /// cannot be written.
    pub fn create(
        dirs: [&Path; 3],
        name: &str,
        dataset: &str,
        (rows, cols): (usize, usize),
        frac: u32,
    ) -> Result<Self> {
        check_name(name)?;
        check_name(dataset)?;
        if frac > MAX_FRAC {
            return Err(DataError::TooManyFractionalBits { frac, max: MAX_FRAC });
        }
        let words = rows.checked_mul(cols).filter(|&words| words > 0 && u32::try_from(rows).is_ok());
        let missing = words.ok_or(DataError::ShareSize { rows, cols })? as u64;
        for dir in dirs {
            create_dir(dir)?;
        }
        check_distinct(dirs)?;
        let seeds = [random_seed()?, random_seed()?];
        let file = |party: usize| {
            let header = Header { rows, cols, frac, party, dataset: dataset.to_owned() };
            let mut file = Writer::create(&share_path(dirs[party], name), &KIND, &header, None)?;
            for component in [party, (party + 1) % 3] {
                if let Some(seed) = seeds.get(component) {
                    file.append(seed.as_slice())?;
                }
            }
            Ok(file)
        };
        Ok(Self {
            files: [file(0)?, file(1)?, file(2)?],
            streams: [Prg::new(&seeds[0]), Prg::new(&seeds[1])],
            block: Zeroizing::new(Vec::with_capacity(WORDS)),
            written: 0,
            missing,
            cols,
            frac,
        })
    }

    /// Shares the next rows.
    ///
    /// # Errors
    ///
    /// If there are more rows than were promised, or other columns; if a value is too large; if a file cannot be written.
    pub fn push(&mut self, rows: &Matrix) -> Result<()> {
        let values = rows.values();
        if rows.cols() != self.cols || values.len() as u64 > self.missing {
            return Err(self.wrong_length(values.len()));
        }
        self.missing -= values.len() as u64;
        let mut rest = values;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(WORDS - self.block.len()));
            for (i, &value) in now.iter().enumerate() {
                let word = fixed::encode(value, self.frac);
                let at = values.len() - rest.len() + i;
                self.block.push(word.ok_or_else(|| too_large(rows, at, self.frac))?);
            }
            if self.block.len() == WORDS {
                self.write_block()?;
            }
            rest = later;
        }
        Ok(())
    }

    /// Shares a word of its own right, which is the next row or a part of it.
    pub(crate) fn push_word(&mut self, word: u64) -> Result<()> {
        self.missing = self.missing.checked_sub(1).ok_or_else(|| self.wrong_length(1))?;
        self.block.push(word);
        if self.block.len() == WORDS { self.write_block() } else { Ok(()) }
    }

    /// Completes the three files, which then appear.
    ///
    /// # Errors
    ///
    /// If there were fewer rows than promised, or a file cannot be written.
    pub fn finish(mut self) -> Result<()> {
        if self.missing > 0 {
            return Err(self.wrong_length(0));
        }
        if !self.block.is_empty() {
            self.write_block()?;
        }
        let [a, b, c] = self.files;
        [a.finish()?, b.finish()?, c.finish()?].into_iter().try_for_each(AtomicFile::publish)
    }

    fn write_block(&mut self) -> Result<()> {
        for stream in &self.streams {
            stream.sub_into(STREAM, self.written, &mut self.block);
        }
        self.written += self.block.len() as u64;
        for word in self.block.iter_mut() {
            *word = word.to_le();
        }
        let bytes = bytemuck::cast_slice(&self.block);
        let hash = blake3::hash(bytes);
        for file in &mut self.files[1..] {
            file.append_block(bytes, &hash)?;
        }
        self.block.clear();
        Ok(())
    }

    fn wrong_length(&self, found: usize) -> DataError {
        DataError::Length { operation: "sharing a matrix", expected: self.missing as usize, found }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    rows: usize,
    cols: usize,
    frac: u32,
    party: usize,
    dataset: String,
}

/// A party's share of a matrix, of which rows are read as they are needed.
pub struct ShareFile {
    file: Reader<Header>,
    mine: Component,
    next: Component,
}

/// A component of a party's share.
enum Component {
    /// The stream of a seed.
    Stream(Box<Prg>),
    /// Words of the file from this byte of its body.
    Words(u64),
}

impl ShareFile {
    /// Opens the share file of a party and checks it against its checksum.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is no share file, is damaged, or is that of another party.
    pub fn open(path: &Path, party: usize) -> Result<Self> {
        Self::check(Reader::open(path, &KIND, None)?, party)
    }

    /// The same of a file that is encrypted under a server's key.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), or if the file was encrypted under another key.
    pub fn open_encrypted(path: &Path, party: usize, key: &StorageKey) -> Result<Self> {
        Self::check(Reader::open(path, &KIND, Some(key))?, party)
    }

    fn check(file: Reader<Header>, party: usize) -> Result<Self> {
        let path = &file.path;
        let Header { rows, cols, frac, party: found, .. } = file.header;
        let seeds = if found == 0 { 2 } else { 1 };
        let words = if found == 0 { Some(0) } else { rows.checked_mul(cols) };
        let body = words.and_then(|words| (words as u64).checked_mul(8)?.checked_add(seeds * SEED as u64));
        file.verify(body, Some(seeds * SEED as u64))?;
        if rows == 0 || cols == 0 || rows.checked_mul(cols).is_none() || u32::try_from(rows).is_err() {
            return Err(DataError::damaged(path, "its header promises an impossible size"));
        }
        if found > 2 || frac > MAX_FRAC {
            return Err(DataError::damaged(path, "its header is out of range"));
        }
        if found != party {
            return Err(DataError::WrongParty { path: path.to_owned(), expected: party, found });
        }
        let stream = |at: usize| -> Result<Component> {
            let mut seed = Zeroizing::new([0u8; SEED]);
            file.read((at * SEED) as u64, seed.as_mut_slice())?;
            Ok(Component::Stream(Box::new(Prg::new(&seed))))
        };
        let (mine, next) = match party {
            0 => (stream(0)?, stream(1)?),
            1 => (stream(0)?, Component::Words(SEED as u64)),
            _ => (Component::Words(SEED as u64), stream(0)?),
        };
        Ok(Self { file, mine, next })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.file.header.rows
    }

    /// The number of columns.
    pub fn cols(&self) -> usize {
        self.file.header.cols
    }

    /// The number of fractional bits.
    pub fn frac(&self) -> u32 {
        self.file.header.frac
    }

    /// The id of the data set.
    pub fn dataset(&self) -> &str {
        &self.file.header.dataset
    }

    /// Writes this party's share of rows, in the order given, into `mine` and `next`.
    ///
    /// # Errors
    ///
    /// If there is no such row; if `mine` or `next` does not have `rows.len() * cols` words; if the file cannot be
    /// read.
    pub fn gather(&self, rows: &[u32], mine: &mut [u64], next: &mut [u64]) -> Result<()> {
        let expected = rows.len().saturating_mul(self.cols());
        for found in [mine.len(), next.len()] {
            if found != expected {
                return Err(DataError::Length {
                    operation: "gathering rows of a share file",
                    expected,
                    found,
                });
            }
        }
        if let Some(&row) = rows.iter().find(|&&row| row as usize >= self.rows()) {
            return Err(DataError::NoSuchRow { path: self.file.path.clone(), row, rows: self.rows() });
        }
        let mut at = 0;
        // Rows that follow each other in the file are read at once.
        for run in rows.chunk_by(|&a, &b| a.checked_add(1) == Some(b)) {
            let words = at..at + run.len() * self.cols();
            let first = u64::from(run[0]) * self.cols() as u64;
            self.component(&self.mine, first, &mut mine[words.clone()])?;
            self.component(&self.next, first, &mut next[words.clone()])?;
            at = words.end;
        }
        Ok(())
    }

    fn component(&self, component: &Component, first: u64, words: &mut [u64]) -> Result<()> {
        match component {
            Component::Stream(prg) => {
                prg.fill(STREAM, first, words);
                Ok(())
            }
            Component::Words(start) => self.file.read_words(start + 8 * first, words),
        }
    }
}

impl fmt::Debug for ShareFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShareFile")
            .field("path", &self.file.path)
            .field("header", &self.file.header)
            .finish_non_exhaustive()
    }
}

fn random_seed() -> Result<Zeroizing<[u8; SEED]>> {
    let mut seed = Zeroizing::new([0u8; SEED]);
    getrandom::fill(seed.as_mut_slice()).map_err(|source| DataError::Randomness { source })?;
    Ok(seed)
}

fn check_distinct(dirs: [&Path; 3]) -> Result<()> {
    let canonical = |dir: &Path| fs::canonicalize(dir).map_err(|e| DataError::io("read", dir, e));
    let [a, b, c] = [canonical(dirs[0])?, canonical(dirs[1])?, canonical(dirs[2])?];
    if a == b || b == c || a == c {
        let dir = if b == c { dirs[1] } else { dirs[0] };
        return Err(DataError::SameDirectory { dir: dir.to_owned() });
    }
    Ok(())
}

fn check_name(name: &str) -> Result<()> {
    let fits = name.len() <= 128
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if fits { Ok(()) } else { Err(DataError::BadName { name: name.to_owned() }) }
}

fn too_large(matrix: &Matrix, index: usize, frac: u32) -> DataError {
    DataError::OutOfRange {
        place: matrix.place(index / matrix.cols(), index % matrix.cols()),
        text: matrix.values()[index].to_string(),
        limit: 2f64.powi(62 - frac as i32),
    }
}

#[cfg(test)]
mod tests;
