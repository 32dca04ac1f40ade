//! The program `shamisen`.
