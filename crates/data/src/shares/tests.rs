use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::damage::{change_each_byte, change_length};

const ID: &str = "00112233445566778899aabbccddeeff";

fn dirs(root: &TempDir) -> [PathBuf; 3] {
    [0, 1, 2].map(|party| root.path().join(format!("party{party}")))
}

fn deal_into(root: &TempDir, matrix: &Matrix, frac: u32) -> Result<[PathBuf; 3]> {
    let dirs = dirs(root);
    deal([&dirs[0], &dirs[1], &dirs[2]], "x", ID, matrix, frac)?;
    Ok(dirs.map(|dir| share_path(&dir, "x")))
}

/// The words mine and next of rows, for every party.
fn gather(files: &[PathBuf; 3], rows: &[u32]) -> [(Vec<u64>, Vec<u64>); 3] {
    [0, 1, 2].map(|party| {
        let file = ShareFile::open(&files[party], party).unwrap();
        let words = rows.len() * file.cols();
        let (mut mine, mut next) = (vec![1; words], vec![2; words]);
        file.gather(rows, &mut mine, &mut next).unwrap();
        (mine, next)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn shares_add_up_to_the_matrix(
        rows in 1usize..40, cols in 1usize..9, frac in 0u32..30,
        values in prop::collection::vec(-1e6..1e6f64, 40 * 9),
        picks in prop::collection::vec(0u32..40, 0..60),
    ) {
        let matrix = Matrix::new(rows, cols, values[..rows * cols].to_vec()).unwrap();
        let root = tempfile::tempdir().unwrap();
        let files = deal_into(&root, &matrix, frac)?;
        let mut picks: Vec<u32> = picks.into_iter().map(|row| row % rows as u32).collect();
        picks.extend(0..rows as u32);
        let shares = gather(&files, &picks);
        for party in 0..3 {
            prop_assert_eq!(&shares[party].1, &shares[(party + 1) % 3].0);
        }
        for (i, &row) in picks.iter().enumerate() {
            for (j, &value) in matrix.row(row as usize).iter().enumerate() {
                let at = i * cols + j;
                let sum = shares.iter().fold(0u64, |sum, (mine, _)| sum.wrapping_add(mine[at]));
                prop_assert_eq!(Some(sum), fixed::encode(value, frac));
            }
        }
    }
}

#[test]
fn a_matrix_of_several_chunks() {
    let (rows, cols) = (3000, 47);
    let values = (0..rows * cols).map(f64::from).collect();
    let matrix = Matrix::new(rows as usize, cols as usize, values).unwrap();
    let root = tempfile::tempdir().unwrap();
    let files = deal_into(&root, &matrix, 4).unwrap();
    let picks: Vec<u32> = (0..rows as u32).rev().collect();
    let shares = gather(&files, &picks);
    for (i, &row) in picks.iter().enumerate() {
        for col in 0..cols as usize {
            let at = i * cols as usize + col;
            let sum = shares.iter().fold(0u64, |sum, (mine, _)| sum.wrapping_add(mine[at]));
            assert_eq!(sum, (u64::from(row) * cols as u64 + col as u64) << 4);
        }
    }
    let length = |party: usize| fs::metadata(&files[party]).unwrap().len();
    assert!(length(0) < 300, "party 0 keeps seeds only");
    assert_eq!(length(1), length(2));
    assert!(length(1) - 8 * (rows * cols) as u64 <= 300);
}

#[test]
fn a_file_tells_its_shape_and_is_secret() {
    let matrix = Matrix::new(2, 3, vec![0.5; 6]).unwrap();
    let root = tempfile::tempdir().unwrap();
    let files = deal_into(&root, &matrix, 16).unwrap();
    for (party, path) in files.iter().enumerate() {
        let file = ShareFile::open(path, party).unwrap();
        assert_eq!((file.rows(), file.cols(), file.frac(), file.dataset()), (2, 3, 16, ID));
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        let shown = format!("{file:?}");
        assert!(shown.contains("rows: 2") && !shown.contains("mine"), "{shown}");
    }
}

#[test]
fn every_dealing_has_fresh_randomness() {
    let matrix = Matrix::new(1, 4, vec![1.0; 4]).unwrap();
    let words = || {
        let root = tempfile::tempdir().unwrap();
        let files = deal_into(&root, &matrix, 8).unwrap();
        gather(&files, &[0]).map(|(mine, _)| mine)
    };
    let (first, second) = (words(), words());
    for party in 0..3 {
        assert_ne!(first[party], second[party]);
    }
}

#[test]
fn what_cannot_be_dealt_is_explained_and_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let message = |matrix: &Matrix, frac| deal_into(&root, matrix, frac).unwrap_err().to_string();
    let large = Matrix::new(2, 2, vec![0.0, 0.0, 0.0, 1e15]).unwrap();
    assert!(message(&large, 16).starts_with("row 2, column `2`: `1000000000000000` is beyond ±7.037e13"));
    let nan = Matrix::new(1, 1, vec![f64::NAN]).unwrap();
    assert!(message(&nan, 16).starts_with("row 1, column `1`: `NaN` is beyond"));
    assert!(message(&large, 63).starts_with("63 fractional bits are too many: choose at most 62"));
    let empty = Matrix::new(0, 2, vec![]).unwrap();
    assert!(message(&empty, 16).starts_with("a share file cannot hold a matrix of 0 rows and 2 columns"));
    for dir in dirs(&root) {
        assert_eq!(fs::read_dir(dir).unwrap().count(), 0);
    }

    let good = Matrix::new(1, 1, vec![1.0]).unwrap();
    let [a, b, _] = dirs(&root);
    for name in ["", "../x", ".hidden", "a/b", "a\0"] {
        let message = deal([&a, &b, root.path()], name, ID, &good, 0).unwrap_err().to_string();
        assert!(message.contains("is not usable as a name"), "{message}");
    }
    let message = deal([&a, &b, &b], "x", ID, &good, 0).unwrap_err().to_string();
    assert!(message.contains("party1 is the directory of two parties"), "{message}");
}

#[test]
fn a_file_of_another_party_or_kind_is_refused() {
    let matrix = Matrix::new(1, 1, vec![1.0]).unwrap();
    let root = tempfile::tempdir().unwrap();
    let files = deal_into(&root, &matrix, 8).unwrap();
    for (file, path) in files.iter().enumerate() {
        for party in (0..3).filter(|&party| party != file) {
            let message = ShareFile::open(path, party).unwrap_err().to_string();
            let expected = format!("x.share is the share of party {file}, but party {party} needs its own");
            assert!(message.contains(&expected), "{message}");
        }
    }
    let path = root.path().join("other");
    let message = || ShareFile::open(&path, 0).unwrap_err().to_string();
    assert!(message().contains("other does not exist"));
    fs::write(&path, "").unwrap();
    assert!(message().contains("other is not a share file of shamisen"));
    fs::write(&path, vec![b'a'; 1000]).unwrap();
    assert!(message().contains("other is not a share file of shamisen"));
    let mut bytes = fs::read(&files[0]).unwrap();
    bytes[15] = 1;
    fs::write(&path, &bytes).unwrap();
    assert!(message().contains("other has format version 1, but this version of shamisen reads version 2"));
}

#[test]
fn every_change_of_a_byte_and_every_other_length_is_an_error() {
    let matrix = Matrix::new(3, 2, vec![1.0; 6]).unwrap();
    let root = tempfile::tempdir().unwrap();
    let files = deal_into(&root, &matrix, 8).unwrap();
    for (party, path) in files.iter().enumerate() {
        let message = || ShareFile::open(path, party).unwrap_err().to_string();
        change_each_byte(path, &[0x01, 0x80, 0x10, 0xff], || assert!(message().contains("x.share")));
        change_length(path, || assert!(message().contains("x.share")));
        ShareFile::open(path, party).unwrap();
        let good = fs::read(path).unwrap();
        fs::write(path, &good[..good.len() - 8]).unwrap();
        assert!(message().contains("the file is truncated or damaged"), "{}", message());
    }
}

#[test]
fn rows_come_one_after_the_other() {
    let (rows, cols) = (60_000, 5);
    let values: Vec<f64> = (0..rows * cols).map(|at| f64::from(at as u32 % 1000)).collect();
    let root = tempfile::tempdir().unwrap();
    let dirs = dirs(&root);
    let create = || Dealer::create([&dirs[0], &dirs[1], &dirs[2]], "x", ID, (rows, cols), 4).unwrap();
    let part = |from: usize, to: usize| {
        Matrix::new(to - from, cols, values[from * cols..to * cols].to_vec()).unwrap()
    };
    let mut dealer = create();
    for (from, to) in [(0, 1), (1, 1), (1, 30_000), (30_000, 59_999), (59_999, 60_000)] {
        dealer.push(&part(from, to)).unwrap();
    }
    assert!(dealer.push(&part(0, 1)).unwrap_err().to_string().starts_with("sharing a matrix: 0 values"));
    dealer.finish().unwrap();
    let files = dirs.each_ref().map(|dir| share_path(dir, "x"));
    let all: Vec<u32> = (0..rows as u32).collect();
    let shares = gather(&files, &all);
    let sum = |at: usize| shares.iter().fold(0u64, |sum, (mine, _)| sum.wrapping_add(mine[at]));
    assert!((0..rows * cols).all(|at| fixed::encode(values[at], 4) == Some(sum(at))));

    // Too few rows, or a dealer that is given up, leave what was there before.
    let before: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).unwrap()).collect();
    let mut dealer = create();
    dealer.push(&part(0, 40_000)).unwrap();
    assert!(dealer.finish().unwrap_err().to_string().contains("100000 values are expected, but 0"));
    let mut dealer = create();
    dealer.push(&part(0, 59_000)).unwrap();
    drop(dealer);
    for (path, before) in files.iter().zip(before) {
        assert_eq!(fs::read(path).unwrap(), before);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    // Damage is found in every block.
    let file = fs::OpenOptions::new().read(true).write(true).open(&files[1]).unwrap();
    let length = file.metadata().unwrap().len();
    for at in [300, length / 2, length - 40, length - 1] {
        use std::os::unix::fs::FileExt;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 4], at).unwrap();
        let message = ShareFile::open(&files[1], 1).unwrap_err().to_string();
        assert!(message.contains("x.share is damaged (its checksum does not match)"), "{message}");
        file.write_all_at(&byte, at).unwrap();
    }
    ShareFile::open(&files[1], 1).unwrap();
}

/// A file with a right checksum whose header says something else.
fn forged(header: &Header, body: &[u8]) -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("forged.share");
    let mut file = Writer::create(&path, &KIND, header, None).unwrap();
    let (seeds, words) = body.split_at(if header.party == 0 { 32 } else { 16 });
    file.append(seeds).unwrap();
    if !words.is_empty() {
        file.append_block(words, &blake3::hash(words)).unwrap();
    }
    file.finish().unwrap().publish().unwrap();
    (root, path)
}

#[test]
fn a_forged_header_takes_no_memory() {
    let good = Header { rows: 2, cols: 2, frac: 8, party: 1, dataset: ID.to_owned() };
    let headers = [
        Header { rows: usize::MAX, ..Header { cols: usize::MAX, dataset: ID.to_owned(), ..good } },
        Header { rows: usize::MAX / 8, cols: 2, dataset: ID.to_owned(), ..good },
        Header { rows: 1 << 40, cols: 1 << 20, dataset: ID.to_owned(), ..good },
        Header { rows: 0, cols: 6, dataset: ID.to_owned(), ..good },
        Header { rows: 5, cols: 1, dataset: ID.to_owned(), ..good },
        Header { frac: 63, dataset: ID.to_owned(), ..good },
        Header { party: 3, dataset: ID.to_owned(), ..good },
    ];
    for header in headers {
        let (_root, path) = forged(&header, &[7; 16 + 4 * 8]);
        let message = ShareFile::open(&path, 1).unwrap_err().to_string();
        assert!(message.contains("forged.share"), "{message}");
    }
    // Party 0 keeps two seeds and no words, whatever the size.
    let huge = Header { rows: usize::MAX, cols: 2, party: 0, ..good };
    let (_root, path) = forged(&huge, &[7; 32]);
    ShareFile::open(&path, 0).unwrap_err();
}

#[test]
fn gathering_checks_rows_and_buffers() {
    let matrix = Matrix::new(3, 2, vec![1.0; 6]).unwrap();
    let root = tempfile::tempdir().unwrap();
    let files = deal_into(&root, &matrix, 8).unwrap();
    for (party, path) in files.iter().enumerate() {
        let file = ShareFile::open(path, party).unwrap();
        let message = |rows: &[u32], mine, next| {
            let (mut mine, mut next) = (vec![0; mine], vec![0; next]);
            file.gather(rows, &mut mine, &mut next).unwrap_err().to_string()
        };
        assert!(message(&[0, 3], 4, 4).contains("x.share has 3 rows, but row index 3 was asked for"));
        assert!(message(&[u32::MAX], 2, 2).contains("row index 4294967295"));
        assert_eq!(
            message(&[0, 1], 4, 3),
            "gathering rows of a share file: 4 values are expected, but 3 were given"
        );
        file.gather(&[], &mut [], &mut []).unwrap();
    }
    // A file that is cut while it is open.
    let file = ShareFile::open(&files[1], 1).unwrap();
    fs::OpenOptions::new().write(true).open(&files[1]).unwrap().set_len(150).unwrap();
    let message = file.gather(&[2], &mut [0; 2], &mut [0; 2]).unwrap_err().to_string();
    assert!(message.contains("cannot read") && message.contains("x.share"), "{message}");
}

#[test]
fn what_the_parties_write_themselves_is_read_like_what_was_dealt() {
    let place = tempfile::tempdir().unwrap();
    let key = StorageKey::create(&place.path().join("storage.key")).unwrap();
    let (rows, cols) = (300_u64, 1000);
    let seeds = [[7; 16], [9; 16]];
    let values: Vec<u64> = (0..rows * cols).map(|at| at * at).collect();
    let streams = seeds.each_ref().map(|seed| {
        let mut words = vec![0; values.len()];
        Prg::new(seed).fill(STREAM, 0, &mut words);
        words
    });
    let rest: Vec<u64> = (0..values.len())
        .map(|at| values[at].wrapping_sub(streams[0][at]).wrapping_sub(streams[1][at]))
        .collect();
    for key in [None, Some(&key)] {
        let mut sums = [vec![0_u64; values.len()], vec![0; values.len()]];
        for party in 0..3 {
            let path = share_path(place.path(), &format!("rows{party}"));
            let form = ShareForm { party, dataset: "id", rows: rows as usize, cols: cols as usize, frac: 14 };
            let own = [seeds.get(party), seeds.get((party + 1) % 3)];
            // Twice: the second one replaces the first.
            for _ in 0..2 {
                let mut file = PartyWriter::create(&path, &form, own, key).unwrap();
                if party > 0 {
                    rest.chunks(777).for_each(|words| file.push(words).unwrap());
                    assert!(file.push(&[1]).is_err());
                    file = PartyWriter::create(&path, &form, own, key).unwrap();
                    rest.chunks(50_000).for_each(|words| file.push(words).unwrap());
                }
                file.finish().unwrap();
            }
            let file = match key {
                None => ShareFile::open(&path, party).unwrap(),
                Some(key) => ShareFile::open_encrypted(&path, party, key).unwrap(),
            };
            let order: Vec<u32> = (0..rows as u32).collect();
            let (mut mine, mut next) = (vec![0; values.len()], vec![0; values.len()]);
            file.gather(&order, &mut mine, &mut next).unwrap();
            for (sum, part) in sums.iter_mut().zip([mine, next]) {
                sum.iter_mut().zip(part).for_each(|(sum, part)| *sum = sum.wrapping_add(part));
            }
        }
        assert!(sums.iter().all(|sum| *sum == values));
    }
}
