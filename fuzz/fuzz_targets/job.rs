//! A job with its signature, as it is handed in.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| shamisen_service::job::fuzz(bytes));
