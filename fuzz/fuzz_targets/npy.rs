//! A table in NPY.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shamisen_data::prepare::Source;
use shamisen_data::table::TargetKind;
use shamisen_fuzz::{Place, read};

fuzz_target!(|bytes: &[u8]| {
    let place = Place::new();
    let files = vec![place.file("a.npy", bytes)];
    read(Source::Files { files, target: None, kind: Some(TargetKind::Number) });
});
