//! The blocked product: panels, blocks, and the order in which tiles are computed. Operands are converted where they are copied.

#![expect(clippy::inline_always, reason = "inlined functions take on the features of the shell around them")]

use core::array;
use core::ops::Range;

use super::MatRef;
use super::convert::{Factor, First, Second};
use super::kernel::{Kernel, MAX_ROWS, MAX_TILE, Portable};
use crate::level::Level;

/// Most pairs of steps of the inner dimension in a block.
const PAIRS: usize = 128;

/// Most columns of a block.
const COLS: usize = 256;

/// `out = x * y` for replicated matrices; no dimension of `out` is zero.
pub(super) fn multiply(level: Level, out: &mut [u64], x: MatRef, y: MatRef, scratch: &mut Vec<u64>) {
    let level = level.clamped();
    #[cfg(target_arch = "x86_64")]
    if level == Level::Amx && super::amx::gains(x, y) {
        // SAFETY: a clamped level is one that the processor has.
        return unsafe { super::amx::multiply(out, x, y, scratch) };
    }
    out.fill(0);
    match level {
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Amx | Level::Avx512 => unsafe { avx512(out, x, y, scratch) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { avx2(out, x, y, scratch) },
        _ => orient(Portable, out, x, y, scratch),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi2,avx512f,avx512dq,avx512bw,avx512vl")]
fn avx512(out: &mut [u64], x: MatRef, y: MatRef, scratch: &mut Vec<u64>) {
    // SAFETY: this function is only entered on processors with these instructions.
    orient(unsafe { super::kernel::Avx512::assume() }, out, x, y, scratch);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi2")]
fn avx2(out: &mut [u64], x: MatRef, y: MatRef, scratch: &mut Vec<u64>) {
    // SAFETY: this function is only entered on processors with these instructions.
    orient(unsafe { super::kernel::Avx2::assume() }, out, x, y, scratch);
}

/// Computes the transpose of the product where that leaves fewer lanes of the kernel idle: the columns of a tile are filled up
/// to whole vectors, its rows are not.
#[inline(always)]
fn orient<K: Kernel>(kernel: K, out: &mut [u64], x: MatRef, y: MatRef, scratch: &mut Vec<u64>) {
    let padded = |rows: usize, cols: usize| rows * cols.next_multiple_of(K::LANES);
    if padded(x.rows, y.cols) <= padded(y.cols, x.rows) {
        blocks::<K, First, Second, false>(kernel, out, x, y, scratch);
    } else {
        blocks::<K, Second, First, true>(kernel, out, y.transposed(), x.transposed(), scratch);
    }
}

/// The product block by block; `L` and `R` are what the operands are converted to, `SWAPPED` says that `out` is the transpose.
#[inline(always)]
fn blocks<K: Kernel, L: Factor, R: Factor, const SWAPPED: bool>(
    kernel: K,
    out: &mut [u64],
    x: MatRef,
    y: MatRef,
    scratch: &mut Vec<u64>,
) {
    let (m, n) = (x.rows, y.cols);
    let all_pairs = 0..x.cols.div_ceil(2);
    let stride = if SWAPPED { m } else { n };
    let deepest = 2 * PAIRS.min(all_pairs.len());
    let (left, right) = buffers(scratch, K::ROWS.min(m) * deepest, deepest * (COLS.min(n) + K::LANES));
    for cols in even_parts(0..n, COLS) {
        for pairs in even_parts(all_pairs.clone(), PAIRS) {
            let depth = 2 * pairs.len();
            for lanes in parts(cols.clone(), K::VECTORS * K::LANES) {
                let width = lanes.len().next_multiple_of(K::LANES);
                let panel = &mut right[(lanes.start - cols.start) * depth..][..width * depth];
                pack::<K, R>(kernel, panel, width, &lanes, &pairs, y.transposed());
            }
            for rows in parts(0..m, K::ROWS) {
                let left = &mut left[..rows.len() * depth];
                pack::<K, L>(kernel, left, rows.len(), &rows, &pairs, x);
                for lanes in parts(cols.clone(), K::VECTORS * K::LANES) {
                    let width = lanes.len().next_multiple_of(K::LANES);
                    let right = &right[(lanes.start - cols.start) * depth..][..width * depth];
                    let vectors = width / K::LANES;
                    if !SWAPPED && lanes.len() == width {
                        let out = &mut out[rows.start * stride + lanes.start..];
                        kernel.tile(rows.len(), vectors, left, right, out, stride);
                        continue;
                    }
                    let mut tile = [0; MAX_TILE];
                    kernel.tile(rows.len(), vectors, left, right, &mut tile, width);
                    if SWAPPED {
                        add_transposed(kernel, out, stride, &rows, &lanes, &tile, width);
                    } else {
                        add(out, stride, &rows, &lanes, &tile, width);
                    }
                }
            }
        }
    }
}

/// Splits a range into parts of a given length and a shorter last one.
pub(super) fn parts(range: Range<usize>, length: usize) -> impl Iterator<Item = Range<usize>> {
    range.clone().step_by(length).map(move |start| start..range.end.min(start + length))
}

/// Splits a range into parts of nearly equal length, none longer than `most`.
pub(super) fn even_parts(range: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let count = range.len().div_ceil(most);
    let at = move |i: usize| range.start + range.len() * i / count;
    (0..count).map(move |i| at(i)..at(i + 1))
}

/// Converts some lanes (rows) of a matrix for some pairs of steps (columns), so that the values of one step lie together, `width`
/// apart. Lanes beyond the given ones become zero.
#[inline(always)]
fn pack<K: Kernel, F: Factor>(
    kernel: K,
    panel: &mut [u64],
    width: usize,
    lanes: &Range<usize>,
    pairs: &Range<usize>,
    matrix: MatRef,
) {
    if lanes.len() < width {
        panel.fill(0);
    }
    let whole = pairs.start..pairs.end.min(matrix.cols / 2);
    let (panel, last) = panel.split_at_mut(2 * whole.len() * width);
    if matrix.by_columns {
        convert_columns::<F>(panel, width, lanes, &whole, matrix);
    } else {
        convert_rows::<K, F>(kernel, panel, width, lanes, &whole, matrix);
    }
    if whole.end < pairs.end {
        // The inner dimension is odd: a zero completes its last pair.
        for lane in 0..lanes.len() {
            let at = matrix.at(lanes.start + lane, matrix.cols - 1);
            [last[lane], last[width + lane]] = F::convert([matrix.mine[at], 0], [matrix.next[at], 0]);
        }
    }
}

/// Converts pairs of columns. Four lanes at a time become vector instructions.
#[inline(always)]
fn convert_columns<F: Factor>(
    panel: &mut [u64],
    width: usize,
    lanes: &Range<usize>,
    pairs: &Range<usize>,
    matrix: MatRef,
) {
    for (pair, values) in pairs.clone().zip(panel.chunks_exact_mut(2 * width)) {
        let column = 2 * pair * matrix.rows;
        let [m0, m1, n0, n1] = [
            &matrix.mine[column..][lanes.clone()],
            &matrix.mine[column + matrix.rows..][lanes.clone()],
            &matrix.next[column..][lanes.clone()],
            &matrix.next[column + matrix.rows..][lanes.clone()],
        ]
        .map(|column| column.as_chunks::<4>());
        let (values0, values1) = values.split_at_mut(width);
        let (fours0, rest0) = values0[..lanes.len()].as_chunks_mut::<4>();
        let (fours1, rest1) = values1[..lanes.len()].as_chunks_mut::<4>();
        let sources = m0.0.iter().zip(m1.0).zip(n0.0.iter().zip(n1.0));
        for ((four0, four1), ((m0, m1), (n0, n1))) in fours0.iter_mut().zip(fours1).zip(sources) {
            let four: [_; 4] = array::from_fn(|i| F::convert([m0[i], m1[i]], [n0[i], n1[i]]));
            (*four0, *four1) = (four.map(|[value, _]| value), four.map(|[_, value]| value));
        }
        for i in 0..rest0.len() {
            [rest0[i], rest1[i]] = F::convert([m0.1[i], m1.1[i]], [n0.1[i], n1.1[i]]);
        }
    }
}

/// Converts rows, which become lanes.
#[inline(always)]
fn convert_rows<K: Kernel, F: Factor>(
    kernel: K,
    panel: &mut [u64],
    width: usize,
    lanes: &Range<usize>,
    pairs: &Range<usize>,
    matrix: MatRef,
) {
    let row = |lane: usize| {
        let row = (lanes.start + lane) * matrix.cols;
        let steps = row + 2 * pairs.start..row + 2 * pairs.end;
        [&matrix.mine[steps.clone()], &matrix.next[steps]]
    };
    let fours = if pairs.len() < 2 { 0 } else { lanes.len() / 4 * 4 };
    for lane in (0..fours).step_by(4) {
        let rows = [row(lane), row(lane + 1), row(lane + 2), row(lane + 3)];
        kernel.convert::<F>(rows.map(|row| row[0]), rows.map(|row| row[1]), &mut panel[lane..], width);
    }
    for lane in 0..lanes.len() {
        let [mine, next] = row(lane).map(|row| row.as_chunks().0);
        let done = if lane < fours { pairs.len() / 2 * 2 } else { 0 };
        for pair in done..pairs.len() {
            let [value0, value1] = F::convert(mine[pair], next[pair]);
            panel[2 * pair * width + lane] = value0;
            panel[(2 * pair + 1) * width + lane] = value1;
        }
    }
}

/// Adds the tile to its place in `out`.
#[inline(always)]
fn add(
    out: &mut [u64],
    stride: usize,
    rows: &Range<usize>,
    cols: &Range<usize>,
    tile: &[u64; MAX_TILE],
    width: usize,
) {
    for (row, sums) in rows.clone().zip(tile.chunks_exact(width)) {
        add_slices(&mut out[row * stride..][cols.clone()], &sums[..cols.len()]);
    }
}

/// Adds the transpose of the tile to its place in `out`.
#[inline(always)]
fn add_transposed<K: Kernel>(
    kernel: K,
    out: &mut [u64],
    stride: usize,
    rows: &Range<usize>,
    cols: &Range<usize>,
    tile: &[u64; MAX_TILE],
    width: usize,
) {
    let mut turned = [0; MAX_TILE];
    for lane in (0..cols.len()).step_by(4) {
        for row in (0..rows.len()).step_by(4) {
            let values = |i: usize| tile[(row + i) * width + lane..].first_chunk::<4>();
            if let (Some(a), Some(b), Some(c), Some(d)) = (values(0), values(1), values(2), values(3)) {
                kernel.transpose([a, b, c, d], &mut turned[lane * MAX_ROWS + row..], MAX_ROWS);
            }
        }
    }
    for (col, sums) in cols.clone().zip(turned.chunks_exact(MAX_ROWS)) {
        add_slices(&mut out[col * stride..][rows.clone()], &sums[..rows.len()]);
    }
}

#[inline(always)]
fn add_slices(out: &mut [u64], sums: &[u64]) {
    let (out, out_rest) = out.as_chunks_mut::<4>();
    let (sums, sums_rest) = sums.as_chunks::<4>();
    for (out, sums) in out.iter_mut().zip(sums) {
        *out = array::from_fn(|i| out[i].wrapping_add(sums[i]));
    }
    for (out, sum) in out_rest.iter_mut().zip(sums_rest) {
        *out = out.wrapping_add(*sum);
    }
}

/// Two slices of these lengths in a buffer that only grows, at the start of a cache line.
pub(super) fn buffers(scratch: &mut Vec<u64>, left: usize, right: usize) -> (&mut [u64], &mut [u64]) {
    const LINE: usize = 8;
    let left = left.next_multiple_of(LINE);
    if scratch.len() < left + right + LINE {
        scratch.resize(left + right + LINE, 0);
    }
    let skip = scratch.as_ptr().align_offset(LINE * size_of::<u64>()).min(LINE);
    let (left, rest) = scratch[skip..].split_at_mut(left);
    (left, &mut rest[..right])
}
