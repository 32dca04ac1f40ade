//! The blocked product: panels, blocks, and the order in which tiles are computed.

#![expect(clippy::inline_always, reason = "inlined functions take on the features of the shell around them")]

use core::array;
use core::ops::Range;

use super::MatRef;
use super::kernel::{Kernel, MAX_ROWS, MAX_TILE, Portable};
use crate::level::Level;

/// Most steps of the inner dimension in a block.
const INNER: usize = 256;

/// Most columns of a block.
const COLS: usize = 256;

/// `out` plus the sum of the products of one or two terms; no dimension of `out` is zero.
pub(super) fn multiply_add(
    level: Level,
    out: &mut [u64],
    terms: &[(MatRef, MatRef)],
    scratch: &mut Vec<u64>,
) {
    match level.clamped() {
        // SAFETY: a clamped level is one that the processor has.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { avx512(out, terms, scratch) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { avx2(out, terms, scratch) },
        _ => orient(Portable, out, terms, scratch),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi2,avx512f,avx512dq,avx512bw,avx512vl")]
fn avx512(out: &mut [u64], terms: &[(MatRef, MatRef)], scratch: &mut Vec<u64>) {
    // SAFETY: this function is only entered on processors with these instructions.
    orient(unsafe { super::kernel::Avx512::assume() }, out, terms, scratch);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi2")]
fn avx2(out: &mut [u64], terms: &[(MatRef, MatRef)], scratch: &mut Vec<u64>) {
    // SAFETY: this function is only entered on processors with these instructions.
    orient(unsafe { super::kernel::Avx2::assume() }, out, terms, scratch);
}

/// Computes the transpose of the product where that leaves fewer lanes of the kernel idle: the columns of a tile are filled up
/// to whole vectors, its rows are not.
#[inline(always)]
fn orient<K: Kernel>(kernel: K, out: &mut [u64], terms: &[(MatRef, MatRef)], scratch: &mut Vec<u64>) {
    let (m, n) = (terms[0].0.rows, terms[0].1.cols);
    let padded = |rows: usize, cols: usize| rows * cols.next_multiple_of(K::LANES);
    if padded(m, n) <= padded(n, m) {
        blocks::<K, false>(kernel, out, terms, scratch);
    } else if let [first, second] = *terms {
        blocks::<K, true>(kernel, out, &[swapped(first), swapped(second)], scratch);
    } else {
        blocks::<K, true>(kernel, out, &[swapped(terms[0])], scratch);
    }
}

/// The factors of the transposed product.
fn swapped<'a>((a, b): (MatRef<'a>, MatRef<'a>)) -> (MatRef<'a>, MatRef<'a>) {
    (b.transposed(), a.transposed())
}

/// The product block by block; `SWAPPED` if `out` is its transpose.
#[inline(always)]
fn blocks<K: Kernel, const SWAPPED: bool>(
    kernel: K,
    out: &mut [u64],
    terms: &[(MatRef, MatRef)],
    scratch: &mut Vec<u64>,
) {
    let (m, n) = (terms[0].0.rows, terms[0].1.cols);
    let inner: usize = terms.iter().map(|(a, _)| a.cols).sum();
    let stride = if SWAPPED { m } else { n };
    let (left, right) =
        buffers(scratch, K::ROWS.min(m) * INNER.min(inner), INNER.min(inner) * (COLS.min(n) + K::LANES));
    for cols in even_parts(0..n, COLS) {
        for steps in even_parts(0..inner, INNER) {
            let depth = steps.len();
            for lanes in parts(cols.clone(), K::VECTORS * K::LANES) {
                let width = lanes.len().next_multiple_of(K::LANES);
                let panel = &mut right[(lanes.start - cols.start) * depth..][..width * depth];
                pack(kernel, panel, width, &lanes, &steps, terms.iter().map(|(_, b)| b.transposed()));
            }
            for rows in parts(0..m, K::ROWS) {
                let left = &mut left[..rows.len() * depth];
                pack(kernel, left, rows.len(), &rows, &steps, terms.iter().map(|(a, _)| *a));
                for lanes in parts(cols.clone(), K::VECTORS * K::LANES) {
                    let width = lanes.len().next_multiple_of(K::LANES);
                    let right = &right[(lanes.start - cols.start) * depth..][..width * depth];
                    let mut tile = [0; MAX_TILE];
                    kernel.tile(rows.len(), width / K::LANES, left, right, &mut tile);
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
fn parts(range: Range<usize>, length: usize) -> impl Iterator<Item = Range<usize>> {
    range.clone().step_by(length).map(move |start| start..range.end.min(start + length))
}

/// Splits a range into parts of nearly equal length, none longer than `most`.
fn even_parts(range: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let count = range.len().div_ceil(most);
    let at = move |i: usize| range.start + range.len() * i / count;
    (0..count).map(move |i| at(i)..at(i + 1))
}

/// Copies the part `lanes` x `steps` of some matrices side by side, so that the values of one step lie together, `width` apart.
/// Lanes beyond the given ones become zero.
#[inline(always)]
fn pack<'a, K: Kernel>(
    kernel: K,
    panel: &mut [u64],
    width: usize,
    lanes: &Range<usize>,
    steps: &Range<usize>,
    matrices: impl Iterator<Item = MatRef<'a>>,
) {
    if lanes.len() < width {
        panel.fill(0);
    }
    let mut before = 0;
    for matrix in matrices {
        let from = steps.start.clamp(before, before + matrix.cols);
        let to = steps.end.clamp(before, before + matrix.cols);
        if from < to {
            let panel = &mut panel[(from - steps.start) * width..][..(to - from) * width];
            pack_one(kernel, panel, width, lanes, from - before, matrix);
        }
        before += matrix.cols;
    }
}

#[inline(always)]
fn pack_one<K: Kernel>(
    kernel: K,
    panel: &mut [u64],
    width: usize,
    lanes: &Range<usize>,
    first: usize,
    matrix: MatRef,
) {
    if matrix.by_columns {
        let source = &matrix.data[first * matrix.rows + lanes.start..];
        match lanes.len() {
            16 => copy_columns::<16>(panel, width, source, matrix.rows),
            12 => copy_columns::<12>(panel, width, source, matrix.rows),
            8 => copy_columns::<8>(panel, width, source, matrix.rows),
            4 => copy_columns::<4>(panel, width, source, matrix.rows),
            count => {
                for (values, source) in panel.chunks_exact_mut(width).zip(source.chunks(matrix.rows)) {
                    for (value, x) in values.iter_mut().zip(&source[..count]) {
                        *value = *x;
                    }
                }
            }
        }
    } else {
        let depth = panel.len() / width;
        let row = |lane: usize| &matrix.data[(lanes.start + lane) * matrix.cols + first..][..depth];
        let fours = lanes.len() / 4 * 4;
        for lane in (0..fours).step_by(4) {
            let rows = [row(lane), row(lane + 1), row(lane + 2), row(lane + 3)];
            transpose_rows(kernel, &mut panel[lane..], width, rows);
        }
        for lane in fours..lanes.len() {
            for (values, x) in panel.chunks_exact_mut(width).zip(row(lane)) {
                values[lane] = *x;
            }
        }
    }
}

/// Copies the first `LANES` values of every column.
#[inline(always)]
fn copy_columns<const LANES: usize>(panel: &mut [u64], width: usize, source: &[u64], stride: usize) {
    for (values, source) in panel.chunks_exact_mut(width).zip(source.chunks(stride)) {
        if let (Some(values), Some(source)) =
            (values.first_chunk_mut::<LANES>(), source.first_chunk::<LANES>())
        {
            *values = *source;
        }
    }
}

/// Writes four rows as columns, `width` apart.
#[inline(always)]
fn transpose_rows<K: Kernel>(kernel: K, out: &mut [u64], width: usize, rows: [&[u64]; 4]) {
    let [(r0, rest0), (r1, rest1), (r2, rest2), (r3, rest3)] = rows.map(|row| row.as_chunks::<4>());
    for (b, (((r0, r1), r2), r3)) in r0.iter().zip(r1).zip(r2).zip(r3).enumerate() {
        kernel.transpose([r0, r1, r2, r3], &mut out[4 * b * width..], width);
    }
    for i in 0..rest0.len() {
        out[(4 * r0.len() + i) * width..][..4].copy_from_slice(&[rest0[i], rest1[i], rest2[i], rest3[i]]);
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
fn buffers(scratch: &mut Vec<u64>, left: usize, right: usize) -> (&mut [u64], &mut [u64]) {
    const LINE: usize = 8;
    let left = left.next_multiple_of(LINE);
    if scratch.len() < left + right + LINE {
        scratch.resize(left + right + LINE, 0);
    }
    let skip = scratch.as_ptr().align_offset(LINE * size_of::<u64>()).min(LINE);
    let (left, rest) = scratch[skip..].split_at_mut(left);
    (left, &mut rest[..right])
}
