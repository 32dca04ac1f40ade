//! Where the records of a CSV file end, and their cells.
//!
//! Both follow the crate `csv`: a cell that begins with a quote goes on to the closing one, and two quotes in it stand for
//! one; elsewhere a quote is like any other character. Records end with `\n`, `\r\n` or `\r`, and empty lines are none.
//! A record can be found without its cells being looked at, so that one thread cuts a file and others read the pieces.

use std::ops::Range;

use memchr::{memchr, memchr3};

/// A record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// Its text without what ends it.
    pub(crate) text: &'a [u8],
    /// The line at which it begins.
    pub(crate) line: u64,
    /// Whether a cell of it is quoted.
    pub(crate) quoted: bool,
}

/// The records of a text that begins with one.
pub(crate) struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
    last: bool,
}

impl<'a> Records<'a> {
    /// The records of `bytes`, the first of which is at line `line`.
    ///
    /// If `last`, the file ends with these bytes; otherwise a record at their end is left out unless it is known to be
    /// complete.
    pub(crate) fn new(bytes: &'a [u8], line: u64, last: bool) -> Self {
        Self { bytes, at: 0, line, last }
    }

    /// Bytes up to the end of the last record, and the line that begins there.
    pub(crate) fn position(&self) -> (usize, u64) {
        (self.at, self.line)
    }

    /// Passes what ends a line at `at`; `false` if more bytes are needed to know where that is.
    fn pass_end(&mut self, at: usize) -> bool {
        let next = match self.bytes.get(at..at + 2) {
            Some(b"\r\n") => at + 2,
            None if self.bytes[at] == b'\r' && !self.last => return false,
            _ => at + 1,
        };
        self.at = next;
        self.line += 1;
        true
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let bytes = self.bytes;
        while matches!(bytes.get(self.at)?, b'\n' | b'\r') {
            if !self.pass_end(self.at) {
                return None;
            }
        }
        let (start, line) = (self.at, self.line);
        let (mut at, mut quoted, mut lines) = (start, false, 0);
        loop {
            match memchr3(b'"', b'\n', b'\r', &bytes[at..]).map(|offset| at + offset) {
                None if !self.last => return None,
                None => {
                    self.at = bytes.len();
                    self.line += lines;
                    return Some(Record { text: &bytes[start..], line, quoted });
                }
                Some(quote) if bytes[quote] == b'"' => {
                    at = quote + 1;
                    if quote == start || bytes[quote - 1] == b',' {
                        quoted = true;
                        at = end_of_quoted(bytes, at, self.last)?;
                        lines += lines_of(&bytes[quote..at]);
                    }
                }
                Some(end) => {
                    if !self.pass_end(end) {
                        return None;
                    }
                    self.line += lines;
                    return Some(Record { text: &bytes[start..end], line, quoted });
                }
            }
        }
    }
}

/// The position after the closing quote of a cell whose text begins at `at`; `None` if more bytes are needed.
fn end_of_quoted(bytes: &[u8], mut at: usize, last: bool) -> Option<usize> {
    loop {
        let Some(quote) = memchr(b'"', &bytes[at..]).map(|offset| at + offset) else {
            return last.then_some(bytes.len());
        };
        match bytes.get(quote + 1) {
            Some(b'"') => at = quote + 2,
            None if !last => return None,
            _ => return Some(quote + 1),
        }
    }
}

/// Ends of lines in a text.
fn lines_of(text: &[u8]) -> u64 {
    let mut lines = 0;
    for (at, byte) in text.iter().enumerate() {
        lines += u64::from(*byte == b'\n' || (*byte == b'\r' && text.get(at + 1) != Some(&b'\n')));
    }
    lines
}

/// The cells of a record, without spaces around them; the memory is used for one record after the other.
#[derive(Default)]
pub(crate) struct Cells {
    text: Vec<u8>,
    cells: Vec<Range<usize>>,
}

impl Cells {
    /// Takes the cells of a record.
    pub(crate) fn split(&mut self, record: &[u8]) {
        self.text.clear();
        self.cells.clear();
        let mut at = 0;
        loop {
            let start = self.text.len();
            if record.get(at) == Some(&b'"') {
                at += 1;
                loop {
                    let Some(length) = memchr(b'"', &record[at..]) else {
                        self.text.extend_from_slice(&record[at..]);
                        at = record.len();
                        break;
                    };
                    self.text.extend_from_slice(&record[at..at + length]);
                    at += length + 1;
                    if record.get(at) != Some(&b'"') {
                        break;
                    }
                    self.text.push(b'"');
                    at += 1;
                }
            }
            let rest = memchr(b',', &record[at..]).map_or(record.len(), |length| at + length);
            self.text.extend_from_slice(&record[at..rest]);
            let cell = &self.text[start..];
            let before = cell.len() - cell.trim_ascii_start().len();
            let length = cell.trim_ascii().len();
            self.cells.push(start + before..start + before + length);
            if rest == record.len() {
                return;
            }
            at = rest + 1;
        }
    }

    /// The number of cells.
    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    /// A cell.
    pub(crate) fn get(&self, at: usize) -> &[u8] {
        &self.text[self.cells[at].clone()]
    }

    /// Whether a record is a single cell with nothing but spaces in it.
    pub(crate) fn is_blank(&mut self, record: &[u8]) -> bool {
        record.iter().all(|byte| byte.is_ascii_whitespace() || *byte == b'"') && {
            self.split(record);
            self.len() == 1 && self.get(0).is_empty()
        }
    }
}

#[cfg(test)]
mod tests {
    use ::csv::{ReaderBuilder, Trim};
    use proptest::prelude::*;

    use super::*;

    type Row = Vec<Vec<u8>>;

    fn own(bytes: &[u8]) -> Vec<Row> {
        let mut cells = Cells::default();
        Records::new(bytes, 1, true)
            .map(|record| {
                cells.split(record.text);
                (0..cells.len()).map(|at| cells.get(at).to_vec()).collect()
            })
            .collect()
    }

    fn of_csv(bytes: &[u8]) -> Vec<Row> {
        let mut reader =
            ReaderBuilder::new().has_headers(false).flexible(true).trim(Trim::All).from_reader(bytes);
        reader.byte_records().map(|record| record.unwrap().iter().map(<[u8]>::to_vec).collect()).collect()
    }

    /// The line of each record, by counting what ends lines before its first character.
    fn lines(bytes: &[u8]) -> Vec<u64> {
        let records = Records::new(bytes, 1, true);
        records
            .map(|record| 1 + lines_of(&bytes[..record.text.as_ptr() as usize - bytes.as_ptr() as usize]))
            .collect()
    }

    fn texts() -> impl Strategy<Value = Vec<u8>> {
        let usual = prop::sample::select(&b"ab,,\"\"\r\n 1\t"[..]);
        prop::collection::vec(prop_oneof![9 => usual, 1 => any::<u8>()], 0..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn records_and_cells_are_those_of_the_crate_csv(bytes in texts()) {
            prop_assume!(!bytes.starts_with(b"\xef\xbb\xbf"));
            prop_assert_eq!(own(&bytes), of_csv(&bytes));
            let found: Vec<u64> = Records::new(&bytes, 1, true).map(|record| record.line).collect();
            prop_assert_eq!(found, lines(&bytes));
        }

        #[test]
        fn a_text_can_be_cut_anywhere(bytes in texts(), cut in 0usize..60) {
            let all: Vec<Record> = Records::new(&bytes, 1, true).collect();
            let mut first = Records::new(&bytes[..cut.min(bytes.len())], 1, false);
            let mut pieces: Vec<Record> = first.by_ref().collect();
            let (at, line) = first.position();
            pieces.extend(Records::new(&bytes[at..], line, true));
            prop_assert_eq!(pieces, all);
        }
    }

    #[test]
    fn quotes_count_at_the_beginning_of_a_cell() {
        let rows = own(b"a,\"b, \"\"c\"\"\nd\" ,5\" pipe\nx\n");
        assert_eq!(
            rows,
            [vec![b"a".to_vec(), b"b, \"c\"\nd".to_vec(), b"5\" pipe".to_vec()], vec![b"x".to_vec()]]
        );
    }

    #[test]
    fn blank_is_a_single_cell_without_text() {
        let mut cells = Cells::default();
        for text in [" \t", "\"\"", "\" \"", " "] {
            assert!(cells.is_blank(text.as_bytes()), "{text:?}");
        }
        for text in [",", "\"\"\"\"", " \"\"", "\"\",\"\"", "0"] {
            assert!(!cells.is_blank(text.as_bytes()), "{text:?}");
        }
    }
}
