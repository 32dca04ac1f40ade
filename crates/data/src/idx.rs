//! MNIST and data sets in its format, such as EMNIST, from their four IDX files, plain or compressed with gzip.

use std::collections::BTreeSet;
use std::fs::{self, File};
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

/// Ends of the names of files with training images.
const TRAINING_IMAGES: [&str; 2] = ["train-images-idx3-ubyte", "train-images.idx3-ubyte"];

/// Opens the training and the test part of MNIST, or of a data set in its format, in a directory.
///
/// The files are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
/// `t10k-labels-idx1-ubyte`; a dot in place of the last but one hyphen (`train-images.idx3-ubyte`), a further
/// `.gz`, `test` in place of `t10k` and a common beginning such as `emnist-letters-` are understood. Features are `pixel0`,
/// `pixel1`, … from 0 to 255, row after row of the image; the target `label` has the labels as classes, from 0 to 255.
///
/// Fails if a file is missing, is not of its kind, or is shorter or longer than its header says; if images and labels, or
/// training and test images, do not fit together; if there are several data sets in the directory.
pub(crate) fn open_mnist(dir: &Path) -> Result<[IdxPart; 2]> {
    let begin = beginning(dir)?;
    let train = IdxPart::open(dir, format!("{begin}train"))?;
    let test_images = [format!("{begin}t10k"), format!("{begin}test")];
    let has_images = |part: &&String| IdxFile::find(dir, &format!("{part}-images"), "idx3").is_some();
    let test = test_images.iter().find(has_images).unwrap_or(&test_images[0]);
    let test = IdxPart::open(dir, test.clone())?;
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

/// What the names of the files in a directory begin with: nothing, or the name of the data set and a hyphen.
fn beginning(dir: &Path) -> Result<String> {
    let entries = match fs::read_dir(dir) {
        Err(_) if !dir.is_dir() => return Err(DataError::NotFound { path: dir.to_owned() }),
        entries => entries.map_err(|error| DataError::io("read", dir, error))?,
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let found: BTreeSet<String> = names
        .filter_map(|name| {
            let name = name.strip_suffix(".gz").unwrap_or(&name);
            let begin = TRAINING_IMAGES.iter().find_map(|end| name.strip_suffix(end))?;
            (begin.is_empty() || begin.ends_with('-')).then(|| begin.to_owned())
        })
        .collect();
    // A name without a beginning is the usual one, whatever else there is.
    let mut found = found.into_iter().peekable();
    match (found.next(), found.peek()) {
        (Some(begin), Some(_)) if !begin.is_empty() => {
            let names = [begin].into_iter().chain(found).map(|begin| begin.trim_end_matches('-').to_owned());
            Err(DataError::SeveralIdx { dir: dir.to_owned(), names: names.collect() })
        }
        (begin, _) => Ok(begin.unwrap_or_default()),
    }
}

/// Images and their labels.
pub(crate) struct IdxPart {
    dir: PathBuf,
    /// What the names of its files begin with.
    part: String,
    images: PathBuf,
    /// The pixels, and the label.
    columns: Vec<String>,
    rows: u32,
}

impl IdxPart {
    fn open(dir: &Path, part: String) -> Result<Self> {
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
            for line in bytes.chunks_exact_mut(width) {
                let (image, label) = line.split_at_mut(pixels);
                images.fill(image, image_bytes)?;
                labels.fill(label, label_bytes)?;
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
    /// The first that exists of the names which the file may have.
    fn find(dir: &Path, stem: &str, kind: &str) -> Option<PathBuf> {
        let usual = format!("{stem}-{kind}-ubyte");
        let dotted = format!("{stem}.{kind}-ubyte");
        let names = [format!("{usual}.gz"), format!("{dotted}.gz")];
        [usual, dotted].into_iter().chain(names).map(|name| dir.join(name)).find(|path| path.exists())
    }

    fn open(dir: &Path, stem: &str, kind: &str) -> Result<Self> {
        let path = Self::find(dir, stem, kind).ok_or_else(|| DataError::MissingIdxFile {
            dir: dir.to_owned(),
            name: format!("{stem}-{kind}-ubyte"),
        })?;
        let io = |e| DataError::io("read", &path, e);
        let file = File::open(&path).map_err(io)?;
        let compressed = path.extension().is_some_and(|extension| extension == "gz");
        let length = if compressed { None } else { Some(file.metadata().map_err(io)?.len()) };
        let reader: Box<dyn Read + Send> = if compressed {
            Box::new(BufReader::new(MultiGzDecoder::new(BufReader::new(file))))
        } else {
            Box::new(BufReader::new(file))
        };
        Ok(Self { path, reader, length, read: 0 })
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
