//! A share file as a server keeps it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shamisen_data::encrypted::{EncryptedWriter, StorageKey};
use shamisen_data::shares::ShareFile;
use shamisen_fuzz::Place;

fuzz_target!(|bytes: &[u8]| {
    let place = Place::new();
    let key = StorageKey::create(&place.path("key")).expect("the key is new");
    let path = place.file("a.share", bytes);
    drop(ShareFile::open_encrypted(&path, 0, &key));
    drop(EncryptedWriter::resume(&path, &key));
    // What is encrypted as it should be may hold anything, too.
    let path = place.path("b.share");
    let mut writer = EncryptedWriter::create(&path, &key, bytes.len() as u64).expect("there is room");
    writer.append(bytes).expect("there is room");
    writer.sync().expect("there is room");
    drop(ShareFile::open_encrypted(&path, 0, &key));
});
