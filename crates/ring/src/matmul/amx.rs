//! The blocked product on the tile unit of Intel processors (AMX), which multiplies bytes.
//!
//! The words of both converted operands are split in eight bytes, their limbs: `x = sum of x_i 2^(8 i)`, and `y` alike. Modulo
//! 2^64,
//!
//! ```text
//! x y = sum over d = 0..8 of 2^(8 d) (x_0 y_d + x_1 y_(d-1) + ... + x_d y_0)
//! ```
//!
//! so that a product of matrices is 36 products of matrices of bytes, summed up in eight diagonals of 32 bits.
//!
//! A tile has 16 rows of 64 bytes. One of the left operand has a lane (row of the matrix) in each row and 64 steps of the inner
//! dimension along it; one of the right operand has four steps of 16 lanes (columns of the matrix) in each row. Seen as 16 x 16
//! groups of four steps, one is the transpose of the other, and each is what comes out of reading a matrix in one of the two
//! orders in which it may lie in memory.
//!
//! Neither lanes nor steps are in their natural order in a tile. Any order of the steps will do as long as both operands have the
//! same; the order chosen is the one that leaves least to move ([`pack_rows`], [`pack_columns`]). Lanes `i` and `i + 8` are
//! neighbours ([`place`]), so that two sums of 32 bits that share a word are columns of different vectors of the output.

use core::arch::asm;
use core::arch::x86_64::{
    __m512i, _MM_HINT_T1, _mm_prefetch, _mm512_add_epi32, _mm512_add_epi64, _mm512_and_si512,
    _mm512_andnot_si512, _mm512_mask_blend_epi8, _mm512_mask_blend_epi16, _mm512_mask_blend_epi32,
    _mm512_maskz_loadu_epi64, _mm512_set1_epi64, _mm512_shuffle_i32x4, _mm512_slli_epi16, _mm512_slli_epi32,
    _mm512_slli_epi64, _mm512_srli_epi16, _mm512_srli_epi32, _mm512_srli_epi64, _mm512_sub_epi64,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};
use core::array;
use core::ops::Range;

use super::MatRef;
use super::convert::{Factor, First, Second};
use super::packed::{buffers, even_parts, parts};
use crate::simd::{WORDS, load, store};

/// Rows of a tile, and columns of a product of tiles.
const LANES: usize = 16;

/// Steps of the inner dimension in a tile.
const STEPS: usize = 64;

/// Bytes of a row.
const ROW_BYTES: usize = 64;

/// Bytes of a word.
const LIMBS: usize = 8;

/// 16 rows of 64 bytes.
type Tile = [[u64; WORDS]; LANES];

/// The limbs of 16 lanes for 64 steps, a tile for each limb; or the eight diagonals of a product.
type Planes = [Tile; LIMBS];

/// Words of [`Planes`].
const PLANES_WORDS: usize = LIMBS * LANES * WORDS;

/// Most planes of a block along the inner dimension: panels of 16 KB, of which two fit in the first-level cache.
const DEPTH: usize = 2;

/// Most columns of a block.
const COLS: usize = 512;

const _: () = assert!(LIMBS * DEPTH * STEPS * 255 * 255 <= u32::MAX as usize, "diagonals fit in 32 bits");

/// `out = x * y` for replicated matrices; no dimension of `out` is zero.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn multiply(out: &mut [u64], x: MatRef, y: MatRef, scratch: &mut Vec<u64>) {
    let y = y.transposed();
    let (m, k, n) = (x.rows, x.cols, y.rows);
    if k == 0 {
        return out.fill(0);
    }
    let all_planes = 0..k.div_ceil(STEPS);
    let deepest = DEPTH.min(all_planes.len());
    let panels = COLS.min(n).div_ceil(LANES);
    let (left, right) = buffers(scratch, (1 + deepest) * PLANES_WORDS, panels * deepest * PLANES_WORDS);
    let [sums, left @ ..] = as_planes(left) else { return };
    let right = as_planes(right);
    let mut tiles = Tiles::configure(out, n, sums);
    for cols in even_parts(0..n, COLS) {
        let steps_of = |planes: Range<usize>| planes.start * STEPS..k.min(planes.end * STEPS);
        let mut blocks = even_parts(all_planes.clone(), DEPTH).map(steps_of).peekable();
        while let Some(steps) = blocks.next() {
            let next_steps = blocks.peek().cloned().unwrap_or_default();
            let depth = steps.len().div_ceil(STEPS);
            let left = &mut left[..depth];
            for (lanes, panel) in parts(cols.clone(), LANES).zip(right.chunks_exact_mut(depth)) {
                pack::<Second, false>(panel, &lanes, &steps, y);
            }
            tiles.next_right = Ahead::new(y, cols.clone(), next_steps.clone());
            for rows in parts(0..m, LANES) {
                pack::<First, true>(left, &rows, &steps, x);
                tiles.next_left = if rows.end < m {
                    Ahead::new(x, rows.end..m.min(rows.end + LANES), steps.clone())
                } else {
                    Ahead::new(x, 0..m.min(LANES), next_steps.clone())
                };
                for (lanes, panel) in parts(cols.clone(), LANES).zip(right.chunks_exact(depth)) {
                    tiles.multiply(left, panel, steps.start == 0, rows.clone(), lanes);
                }
            }
        }
    }
    tiles.add_rows(0..LANES);
}

/// Whether a product is faster here than with vectors: it must have some size, and not too much of the tiles may be empty. Found by
/// measurement (2026-11-26): at the limits, both take about the same time.
pub(super) fn gains(x: MatRef, y: MatRef) -> bool {
    let (m, k, n) = (x.rows, x.cols, y.cols);
    let words = m * k * n;
    let padded = m.next_multiple_of(LANES) * k.next_multiple_of(STEPS) * n.next_multiple_of(LANES);
    m.min(n) > LANES / 2 && words > 1 << 15 && words >= padded / 16 * 5
}

/// Where a lane is in a tile.
const fn place(lane: usize) -> usize {
    2 * (lane % WORDS) + lane / WORDS
}

/// Words as planes.
fn as_planes(words: &mut [u64]) -> &mut [Planes] {
    words.as_chunks_mut::<WORDS>().0.as_chunks_mut::<LANES>().0.as_chunks_mut::<LIMBS>().0
}

/// The tile registers of this thread, in use, and what goes on beside them.
///
/// Products of tiles take 16 cycles each, one after the other, and leave the vector units idle; but the core looks ahead by a few
/// tiles only. So there are instructions of other kinds after every few of theirs, which put together the diagonals of the
/// product before and fetch operands: 8 to 12 % of the time (2026-11-26).
///
/// The sums therefore stay in registers from one `asm!` to the next. The compiler promises that to nobody, but it has no use for
/// these registers; and the system restores them after an interruption.
struct Tiles<'a> {
    out: &'a mut [u64],
    /// Distance of the rows of the output.
    stride: usize,
    /// The diagonals of the last product.
    sums: &'a mut Planes,
    /// The sum of the upper four with their weights, in the upper halves of words.
    upper: Tile,
    /// Whether the last product is the first to come to its place, whose content does not count.
    first: bool,
    /// Where it belongs. It is not there yet.
    rows: Range<usize>,
    cols: Range<usize>,
    /// What will be packed next.
    next_left: Ahead<'a>,
    next_right: Ahead<'a>,
}

impl<'a> Tiles<'a> {
    /// Sets up all eight registers as 16 rows of 64 bytes.
    #[target_feature(enable = "avx512f,avx512bw")]
    fn configure(out: &'a mut [u64], stride: usize, sums: &'a mut Planes) -> Self {
        #[repr(C, align(64))]
        struct Shapes {
            palette: u8,
            start_row: u8,
            reserved: [u8; 14],
            row_bytes: [u16; 16],
            rows: [u8; 16],
        }
        static SHAPES: Shapes = Shapes {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
            rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
        };
        // SAFETY: whoever enters this module knows that there are tiles and that the system lets us use them; the 64 bytes are a
        // valid description of them.
        unsafe {
            asm!(
                "ldtilecfg [{shapes}]",
                shapes = in(reg) &raw const SHAPES,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(readonly, nostack),
            );
        }
        Self {
            out,
            stride,
            sums,
            upper: [[0; WORDS]; LANES],
            first: true,
            rows: 0..0,
            cols: 0..0,
            next_left: Ahead::default(),
            next_right: Ahead::default(),
        }
    }

    /// Adds the product of two panels of equal length to some rows and columns of the output, or writes it there if it is the
    /// first: it arrives with the next call of [`add_rows`](Self::add_rows) for all rows, or during the next product.
    ///
    /// Four diagonals at a time keep their sums in registers. For one limb `i` of the left operand, diagonals `s` to `s + 3` take
    /// limbs `s - i` to `s - i + 3` of the right one; going on to `i + 1` moves this window down by one. One load of each operand
    /// does for four products. Three registers hold the window: the lowest limb replaces the highest once that was used.
    #[target_feature(enable = "avx512f")]
    fn multiply(
        &mut self,
        left: &[Planes],
        right: &[Planes],
        first: bool,
        rows: Range<usize>,
        cols: Range<usize>,
    ) {
        assert_eq!(left.len(), right.len(), "panels of different lengths");
        macro_rules! left {
            ($limb:literal) => {
                concat!("tileloadd tmm4, [r8 + r10 + 1024 * ", $limb, "]")
            };
        }
        macro_rules! right {
            ($limb:literal => $register:literal) => {
                concat!("tileloadd tmm", $register, ", [r9 + r10 + 1024 * ", $limb, "]")
            };
        }
        macro_rules! multiply {
            ($diagonal:literal, $right:literal) => {
                concat!("tdpbuud tmm", $diagonal, ", tmm4, tmm", $right)
            };
        }
        macro_rules! each_limb {
            ($beside:ident, $([$($step:expr),* $(,)?])*) => {
                let mut shares = parts(0..LANES, LANES.div_ceil(left.len() * [$(stringify!($($step)*)),*].len()));
                // SAFETY: `self` shows that there are tiles.
                unsafe { clear_sums() };
                for (left, right) in left.iter().zip(right) {
                    $(
                        // SAFETY: there are tiles of 16 rows of 64 bytes, or `self` could not have been made. The loads stay in
                        // the planes of each operand.
                        unsafe {
                            asm!(
                                $($step,)*
                                in("r8") left,
                                in("r9") right,
                                in("r10") ROW_BYTES,
                                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                                options(readonly, nostack),
                            );
                        }
                        self.$beside(shares.next().unwrap_or_default());
                        self.next_left.fetch();
                        self.next_right.fetch();
                    )*
                }
            };
        }

        each_limb!(
            add_rows,
            [
                left!(0), right!(7 => 7), multiply!(3, 7), right!(6 => 6), multiply!(2, 6),
                right!(5 => 5), multiply!(1, 5), right!(4 => 7), multiply!(0, 7),
            ]
            [left!(1), multiply!(3, 6), multiply!(2, 5), right!(3 => 6), multiply!(1, 7), multiply!(0, 6)]
            [left!(2), multiply!(3, 5), multiply!(2, 7), right!(2 => 5), multiply!(1, 6), multiply!(0, 5)]
            [left!(3), multiply!(3, 7), multiply!(2, 6), right!(1 => 7), multiply!(1, 5), multiply!(0, 7)]
            [left!(4), multiply!(3, 6), multiply!(2, 5), right!(0 => 6), multiply!(1, 7), multiply!(0, 6)]
            [left!(5), multiply!(3, 5), multiply!(2, 7), multiply!(1, 6)]
            [left!(6), multiply!(3, 7), multiply!(2, 6)]
            [left!(7), multiply!(3, 6)]
        );
        let [_, _, _, _, upper @ ..] = &mut *self.sums;
        // SAFETY: as above.
        unsafe { store_sums(upper) };
        (self.first, self.rows, self.cols) = (first, rows, cols);
        each_limb!(
            sum_upper,
            [
                left!(0), right!(3 => 7), multiply!(3, 7), right!(2 => 6), multiply!(2, 6),
                right!(1 => 5), multiply!(1, 5), right!(0 => 7), multiply!(0, 7),
            ]
            [left!(1), multiply!(3, 6), multiply!(2, 5), multiply!(1, 7)]
            [left!(2), multiply!(3, 5), multiply!(2, 7)]
            [left!(3), multiply!(3, 7)]
        );
        let [lower @ .., _, _, _, _] = &mut *self.sums;
        // SAFETY: as above.
        unsafe { store_sums(lower) };
    }

    /// Adds up the upper diagonals in some rows. What leaves 32 bits leaves the words.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn sum_upper(&mut self, rows: Range<usize>) {
        let [_, _, _, _, d4, d5, d6, d7] = &*self.sums;
        for row in rows {
            let sum = _mm512_add_epi32(
                _mm512_add_epi32(load(&d4[row]), _mm512_slli_epi32::<8>(load(&d5[row]))),
                _mm512_add_epi32(
                    _mm512_slli_epi32::<16>(load(&d6[row])),
                    _mm512_slli_epi32::<24>(load(&d7[row])),
                ),
            );
            store(&mut self.upper[row], sum);
        }
    }

    /// Adds some lanes (rows) of the last product to the output, or writes them there.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn add_rows(&mut self, lanes: Range<usize>) {
        let [d0, d1, d2, d3, ..] = &*self.sums;
        for lane in lanes.start..lanes.end.min(self.rows.len()) {
            let row = place(lane);
            let sums = weigh([d0, d1, d2, d3].map(|d| load(&d[row])), load(&self.upper[row]));
            let out = &mut self.out[(self.rows.start + lane) * self.stride..][self.cols.clone()];
            if let Some(out) = out.as_mut_array::<LANES>() {
                let (halves, _) = out.as_chunks_mut::<WORDS>();
                for (half, sums) in halves.iter_mut().zip(sums) {
                    store(half, if self.first { sums } else { _mm512_add_epi64(load(half), sums) });
                }
            } else {
                if self.first {
                    out.fill(0);
                }
                add_some(out, sums);
            }
        }
    }
}

impl Drop for Tiles<'_> {
    /// Releases the registers: those in use would be saved and restored, 8 KB, whenever threads are switched.
    fn drop(&mut self) {
        // SAFETY: there are tiles, or this value could not have been made.
        unsafe {
            asm!(
                "tilerelease",
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nomem, nostack),
            );
        }
    }
}

/// Clears the registers of the sums.
///
/// # Safety
///
/// There are [`Tiles`].
#[inline]
unsafe fn clear_sums() {
    // SAFETY: the registers are set up.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            out("tmm0") _,
            out("tmm1") _,
            out("tmm2") _,
            out("tmm3") _,
            options(nomem, nostack),
        );
    }
}

/// Stores the registers of the sums.
///
/// # Safety
///
/// There are [`Tiles`].
#[inline]
unsafe fn store_sums(sums: &mut [Tile; 4]) {
    // SAFETY: the registers are set up as 16 rows of 64 bytes, and so are the tiles in memory.
    unsafe {
        asm!(
            "tilestored [{sums} + {row}], tmm0",
            "tilestored [{sums} + {row} + 1024], tmm1",
            "tilestored [{sums} + {row} + 2048], tmm2",
            "tilestored [{sums} + {row} + 3072], tmm3",
            sums = in(reg) sums,
            row = in(reg) ROW_BYTES,
            options(nostack),
        );
    }
}

/// Adds sums to a row of fewer columns than they have.
#[cold]
#[target_feature(enable = "avx512f")]
fn add_some(out: &mut [u64], sums: [__m512i; 2]) {
    let mut words = [[0; WORDS]; 2];
    for (words, sums) in words.iter_mut().zip(sums) {
        store(words, sums);
    }
    for (out, sum) in out.iter_mut().zip(words.as_flattened()) {
        *out = out.wrapping_add(*sum);
    }
}

/// The words of a row, in its first eight lanes and in the others: the lower four diagonals with their weights, and the sum of
/// the upper four.
#[inline]
#[target_feature(enable = "avx512f")]
fn weigh(lower: [__m512i; 4], upper: __m512i) -> [__m512i; 2] {
    let low_half = _mm512_set1_epi64(0xffff_ffff);
    let sum = |[d0, d1, d2, d3]: [__m512i; 4]| {
        _mm512_add_epi64(
            _mm512_add_epi64(d0, _mm512_slli_epi64::<8>(d1)),
            _mm512_add_epi64(_mm512_slli_epi64::<16>(d2), _mm512_slli_epi64::<24>(d3)),
        )
    };
    let first = sum(lower.map(|d| _mm512_and_si512(d, low_half)));
    let second = sum(lower.map(|d| _mm512_srli_epi64::<32>(d)));
    [
        _mm512_add_epi64(first, _mm512_slli_epi64::<32>(upper)),
        _mm512_add_epi64(second, _mm512_andnot_si512(low_half, upper)),
    ]
}

/// A part of a matrix that will be read soon. It is fetched into the second-level cache a little at a time, in the order of memory.
#[derive(Default)]
struct Ahead<'a> {
    components: [&'a [u64]; 2],
    /// Distance of the lines: rows or columns, as the matrix lies in memory.
    stride: usize,
    /// Lines to be fetched.
    lines: Range<usize>,
    /// The part of each line.
    within: Range<usize>,
    /// The next word of the first line.
    at: usize,
}

impl<'a> Ahead<'a> {
    /// Words that are fetched at a time, of each component.
    const WORDS: usize = 2 * WORDS;

    fn new(matrix: MatRef<'a>, lanes: Range<usize>, steps: Range<usize>) -> Self {
        let (lines, within, stride) =
            if matrix.by_columns { (steps, lanes, matrix.rows) } else { (lanes, steps, matrix.cols) };
        Self { components: [matrix.mine, matrix.next], stride, at: within.start, lines, within }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn fetch(&mut self) {
        for _ in 0..Self::WORDS / WORDS {
            if self.lines.is_empty() {
                return;
            }
            for component in self.components {
                let word = component.as_ptr().wrapping_add(self.lines.start * self.stride + self.at);
                _mm_prefetch::<_MM_HINT_T1>(word.cast());
            }
            self.at += WORDS;
            if self.at >= self.within.end {
                self.at = self.within.start;
                self.lines.start += 1;
            }
        }
    }
}

/// Converts some lanes (rows) of a matrix for some steps (columns) and splits them in limbs; `ROWS` says that lanes become rows
/// of the tiles. Lanes and steps beyond the given ones become zero.
#[target_feature(enable = "avx512f,avx512bw")]
fn pack<F: Factor, const ROWS: bool>(
    panel: &mut [Planes],
    lanes: &Range<usize>,
    steps: &Range<usize>,
    matrix: MatRef,
) {
    for (planes, steps) in panel.iter_mut().zip(parts(steps.clone(), STEPS)) {
        if matrix.by_columns {
            pack_columns::<F>(planes, lanes, &steps, matrix);
        } else {
            pack_rows::<F>(planes, lanes, &steps, matrix);
        }
        if matrix.by_columns == ROWS {
            for tile in planes {
                transpose(tile);
            }
        }
    }
}

/// Packs a matrix in row-major order, so that lanes become rows of the tiles.
///
/// With its bits in brackets, step `[a b c d e f]` of a lane comes from word `[c d e f]` of the rows' pairs of vectors `[a b]`. The
/// even words of a pair go to one vector, `f = 0`, and the odd ones to another, where a word's number is `[d e c]`. The split in
/// limbs puts the numbers of the vectors in place of those of bytes: the step goes to byte `[d e c a b f]` of the tile's row.
#[target_feature(enable = "avx512f,avx512bw")]
fn pack_rows<F: Factor>(planes: &mut Planes, lanes: &Range<usize>, steps: &Range<usize>, matrix: MatRef) {
    for lane in 0..LANES {
        let place = place(lane);
        if lane >= lanes.len() {
            for tile in planes.iter_mut() {
                tile[place] = [0; WORDS];
            }
            continue;
        }
        let row = (lanes.start + lane) * matrix.cols;
        let row = row + steps.start..row + steps.end;
        let (mine, next) = (&matrix.mine[row.clone()], &matrix.next[row]);
        let (mine, next) = if let (Some(mine), Some(next)) = (mine.as_array(), next.as_array()) {
            (vectors(mine), vectors(next))
        } else {
            (some_vectors(mine), some_vectors(next))
        };
        let mut words = [_mm512_set1_epi64(0); LIMBS];
        for pair in 0..LIMBS / 2 {
            let split = |vectors: &[__m512i; STEPS / WORDS]| {
                let (a, b) = (vectors[2 * pair], vectors[2 * pair + 1]);
                [_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b)]
            };
            [words[2 * pair], words[2 * pair + 1]] = convert::<F>(split(&mine), split(&next));
        }
        for (tile, bytes) in planes.iter_mut().zip(limbs(words)) {
            store(&mut tile[place], bytes);
        }
    }
}

/// Packs a matrix in column-major order, so that lanes become columns of the tiles.
///
/// Steps are where [`pack_rows`] puts them: step `[a b c d e f]` in row `[d e c a]` and there in byte `[b f]` of a lane's four.
#[target_feature(enable = "avx512f,avx512bw")]
fn pack_columns<F: Factor>(planes: &mut Planes, lanes: &Range<usize>, steps: &Range<usize>, matrix: MatRef) {
    let (start, end) = (steps.start * matrix.rows + lanes.start, (steps.end - 1) * matrix.rows + lanes.end);
    let (mine, next) = (&matrix.mine[start..end], &matrix.next[start..end]);
    for row in 0..LANES {
        let [a, c, e, d] = [row & 1, row >> 1 & 1, row >> 2 & 1, row >> 3];
        let step = 32 * a + 8 * c + 4 * d + 2 * e;
        if step >= steps.len() {
            for tile in planes.iter_mut() {
                tile[row] = [0; WORDS];
            }
            continue;
        }
        let mut words = [_mm512_set1_epi64(0); LIMBS];
        for pair in 0..2 {
            let halves = |values: &[u64], step: usize| match values.get(step * matrix.rows..) {
                Some(values) if values.len() >= lanes.len() => some_vectors(&values[..lanes.len()]),
                _ => [_mm512_set1_epi64(0); 2],
            };
            let step = step + 16 * pair;
            let [mine0, mine1] = [halves(mine, step), halves(mine, step + 1)];
            let [next0, next1] = [halves(next, step), halves(next, step + 1)];
            for half in 0..2 {
                let at = 4 * half + 2 * pair;
                [words[at], words[at + 1]] =
                    convert::<F>([mine0[half], mine1[half]], [next0[half], next1[half]]);
            }
        }
        for (tile, bytes) in planes.iter_mut().zip(limbs(words)) {
            store(&mut tile[row], bytes);
        }
    }
}

/// [`Factor::convert`] for vectors.
#[inline]
#[target_feature(enable = "avx512f")]
fn convert<F: Factor>(mine: [__m512i; 2], next: [__m512i; 2]) -> [__m512i; 2] {
    F::convert_with(mine, next, |a, b| _mm512_add_epi64(a, b), |a, b| _mm512_sub_epi64(a, b))
}

/// Loads consecutive vectors.
#[inline]
#[target_feature(enable = "avx512f")]
fn vectors(values: &[u64; STEPS]) -> [__m512i; STEPS / WORDS] {
    let (values, _) = values.as_chunks::<WORDS>();
    array::from_fn(|i| load(&values[i]))
}

/// Loads values into vectors and fills these up with zeros.
#[inline]
#[target_feature(enable = "avx512f")]
fn some_vectors<const VECTORS: usize>(values: &[u64]) -> [__m512i; VECTORS] {
    array::from_fn(|i| {
        let rest = values.len().saturating_sub(WORDS * i).min(WORDS);
        // SAFETY: only words that the mask selects are read, and these are there.
        unsafe {
            _mm512_maskz_loadu_epi64(
                ((1_u32 << rest) - 1) as u8,
                values.as_ptr().wrapping_add(WORDS * i).cast(),
            )
        }
    })
}

/// Splits words in bytes: vector `i` of the result has in byte `j` of its word `k` byte `i` of word `k` of vector `j`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn limbs(mut x: [__m512i; LIMBS]) -> [__m512i; LIMBS] {
    for i in [0, 2, 4, 6] {
        let (a, b) = (x[i], x[i + 1]);
        x[i] = _mm512_mask_blend_epi8(0xaaaa_aaaa_aaaa_aaaa, a, _mm512_slli_epi16::<8>(b));
        x[i + 1] = _mm512_mask_blend_epi8(0xaaaa_aaaa_aaaa_aaaa, _mm512_srli_epi16::<8>(a), b);
    }
    for i in [0, 1, 4, 5] {
        let (a, b) = (x[i], x[i + 2]);
        x[i] = _mm512_mask_blend_epi16(0xaaaa_aaaa, a, _mm512_slli_epi32::<16>(b));
        x[i + 2] = _mm512_mask_blend_epi16(0xaaaa_aaaa, _mm512_srli_epi32::<16>(a), b);
    }
    for i in [0, 1, 2, 3] {
        let (a, b) = (x[i], x[i + 4]);
        x[i] = _mm512_mask_blend_epi32(0xaaaa, a, _mm512_slli_epi64::<32>(b));
        x[i + 4] = _mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64::<32>(a), b);
    }
    x
}

/// Transposes a tile, as 16 x 16 groups of four bytes.
#[target_feature(enable = "avx512f")]
fn transpose(tile: &mut Tile) {
    let mut quarters = [[_mm512_set1_epi64(0); 4]; 4];
    for (quarter, rows) in quarters.iter_mut().zip(tile.as_chunks::<4>().0) {
        let [a, b, c, d] = [load(&rows[0]), load(&rows[1]), load(&rows[2]), load(&rows[3])];
        let [ab, cd] = [_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d)];
        let [ab_high, cd_high] = [_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d)];
        *quarter = [
            _mm512_unpacklo_epi64(ab, cd),
            _mm512_unpackhi_epi64(ab, cd),
            _mm512_unpacklo_epi64(ab_high, cd_high),
            _mm512_unpackhi_epi64(ab_high, cd_high),
        ];
    }
    // Part `i` of vector `j` of a quarter is now column `4 i + j` of its four rows.
    let [a, b, c, d] = quarters;
    for j in 0..4 {
        let even = |x, y| _mm512_shuffle_i32x4::<0b10_00_10_00>(x, y);
        let odd = |x, y| _mm512_shuffle_i32x4::<0b11_01_11_01>(x, y);
        let (ab, cd) = (even(a[j], b[j]), even(c[j], d[j]));
        store(&mut tile[j], even(ab, cd));
        store(&mut tile[8 + j], odd(ab, cd));
        let (ab, cd) = (odd(a[j], b[j]), odd(c[j], d[j]));
        store(&mut tile[4 + j], even(ab, cd));
        store(&mut tile[12 + j], odd(ab, cd));
    }
}

#[cfg(test)]
mod tests;
