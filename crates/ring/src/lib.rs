//! Numbers of Shamisen: `Z_2^64`, fixed point, bit planes, matrix products and the pseudo-random generator, with SIMD kernels.
//!
//! | module | what |
//! |---|---|
//! | [`prg`] | pseudo-random streams of words, addressed at random |
//! | [`matmul`] | matrix products modulo 2^64 |
//! | [`bits`] | element-wise operations on slices of words |
//! | [`planes`] | from words to bit planes and back |
//! | [`pack`] | values of a few bits, packed for a message |
//! | [`lookup`] | the servers' side of an oblivious table look-up |
//! | [`digits`] | the same for 4-bit digits, with bits as results |
//! | [`gate`] | the steps of a truncation that lets numbers pass or makes them 0 |
//! | [`high`] | the high bits of words as 32-bit numbers |
//! | [`truncation`] | the steps of a truncation |
//! | [`permutation`] | public orders of many rows |
//! | [`words`] | vectors whose memory is used again |
//! | [`fixed`] | fixed-point numbers |
//! | [`levels`] | a number in many units at once |
//! | [`level`] | the choice of instruction set at run time |
//!
//! Everything but [`words`] works on slices that the caller owns. Unless a function says otherwise, its time and its memory accesses depend on
//! lengths, widths and shapes only, never on values.

pub mod bits;
pub mod digits;
pub mod fixed;
pub mod gate;
pub mod high;
pub mod level;
pub mod levels;
pub mod lookup;
pub mod matmul;
pub mod pack;
pub mod permutation;
pub mod planes;
pub mod prg;
pub mod truncation;
pub mod words;

#[cfg(target_arch = "x86_64")]
mod simd;
