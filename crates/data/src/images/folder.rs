//! A directory of images as a table.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageReader, Limits, imageops::FilterType};

use crate::classes::sorted;
use crate::error::{DataError, Result};
use crate::found::Found;
use crate::images::{ImageForm, LABEL};
use crate::npy::MAX_COLUMNS;
use crate::numbers::{self, Format};
use crate::source::{Block, CHUNK, Chunk, Selection, TableFile, Values};
use crate::table::TargetKind;

/// Endings of the files that are read.
const ENDINGS: [&str; 3] = ["png", "jpg", "jpeg"];

/// Most pixels of an edge before an image is resized.
const MAX_EDGE: u32 = 1 << 16;

/// Most bytes of an image as it is unpacked.
const MAX_BYTES: u64 = 1 << 29;

/// The images in a directory.
pub(crate) struct Folder {
    dir: PathBuf,
    form: ImageForm,
    /// The pixels, and the label if there are labels.
    columns: Vec<String>,
    labels: Vec<String>,
    images: Vec<Image>,
}

/// An image.
struct Image {
    path: PathBuf,
    /// The number of its label.
    label: usize,
}

impl Folder {
    /// Opens a directory with a sub-directory for each class, and reads the heads of all images.
    pub(crate) fn open(dir: &Path, size: Option<(u32, u32)>) -> Result<Self> {
        let (labels, images) = list(dir)?;
        if labels.is_empty() {
            let problem =
                "it has no sub-directories: put the images of each class into one with the name of the class";
            return Err(DataError::Images { path: dir.to_owned(), problem: problem.to_owned() });
        }
        let first = &images[0];
        let mut form: Option<ImageForm> = None;
        for image in &images {
            let (width, height, in_colour) = head(&image.path)?;
            let form = form.get_or_insert_with(|| {
                let (width, height) = size.unwrap_or((width, height));
                ImageForm { width, height, in_colour: false, resized: size.is_some() }
            });
            form.in_colour |= in_colour;
            if !form.resized && (width, height) != (form.width, form.height) {
                return Err(other_size(&image.path, (width, height), *form, Some(&first.path)));
            }
        }
        let form = form.ok_or_else(|| no_images(dir))?;
        Self::new(dir, form, labels, images)
    }

    /// Opens a directory of images of a known form, with sub-directories or without.
    pub(crate) fn open_as(dir: &Path, form: ImageForm) -> Result<Self> {
        let (labels, images) = list(dir)?;
        Self::new(dir, form, labels, images)
    }

    fn new(dir: &Path, form: ImageForm, labels: Vec<String>, images: Vec<Image>) -> Result<Self> {
        if form.columns() == 0 || form.columns() > MAX_COLUMNS {
            let problem = format!(
                "images of {} x {} pixels have none or more than a million values: give another size",
                form.width, form.height
            );
            return Err(DataError::Images { path: dir.to_owned(), problem });
        }
        let mut columns: Vec<String> = (0..form.columns()).map(|pixel| format!("pixel{pixel}")).collect();
        if !labels.is_empty() {
            columns.push(LABEL.to_owned());
        }
        Ok(Self { dir: dir.to_owned(), form, columns, labels, images })
    }

    pub(crate) fn form(&self) -> ImageForm {
        self.form
    }

    /// The values of an image.
    fn pixels(&self, image: &Image) -> Result<Vec<u8>> {
        let ImageForm { width, height, in_colour, resized } = self.form;
        let mut pixels = reader(&image.path)?.decode().map_err(|error| unreadable(&image.path, error))?;
        let size = (pixels.width(), pixels.height());
        if size != (width, height) {
            if !resized {
                return Err(other_size(&image.path, size, self.form, None));
            }
            // Without this, transparent pixels would be mixed with others.
            let opaque =
                if in_colour { DynamicImage::from(pixels.into_rgb8()) } else { pixels.into_luma8().into() };
            pixels = opaque.resize_exact(width, height, FilterType::Triangle);
        }
        Ok(if in_colour { pixels.into_rgb8().into_raw() } else { pixels.into_luma8().into_raw() })
    }
}

impl TableFile for Folder {
    fn path(&self) -> &Path {
        &self.dir
    }

    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn count(&self) -> Result<u64> {
        Ok(self.images.len() as u64)
    }

    fn chunks(&self) -> Result<Box<dyn Iterator<Item = Result<Chunk>> + Send + '_>> {
        let step = (CHUNK / (self.columns.len() * size_of::<f64>())).max(1);
        Ok(Box::new((0..self.images.len()).step_by(step).map(move |first| {
            let rows = (self.images.len() - first).min(step);
            // Images are read where several threads work.
            Ok(Chunk::of_rows(rows, first as u64 + 1, vec![]))
        })))
    }

    fn parse(&self, chunk: &Chunk, selection: &Selection) -> Result<Block> {
        let images = &self.images[chunk.first as usize - 1..][..chunk.rows];
        let mut bytes = Vec::with_capacity(chunk.rows * self.form.columns() as usize);
        for image in images {
            bytes.extend(self.pixels(image)?);
        }
        let chunk = Chunk::of_rows(chunk.rows, chunk.first, bytes);
        let of_pixels = Selection { target: None, ..selection.clone() };
        let names = &self.columns[..self.form.columns() as usize];
        let mut block = numbers::parse(&self.dir, names, Format::BYTE, &chunk, &of_pixels)?;
        if let Some((_, TargetKind::Classes)) = selection.target {
            block.target = Values::Classes(self.found(images));
        }
        Ok(block)
    }
}

impl Folder {
    /// The labels of some images.
    fn found(&self, images: &[Image]) -> Found {
        let mut found = Found::default();
        // Images are in the order of their labels.
        for (row, image) in images.iter().enumerate() {
            let name = &self.labels[image.label];
            if found.names.last() != Some(name) {
                found.names.push(name.clone());
                found.first.push(row);
            }
            found.labels.push(found.names.len() as u32 - 1);
        }
        found
    }
}

/// The labels, none if the images are in the directory itself, and the images in their order.
fn list(dir: &Path) -> Result<(Vec<String>, Vec<Image>)> {
    let wrong = |problem: String| DataError::Images { path: dir.to_owned(), problem };
    let (mut files, dirs): (Vec<PathBuf>, Vec<PathBuf>) =
        entries(dir)?.into_iter().partition(|path| !path.is_dir());
    if dirs.is_empty() {
        files.iter().try_for_each(|path| check_name(path))?;
        let images: Vec<Image> = files.into_iter().map(|path| Image { path, label: 0 }).collect();
        return if images.is_empty() { Err(no_images(dir)) } else { Ok((vec![], images)) };
    }
    if let Some(file) = files.pop() {
        return Err(wrong(format!(
            "{} is beside its sub-directories: put it into that of its class",
            file.display()
        )));
    }
    let mut by_label = BTreeMap::new();
    for dir in dirs {
        let name = dir.file_name().and_then(|name| name.to_str());
        let name =
            name.ok_or_else(|| wrong(format!("the name of {} is not UTF-8: rename it", dir.display())))?;
        by_label.insert(name.to_owned(), dir);
    }
    let labels = sorted(by_label.keys());
    let mut images = Vec::new();
    for (label, name) in labels.iter().enumerate() {
        let dir = &by_label[name];
        let paths = entries(dir)?;
        if paths.is_empty() {
            return Err(no_images(dir));
        }
        for path in paths {
            check_name(&path)?;
            images.push(Image { path, label });
        }
    }
    Ok((labels, images))
}

/// What is in a directory and not hidden, in the order of the names.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let io = |e| DataError::io("read", dir, e);
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(io)? {
        let entry = entry.map_err(io)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn check_name(path: &Path) -> Result<()> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if path.is_file() && ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    let problem = "only .png, .jpg and .jpeg files may be beside images: move it elsewhere";
    Err(DataError::Image { path: path.to_owned(), problem: problem.to_owned() })
}

fn no_images(dir: &Path) -> DataError {
    DataError::Images {
        path: dir.to_owned(),
        problem: "it has no images: put some into it, or remove it".to_owned(),
    }
}

fn other_size(path: &Path, (width, height): (u32, u32), form: ImageForm, other: Option<&Path>) -> DataError {
    let other = other.map_or("those to train on".to_owned(), |path| path.display().to_string());
    let problem = format!(
        "it has {width} x {height} pixels, and {other} has {} x {}: give one size, to which all are resized, or resize them before",
        form.width, form.height
    );
    DataError::Image { path: path.to_owned(), problem }
}

/// A reader of a file, whatever its ending says of the format.
fn reader(path: &Path) -> Result<ImageReader<std::io::BufReader<fs::File>>> {
    let io = |e| DataError::io("read", path, e);
    let mut reader = ImageReader::open(path).map_err(io)?.with_guessed_format().map_err(io)?;
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MAX_EDGE), Some(MAX_EDGE));
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    Ok(reader)
}

/// Width and height of an image, and whether it is in colour.
fn head(path: &Path) -> Result<(u32, u32, bool)> {
    let decoder = reader(path)?.into_decoder().map_err(|error| unreadable(path, error))?;
    let (width, height) = decoder.dimensions();
    let is_grey =
        matches!(decoder.color_type(), ColorType::L8 | ColorType::La8 | ColorType::L16 | ColorType::La16);
    Ok((width, height, !is_grey))
}

fn unreadable(path: &Path, error: ImageError) -> DataError {
    match error {
        ImageError::IoError(source) if source.kind() != std::io::ErrorKind::UnexpectedEof => {
            DataError::io("read", path, source)
        }
        ImageError::Limits(_) => {
            let problem = "it has more pixels than can be unpacked: make it smaller".to_owned();
            DataError::Image { path: path.to_owned(), problem }
        }
        error => {
            // The message may have several lines; the user gets one sentence.
            let error = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
            DataError::Image {
                path: path.to_owned(),
                problem: format!("{error}; copy it again, or remove it"),
            }
        }
    }
}
