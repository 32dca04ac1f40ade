//! Images and labels in IDX, the format of MNIST.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shamisen_data::prepare::Source;
use shamisen_fuzz::{Place, read};

fuzz_target!(|bytes: &[u8]| {
    let place = Place::new();
    let (labels, images) = bytes.split_at(bytes.len() / 4);
    for part in ["train", "t10k"] {
        place.file(&format!("{part}-labels-idx1-ubyte"), labels);
        place.file(&format!("{part}-images-idx3-ubyte"), images);
    }
    read(Source::Mnist { dir: place.path("") });
});
