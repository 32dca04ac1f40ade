//! Tables of the images in a directory, with the feature `images`.
//!
//! A directory has a sub-directory for each class, whose name is the label, with PNG and JPEG files in it; a directory to predict may have
//! the files itself. Each pixel is a column: `pixel0`, `pixel1`, ... from 0 to 255, row after row of the image, of images in colour the
//! red, green and blue of a pixel one after the other. Rows are in the order of the names.

#[cfg(feature = "images")]
mod folder;

use std::path::Path;

use serde::{Deserialize, Serialize};

#[cfg(not(feature = "images"))]
use crate::error::DataError;
use crate::error::Result;
use crate::source::TableFile;

/// The column of the labels.
pub(crate) const LABEL: &str = "label";

/// The form of all images of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageForm {
    /// Pixels of a row.
    pub width: u32,
    /// Rows of pixels.
    pub height: u32,
    /// Whether they are in colour; then each pixel is three columns.
    pub in_colour: bool,
    /// Whether images of other sizes are resized; otherwise they are errors.
    pub resized: bool,
}

#[cfg(feature = "images")]
impl ImageForm {
    /// Columns of an image.
    pub(crate) fn columns(&self) -> u64 {
        let colours = if self.in_colour { 3 } else { 1 };
        u64::from(self.width) * u64::from(self.height) * colours
    }
}

/// Opens a directory of images to train on, which are resized if a width and a height are given.
#[cfg(feature = "images")]
pub(crate) fn open(dir: &Path, size: Option<(u32, u32)>) -> Result<(Box<dyn TableFile>, ImageForm)> {
    let folder = folder::Folder::open(dir, size)?;
    let form = folder.form();
    Ok((Box::new(folder), form))
}

/// Opens a directory of images of a known form.
#[cfg(feature = "images")]
pub(crate) fn open_as(dir: &Path, form: ImageForm) -> Result<Box<dyn TableFile>> {
    Ok(Box::new(folder::Folder::open_as(dir, form)?))
}

/// Says that a directory cannot be opened.
#[cfg(not(feature = "images"))]
pub(crate) fn open(dir: &Path, _size: Option<(u32, u32)>) -> Result<(Box<dyn TableFile>, ImageForm)> {
    Err(without(dir))
}

/// Says that a directory cannot be opened.
#[cfg(not(feature = "images"))]
pub(crate) fn open_as(dir: &Path, _form: ImageForm) -> Result<Box<dyn TableFile>> {
    Err(without(dir))
}

#[cfg(not(feature = "images"))]
fn without(dir: &Path) -> DataError {
    if !dir.exists() {
        return DataError::NotFound { path: dir.to_owned() };
    }
    let problem = "this build of shamisen does not read images: build it with `--features images`, or convert them to NPY or NPZ";
    DataError::Images { path: dir.to_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
#[cfg(feature = "images")]
mod tests;
