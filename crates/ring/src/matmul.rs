//! Matrix products modulo 2^64.
//!
//! The product is cut into blocks that fit the caches and tiles that fit the registers, as in BLIS (Van Zee and van de Geijn,
//! "BLIS: A Framework for Rapidly Instantiating BLAS Functionality", 2015): both operands are copied into panels that a
//! kernel reads in order. Products with a vector skip the copying.

use std::cell::Cell;

use crate::level::{Level, level};

mod kernel;
mod packed;
mod vector;

/// A matrix seen through a slice; rows and columns may be swapped without moving a value.
#[derive(Clone, Copy)]
pub struct MatRef<'a> {
    data: &'a [u64],
    rows: usize,
    cols: usize,
    /// Whether `data` holds column after column.
    by_columns: bool,
}

impl<'a> MatRef<'a> {
    /// A row-major matrix.
    ///
    /// # Panics
    ///
    /// If `data` has not `rows * cols` values.
    pub fn new(data: &'a [u64], rows: usize, cols: usize) -> Self {
        let expected =
            rows.checked_mul(cols).expect("a matrix that fits in memory has a size that fits in a word");
        assert_eq!(
            data.len(),
            expected,
            "a {rows} x {cols} matrix has {expected} values, not {}",
            data.len()
        );
        Self { data, rows, cols, by_columns: false }
    }

    /// The transpose of the same values.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self { data: self.data, rows: self.cols, cols: self.rows, by_columns: !self.by_columns }
    }

    /// Number of rows.
    pub fn rows(self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(self) -> usize {
        self.cols
    }
}

/// `out += a * b` modulo 2^64; `out` is row-major with the rows of `a` and the columns of `b`.
///
/// # Panics
///
/// If the shapes do not fit together.
pub fn multiply_add(out: &mut [u64], a: MatRef, b: MatRef) {
    multiply_add_at(level(), out, a, b);
}

/// [`multiply_add`] at a given level.
///
/// # Panics
///
/// If the shapes do not fit together.
pub fn multiply_add_at(level: Level, out: &mut [u64], a: MatRef, b: MatRef) {
    multiply_add_sum(level, out, &[(a, b)]);
}

/// `out += a0 * b0 + a1 * b1` modulo 2^64, as one product with a longer inner dimension.
///
/// # Panics
///
/// If the shapes do not fit together; the two inner dimensions may differ.
pub fn multiply_add_pair(out: &mut [u64], a0: MatRef, b0: MatRef, a1: MatRef, b1: MatRef) {
    multiply_add_pair_at(level(), out, a0, b0, a1, b1);
}

/// [`multiply_add_pair`] at a given level.
///
/// # Panics
///
/// If the shapes do not fit together.
pub fn multiply_add_pair_at(level: Level, out: &mut [u64], a0: MatRef, b0: MatRef, a1: MatRef, b1: MatRef) {
    multiply_add_sum(level, out, &[(a0, b0), (a1, b1)]);
}

/// `out` plus the sum of the products of all terms.
fn multiply_add_sum(level: Level, out: &mut [u64], terms: &[(MatRef, MatRef)]) {
    let (rows, cols) = (terms[0].0.rows, terms[0].1.cols);
    for (a, b) in terms {
        assert_eq!(a.cols, b.rows, "a product of {} x {} by {} x {}", a.rows, a.cols, b.rows, b.cols);
        assert_eq!((a.rows, b.cols), (rows, cols), "the terms of a sum have one shape");
    }
    assert_eq!(out.len(), rows * cols, "the output of shape {rows} x {cols} has {} values", out.len());

    if out.is_empty() {
    } else if cols == 1 {
        for (a, b) in terms {
            vector::multiply_add(level, out, *a, b.data);
        }
    } else if rows == 1 {
        for (a, b) in terms {
            vector::multiply_add(level, out, b.transposed(), a.data);
        }
    } else {
        with_scratch(|scratch| packed::multiply_add(level, out, terms, scratch));
    }
}

/// Lends the panels' buffer of this thread. It grows to the largest product seen, at most 0.6 MB, and keeps what was in it.
fn with_scratch(run: impl FnOnce(&mut Vec<u64>)) {
    thread_local! {
        static SCRATCH: Cell<Vec<u64>> = const { Cell::new(Vec::new()) };
    }
    let mut scratch = SCRATCH.take();
    run(&mut scratch);
    SCRATCH.set(scratch);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(m: MatRef, row: usize, col: usize) -> u64 {
        m.data[if m.by_columns { col * m.rows + row } else { row * m.cols + col }]
    }

    fn naive(out: &mut [u64], a: MatRef, b: MatRef) {
        for i in 0..a.rows {
            for j in 0..b.cols {
                let o = &mut out[i * b.cols + j];
                *o = (0..a.cols).fold(*o, |sum, k| sum.wrapping_add(at(a, i, k).wrapping_mul(at(b, k, j))));
            }
        }
    }

    /// Values that make every carry visible, from a small generator.
    fn values(seed: u64, len: usize) -> Vec<u64> {
        let mut state = seed | 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state ^ (state >> 29)
        };
        let value = |x: u64| match x % 8 {
            0 => u64::MAX,
            1 => 1 << 63,
            2 => u64::from(u32::MAX),
            _ => x,
        };
        (0..len).map(|_| value(next())).collect()
    }

    fn matrix(data: &[u64], rows: usize, cols: usize, transposed: bool) -> MatRef<'_> {
        if transposed { MatRef::new(data, cols, rows).transposed() } else { MatRef::new(data, rows, cols) }
    }

    /// Compares every level, and both orders of both operands, with the definition.
    fn check(m: usize, k0: usize, k1: usize, n: usize) {
        let (a0, b0, a1, b1) = (values(1, m * k0), values(2, k0 * n), values(3, m * k1), values(4, k1 * n));
        let out = values(5, m * n);
        for orders in 0..4 {
            let (first, second) = (orders & 1 != 0, orders & 2 != 0);
            let (x0, y0) = (matrix(&a0, m, k0, first), matrix(&b0, k0, n, second));
            let (x1, y1) = (matrix(&a1, m, k1, second), matrix(&b1, k1, n, first));
            let mut single = out.clone();
            naive(&mut single, x0, y0);
            let mut pair = single.clone();
            naive(&mut pair, x1, y1);
            for level in Level::available() {
                let mut got = out.clone();
                multiply_add_at(level, &mut got, x0, y0);
                assert!(got == single, "{level:?}: {m} x {k0} x {n}, orders {orders}");
                let mut got = out.clone();
                multiply_add_pair_at(level, &mut got, x0, y0, x1, y1);
                assert!(got == pair, "{level:?}: {m} x ({k0} + {k1}) x {n}, orders {orders}");
            }
        }
    }

    #[test]
    fn shapes_around_the_sizes_of_tiles_and_blocks() {
        for m in [0, 1, 2, 7, 8, 9, 17] {
            for n in [0, 1, 2, 8, 15, 16, 17, 33] {
                for k in [0, 1, 2, 9] {
                    check(m, k, k / 2, n);
                }
            }
        }
        check(1, 600, 3, 70);
        check(70, 600, 3, 1);
        check(9, 520, 257, 18);
        check(130, 70, 200, 40);
        check(18, 10, 260, 530);
        check(301, 5, 6, 12);
        check(12, 5, 6, 1100);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_level_agrees_with_the_definition(
            m in 0usize..40, k0 in 0usize..60, k1 in 0usize..60, n in 0usize..40,
        ) {
            check(m, k0, k1, n);
        }
    }

    #[test]
    #[should_panic(expected = "a product of 2 x 3 by 2 x 2")]
    fn inner_dimensions_must_agree() {
        multiply_add(&mut [0; 4], MatRef::new(&[0; 6], 2, 3), MatRef::new(&[0; 4], 2, 2));
    }

    #[test]
    #[should_panic(expected = "a 2 x 3 matrix has 6 values, not 5")]
    fn a_matrix_needs_all_its_values() {
        MatRef::new(&[0; 5], 2, 3);
    }
}
