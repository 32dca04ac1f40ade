//! The protocols, one file per family.
//!
//! Costs are given over all three parties together, per element. Every protocol is secure against one semi-honest
//! party when each message that the party receives is uniformly random given what it already has; the argument of
//! each function names the key that the receiver lacks.

pub mod add_bits;
pub mod and;
pub mod arg_max;
mod circuit;
pub mod compare;
pub mod convert;
mod digits;
pub mod exp;
pub mod gate;
pub mod leading_bit;
pub mod leading_digit;
pub mod log;
mod log_points;
pub mod lookup;
pub mod multiply;
pub mod open;
pub mod points;
pub mod pool;
pub mod range;
pub mod reciprocal;
pub mod reseed;
pub mod soft_max;
pub mod split;
pub(crate) mod split_bits;
pub mod square_root;
pub mod tell;
pub mod truncate;
