//! A share file, as an owner sends it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shamisen_data::shares::ShareFile;
use shamisen_fuzz::Place;

fuzz_target!(|bytes: &[u8]| {
    let place = Place::new();
    if let Ok(file) = ShareFile::open(&place.file("a.share", bytes), 0) {
        assert!(file.rows().checked_mul(file.cols()).is_some());
    }
});
