//! The kernel against the scalar one.

use std::thread;

use proptest::prelude::*;

use super::super::multiply_at;
use super::*;
use crate::level::Level;

/// A component of a matrix or an output.
fn words(seed: u64, len: usize) -> Vec<u64> {
    let mut state = seed;
    let next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state ^ (state >> 29)
    };
    core::iter::repeat_with(next).take(len).collect()
}

fn matrix(components: &[Vec<u64>; 2], rows: usize, cols: usize, by_columns: bool) -> MatRef<'_> {
    let [mine, next] = components;
    if by_columns {
        MatRef::new(mine, next, cols, rows).transposed()
    } else {
        MatRef::new(mine, next, rows, cols)
    }
}

/// Compares this kernel, whatever the size, with the scalar one, for both orders of both operands. The summands of one party
/// must agree, since the parties' processors may differ.
fn check(m: usize, k: usize, n: usize, word: impl Fn(u64, usize) -> Vec<u64>) {
    if Level::best() < Level::Amx {
        return;
    }
    let (x, y) = ([word(1, m * k), word(2, m * k)], [word(3, k * n), word(4, k * n)]);
    let out = word(5, m * n);
    for orders in 0..4 {
        let (x, y) = (matrix(&x, m, k, orders & 1 != 0), matrix(&y, k, n, orders & 2 != 0));
        let (mut expected, mut got) = (out.clone(), out.clone());
        multiply_at(Level::Scalar, &mut expected, x, y);
        // SAFETY: the processor has the instructions of its best level.
        unsafe { multiply(&mut got, x, y, &mut Vec::new()) };
        assert!(got == expected, "{m} x {k} x {n}, orders {orders}");
    }
}

#[test]
fn shapes_around_the_sizes_of_tiles_and_blocks() {
    for m in [2, 7, 8, 9, 15, 16, 17, 33] {
        for n in [2, 8, 15, 16, 17, 33] {
            for k in [0, 1, 2, 3, 63, 64, 65, 129] {
                check(m, k, n, words);
            }
        }
    }
    check(5, DEPTH * STEPS, 5, words);
    check(5, DEPTH * STEPS + 1, 5, words);
    check(18, 3 * DEPTH * STEPS - 1, 20, words);
    check(3, 70, COLS, words);
    check(17, 200, COLS + 1, words);
    check(2, 9, 2 * COLS + 77, words);
}

#[test]
fn the_greatest_limbs_do_not_overflow() {
    for (m, k, n) in [(16, 64, 16), (17, 257, 19), (16, 1024, 16)] {
        check(m, k, n, |_, len| vec![u64::MAX; len]);
        // Converted, all of the bytes of both operands are 255.
        check(m, k, n, |seed, len| match seed {
            1 | 4 => vec![0; len],
            _ => vec![u64::MAX; len],
        });
        check(m, k, n, |seed, len| vec![if seed % 2 == 0 { 1 << 63 } else { u64::MAX >> 1 }; len]);
    }
}

#[test]
fn threads_have_tiles_of_their_own() {
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for k in 60..80 {
                    check(33, k, 31, words);
                }
            });
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn agrees_with_plain_rust(m in 2usize..40, k in 0usize..300, n in 2usize..40, seed: u64) {
        check(m, k, n, |component, len| words(seed ^ component, len));
    }
}
