//! The header of a message between parties.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| shamisen_net::fuzz_frame(bytes));
