//! The pages of a column in a row group: taken out of the file one by one, checked and unpacked.
//!
//! What a page says of itself is compared with what there is before memory is taken or a decoder sees it.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::Crc;
use flate2::read::MultiGzDecoder;
use parquet::basic::{Compression, Encoding, Type};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::ParquetError;

use crate::parquet::fault::{Fault, Result};
use crate::parquet::thrift::{PageHeader, Problem, varint};

/// Most bytes of unpacked pages of all columns together.
const MAX_HELD: u64 = 1 << 30;

/// The longest header of a page; it may have a long text, the least value of the page.
const MAX_HEADER: u64 = 1 << 22;

/// Bytes that are read at first for a header.
const HEADER_CHUNK: u64 = 1 << 10;

/// What a value of a dictionary takes in memory at most, besides its text.
const DICTIONARY_VALUE: u64 = 40;

/// The largest block of integers that are stored as differences.
const MAX_BLOCK: u64 = 1 << 16;

/// How pages are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    None,
    Snappy,
    Gzip,
    Zstd,
}

impl Packing {
    /// What is read of those that the format has.
    pub(crate) fn new(compression: Compression) -> Result<Self> {
        match compression {
            Compression::UNCOMPRESSED => Ok(Self::None),
            Compression::SNAPPY => Ok(Self::Snappy),
            Compression::GZIP(_) => Ok(Self::Gzip),
            Compression::ZSTD(_) => Ok(Self::Zstd),
            other => Err(Fault::Unsupported(format!(
                "it is compressed with {}: write it with snappy, gzip, zstd or no compression",
                other.to_string().split('(').next().unwrap_or_default()
            ))),
        }
    }

    /// Unpacks into `size` bytes.
    fn unpack(self, packed: Vec<u8>, size: usize) -> Result<Vec<u8>> {
        let wrong = |_| Fault::damaged("a page cannot be unpacked");
        let unpacked = match self {
            Self::None => packed,
            // A page without values may have no bytes at all.
            _ if size == 0 => vec![],
            Self::Snappy => {
                // Its own word is compared before memory is taken, and no three bytes stand for more than 64.
                if snap::raw::decompress_len(&packed).ok() != Some(size) || size / 64 > packed.len() {
                    return Err(Fault::damaged("the length of a page is wrong"));
                }
                snap::raw::Decoder::new().decompress_vec(&packed).map_err(|e| wrong(e.into()))?
            }
            Self::Gzip => {
                let mut unpacked = Vec::new();
                let decoder = MultiGzDecoder::new(&packed[..]);
                decoder.take(size as u64 + 1).read_to_end(&mut unpacked).map_err(wrong)?;
                unpacked
            }
            Self::Zstd => zstd::bulk::decompress(&packed, size).map_err(wrong)?,
        };
        if unpacked.len() != size {
            return Err(Fault::damaged("the length of a page is wrong"));
        }
        Ok(unpacked)
    }
}

/// Where a column is in a row group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) start: u64,
    pub(crate) length: u64,
    pub(crate) packing: Packing,
}

/// What the values of a column are in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    pub(crate) physical: Type,
    /// Bytes of a value, if all have the same number.
    pub(crate) width: Option<u64>,
    /// Whether values may be empty.
    pub(crate) optional: bool,
}

/// The pages of a column in a row group.
pub(crate) struct Pages {
    file: Arc<File>,
    packing: Packing,
    stored: Stored,
    at: u64,
    end: u64,
    /// Values that have not come yet.
    values: u64,
    has_dictionary: bool,
    /// Bytes that are held, by all columns and by this one: its dictionary and its page.
    all_held: Arc<AtomicU64>,
    dictionary_held: u64,
    page_held: u64,
}

impl Pages {
    /// The pages of a column of a row group with `rows` rows. Columns that are read together share `held`.
    pub(crate) fn new(
        file: Arc<File>,
        place: Place,
        stored: Stored,
        rows: u64,
        held: Arc<AtomicU64>,
    ) -> Self {
        let Place { start, length, packing } = place;
        Self {
            file,
            packing,
            stored,
            at: start,
            end: start + length,
            values: rows,
            has_dictionary: false,
            all_held: held,
            dictionary_held: 0,
            page_held: 0,
        }
    }

    fn next_page(&mut self) -> Result<Option<Page>> {
        while self.at < self.end {
            let header = self.header()?;
            let sizes = (u64::try_from(header.packed), u64::try_from(header.size));
            let (Ok(packed), Ok(size)) = sizes else {
                return Err(Fault::damaged("the length of a page is negative"));
            };
            if packed > self.end - self.at {
                return Err(Fault::damaged("a page is longer than its column"));
            }
            let at = self.at;
            self.at += packed;
            let page = match header.kind {
                // An index, and data without values.
                1 => continue,
                0 | 3 if header.values == 0 => continue,
                0 => self.data(&header, at, packed, size)?,
                2 => self.dictionary(&header, at, packed, size)?,
                3 => self.data_of_version_2(&header, at, packed, size)?,
                _ => return Err(Fault::damaged("a page is of no known kind")),
            };
            return Ok(Some(page));
        }
        Ok(None)
    }

    /// Reads the header at the present position, and passes it.
    fn header(&mut self) -> Result<PageHeader> {
        let mut length = HEADER_CHUNK;
        loop {
            let rest = self.end - self.at;
            match PageHeader::read(&self.bytes(self.at, length.min(rest))?) {
                Ok((header, length)) => {
                    self.at += length as u64;
                    return Ok(header);
                }
                Err(Problem::End) if length < rest && length < MAX_HEADER => length *= 8,
                Err(_) => return Err(Fault::damaged("the header of a page makes no sense")),
            }
        }
    }

    fn bytes(&self, at: u64, length: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize];
        self.file.read_exact_at(&mut bytes, at).map_err(Fault::Io)?;
        Ok(bytes)
    }

    /// Reads and unpacks the `packed` bytes at `at`, but for the first `plain`, which are not packed.
    fn unpacked(
        &self,
        header: &PageHeader,
        (at, packed): (u64, u64),
        size: u64,
        plain: u64,
    ) -> Result<Vec<u8>> {
        let mut bytes = self.bytes(at, packed)?;
        if let Some(expected) = header.crc {
            let mut crc = Crc::new();
            crc.update(&bytes);
            if crc.sum() != expected {
                return Err(Fault::damaged("the checksum of a page is wrong"));
            }
        }
        let packing = if header.is_packed { self.packing } else { Packing::None };
        if plain == 0 {
            return packing.unpack(bytes, size as usize);
        }
        if plain > packed || plain > size {
            return Err(Fault::damaged("a page is shorter than it says"));
        }
        let rest = packing.unpack(bytes.split_off(plain as usize), (size - plain) as usize)?;
        bytes.extend(rest);
        Ok(bytes)
    }

    /// Takes note of what is held instead of the page before.
    fn hold(&mut self, dictionary: u64, page: u64) -> Result<()> {
        let before = self.dictionary_held + self.page_held;
        let others = self.all_held.fetch_sub(before, Ordering::Relaxed) - before;
        (self.dictionary_held, self.page_held) = (0, 0);
        let held = dictionary.saturating_add(page);
        if others.saturating_add(held) > MAX_HELD {
            return Err(Fault::Unsupported(format!(
                "its pages take more than {} MB of memory at once: write it with pages of at most 1 MB",
                MAX_HELD >> 20
            )));
        }
        self.all_held.fetch_add(held, Ordering::Relaxed);
        (self.dictionary_held, self.page_held) = (dictionary, page);
        Ok(())
    }

    fn dictionary(&mut self, header: &PageHeader, at: u64, packed: u64, size: u64) -> Result<Page> {
        let values =
            u32::try_from(header.values).map_err(|_| Fault::damaged("a dictionary has no length"))?;
        let least = u64::from(values) * self.stored.width.unwrap_or(4);
        if self.has_dictionary || self.stored.physical == Type::BOOLEAN || least > size {
            return Err(Fault::damaged("a dictionary makes no sense"));
        }
        if !matches!(header.encoding, 0 | 2) {
            return Err(unsupported_encoding(header.encoding));
        }
        self.hold(size + u64::from(values) * DICTIONARY_VALUE, self.page_held)?;
        let bytes = self.unpacked(header, (at, packed), size, 0)?;
        if self.stored.physical == Type::BYTE_ARRAY {
            check_texts(&bytes, u64::from(values))?;
        }
        self.has_dictionary = true;
        let (encoding, is_sorted) = (Encoding::PLAIN, false);
        Ok(Page::DictionaryPage { buf: bytes.into(), num_values: values, encoding, is_sorted })
    }

    fn data(&mut self, header: &PageHeader, at: u64, packed: u64, size: u64) -> Result<Page> {
        let (num_values, encoding) = self.values(header)?;
        if self.stored.optional && header.definitions != 3 {
            return Err(unsupported_encoding(header.definitions));
        }
        self.hold(self.dictionary_held, size)?;
        let bytes = self.unpacked(header, (at, packed), size, 0)?;
        let (mut values, mut count) = (&bytes[..], u64::from(num_values));
        if self.stored.optional {
            let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(short)?;
            let (levels, rest) =
                rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(short)?;
            (values, count) = (rest, present(levels, count).ok_or_else(short)?);
        }
        self.check(encoding, values, count)?;
        Ok(Page::DataPage {
            buf: bytes.into(),
            num_values,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        })
    }

    fn data_of_version_2(&mut self, header: &PageHeader, at: u64, packed: u64, size: u64) -> Result<Page> {
        let (num_values, encoding) = self.values(header)?;
        let nulls = u32::try_from(header.nulls).ok().filter(|&nulls| nulls <= num_values);
        let definitions = u32::try_from(header.definition_bytes).ok();
        let (Some(num_nulls), Some(definitions), 0) = (nulls, definitions, header.repetition_bytes) else {
            return Err(Fault::damaged("the header of a page makes no sense"));
        };
        if !self.stored.optional && (num_nulls > 0 || definitions > 0) {
            return Err(Fault::damaged("a column without empty cells has some"));
        }
        self.hold(self.dictionary_held, size)?;
        let bytes = self.unpacked(header, (at, packed), size, u64::from(definitions))?;
        let values = bytes.get(definitions as usize..).ok_or_else(short)?;
        let mut count = u64::from(num_values);
        if self.stored.optional {
            count = present(&bytes[..definitions as usize], count).ok_or_else(short)?;
        }
        if count != u64::from(num_values - num_nulls) {
            return Err(Fault::damaged("the number of empty cells is wrong"));
        }
        self.check(encoding, values, count)?;
        Ok(Page::DataPageV2 {
            buf: bytes.into(),
            num_values,
            encoding,
            num_nulls,
            num_rows: num_values,
            def_levels_byte_len: definitions,
            rep_levels_byte_len: 0,
            is_compressed: false,
            statistics: None,
        })
    }

    /// The number of values of a data page, which are expected then no more, and their encoding.
    fn values(&mut self, header: &PageHeader) -> Result<(u32, Encoding)> {
        let values = u32::try_from(header.values).ok().filter(|&values| u64::from(values) <= self.values);
        let values = values.ok_or_else(|| Fault::damaged("a column has more values than its row group"))?;
        self.values -= u64::from(values);
        let encoding = match (header.encoding, self.stored.physical) {
            (0, _) => Encoding::PLAIN,
            (2 | 8, _) if self.has_dictionary => Encoding::RLE_DICTIONARY,
            (2 | 8, _) => return Err(Fault::damaged("a dictionary is missing")),
            (3, Type::BOOLEAN) => Encoding::RLE,
            (5, Type::INT32 | Type::INT64) => Encoding::DELTA_BINARY_PACKED,
            (9, physical) if physical != Type::BOOLEAN && physical != Type::BYTE_ARRAY => {
                Encoding::BYTE_STREAM_SPLIT
            }
            (other, _) => return Err(unsupported_encoding(other)),
        };
        Ok((values, encoding))
    }

    /// Checks what decoders take for granted in the bytes of `count` values.
    fn check(&self, encoding: Encoding, values: &[u8], count: u64) -> Result<()> {
        match encoding {
            Encoding::PLAIN if self.stored.physical == Type::BYTE_ARRAY => check_texts(values, count),
            Encoding::DELTA_BINARY_PACKED => {
                let (block, length) = varint(values).map_err(|_| short())?;
                let (parts, _) = varint(&values[length..]).map_err(|_| short())?;
                if block > MAX_BLOCK || parts == 0 || parts > block {
                    return Err(Fault::damaged("a block of values has no sensible length"));
                }
                Ok(())
            }
            Encoding::BYTE_STREAM_SPLIT => match self.stored.width {
                Some(width) if count.checked_mul(width) == Some(values.len() as u64) => Ok(()),
                _ => Err(short()),
            },
            _ => Ok(()),
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.all_held.fetch_sub(self.dictionary_held + self.page_held, Ordering::Relaxed);
    }
}

impl Iterator for Pages {
    type Item = std::result::Result<Page, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> std::result::Result<Option<Page>, ParquetError> {
        Ok(self.next_page()?)
    }

    /// Nothing is skipped here.
    fn peek_next_page(&mut self) -> std::result::Result<Option<PageMetadata>, ParquetError> {
        Err(ParquetError::NYI("pages come one after the other".to_owned()))
    }

    /// Nothing is skipped here.
    fn skip_next_page(&mut self) -> std::result::Result<(), ParquetError> {
        Err(ParquetError::NYI("pages come one after the other".to_owned()))
    }
}

fn short() -> Fault {
    Fault::damaged("a page is shorter than it says")
}

fn unsupported_encoding(number: i64) -> Fault {
    Fault::Unsupported(format!(
        "its values have the encoding {number} of the format: write them plain or with a dictionary, as is usual"
    ))
}

/// Checks that bytes are texts, at least `count`, each after its length.
fn check_texts(mut bytes: &[u8], count: u64) -> Result<()> {
    let mut found = 0;
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        bytes = rest.get(u32::from_le_bytes(*length) as usize..).ok_or_else(short)?;
        found += 1;
    }
    if found < count || !bytes.is_empty() { Err(short()) } else { Ok(()) }
}

/// How many of so many values are there, by runs of levels of one bit: equal ones, or groups of eight.
fn present(mut levels: &[u8], mut values: u64) -> Option<u64> {
    let mut present = 0;
    while values > 0 {
        let (head, length) = varint(levels).ok()?;
        levels = &levels[length..];
        if head & 1 == 0 {
            let (&level, rest) = levels.split_first()?;
            let run = values.min(head >> 1);
            if run == 0 || level > 1 {
                return None;
            }
            (levels, values, present) = (rest, values - run, present + run * u64::from(level));
        } else {
            let groups = usize::try_from(values.div_ceil(8).min(head >> 1)).ok()?;
            let (bits, rest) = levels.split_at_checked(groups)?;
            for &byte in bits {
                let some = values.min(8);
                present += u64::from((u16::from(byte) & ((1 << some) - 1)).count_ones());
                values -= some;
            }
            levels = rest;
        }
    }
    Some(present)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_there_are_counted() {
        // A run of 300 values, a group of 8, a run of 5 that are empty, and 3 values of a group.
        let levels = [0xd8, 0x04, 1, 3, 0b1010_1010, 10, 0, 3, 0b1111_1011];
        assert_eq!(present(&levels, 316), Some(300 + 4 + 2));
        assert_eq!(present(&levels, 320), Some(300 + 4 + 6));
        assert_eq!(present(&levels, 40), Some(40));
        assert_eq!(present(&levels, 322), None);
        assert_eq!((present(&[], 0), present(&[], 1), present(&[0, 1], 1)), (Some(0), None, None));
    }

    #[test]
    fn lengths_are_compared_before_memory_is_taken() {
        let packed = snap::raw::Encoder::new().compress_vec(&[7; 1000]).expect("a short text");
        assert_eq!(Packing::Snappy.unpack(packed.clone(), 1000).expect("it is whole"), [7; 1000]);
        let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
        for (packing, bytes, size) in [
            (Packing::Snappy, &packed[..], 1001),
            (Packing::Snappy, &packed[..5], 1000),
            (Packing::Snappy, &bomb[..], 1000),
            (Packing::Gzip, &bomb[..], 1000),
            (Packing::Zstd, &bomb[..], 1000),
            (Packing::None, &bomb[..], 8),
        ] {
            assert!(matches!(packing.unpack(bytes.to_vec(), size), Err(Fault::Damaged(_))), "{packing:?}");
        }
        assert!(matches!(Packing::new(Compression::LZ4_RAW), Err(Fault::Unsupported(_))));
    }
}
