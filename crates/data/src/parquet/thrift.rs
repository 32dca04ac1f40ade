//! The headers of pages, and a look at the schema, in the compact protocol of Thrift.
//!
//! The crate `parquet` reads a page's header, allocates what it says, and unpacks the page, all in one; and it follows
//! nested groups of the schema as deep as they go. So both are read here first.
//! The protocol is described at <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>.

/// Most structures within each other.
const MAX_DEPTH: u32 = 32;

/// Why something cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The bytes end before it does.
    End,
    /// It makes no sense.
    Nonsense,
}

type Result<T> = std::result::Result<T, Problem>;

/// The header of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PageHeader {
    /// The number of its kind: 0 for data, 1 for an index, 2 for a dictionary, 3 for data of version 2.
    pub(crate) kind: i64,
    /// Bytes of the page when it is unpacked.
    pub(crate) size: i64,
    /// Bytes of the page in the file.
    pub(crate) packed: i64,
    /// The checksum of the page in the file.
    pub(crate) crc: Option<u32>,
    /// Number of values, empty ones among them.
    pub(crate) values: i64,
    /// The number of their encoding.
    pub(crate) encoding: i64,
    /// Version 1: the number of the encoding of what says which values are empty.
    pub(crate) definitions: i64,
    /// Version 2: number of empty values.
    pub(crate) nulls: i64,
    /// Version 2: bytes of what says which values are empty.
    pub(crate) definition_bytes: i64,
    /// Version 2: bytes of what says which values are in one row.
    pub(crate) repetition_bytes: i64,
    /// Version 2: whether the values may be packed.
    pub(crate) is_packed: bool,
}

impl PageHeader {
    /// Reads a header at the beginning of `bytes`; how long it is as well.
    pub(crate) fn read(bytes: &[u8]) -> Result<(Self, usize)> {
        let mut source = Compact { rest: bytes };
        let mut header = Self { is_packed: true, ..Self::default() };
        source.each_field(|source, field, kind| {
            match (field, kind) {
                (1, INTEGERS) => header.kind = source.integer()?,
                (2, INTEGERS) => header.size = source.integer()?,
                (3, INTEGERS) => header.packed = source.integer()?,
                (4, INTEGERS) => header.crc = Some(source.integer()? as u32),
                (5 | 7 | 8, STRUCTURE) => header.read_kind(source, field)?,
                _ => source.skip(kind, MAX_DEPTH)?,
            }
            Ok(())
        })?;
        Ok((header, bytes.len() - source.rest.len()))
    }

    /// Reads what pages of one kind have: those of data, of dictionaries, or of data in version 2.
    fn read_kind(&mut self, source: &mut Compact<'_>, field_of_kind: i16) -> Result<()> {
        source.each_field(|source, field, kind| {
            match (field_of_kind, field, kind) {
                (_, 1, INTEGERS) => self.values = source.integer()?,
                (5 | 7, 2, INTEGERS) | (8, 4, INTEGERS) => self.encoding = source.integer()?,
                (5, 3, INTEGERS) => self.definitions = source.integer()?,
                (8, 2, INTEGERS) => self.nulls = source.integer()?,
                (8, 5, INTEGERS) => self.definition_bytes = source.integer()?,
                (8, 6, INTEGERS) => self.repetition_bytes = source.integer()?,
                (8, 7, TRUE | FALSE) => self.is_packed = kind == TRUE,
                _ => source.skip(kind, MAX_DEPTH)?,
            }
            Ok(())
        })
    }
}

/// The name of the first column in a footer that is a group of others. Reads the footer to its end.
pub(crate) fn nested_column(footer: &[u8]) -> Result<Option<String>> {
    let mut nested = None;
    let mut source = Compact { rest: footer };
    source.each_field(|source, field, kind| {
        if (field, kind) != (2, LIST) {
            return source.skip(kind, MAX_DEPTH);
        }
        let (length, kind) = source.list()?;
        for element in 0..length {
            if kind != STRUCTURE {
                return Err(Problem::Nonsense);
            }
            let (mut name, mut children) = (&[][..], 0);
            source.each_field(|source, field, kind| {
                match (field, kind) {
                    (4, BINARY) => name = source.binary()?,
                    (5, INTEGERS) => children = source.integer()?,
                    _ => source.skip(kind, MAX_DEPTH)?,
                }
                Ok(())
            })?;
            // The first one is the table.
            if element > 0 && children > 0 && nested.is_none() {
                nested = Some(String::from_utf8_lossy(name).into_owned());
            }
        }
        Ok(())
    })?;
    Ok(nested)
}

/// Bytes in the compact protocol.
struct Compact<'a> {
    rest: &'a [u8],
}

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCTURE: u8 = 12;
/// The integers that this reads have 32 bits.
const INTEGERS: u8 = 5;

impl<'a> Compact<'a> {
    fn bytes(&mut self, length: usize) -> Result<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Problem::End)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.bytes(1)?[0])
    }

    fn unsigned(&mut self) -> Result<u64> {
        let (value, length) = varint(self.rest)?;
        self.rest = &self.rest[length..];
        Ok(value)
    }

    fn integer(&mut self) -> Result<i64> {
        let value = self.unsigned()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn binary(&mut self) -> Result<&'a [u8]> {
        let length = self.unsigned()?;
        self.bytes(usize::try_from(length).map_err(|_| Problem::Nonsense)?)
    }

    /// The number of elements that follow, and their type.
    fn list(&mut self) -> Result<(u64, u8)> {
        let head = self.byte()?;
        let length = if head >> 4 == 15 { self.unsigned()? } else { u64::from(head >> 4) };
        Ok((length, head & 15))
    }

    /// Reads a structure: `take` reads each field, of which it gets the number and the type.
    fn each_field(&mut self, mut take: impl FnMut(&mut Self, i16, u8) -> Result<()>) -> Result<()> {
        let mut field = 0_i16;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(());
            }
            let step = i16::from(head >> 4);
            let next = if step > 0 { field.checked_add(step) } else { i16::try_from(self.integer()?).ok() };
            field = next.ok_or(Problem::Nonsense)?;
            take(self, field, head & 15)?;
        }
    }

    /// Passes a field of this type.
    fn skip(&mut self, kind: u8, depth: u32) -> Result<()> {
        let depth = depth.checked_sub(1).ok_or(Problem::Nonsense)?;
        match kind {
            TRUE | FALSE => {}
            BYTE => drop(self.byte()?),
            4..=6 => drop(self.unsigned()?),
            DOUBLE => drop(self.bytes(8)?),
            BINARY => drop(self.binary()?),
            LIST | SET => {
                let (length, kind) = self.list()?;
                (0..length).try_for_each(|_| self.skip_element(kind, depth))?;
            }
            MAP => {
                let length = self.unsigned()?;
                if length > 0 {
                    let kinds = self.byte()?;
                    (0..length).try_for_each(|_| {
                        self.skip_element(kinds >> 4, depth)?;
                        self.skip_element(kinds & 15, depth)
                    })?;
                }
            }
            STRUCTURE => self.each_field(|source, _, kind| source.skip(kind, depth))?,
            _ => return Err(Problem::Nonsense),
        }
        Ok(())
    }

    /// Passes an element of a list, where a boolean has a byte.
    fn skip_element(&mut self, kind: u8, depth: u32) -> Result<()> {
        self.skip(if kind == TRUE || kind == FALSE { BYTE } else { kind }, depth)
    }
}

/// The number of variable length at the beginning of `bytes`, and its length.
pub(crate) fn varint(bytes: &[u8]) -> Result<(u64, usize)> {
    let mut value = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if at == 10 {
            return Err(Problem::Nonsense);
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok((value, at + 1));
        }
    }
    Err(Problem::End)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_and_what_follows_is_left() {
        // Data of 300 plain values, and fields that nobody knows: a list, a map and a structure.
        let mut bytes = vec![0x15, 0, 0x15, 20, 0x15, 18, 0x15, 1];
        bytes.extend([0x1c, 0x15, 0xd8, 4, 0x15, 0, 0x15, 6, 0x15, 6, 0x1c, 0x18, 2, b'a', b'b', 0, 0]);
        bytes.extend([0x89, 0x23, 1, 2, 0x1b, 1, 0x51, 6, 1, 0x1c, 0x11, 0, 0]);
        let length = bytes.len();
        bytes.extend([9; 5]);
        let (header, read) = PageHeader::read(&bytes).expect("it is whole");
        assert_eq!(read, length);
        assert_eq!((header.kind, header.size, header.packed, header.crc), (0, 10, 9, Some(u32::MAX)));
        assert_eq!((header.values, header.encoding, header.definitions), (300, 0, 3));
        for cut in 0..length {
            assert_eq!(PageHeader::read(&bytes[..cut]).map(|_| ()), Err(Problem::End), "{cut}");
        }
    }

    #[test]
    fn what_has_no_end_is_nonsense() {
        // Structures in structures, and a list of more elements than there are bytes.
        assert_eq!(PageHeader::read(&[0xdc; 1000]), Err(Problem::Nonsense));
        assert_eq!(PageHeader::read(&[0x99; 1000]).map(|_| ()), Err(Problem::Nonsense));
        assert_eq!(PageHeader::read(&[0x99, 0xf3, 0xff, 0xff, 0xff, 0xff, 0x0f, 1]), Err(Problem::End));
        assert_eq!(varint(&[0xff; 11]), Err(Problem::Nonsense));
        assert_eq!(varint(&[0xff, 0xff, 3]), Ok((0xffff, 3)));
    }
}
