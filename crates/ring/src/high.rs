//! The high bits of words as 32-bit numbers, two in a word, for what waits until it is needed.

use crate::level::{at_levels, level};

/// Words that hold so many 32-bit numbers.
pub fn high_words(len: usize) -> usize {
    len.div_ceil(2)
}

/// Takes 32 bits from bit `low` on of `x[e] + y[e] + constant`, or of `x[e] + constant`; the word has zeros on top.
///
/// # Panics
///
/// If `out` has not [`high_words`]`(x.len())` words, `y` has another length than `x`, or `low` is above 63.
pub fn take_high(out: &mut [u64], x: &[u64], y: Option<&[u64]>, constant: u64, low: u32) {
    assert_eq!(out.len(), high_words(x.len()), "two numbers in a word");
    assert!(low < 64, "a number begins at one of the bits 0 to 63, not at {low}");
    let out = &mut bytemuck::cast_slice_mut::<u64, u32>(out)[..x.len()];
    match y {
        Some(y) => take_sum_at(level(), out, x, y, constant, low),
        None => take_at(level(), out, x, constant, low),
    }
}

/// Writes the numbers, shifted up by `up` bits, to words.
///
/// # Panics
///
/// If `high` has not [`high_words`]`(out.len())` words, or `up` is above 32.
pub fn give_high(out: &mut [u64], high: &[u64], up: u32) {
    assert_eq!(high.len(), high_words(out.len()), "two numbers in a word");
    assert!(up <= 32, "a number is shifted by at most 32 bits, not {up}");
    let high = &bytemuck::cast_slice::<u64, u32>(high)[..out.len()];
    give_at(level(), out, high, up);
}

at_levels! {
    fn take_sum_at(out: &mut [u32], x: &[u64], y: &[u64], constant: u64, low: u32) {
        assert_eq!(x.len(), y.len(), "summands have one length");
        for (o, (x, y)) in out.iter_mut().zip(x.iter().zip(y)) {
            *o = (x.wrapping_add(*y).wrapping_add(constant) >> low) as u32;
        }
    }
}

at_levels! {
    fn take_at(out: &mut [u32], x: &[u64], constant: u64, low: u32) {
        for (o, x) in out.iter_mut().zip(x) {
            *o = (x.wrapping_add(constant) >> low) as u32;
        }
    }
}

at_levels! {
    fn give_at(out: &mut [u64], high: &[u32], up: u32) {
        for (o, high) in out.iter_mut().zip(high) {
            *o = u64::from(*high) << up;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::level::Level;

    proptest! {
        #[test]
        fn what_is_taken_is_given(
            words in prop::collection::vec(any::<[u64; 2]>(), 0..200),
            constant: u64,
            low in 0u32..64,
            up in 0u32..=32,
        ) {
            let (x, y): (Vec<u64>, Vec<u64>) = words.iter().map(|[x, y]| (*x, *y)).unzip();
            let number = |sum: u64| u64::from((sum.wrapping_add(constant) >> low) as u32) << up;
            for (y, expected) in [
                (Some(&*y), words.iter().map(|[x, y]| number(x.wrapping_add(*y))).collect::<Vec<_>>()),
                (None, x.iter().map(|x| number(*x)).collect()),
            ] {
                let mut high = vec![0; high_words(x.len())];
                take_high(&mut high, &x, y, constant, low);
                let mut out = vec![0; x.len()];
                give_high(&mut out, &high, up);
                prop_assert_eq!(out, expected);
            }
        }

        #[test]
        fn every_level_agrees(words in prop::collection::vec(any::<[u64; 2]>(), 0..200), low in 0u32..64) {
            let (x, y): (Vec<u64>, Vec<u64>) = words.iter().map(|[x, y]| (*x, *y)).unzip();
            let run = |level| {
                let (mut sums, mut alone) = (vec![0; x.len()], vec![0; x.len()]);
                take_sum_at(level, &mut sums, &x, &y, 5, low);
                take_at(level, &mut alone, &x, 5, low);
                let mut out = vec![0; x.len()];
                give_at(level, &mut out, &sums, 3);
                (sums, alone, out)
            };
            let expected = run(Level::Scalar);
            for level in Level::available() {
                prop_assert_eq!(&run(level), &expected, "{:?}", level);
            }
        }
    }

    #[test]
    #[should_panic(expected = "two numbers in a word")]
    fn too_little_room() {
        take_high(&mut [0], &[1, 2, 3], None, 0, 0);
    }
}
