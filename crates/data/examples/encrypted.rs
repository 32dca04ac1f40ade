//! How fast rows of a share file are read, as it is and encrypted:
//!
//!     cargo run --release -p shamisen-data --example encrypted

use std::fs;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::time::Instant;

use shamisen_data::encrypted::{EncryptedWriter, SEGMENT, StorageKey};
use shamisen_data::shares::{Dealer, ShareFile, random_id, share_path};
use shamisen_data::table::Matrix;

/// How often each thing is measured; the median counts.
const TIMES: usize = 7;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    writeln!(stdout(), "segments of {SEGMENT} bytes                  MB/s                    us")?;
    writeln!(stdout(), "    rows columns batch   encrypt    open decrypt    read decrypt")?;
    for (rows, cols, batch) in [(60_000, 784, 128), (400_000, 100, 1024), (400_000, 20, 128)] {
        measure(rows, cols, batch)?;
    }
    Ok(())
}

fn measure(rows: usize, cols: usize, batch: usize) -> Result<(), Box<dyn std::error::Error>> {
    let place = tempfile::tempdir()?;
    let dirs = ["a", "b", "c"].map(|name| place.path().join(name));
    let mut dealer =
        Dealer::create(dirs.each_ref().map(PathBuf::as_path), "x", &random_id()?, (rows, cols), 14)?;
    let block =
        Matrix::new(1000, cols, (0..1000 * cols).map(|at| (at % 97) as f64).collect()).ok_or("a block")?;
    for _ in 0..rows / 1000 {
        dealer.push(&block)?;
    }
    dealer.finish()?;
    let (plain, cipher) = (share_path(&dirs[1], "x"), place.path().join("cipher"));
    let key = StorageKey::create(&place.path().join("key"))?;
    let content = fs::read(&plain)?;
    let megabytes = content.len() as f64 / 1e6;
    let written = median(|| {
        drop(fs::remove_file(&cipher));
        encrypt(&cipher, &key, &content)
    })?;
    let opened = median(|| ShareFile::open(&plain, 1).map(drop).map_err(Into::into))?;
    let opened_encrypted =
        median(|| ShareFile::open_encrypted(&cipher, 1, &key).map(drop).map_err(Into::into))?;
    let read = batches(&ShareFile::open(&plain, 1)?, batch)?;
    let decrypted = batches(&ShareFile::open_encrypted(&cipher, 1, &key)?, batch)?;
    writeln!(
        stdout(),
        "{rows:>8} {cols:>7} {batch:>5} {:>9.0} {:>7.0} {:>7.0} {:>7.0} {:>7.0}",
        megabytes / written,
        megabytes / opened,
        megabytes / opened_encrypted,
        1e6 * read,
        1e6 * decrypted
    )?;
    Ok(())
}

fn encrypt(path: &Path, key: &StorageKey, content: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
    let mut writer = EncryptedWriter::create(path, key, content.len() as u64)?;
    content.chunks(1 << 18).try_for_each(|piece| writer.append(piece))?;
    Ok(())
}

/// Seconds for a batch of random rows.
fn batches(file: &ShareFile, batch: usize) -> Result<f64, Box<dyn std::error::Error>> {
    let (mut mine, mut next) = (vec![0; batch * file.cols()], vec![0; batch * file.cols()]);
    let mut at = 1_u32;
    median(|| {
        let rows: Vec<u32> = (0..batch)
            .map(|_| {
                at = at.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ((u64::from(at) * file.rows() as u64) >> 32) as u32
            })
            .collect();
        for _ in 0..20 {
            file.gather(&rows, &mut mine, &mut next)?;
        }
        Ok(())
    })
    .map(|seconds| seconds / 20.0)
}

fn median(
    mut work: impl FnMut() -> Result<(), Box<dyn std::error::Error>>,
) -> Result<f64, Box<dyn std::error::Error>> {
    let mut seconds = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let start = Instant::now();
        work()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[TIMES / 2])
}
