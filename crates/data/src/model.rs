//! Model directories: what a training leaves behind.
//!
//! | file | who needs it | contents |
//! |---|---|---|
//! | `model.json` | everyone; public | the description |
//! | `preprocessing.json` | who predicts | statistics of the training data |
//! | `party0.share`, `party1.share`, `party2.share` | one server each; secret | its share of all parameters |
//!
//! A share file begins with its magic number and version and a JSON header (model, party, number of parameters).
//! The words that the party calls "mine" follow, then those it calls "next", both little-endian, and last the BLAKE3
//! hash of all before.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::atomic::create_dir;
use crate::container::{Kind, Reader, Writer};
use crate::encrypted::StorageKey;
use crate::error::{DataError, Result};
use crate::scaling::Preprocessing;
use crate::sealed;
use crate::shares::MAX_FRAC;
use crate::table::TargetKind;

/// The version of the description.
pub const VERSION: u32 = 1;

/// The name of the description in a model directory.
pub const DESCRIPTION_FILE: &str = "model.json";

/// The name of the statistics in a model directory.
pub const PREPROCESSING_FILE: &str = "preprocessing.json";

/// The usual names of the parties' shares in a model directory.
pub const SHARE_FILES: [&str; 3] = ["party0.share", "party1.share", "party2.share"];

const FORMAT: &str = "shamisen-model-1";

const BAD_ID: &str = "the id is not 32 hexadecimal digits";

const KIND: Kind = Kind { magic: *b"shamisen-model\0", version: 1, name: "a model share of shamisen" };

/// What is publicly known of a trained model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelDescription {
    /// An id from [`crate::shares::random_id`].
    pub id: String,
    /// [`VERSION`].
    pub version: u32,
    /// The task.
    pub task: TargetKind,
    /// The layers, as whoever trained describes them.
    pub layers: serde_json::Value,
    /// The number of fractional bits of the parameters.
    pub frac: u32,
    /// The number of parameters.
    pub parameters: u64,
    /// The feature columns in the order of the inputs.
    pub feature_names: Vec<String>,
    /// The target column.
    pub target_name: String,
    /// The classes in the order of the outputs; empty for regression.
    pub classes: Vec<String>,
    /// A summary of the training.
    pub training: serde_json::Value,
    /// The names of the parties' shares in the model directory, usually [`SHARE_FILES`].
    pub share_files: [String; 3],
}

impl ModelDescription {
    /// What does not make sense.
    fn problem(&self) -> Option<&'static str> {
        if !is_id(&self.id) {
            return Some(BAD_ID);
        }
        if self.frac > MAX_FRAC {
            return Some("the number of fractional bits is out of range");
        }
        if self.feature_names.is_empty() {
            return Some("there are no features");
        }
        if (self.task == TargetKind::Number) != self.classes.is_empty() {
            return Some("a classification has classes, and a regression has none");
        }
        let plain = |name: &String| {
            !name.is_empty()
                && !name.starts_with('.')
                && !name.contains(['/', '\\', '\0'])
                && name.len() <= 255
        };
        if !self.share_files.iter().all(plain) {
            return Some("a share file has no plain name");
        }
        let [a, b, c] = &self.share_files;
        if a == b || b == c || a == c {
            return Some("two share files have one name");
        }
        None
    }
}

/// Writes `model.json` into a model directory, which is created if missing.
///
/// # Errors
///
/// If the description does not make sense, or the file cannot be written.
pub fn write_description(dir: &Path, description: &ModelDescription) -> Result<()> {
    let path = dir.join(DESCRIPTION_FILE);
    check_description(&path, description)?;
    create_dir(dir)?;
    sealed::write(&path, FORMAT, description)
}

/// Reads `model.json` from a model directory.
///
/// # Errors
///
/// If the file cannot be read, is damaged, or does not make sense.
pub fn read_description(dir: &Path) -> Result<ModelDescription> {
    let path = dir.join(DESCRIPTION_FILE);
    let description = sealed::read(&path, FORMAT)?;
    check_description(&path, &description)?;
    Ok(description)
}

/// Writes a party's share of all parameters to the file `path`, which only its owner may read; with a key, encrypted under it.
///
/// # Errors
///
/// If there is no such party; if `id` is none of [`crate::shares::random_id`]; if `mine` and `next` have
/// different lengths; if the file cannot be written.
pub fn write_party_share(
    path: &Path,
    id: &str,
    party: usize,
    [mine, next]: [&[u64]; 2],
    key: Option<&StorageKey>,
) -> Result<()> {
    check_party(party)?;
    if !is_id(id) {
        return Err(DataError::BadDescription { path: path.to_owned(), problem: BAD_ID.to_owned() });
    }
    if mine.len() != next.len() {
        let (expected, found) = (mine.len(), next.len());
        return Err(DataError::Length { operation: "writing a model share", expected, found });
    }
    let header = Header { model: id.to_owned(), party, parameters: mine.len() as u64 };
    let mut file = Writer::create(path, &KIND, &header, key.map(|key| (key, 16 * header.parameters)))?;
    file.append_words(mine)?;
    file.append_words(next)?;
    file.finish()?.publish()
}

/// Reads a party's share of all parameters, the words "mine" and "next", from the file `path`; with a key, from one that is
/// encrypted under it.
///
/// # Errors
///
/// If the file cannot be read, is no model share, is damaged, or belongs to another party or another model.
pub fn read_party_share(
    path: &Path,
    description: &ModelDescription,
    party: usize,
    key: Option<&StorageKey>,
) -> Result<(Vec<u64>, Vec<u64>)> {
    check_party(party)?;
    let file: Reader<Header> = Reader::open(path, &KIND, key).map_err(|e| match e {
        DataError::NotFound { path } => DataError::MissingShare { path, party },
        other => other,
    })?;
    let header = &file.header;
    file.verify(header.parameters.checked_mul(16), None)?;
    if header.model != description.id {
        return Err(DataError::OtherModel {
            path: path.to_owned(),
            expected: description.id.clone(),
            found: header.model.clone(),
        });
    }
    if header.party != party {
        return Err(DataError::WrongParty { path: path.to_owned(), expected: party, found: header.party });
    }
    if header.parameters != description.parameters {
        let (expected, found) = (description.parameters, header.parameters);
        return Err(DataError::ParameterCount { path: path.to_owned(), expected, found });
    }
    // The file has this length: `verify` has compared them.
    let count = header.parameters as usize;
    let mut mine = vec![0u64; count];
    let mut next = vec![0u64; count];
    file.read_words(0, &mut mine)?;
    file.read_words(8 * header.parameters, &mut next)?;
    Ok((mine, next))
}

/// Checks every file of a model directory that has all three shares: that each is whole, and that they fit
/// together.
///
/// # Errors
///
/// If a file is missing or damaged, belongs to another model, or contradicts another one.
pub fn check_model_dir(dir: &Path) -> Result<ModelDescription> {
    let description = read_description(dir)?;
    let path = dir.join(PREPROCESSING_FILE);
    let preprocessing = Preprocessing::read(&path)?;
    if preprocessing.feature_names != description.feature_names
        || preprocessing.target_name != description.target_name
        || preprocessing.classes != description.classes
        || preprocessing.kind() != Some(description.task)
    {
        let problem = format!("it does not have the columns and classes of {DESCRIPTION_FILE}");
        return Err(DataError::BadDescription { path, problem });
    }
    let read = |party: usize| {
        read_party_share(&dir.join(&description.share_files[party]), &description, party, None)
    };
    let shares = [read(0)?, read(1)?, read(2)?];
    for left in 0..3 {
        let right = (left + 1) % 3;
        // Both hold the component that `left` calls next.
        if shares[left].1 != shares[right].0 {
            return Err(DataError::InconsistentShares { dir: dir.to_owned(), left, right });
        }
    }
    Ok(description)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    model: String,
    party: usize,
    parameters: u64,
}

fn check_description(path: &Path, description: &ModelDescription) -> Result<()> {
    if description.version != VERSION {
        let (found, supported) = (description.version, VERSION);
        return Err(DataError::WrongVersion { path: path.to_owned(), found, supported });
    }
    match description.problem() {
        None => Ok(()),
        Some(problem) => {
            Err(DataError::BadDescription { path: path.to_owned(), problem: problem.to_owned() })
        }
    }
}

fn is_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn check_party(party: usize) -> Result<()> {
    if party < 3 { Ok(()) } else { Err(DataError::NoSuchParty { party }) }
}

#[cfg(test)]
mod tests;
