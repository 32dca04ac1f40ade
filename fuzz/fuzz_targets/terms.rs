//! The terms of a data set.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shamisen_fuzz::Place;
use shamisen_service::terms::Terms;

fuzz_target!(|bytes: &[u8]| {
    let place = Place::new();
    if let Ok(terms) = Terms::read(&place.file("terms.toml", bytes)) {
        drop(terms.problem());
    }
});
