//! A table in CSV.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shamisen_data::prepare::Source;
use shamisen_data::table::TargetKind;
use shamisen_fuzz::{Place, read};

fuzz_target!(|bytes: &[u8]| {
    let place = Place::new();
    let files = vec![place.file("a.csv", bytes)];
    for kind in [Some(TargetKind::Classes), Some(TargetKind::Number), None] {
        read(Source::Files { files: files.clone(), target: None, kind });
    }
});
