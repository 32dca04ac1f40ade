//! Lines of an audit log.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shamisen_service::audit::{Chain, Entry};

fuzz_target!(|bytes: &[u8]| {
    let mut chain = Chain::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(entry) = serde_json::from_slice::<Entry>(line) {
            drop(chain.follow(&entry));
        }
    }
});
