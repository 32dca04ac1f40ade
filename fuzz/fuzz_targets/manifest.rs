//! The description of an upload.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shamisen_service::manifest::Manifest;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) {
        drop(manifest.problem());
        drop(manifest.digest());
    }
});
