//! A model in safetensors.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shamisen_data::open_model::read_safetensors;
use shamisen_fuzz::Place;

fuzz_target!(|bytes: &[u8]| {
    let place = Place::new();
    drop(read_safetensors(&place.file("a.safetensors", bytes)));
});
