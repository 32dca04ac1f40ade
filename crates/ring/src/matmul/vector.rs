//! Products of a matrix and a vector: every value of the matrix is used once, so nothing is copied.

use super::MatRef;
use crate::level::{Level, at_levels};

/// Values of the output that stay in the first-level cache while columns are added to them.
const BLOCK: usize = 1024;

/// `out = a * x` for a replicated matrix and a replicated vector, by the plain formula: reading the matrix takes longer than
/// multiplying, so that fewer multiplications save no time.
pub(super) fn multiply(level: Level, out: &mut [u64], a: MatRef, x: MatRef) {
    out.fill(0);
    let sum: Vec<u64> = x.mine.iter().zip(x.next).map(|(mine, next)| mine.wrapping_add(*next)).collect();
    for (a_component, x) in [(a.mine, &sum[..]), (a.next, x.mine)] {
        if x.is_empty() {
        } else if a.by_columns {
            add_columns(level, out, a_component, x);
        } else {
            add_dots(level, out, a_component, x);
        }
    }
}

at_levels! {
    /// Row after row: each output is a dot product.
    fn add_dots(out: &mut [u64], rows: &[u64], x: &[u64]) {
        for (o, row) in out.iter_mut().zip(rows.chunks_exact(x.len())) {
            *o = row.iter().zip(x).fold(*o, |sum, (r, x)| sum.wrapping_add(r.wrapping_mul(*x)));
        }
    }
}

at_levels! {
    /// Column after column, four at a time: each is scaled and added to the output.
    fn add_columns(out: &mut [u64], columns: &[u64], x: &[u64]) {
        let rows = out.len();
        for (start, out) in (0..).step_by(BLOCK).zip(out.chunks_mut(BLOCK)) {
            let n = out.len();
            let column = |k: usize| &columns[k * rows + start..][..n];
            let (fours, _) = x.as_chunks::<4>();
            for (k, x) in (0..).step_by(4).zip(fours) {
                let (c0, c1, c2, c3) = (column(k), column(k + 1), column(k + 2), column(k + 3));
                for i in 0..n {
                    let first = c0[i].wrapping_mul(x[0]).wrapping_add(c1[i].wrapping_mul(x[1]));
                    let second = c2[i].wrapping_mul(x[2]).wrapping_add(c3[i].wrapping_mul(x[3]));
                    out[i] = out[i].wrapping_add(first).wrapping_add(second);
                }
            }
            for (k, x) in x.iter().enumerate().skip(4 * fours.len()) {
                for (o, c) in out.iter_mut().zip(column(k)) {
                    *o = o.wrapping_add(c.wrapping_mul(*x));
                }
            }
        }
    }
}
