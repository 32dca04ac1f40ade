//! MNIST from its four IDX files, plain or compressed with gzip.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::error::{DataError, Result};
use crate::numbers::{self, Format};
use crate::source::{Block, CHUNK, Chunk, Selection, TableFile};

const LABELS_MAGIC: u32 = 0x0000_0801;
const IMAGES_MAGIC: u32 = 0x0000_0803;

/// Largest image, in pixels.
const MAX_PIXELS: u64 = 1 << 16;

/// Most pixels of one file: 70 times those of the MNIST training images.
const MAX_VALUES: u64 = 1 << 32;

const CLASSES: u8 = 10;

/// Opens the training and the test part of MNIST, or of a data set in its format, in a directory.
///
/// The files are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
/// `t10k-labels-idx1-ubyte`; a dot in place of the last but one hyphen (`train-images.idx3-ubyte`) and a further
/// `.gz` are understood. Features are `pixel0`, `pixel1`, … from 0 to 255, row after row of the image; the target
/// `label` has the classes `0` to `9`.
///
/// Fails if a file is missing, is not of its kind, or is shorter or longer than its header says; if images and labels, or
/// training and test images, do not fit together. That a label is a digit is checked when it is read.
pub(crate) fn open_mnist(dir: &Path) -> Result<[IdxPart; 2]> {
    let train = IdxPart::open(dir, "train")?;
    let test = IdxPart::open(dir, "t10k")?;
    if train.pixels() != test.pixels() {
        return Err(DataError::IdxPixels {
            train_pixels: train.pixels(),
            test_pixels: test.pixels(),
            train: train.images,
            test: test.images,
        });
    }
    Ok([train, test])
}

/// Images and their labels.
pub(crate) struct IdxPart {
    dir: PathBuf,
    part: &'static str,
    images: PathBuf,
    /// The pixels, and the label.
    columns: Vec<String>,
    rows: u32,
}

impl IdxPart {
    fn open(dir: &Path, part: &'static str) -> Result<Self> {
        let mut labels = IdxFile::open(dir, &format!("{part}-labels"), "idx1")?;
        let mut images = IdxFile::open(dir, &format!("{part}-images"), "idx3")?;
        labels.expect_magic(LABELS_MAGIC, "labels")?;
        images.expect_magic(IMAGES_MAGIC, "images")?;
        let label_count = labels.word()?;
        let (rows, height, width) = (images.word()?, images.word()?, images.word()?);
        let pixels = u64::from(height) * u64::from(width);
        if rows == 0 || pixels == 0 || pixels > MAX_PIXELS || u64::from(rows) * pixels > MAX_VALUES {
            return Err(DataError::IdxSize { path: images.path, rows, height, width });
        }
        if rows != label_count {
            return Err(DataError::IdxCounts {
                images: images.path,
                image_count: rows,
                labels: labels.path,
                label_count,
            });
        }
        let path = images.path.clone();
        images.expect_items(rows.into(), pixels)?;
        labels.expect_items(rows.into(), 1)?;
        let mut columns: Vec<String> = (0..pixels).map(|pixel| format!("pixel{pixel}")).collect();
        columns.push("label".to_owned());
        Ok(Self { dir: dir.to_owned(), part, images: path, columns, rows })
    }

    fn pixels(&self) -> usize {
        self.columns.len() - 1
    }

    /// The two files, behind their headers.
    fn files(&self) -> Result<(IdxFile, IdxFile)> {
        let mut labels = IdxFile::open(&self.dir, &format!("{}-labels", self.part), "idx1")?;
        let mut images = IdxFile::open(&self.dir, &format!("{}-images", self.part), "idx3")?;
        labels.fill(&mut [0; 8], 8)?;
        images.fill(&mut [0; 16], 16)?;
        Ok((images, labels))
    }
}

impl TableFile for IdxPart {
    fn path(&self) -> &Path {
        &self.images
    }

    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn classes(&self) -> Option<Vec<String>> {
        Some((0..CLASSES).map(|class| class.to_string()).collect())
    }

    fn count(&self) -> Result<u64> {
        Ok(self.rows.into())
    }

    fn chunks(&self) -> Result<Box<dyn Iterator<Item = Result<Chunk>> + Send + '_>> {
        let (mut images, mut labels) = self.files()?;
        let width = self.columns.len();
        let step = (CHUNK / width).max(1);
        let (total, pixels) = (u64::from(self.rows), self.pixels());
        let (image_bytes, label_bytes) = (16 + total * pixels as u64, 8 + total);
        Ok(Box::new((0..total).step_by(step).map(move |row| {
            let rows = (total - row).min(step as u64) as usize;
            let mut bytes = vec![0; rows * width];
            for (at, line) in bytes.chunks_exact_mut(width).enumerate() {
                let (image, label) = line.split_at_mut(pixels);
                images.fill(image, image_bytes)?;
                labels.fill(label, label_bytes)?;
                if label[0] >= CLASSES {
                    let (path, row) = (labels.path.clone(), row + at as u64 + 1);
                    return Err(DataError::IdxLabel { path, row, label: label[0] });
                }
            }
            Ok(Chunk::of_rows(rows, row + 1, bytes))
        })))
    }

    fn parse(&self, chunk: &Chunk, selection: &Selection) -> Result<Block> {
        numbers::parse(&self.images, &self.columns, Format::BYTE, chunk, selection)
    }
}

/// An IDX file being read from its beginning.
struct IdxFile {
    path: PathBuf,
    reader: Box<dyn Read + Send>,
    /// The length on the disk, if the file is not compressed.
    length: Option<u64>,
    /// Bytes read so far.
    read: u64,
}

impl IdxFile {
    /// Opens the first that exists of the names which the file may have.
    fn open(dir: &Path, stem: &str, kind: &str) -> Result<Self> {
        let usual = format!("{stem}-{kind}-ubyte");
        let dotted = format!("{stem}.{kind}-ubyte");
        for name in [usual.clone(), dotted.clone(), format!("{usual}.gz"), format!("{dotted}.gz")] {
            let path = dir.join(&name);
            let io = |e| DataError::io("read", &path, e);
            let file = match File::open(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(io)?,
            };
            let compressed = name.ends_with("gz");
            let length = if compressed { None } else { Some(file.metadata().map_err(io)?.len()) };
            let reader: Box<dyn Read + Send> = if compressed {
                Box::new(BufReader::new(MultiGzDecoder::new(BufReader::new(file))))
            } else {
                Box::new(BufReader::new(file))
            };
            return Ok(Self { path, reader, length, read: 0 });
        }
        if !dir.is_dir() {
            return Err(DataError::NotFound { path: dir.to_owned() });
        }
        Err(DataError::MissingIdxFile { dir: dir.to_owned(), name: usual })
    }

    fn expect_magic(&mut self, expected: u32, what: &'static str) -> Result<()> {
        let found = self.word()?;
        if found != expected {
            return Err(DataError::IdxMagic { path: self.path.clone(), what, expected, found });
        }
        Ok(())
    }

    /// A number of the header.
    fn word(&mut self) -> Result<u32> {
        let mut bytes = [0u8; 4];
        let at = self.read;
        self.fill(&mut bytes, at + 4)?;
        Ok(u32::from_be_bytes(bytes))
    }

    /// Checks that the file has so many items of `size` bytes from here to its end; a compressed one is read for that.
    fn expect_items(mut self, count: u64, size: u64) -> Result<()> {
        let expected = self.read + count * size;
        let found = if let Some(length) = self.length {
            length
        } else {
            let mut rest = (&mut self.reader).take(expected - self.read + 1);
            self.read
                + io::copy(&mut rest, &mut io::sink()).map_err(|e| DataError::io("read", &self.path, e))?
        };
        if found == expected {
            Ok(())
        } else {
            Err(DataError::IdxLength { path: self.path, expected, found })
        }
    }

    /// Fills `bytes`, of a file which should have `expected` bytes in all.
    fn fill(&mut self, bytes: &mut [u8], expected: u64) -> Result<()> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.reader.read(&mut bytes[filled..]) {
                Ok(0) => {
                    let found = self.read + filled as u64;
                    return Err(DataError::IdxLength { path: self.path.clone(), expected, found });
                }
                Ok(count) => filled += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(DataError::io("read", &self.path, e)),
            }
        }
        self.read += filled as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
