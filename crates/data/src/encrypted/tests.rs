//! Tests of encrypted files.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::damage::{change_each_byte, change_length};

struct Place {
    dir: TempDir,
    key: StorageKey,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = StorageKey::create(&dir.path().join("storage.key")).unwrap();
        Self { dir, key }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("file")
    }

    fn write(&self, content: &[u8]) -> PathBuf {
        let mut writer = EncryptedWriter::create(&self.path(), &self.key, content.len() as u64).unwrap();
        writer.append(content).unwrap();
        assert_eq!(writer.written(), content.len() as u64);
        self.path()
    }
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
}

#[test]
fn content_is_read_at_every_place() {
    for length in [0, 1, 100, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT, BATCH * SEGMENT + 5] {
        let place = Place::new();
        let content = content(length);
        let path = place.write(&content);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let file = EncryptedFile::open(&path, &place.key).unwrap();
        let edges = [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, length / 2, length];
        for (start, end) in edges.iter().flat_map(|start| edges.iter().map(|end| (*start, *end))) {
            if start <= end && end <= length {
                let mut read = vec![0; end - start];
                file.read_at(start as u64, &mut read).unwrap();
                assert!(read == content[start..end], "{start} to {end} of {length}");
            }
        }
        assert!(file.read_at(length as u64, &mut [0]).is_err());
        let mut all = Vec::new();
        read_all(&path, &place.key, |piece| {
            all.extend_from_slice(piece);
            Ok::<_, DataError>(())
        })
        .unwrap();
        assert!(all == content);
    }
}

#[test]
fn the_disk_has_nothing_of_the_content() {
    let place = Place::new();
    let content = vec![b'x'; 2 * SEGMENT];
    let first = fs::read(place.write(&content)).unwrap();
    assert!(!first.windows(4).any(|window| window == b"xxxx"));
    // The same once more is another file.
    fs::remove_file(place.path()).unwrap();
    let second = fs::read(place.write(&content)).unwrap();
    let differ = first[HEAD..].iter().zip(&second[HEAD..]).filter(|(a, b)| a != b).count();
    assert!(differ > first.len() * 9 / 10);
}

#[test]
fn writing_goes_on_after_a_crash() {
    let place = Place::new();
    let content = content(5 * SEGMENT + 17);
    let mut writer = EncryptedWriter::create(&place.path(), &place.key, content.len() as u64).unwrap();
    writer.append(&content[..SEGMENT + 40]).unwrap();
    writer.append(&content[SEGMENT + 40..2 * SEGMENT + 9]).unwrap();
    assert_eq!(writer.written(), 2 * SEGMENT as u64);
    drop(writer);
    assert!(EncryptedFile::open(&place.path(), &place.key).is_err());
    // A torn segment at the end.
    let torn = OpenOptions::new().append(true).open(place.path()).unwrap();
    (&torn).write_all(&[1; 100]).unwrap();
    let mut writer = EncryptedWriter::resume(&place.path(), &place.key).unwrap();
    let at = writer.written() as usize;
    assert_eq!(at, 2 * SEGMENT);
    for piece in content[at..].chunks(1000) {
        writer.append(piece).unwrap();
    }
    assert_eq!(writer.written(), content.len() as u64);
    assert!(writer.append(&[0]).is_err());
    writer.sync().unwrap();
    let file = EncryptedFile::open(&place.path(), &place.key).unwrap();
    let mut read = vec![0; content.len()];
    file.read_at(0, &mut read).unwrap();
    assert!(read == content);
    assert_eq!(EncryptedWriter::resume(&place.path(), &place.key).unwrap().written(), content.len() as u64);
}

#[test]
fn every_change_is_found() {
    let place = Place::new();
    let path = place.write(&content(SEGMENT + 30));
    let read = || {
        let file = EncryptedFile::open(&path, &place.key)?;
        file.read_at(0, &mut vec![0; file.length() as usize])
    };
    read().unwrap();
    change_each_byte(&path, &[1, 128], || assert!(read().is_err()));
    change_length(&path, || assert!(read().is_err()));
    read().unwrap();
}

#[test]
fn segments_stay_in_their_place_and_under_their_key() {
    let place = Place::new();
    let path = place.write(&content(3 * SEGMENT));
    let mut stored = fs::read(&path).unwrap();
    let (first, second) = stored[HEAD..].split_at_mut(STORED);
    first.swap_with_slice(&mut second[..STORED]);
    fs::write(&path, &stored).unwrap();
    let file = EncryptedFile::open(&path, &place.key).unwrap();
    assert!(file.read_at(0, &mut [0]).is_err());
    file.read_at(2 * SEGMENT as u64, &mut [0; 10]).unwrap();

    let other = StorageKey::create(&place.dir.path().join("other")).unwrap();
    assert_ne!(other.check_value(), place.key.check_value());
    let file = EncryptedFile::open(&path, &other).unwrap();
    let message = file.read_at(2 * SEGMENT as u64, &mut [0]).unwrap_err().to_string();
    assert!(message.contains("under another key"), "{message}");
}

#[test]
fn a_key_comes_back_and_is_refused_if_others_may_read_it() {
    let place = Place::new();
    let path = place.dir.path().join("storage.key");
    assert_eq!(StorageKey::read(&path).unwrap().check_value(), place.key.check_value());
    assert!(StorageKey::create(&path).is_err());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let message = StorageKey::read(&path).unwrap_err().to_string();
    assert!(message.contains("chmod 600"), "{message}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, "0123").unwrap();
    assert!(StorageKey::read(&path).unwrap_err().to_string().contains("it holds no key"));
    assert!(!format!("{:?}", place.key).contains(|c: char| c.is_ascii_digit()));
}

#[test]
fn parts_are_read_up_to_the_end() {
    let place = Place::new();
    let content = content(2 * SEGMENT + 5);
    let path = place.dir.path().join("parts");
    write(&path, &place.key, &content).unwrap();
    assert_eq!(length(&path, &place.key).unwrap(), content.len() as u64);
    let part = |from: u64, most| read_part(&path, &place.key, from, most).unwrap();
    for (from, most) in
        [(0, 1), (SEGMENT - 1, 2), (1, content.len()), (0, usize::MAX), (content.len() - 1, 9)]
    {
        let end = content.len().min(from.saturating_add(most));
        assert_eq!(part(from as u64, most), content[from..end]);
    }
    for from in [content.len() as u64, content.len() as u64 + 1, u64::MAX] {
        assert!(part(from, 10).is_empty());
    }
    let mut stored = fs::read(&path).unwrap();
    *stored.last_mut().unwrap() ^= 1;
    fs::write(&path, stored).unwrap();
    assert!(read_part(&path, &place.key, 0, usize::MAX).is_err());
}
