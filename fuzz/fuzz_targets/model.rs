//! The description of a model, and a share of it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shamisen_data::model::{ModelDescription, check_model_dir, read_party_share};
use shamisen_fuzz::Place;

fuzz_target!(|bytes: &[u8]| {
    let place = Place::new();
    let (description, share) = bytes.split_at(bytes.len() / 2);
    place.file("model.json", description);
    place.file("party0.share", share);
    drop(check_model_dir(&place.path("")));
    // A hash of the content keeps most changes from being read any further.
    if let Ok(description) = serde_json::from_slice::<ModelDescription>(description) {
        drop(read_party_share(&place.path("party0.share"), &description, 0, None));
    }
});
