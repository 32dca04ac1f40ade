//! Products of replicated matrices modulo 2^64, as far as a party computes them alone.
//!
//! The two components of each operand are converted so that one product of the given shape is left, where the plain formula has
//! two (module `convert`). It is cut into blocks that fit the caches and tiles that fit the registers, as in BLIS (Van Zee and van
//! de Geijn, "BLIS: A Framework for Rapidly Instantiating BLAS Functionality", 2015): both operands are converted into panels
//! that a kernel reads in order. Products with a vector skip the conversion. Where the processor multiplies tiles of bytes, large
//! products have panels and kernels of another kind (module `amx`).

use std::cell::Cell;

use crate::level::{Level, level};

#[cfg(target_arch = "x86_64")]
mod amx;
mod convert;
mod kernel;
mod packed;
mod vector;

/// A replicated matrix as a party holds it: two components, seen through slices. Rows and columns may be swapped without moving
/// a value.
#[derive(Clone, Copy)]
pub struct MatRef<'a> {
    mine: &'a [u64],
    next: &'a [u64],
    rows: usize,
    cols: usize,
    /// Whether the slices hold column after column.
    by_columns: bool,
}

impl<'a> MatRef<'a> {
    /// A matrix whose components `i` ("mine") and `i + 1` ("next") are row-major.
    ///
    /// # Panics
    ///
    /// If a component has not `rows * cols` values.
    pub fn new(mine: &'a [u64], next: &'a [u64], rows: usize, cols: usize) -> Self {
        let expected =
            rows.checked_mul(cols).expect("a matrix that fits in memory has a size that fits in a word");
        for len in [mine.len(), next.len()] {
            assert_eq!(len, expected, "a {rows} x {cols} matrix has {expected} values, not {len}");
        }
        Self { mine, next, rows, cols, by_columns: false }
    }

    /// The transpose of the same values.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self { rows: self.cols, cols: self.rows, by_columns: !self.by_columns, ..self }
    }

    /// Number of rows.
    pub fn rows(self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(self) -> usize {
        self.cols
    }

    /// Where a value lies in the slices.
    fn at(self, row: usize, col: usize) -> usize {
        if self.by_columns { col * self.rows + row } else { row * self.cols + col }
    }
}

/// Writes this party's summand of the product `x * y` to `out`, which is row-major with the rows of `x` and the columns of `y`.
///
/// The summands of the three parties add up to the product modulo 2^64. One party's alone means nothing; another version of this
/// function may split the product in another way.
///
/// # Panics
///
/// If the shapes do not fit together.
pub fn multiply(out: &mut [u64], x: MatRef, y: MatRef) {
    multiply_at(level(), out, x, y);
}

/// [`multiply`] at a given level.
///
/// # Panics
///
/// If the shapes do not fit together.
pub fn multiply_at(level: Level, out: &mut [u64], x: MatRef, y: MatRef) {
    assert_eq!(x.cols, y.rows, "a product of {} x {} by {} x {}", x.rows, x.cols, y.rows, y.cols);
    let (rows, cols) = (x.rows, y.cols);
    assert_eq!(out.len(), rows * cols, "the output of shape {rows} x {cols} has {} values", out.len());

    if out.is_empty() {
    } else if cols == 1 {
        vector::multiply(level, out, x, y);
    } else if rows == 1 {
        vector::multiply(level, out, y.transposed(), x);
    } else {
        with_scratch(|scratch| packed::multiply(level, out, x, y, scratch));
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

    /// The three parties' views of one matrix, and the matrix itself, row-major.
    struct Shared {
        components: [Vec<u64>; 3],
        rows: usize,
        cols: usize,
        transposed: bool,
    }

    impl Shared {
        fn new(seed: u64, rows: usize, cols: usize, transposed: bool) -> Self {
            let components = [0, 1, 2].map(|component| values(3 * seed + component, rows * cols));
            Self { components, rows, cols, transposed }
        }

        fn of_party(&self, party: usize) -> MatRef<'_> {
            let (mine, next) = (&self.components[party], &self.components[(party + 1) % 3]);
            if self.transposed {
                MatRef::new(mine, next, self.cols, self.rows).transposed()
            } else {
                MatRef::new(mine, next, self.rows, self.cols)
            }
        }

        fn at(&self, row: usize, col: usize) -> u64 {
            let at = if self.transposed { col * self.rows + row } else { row * self.cols + col };
            self.components.iter().fold(0, |sum, component| sum.wrapping_add(component[at]))
        }
    }

    fn naive(out: &mut [u64], x: &Shared, y: &Shared) {
        for i in 0..x.rows {
            for j in 0..y.cols {
                let o = &mut out[i * y.cols + j];
                *o = (0..x.cols).fold(*o, |sum, k| sum.wrapping_add(x.at(i, k).wrapping_mul(y.at(k, j))));
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

    /// Compares every level, and both orders of both operands, with the definition.
    fn check(m: usize, k: usize, n: usize) {
        let out = values(1, m * n);
        for orders in 0..4 {
            let x = Shared::new(1, m, k, orders & 1 != 0);
            let y = Shared::new(2, k, n, orders & 2 != 0);
            let mut expected = vec![0; m * n];
            naive(&mut expected, &x, &y);
            for level in Level::available() {
                let mut got = vec![0_u64; m * n];
                for party in 0..3 {
                    let mut summand = out.clone();
                    multiply_at(level, &mut summand, x.of_party(party), y.of_party(party));
                    got.iter_mut().zip(summand).for_each(|(sum, summand)| *sum = sum.wrapping_add(summand));
                }
                assert!(got == expected, "{level:?}: {m} x {k} x {n}, orders {orders}");
            }
        }
    }

    #[test]
    fn shapes_around_the_sizes_of_tiles_and_blocks() {
        for m in [0, 1, 2, 7, 8, 9, 17] {
            for n in [0, 1, 2, 8, 15, 16, 17, 33] {
                for k in [0, 1, 2, 3, 6, 13] {
                    check(m, k, n);
                }
            }
        }
        check(1, 603, 70);
        check(70, 603, 1);
        check(9, 777, 18);
        check(130, 270, 40);
        check(18, 258, 530);
        check(301, 11, 12);
        check(12, 11, 1100);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_level_agrees_with_the_definition(m in 0usize..40, k in 0usize..120, n in 0usize..40) {
            check(m, k, n);
        }
    }

    #[test]
    #[should_panic(expected = "a product of 2 x 3 by 2 x 2")]
    fn inner_dimensions_must_agree() {
        let (x, y) = ([0; 6], [0; 4]);
        multiply(&mut [0; 4], MatRef::new(&x, &x, 2, 3), MatRef::new(&y, &y, 2, 2));
    }

    #[test]
    #[should_panic(expected = "a 2 x 3 matrix has 6 values, not 5")]
    fn a_matrix_needs_all_its_values() {
        MatRef::new(&[0; 6], &[0; 5], 2, 3);
    }
}
