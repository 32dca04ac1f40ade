//! The program `shamisen`.
fn main() {}
