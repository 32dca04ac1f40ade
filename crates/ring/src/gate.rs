//! The element-wise steps of a truncation that lets a number pass or makes it 0.
//!
//! A number `z` in `[0, 2^63)` is `a + b` modulo 2^64, and the bit that lets it pass is `c XOR d`. One party knows `a` and `c`,
//! two others know `b` and `d`. The two have summands of what the one knows. With `w` for the wrap, `a + b = z + w 2^64`,
//! what passes is `(a >> bits) + (b >> bits) - w 2^(64 - bits)`; and `w` is 1 where the top bit of `a` or `b` is 1.
//!
//! Bits of many elements come as a plane: element `e` is bit `e % 64` of word `e / 64`. The bodies are plain loops that the
//! compiler vectorises for each [`Level`](crate::level::Level).

use crate::level::{at_levels, level};

/// What the one party has to share, and its own summand of the result.
#[derive(Debug)]
pub struct Known<'a> {
    /// `(1 - 2 c) A` with `A = (a >> bits) + offset`.
    pub signed: &'a mut [u64],
    /// `c`.
    pub bit: &'a mut [u64],
    /// The top bit of `a` where `c` is 1, otherwise 0.
    pub top_if_set: &'a mut [u64],
    /// The top bit of `a` where `c` is 0, otherwise 0.
    pub top_if_clear: &'a mut [u64],
    /// `c A`.
    pub own: &'a mut [u64],
}

/// A summand of what the one party has shared.
#[derive(Clone, Copy, Debug)]
pub struct Summands<'a> {
    /// Of `(1 - 2 c) A`.
    pub signed: &'a [u64],
    /// Of `c`.
    pub bit: &'a [u64],
    /// Of the top bit of `a` where `c` is 1; modulo `2^bits`.
    pub top_if_set: &'a [u64],
    /// Of the top bit of `a` where `c` is 0; modulo `2^bits`.
    pub top_if_clear: &'a [u64],
}

/// What the one party has to share, from `a` and the plane of `c`.
///
/// # Panics
///
/// If the slices differ in length, `plane` has not one bit for each element, or `bits` is not 1 to 63.
pub fn known_to_one(known: Known, a: &[u64], plane: &[u64], bits: u32, offset: u64) {
    assert!((1..64).contains(&bits), "a truncation of 1 to 63 bits, not {bits}");
    known_to_one_at(level(), known, a, plane, bits, offset);
}

/// The summand of the result that one of the two others computes, from `b` and the plane of `d`; exactly one of the two has
/// the `lead`.
///
/// # Panics
///
/// If the slices differ in length, `plane` has not one bit for each element, or `bits` is not 1 to 63.
pub fn known_to_two(out: &mut [u64], summands: Summands, b: &[u64], plane: &[u64], bits: u32, lead: bool) {
    assert!((1..64).contains(&bits), "a truncation of 1 to 63 bits, not {bits}");
    known_to_two_at(level(), out, summands, b, plane, bits, u64::from(lead));
}

at_levels! {
    /// [`known_to_one`] at a given level.
    fn known_to_one_at(known: Known, a: &[u64], plane: &[u64], bits: u32, offset: u64) {
        let n = a.len();
        let Known { signed, bit, top_if_set, top_if_clear, own } = known;
        check(n, &[signed, bit, top_if_set, top_if_clear, own], plane);
        let outs = signed.chunks_mut(64).zip(bit.chunks_mut(64)).zip(own.chunks_mut(64));
        let tops = top_if_set.chunks_mut(64).zip(top_if_clear.chunks_mut(64));
        for (((((signed, bit), own), (set, clear)), a), &word) in outs.zip(tops).zip(a.chunks(64)).zip(plane) {
            let n = a.len();
            let (signed, bit, own) = (&mut signed[..n], &mut bit[..n], &mut own[..n]);
            let (set, clear) = (&mut set[..n], &mut clear[..n]);
            for e in 0..n {
                let c = word >> e & 1;
                let negative = c.wrapping_neg();
                let shifted = (a[e] >> bits).wrapping_add(offset);
                signed[e] = (shifted ^ negative).wrapping_sub(negative);
                bit[e] = c;
                own[e] = shifted & negative;
                set[e] = a[e] >> 63 & c;
                clear[e] = a[e] >> 63 & !c;
            }
        }
    }
}

at_levels! {
    /// [`known_to_two`] at a given level, `lead` as a number.
    fn known_to_two_at(
        out: &mut [u64],
        summands: Summands,
        b: &[u64],
        plane: &[u64],
        bits: u32,
        lead: u64,
    ) {
        let n = out.len();
        let Summands { signed, bit, top_if_set, top_if_clear } = summands;
        check(n, &[signed, bit, top_if_set, top_if_clear, b], plane);
        for (at, (out, &word)) in out.chunks_mut(64).zip(plane).enumerate() {
            let n = out.len();
            let cut = |all| &<[u64]>::as_ref(all)[64 * at..64 * at + n];
            let (signed, bit, b) = (cut(signed), cut(bit), cut(b));
            let (set, clear) = (cut(top_if_set), cut(top_if_clear));
            for e in 0..n {
                let d = word >> e & 1;
                let negative = d.wrapping_neg();
                let shifted = b[e] >> bits;
                let top = (b[e] >> 63).wrapping_neg();
                // A summand of c XOR d.
                let passes = (bit[e] ^ negative).wrapping_sub(negative).wrapping_add(d * lead);
                let signed_shifted = (shifted ^ negative).wrapping_sub(negative);
                let number = (signed[e] & negative)
                    .wrapping_add(signed_shifted.wrapping_mul(bit[e]))
                    .wrapping_add(shifted & negative & lead.wrapping_neg());
                // The bit is c XOR d: it is 1 where c is 0 for d = 1, and where c is 1 for d = 0.
                let one_top = (clear[e] & negative) | (set[e] & !negative);
                let wrap = (passes & top) | (one_top & !top);
                out[e] = number.wrapping_sub(wrap << (64 - bits));
            }
        }
    }
}

fn check(expected: usize, slices: &[&[u64]], plane: &[u64]) {
    for slice in slices {
        assert_eq!(slice.len(), expected, "the slices must have one length");
    }
    assert_eq!(plane.len(), expected.div_ceil(64), "a plane has one bit for each element");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::level::Level;

    proptest! {
        /// Numbers, their first component, a bit in two parts, and the first summands of what is shared.
        #[test]
        fn what_passes_is_truncated_by_at_most_a_unit(
            rows in prop::collection::vec(any::<[u64; 6]>(), 1..200),
            bits in 1u32..62,
        ) {
            let column = |at: usize| rows.iter().map(|row| row[at]).collect::<Vec<_>>();
            let n = rows.len();
            let z: Vec<u64> = column(0).iter().map(|word| word >> 1 >> (word % 60)).collect();
            let a = column(1);
            let b: Vec<u64> = z.iter().zip(&a).map(|(z, a)| z.wrapping_sub(*a)).collect();
            let plane = |at: usize| (0..n.div_ceil(64)).map(|word| rows[word][at].rotate_left(9)).collect::<Vec<_>>();
            let (c, d) = (plane(2), plane(3));
            let bit = |plane: &[u64], e: usize| plane[e / 64] >> (e % 64) & 1;
            for level in Level::available() {
                let mut shared = vec![vec![0; n]; 5];
                let [signed, bits_of_c, set, clear, own] = &mut shared[..] else { unreachable!() };
                known_to_one_at(level, Known { signed, bit: bits_of_c, top_if_set: set, top_if_clear: clear, own }, &a, &c, bits, 0);
                let first: Vec<Vec<u64>> = (2..6).map(column).collect();
                let second: Vec<Vec<u64>> = (0..4)
                    .map(|i| shared[i].iter().zip(&first[i]).map(|(all, first)| all.wrapping_sub(*first)).collect())
                    .collect();
                let mut sum = shared[4].clone();
                for (summands, lead) in [(&first, 1), (&second, 0)] {
                    let mut out = vec![0; n];
                    let summands = Summands {
                        signed: &summands[0],
                        bit: &summands[1],
                        top_if_set: &summands[2],
                        top_if_clear: &summands[3],
                    };
                    known_to_two_at(level, &mut out, summands, &b, &d, bits, lead);
                    sum.iter_mut().zip(out).for_each(|(sum, out)| *sum = sum.wrapping_add(out));
                }
                for e in 0..n {
                    if bit(&c, e) ^ bit(&d, e) == 0 {
                        prop_assert_eq!(sum[e], 0, "{:?}", level);
                    } else {
                        let lacking = (z[e] >> bits).wrapping_sub(sum[e]);
                        prop_assert!(lacking <= 1, "{:?}: {} of {}", level, sum[e], z[e]);
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "the slices must have one length")]
    fn lengths_are_checked() {
        let summands = Summands { signed: &[0], bit: &[0], top_if_set: &[0], top_if_clear: &[] };
        known_to_two(&mut [0], summands, &[0], &[0], 1, true);
    }
}
