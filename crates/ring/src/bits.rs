//! Element-wise operations on slices of words.
//!
//! Words are elements of `Z_2^64` or 64 bits at once; `+`, `-` and `*` are modulo 2^64. Every function panics if its slices
//! differ in length. The bodies are plain loops that the compiler vectorises for each [`Level`](crate::level::Level).

use crate::level::{at_levels, level};

/// The local part of an AND of replicated bits: `out ^= (x_mine & y_mine) ^ (x_mine & y_next) ^ (x_next & y_mine)`.
///
/// # Panics
///
/// If the slices differ in length.
pub fn and_shares(out: &mut [u64], x_mine: &[u64], x_next: &[u64], y_mine: &[u64], y_next: &[u64]) {
    and_shares_at(level(), out, x_mine, x_next, y_mine, y_next);
}

/// The local part of a product of replicated numbers: `out = x_mine * (y_mine + y_next) + x_next * y_mine`.
///
/// # Panics
///
/// If the slices differ in length.
pub fn mul_shares(out: &mut [u64], x_mine: &[u64], x_next: &[u64], y_mine: &[u64], y_next: &[u64]) {
    mul_shares_at(level(), out, x_mine, x_next, y_mine, y_next);
}

/// `out += x`.
///
/// # Panics
///
/// If the slices differ in length.
pub fn add_assign(out: &mut [u64], x: &[u64]) {
    add_assign_at(level(), out, x);
}

/// `out -= x`.
///
/// # Panics
///
/// If the slices differ in length.
pub fn sub_assign(out: &mut [u64], x: &[u64]) {
    sub_assign_at(level(), out, x);
}

/// `out = x - out`.
///
/// # Panics
///
/// If the slices differ in length.
pub fn sub_from(out: &mut [u64], x: &[u64]) {
    sub_from_at(level(), out, x);
}

/// `out ^= x`.
///
/// # Panics
///
/// If the slices differ in length.
pub fn xor_assign(out: &mut [u64], x: &[u64]) {
    xor_assign_at(level(), out, x);
}

/// `out = x ^ y`.
///
/// # Panics
///
/// If the slices differ in length.
pub fn xor(out: &mut [u64], x: &[u64], y: &[u64]) {
    xor_at(level(), out, x, y);
}

/// The AND of two vectors, added to a third: `out ^= x & y`.
///
/// # Panics
///
/// If the slices differ in length.
pub fn and_assign(out: &mut [u64], x: &[u64], y: &[u64]) {
    and_assign_at(level(), out, x, y);
}

/// `out = x`, or `-x` where `bit` is 1; `bit` is 0 or 1 everywhere.
///
/// # Panics
///
/// If the slices differ in length.
pub fn negate_where(out: &mut [u64], x: &[u64], bit: &[u64]) {
    negate_where_at(level(), out, x, bit);
}

/// `out += factor * x`.
///
/// # Panics
///
/// If the slices differ in length.
pub fn add_scaled(out: &mut [u64], x: &[u64], factor: u64) {
    add_scaled_at(level(), out, x, factor);
}

/// Clears the lowest bits of every word.
///
/// # Panics
///
/// If `bits` is 64 or more.
pub fn clear_low(out: &mut [u64], bits: u32) {
    clear_low_at(level(), out, bits);
}

/// `out = !out`.
pub fn invert(out: &mut [u64]) {
    invert_at(level(), out);
}

/// `out = -out`.
pub fn negate(out: &mut [u64]) {
    scale_assign(out, u64::MAX);
}

/// `out += value`.
pub fn add_constant(out: &mut [u64], value: u64) {
    add_constant_at(level(), out, value);
}

/// `out *= factor`.
pub fn scale_assign(out: &mut [u64], factor: u64) {
    scale_assign_at(level(), out, factor);
}

/// `out <<= bits`.
///
/// # Panics
///
/// If `bits` is 64 or more.
pub fn shl_assign(out: &mut [u64], bits: u32) {
    shl_assign_at(level(), out, bits);
}

/// `out >>= bits`, with zeros from above.
///
/// # Panics
///
/// If `bits` is 64 or more.
pub fn shr_logical(out: &mut [u64], bits: u32) {
    shr_logical_at(level(), out, bits);
}

at_levels! {
    /// [`and_shares`] at a given level.
    fn and_shares_at(out: &mut [u64], x_mine: &[u64], x_next: &[u64], y_mine: &[u64], y_next: &[u64]) {
        let n = out.len();
        check_lengths(n, &[x_mine, x_next, y_mine, y_next]);
        let (xm, xn, ym, yn) = (&x_mine[..n], &x_next[..n], &y_mine[..n], &y_next[..n]);
        for i in 0..n {
            out[i] ^= (xm[i] & (ym[i] ^ yn[i])) ^ (xn[i] & ym[i]);
        }
    }
}

at_levels! {
    /// [`mul_shares`] at a given level.
    fn mul_shares_at(out: &mut [u64], x_mine: &[u64], x_next: &[u64], y_mine: &[u64], y_next: &[u64]) {
        let n = out.len();
        check_lengths(n, &[x_mine, x_next, y_mine, y_next]);
        let (xm, xn, ym, yn) = (&x_mine[..n], &x_next[..n], &y_mine[..n], &y_next[..n]);
        for i in 0..n {
            let first = xm[i].wrapping_mul(ym[i].wrapping_add(yn[i]));
            let second = xn[i].wrapping_mul(ym[i]);
            out[i] = first.wrapping_add(second);
        }
    }
}

at_levels! {
    /// [`add_assign`] at a given level.
    fn add_assign_at(out: &mut [u64], x: &[u64]) {
        check_lengths(out.len(), &[x]);
        for (o, x) in out.iter_mut().zip(x) {
            *o = o.wrapping_add(*x);
        }
    }
}

at_levels! {
    /// [`sub_assign`] at a given level.
    fn sub_assign_at(out: &mut [u64], x: &[u64]) {
        check_lengths(out.len(), &[x]);
        for (o, x) in out.iter_mut().zip(x) {
            *o = o.wrapping_sub(*x);
        }
    }
}

at_levels! {
    /// [`sub_from`] at a given level.
    fn sub_from_at(out: &mut [u64], x: &[u64]) {
        check_lengths(out.len(), &[x]);
        for (o, x) in out.iter_mut().zip(x) {
            *o = x.wrapping_sub(*o);
        }
    }
}

at_levels! {
    /// [`xor_assign`] at a given level.
    fn xor_assign_at(out: &mut [u64], x: &[u64]) {
        check_lengths(out.len(), &[x]);
        for (o, x) in out.iter_mut().zip(x) {
            *o ^= *x;
        }
    }
}

at_levels! {
    /// [`xor`] at a given level.
    fn xor_at(out: &mut [u64], x: &[u64], y: &[u64]) {
        check_lengths(out.len(), &[x, y]);
        for (o, (x, y)) in out.iter_mut().zip(x.iter().zip(y)) {
            *o = x ^ y;
        }
    }
}

at_levels! {
    /// [`and_assign`] at a given level.
    fn and_assign_at(out: &mut [u64], x: &[u64], y: &[u64]) {
        check_lengths(out.len(), &[x, y]);
        for (o, (x, y)) in out.iter_mut().zip(x.iter().zip(y)) {
            *o ^= x & y;
        }
    }
}

at_levels! {
    /// [`negate_where`] at a given level.
    fn negate_where_at(out: &mut [u64], x: &[u64], bit: &[u64]) {
        check_lengths(out.len(), &[x, bit]);
        for (o, (x, bit)) in out.iter_mut().zip(x.iter().zip(bit)) {
            let negative = bit.wrapping_neg();
            *o = (x ^ negative).wrapping_sub(negative);
        }
    }
}

at_levels! {
    /// [`add_scaled`] at a given level.
    fn add_scaled_at(out: &mut [u64], x: &[u64], factor: u64) {
        check_lengths(out.len(), &[x]);
        for (o, x) in out.iter_mut().zip(x) {
            *o = o.wrapping_add(x.wrapping_mul(factor));
        }
    }
}

at_levels! {
    /// [`clear_low`] at a given level.
    fn clear_low_at(out: &mut [u64], bits: u32) {
        let kept = !0 << bits;
        for o in out {
            *o &= kept;
        }
    }
}

at_levels! {
    /// [`invert`] at a given level.
    fn invert_at(out: &mut [u64]) {
        for o in out {
            *o = !*o;
        }
    }
}

at_levels! {
    /// [`add_constant`] at a given level.
    fn add_constant_at(out: &mut [u64], value: u64) {
        for o in out {
            *o = o.wrapping_add(value);
        }
    }
}

at_levels! {
    /// [`scale_assign`] at a given level.
    fn scale_assign_at(out: &mut [u64], factor: u64) {
        for o in out {
            *o = o.wrapping_mul(factor);
        }
    }
}

at_levels! {
    /// [`shl_assign`] at a given level.
    fn shl_assign_at(out: &mut [u64], bits: u32) {
        assert!(bits < 64, "a shift is 0 to 63 bits, not {bits}");
        for o in out {
            *o <<= bits;
        }
    }
}

at_levels! {
    /// [`shr_logical`] at a given level.
    fn shr_logical_at(out: &mut [u64], bits: u32) {
        assert!(bits < 64, "a shift is 0 to 63 bits, not {bits}");
        for o in out {
            *o >>= bits;
        }
    }
}

fn check_lengths(expected: usize, slices: &[&[u64]]) {
    for slice in slices {
        assert_eq!(slice.len(), expected, "the slices must have the length of the output");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::level::Level;

    /// Words with many extreme values among them.
    fn words() -> impl Strategy<Value = [u64; 5]> {
        let word = prop_oneof![Just(0), Just(u64::MAX), Just(1 << 63), any::<u64>()];
        [word.clone(), word.clone(), word.clone(), word.clone(), word]
    }

    fn check(
        inputs: &[[u64; 5]],
        run: impl Fn(Level, &mut [u64], [&[u64]; 4]),
        one: impl Fn([u64; 5]) -> u64,
    ) {
        let column = |c: usize| inputs.iter().map(|row| row[c]).collect::<Vec<_>>();
        let (a, b, c, d) = (column(1), column(2), column(3), column(4));
        let expected: Vec<_> = inputs.iter().map(|row| one(*row)).collect();
        for level in Level::available() {
            let mut out = column(0);
            run(level, &mut out, [&a, &b, &c, &d]);
            assert_eq!(out, expected, "{level:?}");
        }
    }

    proptest! {
        #[test]
        fn every_level_agrees_with_the_formula(
            rows in proptest::collection::vec(words(), 0..70),
            factor: u64,
            bits in 0u32..64,
        ) {
            check(&rows, |l, o, [a, b, c, d]| and_shares_at(l, o, a, b, c, d),
                |[o, xm, xn, ym, yn]| o ^ (xm & ym) ^ (xm & yn) ^ (xn & ym));
            check(&rows, |l, o, [a, b, c, d]| mul_shares_at(l, o, a, b, c, d), |row| {
                let [_, xm, xn, ym, yn] = row.map(u128::from);
                ((xm * ym) % (1 << 64) + (xm * yn) % (1 << 64) + (xn * ym) % (1 << 64)) as u64
            });
            check(&rows, |l, o, [a, ..]| add_assign_at(l, o, a), |[o, x, ..]| o.wrapping_add(x));
            check(&rows, |l, o, [a, ..]| sub_assign_at(l, o, a), |[o, x, ..]| o.wrapping_sub(x));
            check(&rows, |l, o, [a, ..]| sub_from_at(l, o, a), |[o, x, ..]| x.wrapping_sub(o));
            check(&rows, |l, o, [a, ..]| xor_assign_at(l, o, a), |[o, x, ..]| o ^ x);
            check(&rows, |l, o, [a, b, ..]| xor_at(l, o, a, b), |[_, x, y, ..]| x ^ y);
            check(&rows, |l, o, [a, b, ..]| and_assign_at(l, o, a, b), |[o, x, y, ..]| o ^ x & y);
            let signed = |l: Level, o: &mut [u64], x: &[u64], y: &[u64]| {
                let bit: Vec<u64> = y.iter().map(|y| y & 1).collect();
                negate_where_at(l, o, x, &bit);
            };
            check(&rows, |l, o, [a, b, ..]| signed(l, o, a, b),
                |[_, x, y, ..]| if y & 1 == 1 { x.wrapping_neg() } else { x });
            check(&rows, |l, o, [a, ..]| add_scaled_at(l, o, a, factor),
                |[o, x, ..]| o.wrapping_add(x.wrapping_mul(factor)));
            check(&rows, |l, o, _| clear_low_at(l, o, bits), |[o, ..]| o >> bits << bits);
            check(&rows, |l, o, _| invert_at(l, o), |[o, ..]| !o);
            check(&rows, |l, o, _| add_constant_at(l, o, factor), |[o, ..]| o.wrapping_add(factor));
            check(&rows, |l, o, _| scale_assign_at(l, o, factor), |[o, ..]| o.wrapping_mul(factor));
            check(&rows, |l, o, _| shl_assign_at(l, o, bits), |[o, ..]| o << bits);
            check(&rows, |l, o, _| shr_logical_at(l, o, bits), |[o, ..]| o >> bits);
        }
    }

    #[test]
    #[should_panic(expected = "the slices must have the length of the output")]
    fn a_short_slice_panics() {
        add_assign(&mut [0; 4], &[0; 3]);
    }

    #[test]
    #[should_panic(expected = "a shift is 0 to 63 bits")]
    fn a_shift_by_the_whole_word_panics() {
        shl_assign(&mut [0; 4], 64);
    }
}
