//! A model in ONNX.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shamisen_data::open_model::read_onnx;
use shamisen_fuzz::Place;

fuzz_target!(|bytes: &[u8]| {
    let place = Place::new();
    drop(read_onnx(&place.file("a.onnx", bytes)));
});
