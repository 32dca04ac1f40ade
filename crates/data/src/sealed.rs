//! JSON files with a checksum, so that a damaged name or number does not pass as another one.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::atomic::{Access, AtomicFile};
use crate::error::{DataError, Result};

/// Longest file that is read: names of some hundred thousand columns.
const MAX_BYTES: u64 = 1 << 26;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed<T> {
    format: String,
    content: T,
    /// Of the content as compact JSON.
    blake3: String,
}

/// Writes `content` with its checksum to a file that appears when it is complete.
///
/// # Errors
///
/// If it has no JSON form, or the file cannot be written.
pub fn write<T: Serialize>(path: &Path, format: &str, content: &T) -> Result<()> {
    let json = |e: serde_json::Error| DataError::io("write", path, e.into());
    let sealed = Sealed { format: format.to_owned(), content, blake3: checksum(content).map_err(json)? };
    let mut text = serde_json::to_vec_pretty(&sealed).map_err(json)?;
    text.push(b'\n');
    let mut file = AtomicFile::create(path, Access::Public)?;
    file.append(&text)?;
    file.sync()?;
    file.publish()
}

/// Reads what [`write`](fn@write) wrote.
///
/// # Errors
///
/// If the file cannot be read, is damaged, or is of another format.
pub fn read<T: Serialize + DeserializeOwned>(path: &Path, format: &'static str) -> Result<T> {
    let io = |e| DataError::io("read", path, e);
    let mut text = Vec::new();
    File::open(path).map_err(io)?.take(MAX_BYTES + 1).read_to_end(&mut text).map_err(io)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(DataError::damaged(path, "it is too long"));
    }
    let damaged = |e: serde_json::Error| DataError::damaged(path, e);
    let sealed: Sealed<T> = serde_json::from_slice(&text).map_err(damaged)?;
    if sealed.format != format {
        return Err(DataError::damaged(path, format_args!("its format is not `{format}`")));
    }
    if sealed.blake3 != checksum(&sealed.content).map_err(damaged)? {
        return Err(DataError::damaged(path, "its checksum does not match"));
    }
    Ok(sealed.content)
}

fn checksum<T: Serialize>(content: &T) -> serde_json::Result<String> {
    Ok(blake3::hash(&serde_json::to_vec(content)?).to_hex().to_string())
}
