//! What a party says first, and the verdict on it.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| shamisen_net::tls::fuzz_hello(bytes));
