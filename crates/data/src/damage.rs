//! Systematic damage to a file, for tests.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Calls `check` after every change of one byte by each of the masks; the file is whole again afterwards.
pub(crate) fn change_each_byte(path: &Path, masks: &[u8], mut check: impl FnMut()) {
    let good = fs::read(path).unwrap();
    // In place: replacing the file for each of thousands of changes takes seconds.
    let file = OpenOptions::new().write(true).open(path).unwrap();
    for (position, byte) in good.iter().enumerate() {
        for mask in masks {
            file.write_all_at(&[byte ^ mask], position as u64).unwrap();
            check();
        }
        file.write_all_at(&[*byte], position as u64).unwrap();
    }
}

/// Calls `check` after every cut at the end, and for one byte too many; the file is whole again afterwards.
pub(crate) fn change_length(path: &Path, mut check: impl FnMut()) {
    let good = fs::read(path).unwrap();
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(good.len() as u64 + 1).unwrap();
    check();
    for length in (0..good.len()).rev() {
        file.set_len(length as u64).unwrap();
        check();
    }
    file.write_all_at(&good, 0).unwrap();
}
