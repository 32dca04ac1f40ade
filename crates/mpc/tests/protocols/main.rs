//! Every protocol against a plain-text oracle, on random and extreme inputs, with its rounds and bytes.

mod bits;
mod classes;
mod common;
mod cost;
mod fixed_point;
mod functions;
mod gates;
mod keys;
mod leading_bit;
mod leading_digit;
mod opening;
mod pool;
mod products;
mod ranges;
mod two_components;
