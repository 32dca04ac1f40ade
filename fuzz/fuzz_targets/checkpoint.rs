//! A checkpoint of a party.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shamisen_data::checkpoint::read;
use shamisen_fuzz::Place;

fuzz_target!(|bytes: &[u8]| {
    let place = Place::new();
    place.file("checkpoint-1", bytes);
    drop(read::<serde_json::Value>(&place.path(""), 1, None));
});
