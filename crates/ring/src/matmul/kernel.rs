//! The innermost loops: the product of two panels, with the sums in registers.

use super::convert::Factor;

/// Rows of the largest tile of any kernel.
pub(super) const MAX_ROWS: usize = 12;

/// Values of the largest tile of any kernel.
pub(super) const MAX_TILE: usize = 192;

/// How one instruction set multiplies two panels.
pub(super) trait Kernel: Copy {
    /// Rows of the largest tile.
    const ROWS: usize;
    /// Values of a vector; the columns of a tile are filled up to whole vectors.
    const LANES: usize;
    /// Vectors in a row of the largest tile.
    const VECTORS: usize;

    /// Adds the `rows` x `vectors * LANES` product to `out`, whose rows are `stride` apart.
    ///
    /// `left` holds `rows` values, and `right` `vectors * LANES`, for each step of the inner dimension.
    fn tile(self, rows: usize, vectors: usize, left: &[u64], right: &[u64], out: &mut [u64], stride: usize);

    /// Converts four rows, as far as they have whole groups of four values, to columns `width` apart.
    fn convert<F: Factor>(self, mine: [&[u64]; 4], next: [&[u64]; 4], out: &mut [u64], width: usize);

    /// Writes the columns of four rows, `stride` apart.
    fn transpose(self, rows: [&[u64; 4]; 4], out: &mut [u64], stride: usize);
}

/// Plain Rust.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Kernel for Portable {
    const ROWS: usize = 4;
    const LANES: usize = 4;
    const VECTORS: usize = 1;

    fn tile(self, rows: usize, _vectors: usize, left: &[u64], right: &[u64], out: &mut [u64], stride: usize) {
        match rows {
            1 => portable::<1>(left, right, out, stride),
            2 => portable::<2>(left, right, out, stride),
            3 => portable::<3>(left, right, out, stride),
            4 => portable::<4>(left, right, out, stride),
            _ => unreachable!("a tile has 1 to 4 rows"),
        }
    }

    fn convert<F: Factor>(self, mine: [&[u64]; 4], next: [&[u64]; 4], out: &mut [u64], width: usize) {
        for lane in 0..4 {
            let (mine, next) = (mine[lane].as_chunks::<4>().0, next[lane].as_chunks::<4>().0);
            let pairs =
                mine.as_flattened().as_chunks::<2>().0.iter().zip(next.as_flattened().as_chunks::<2>().0);
            for (i, (mine, next)) in pairs.enumerate() {
                [out[2 * i * width + lane], out[(2 * i + 1) * width + lane]] = F::convert(*mine, *next);
            }
        }
    }

    fn transpose(self, rows: [&[u64; 4]; 4], out: &mut [u64], stride: usize) {
        for i in 0..4 {
            for j in 0..4 {
                out[i * stride + j] = rows[j][i];
            }
        }
    }
}

fn portable<const R: usize>(left: &[u64], right: &[u64], out: &mut [u64], stride: usize) {
    let mut sums = [[0u64; Portable::LANES]; R];
    for (left, right) in left.as_chunks::<R>().0.iter().zip(right.as_chunks::<{ Portable::LANES }>().0) {
        for (sums, x) in sums.iter_mut().zip(left) {
            for (sum, y) in sums.iter_mut().zip(right) {
                *sum = sum.wrapping_add(x.wrapping_mul(*y));
            }
        }
    }
    for (sums, out) in sums.iter().zip(out.chunks_mut(stride)) {
        for (sum, out) in sums.iter().zip(out) {
            *out = out.wrapping_add(*sum);
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use core::arch::asm;
    use core::arch::x86_64::{
        __m256i, __m512i, _mm256_add_epi32, _mm256_add_epi64, _mm256_loadu_si256, _mm256_mul_epu32,
        _mm256_mullo_epi32, _mm256_permute2x128_si256, _mm256_set1_epi64x, _mm256_setzero_si256,
        _mm256_shuffle_epi32, _mm256_slli_epi64, _mm256_storeu_si256, _mm256_sub_epi64,
        _mm256_unpackhi_epi64, _mm256_unpacklo_epi64, _mm512_add_epi64, _mm512_mullo_epi64,
        _mm512_set1_epi64, _mm512_setzero_si512,
    };

    use super::{Factor, Kernel};
    use crate::simd::{load, store};

    /// AVX-512 with its 64-bit product.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx512(());

    impl Avx512 {
        /// # Safety
        ///
        /// The processor has AVX-512 F and DQ.
        pub(in super::super) unsafe fn assume() -> Self {
            Self(())
        }
    }

    impl Kernel for Avx512 {
        const ROWS: usize = 12;
        const LANES: usize = 8;
        const VECTORS: usize = 2;

        fn tile(
            self,
            rows: usize,
            vectors: usize,
            left: &[u64],
            right: &[u64],
            out: &mut [u64],
            stride: usize,
        ) {
            macro_rules! sizes {
                ($($rows:literal $vectors:literal),*) => {
                    match (rows, vectors) {
                        // SAFETY: whoever made this value knows that the processor has the instructions.
                        $(($rows, $vectors) => unsafe { avx512::<$rows, $vectors>(left, right, out, stride) },)*
                        _ => unreachable!("a tile has 1 to 12 rows of 1 or 2 vectors"),
                    }
                };
            }
            sizes!(
                12 2, 11 2, 10 2, 9 2, 8 2, 7 2, 6 2, 5 2, 4 2, 3 2, 2 2, 1 2,
                12 1, 11 1, 10 1, 9 1, 8 1, 7 1, 6 1, 5 1, 4 1, 3 1, 2 1, 1 1
            );
        }

        #[inline]
        fn convert<F: Factor>(self, mine: [&[u64]; 4], next: [&[u64]; 4], out: &mut [u64], width: usize) {
            // SAFETY: whoever made this value knows that the processor has the instructions.
            unsafe { convert::<F>(mine, next, out, width) }
        }

        #[inline]
        fn transpose(self, rows: [&[u64; 4]; 4], out: &mut [u64], stride: usize) {
            // SAFETY: whoever made this value knows that the processor has the instructions.
            unsafe { transpose(rows, out, stride) }
        }
    }

    #[target_feature(enable = "avx512f,avx512dq")]
    fn avx512<const R: usize, const V: usize>(left: &[u64], right: &[u64], out: &mut [u64], stride: usize) {
        const LANES: usize = Avx512::LANES;
        let mut sums = [[_mm512_setzero_si512(); V]; R];
        let right = right.as_chunks::<LANES>().0.as_chunks::<V>().0;
        for (left, right) in left.as_chunks::<R>().0.iter().zip(right) {
            let mut columns = [_mm512_setzero_si512(); V];
            for (column, lanes) in columns.iter_mut().zip(right) {
                *column = load(lanes);
            }
            for (sums, x) in sums.iter_mut().zip(left) {
                let x = _mm512_set1_epi64(*x as i64);
                let mut products = columns.map(|column| _mm512_mullo_epi64(x, column));
                keep_together(&mut products);
                for (sum, product) in sums.iter_mut().zip(products) {
                    *sum = _mm512_add_epi64(*sum, product);
                }
            }
        }
        for (sums, out) in sums.iter().zip(out.chunks_mut(stride)) {
            for (sum, lanes) in sums.iter().zip(out.as_chunks_mut::<LANES>().0) {
                store(lanes, _mm512_add_epi64(load(lanes), *sum));
            }
        }
    }

    /// Makes the compiler place two products before the sums that use them. Alternating products and sums, its own choice,
    /// take turns on the pipes of Zen 4 so that the kernel runs at 22 instead of 26 G multiply-adds/s (2026-11-23).
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn keep_together(products: &mut [__m512i]) {
        if let [first, second] = products {
            let (mut a, mut b) = (*first, *second);
            // SAFETY: a comment is no instruction; it only claims to change the two registers.
            unsafe {
                asm!("/* {a} {b} */", a = inout(zmm_reg) a, b = inout(zmm_reg) b, options(pure, nomem, nostack));
            }
            (*first, *second) = (a, b);
        }
    }

    /// AVX2, whose products are of 32-bit halves.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2(());

    impl Avx2 {
        /// # Safety
        ///
        /// The processor has AVX2.
        pub(in super::super) unsafe fn assume() -> Self {
            Self(())
        }
    }

    impl Kernel for Avx2 {
        const ROWS: usize = 6;
        const LANES: usize = 4;
        const VECTORS: usize = 1;

        fn tile(
            self,
            rows: usize,
            _vectors: usize,
            left: &[u64],
            right: &[u64],
            out: &mut [u64],
            stride: usize,
        ) {
            macro_rules! sizes {
                ($($rows:literal),*) => {
                    match rows {
                        // SAFETY: whoever made this value knows that the processor has the instructions.
                        $($rows => unsafe { avx2::<$rows>(left, right, out, stride) },)*
                        _ => unreachable!("a tile has 1 to 6 rows"),
                    }
                };
            }
            sizes!(6, 5, 4, 3, 2, 1);
        }

        #[inline]
        fn convert<F: Factor>(self, mine: [&[u64]; 4], next: [&[u64]; 4], out: &mut [u64], width: usize) {
            // SAFETY: whoever made this value knows that the processor has the instructions.
            unsafe { convert::<F>(mine, next, out, width) }
        }

        #[inline]
        fn transpose(self, rows: [&[u64; 4]; 4], out: &mut [u64], stride: usize) {
            // SAFETY: whoever made this value knows that the processor has the instructions.
            unsafe { transpose(rows, out, stride) }
        }
    }

    /// With x = x0 + 2^32 x1 and y alike, x y = x0 y0 + 2^32 (x0 y1 + x1 y0) modulo 2^64. One instruction multiplies the low
    /// halves to 64 bits; one multiplies both halves of x with the exchanged halves of y to 32 bits, which is all that the
    /// cross terms need. The two kinds are summed apart and put together at the end.
    #[target_feature(enable = "avx2")]
    fn avx2<const R: usize>(left: &[u64], right: &[u64], out: &mut [u64], stride: usize) {
        const LANES: usize = Avx2::LANES;
        let mut low = [_mm256_setzero_si256(); R];
        let mut cross = [_mm256_setzero_si256(); R];
        for (left, right) in left.as_chunks::<R>().0.iter().zip(right.as_chunks::<LANES>().0) {
            let y = load4(right);
            let exchanged = _mm256_shuffle_epi32::<0b10_11_00_01>(y);
            for ((low, cross), x) in low.iter_mut().zip(&mut cross).zip(left) {
                let x = _mm256_set1_epi64x(*x as i64);
                *low = _mm256_add_epi64(*low, _mm256_mul_epu32(x, y));
                *cross = _mm256_add_epi32(*cross, _mm256_mullo_epi32(x, exchanged));
            }
        }
        for ((low, cross), out) in low.into_iter().zip(cross).zip(out.chunks_mut(stride)) {
            let Some(out) = out.first_chunk_mut() else { return };
            let folded = _mm256_add_epi32(cross, _mm256_shuffle_epi32::<0b10_11_00_01>(cross));
            let sum = _mm256_add_epi64(low, _mm256_slli_epi64::<32>(folded));
            store4(out, _mm256_add_epi64(load4(out), sum));
        }
    }

    #[target_feature(enable = "avx2")]
    fn convert<F: Factor>(mine: [&[u64]; 4], next: [&[u64]; 4], out: &mut [u64], width: usize) {
        let convert = |mine: [__m256i; 2], next: [__m256i; 2]| {
            F::convert_with(mine, next, |a, b| _mm256_add_epi64(a, b), |a, b| _mm256_sub_epi64(a, b))
        };
        let [m0, m1, m2, m3] = mine.map(|row| row.as_chunks().0);
        let [n0, n1, n2, n3] = next.map(|row| row.as_chunks().0);
        let blocks = m0.iter().zip(m1).zip(m2.iter().zip(m3)).zip(n0.iter().zip(n1).zip(n2.iter().zip(n3)));
        for (i, (((m0, m1), (m2, m3)), ((n0, n1), (n2, n3)))) in blocks.enumerate() {
            let [mine_ab, mine_cd] = interleave([m0, m1, m2, m3]);
            let [next_ab, next_cd] = interleave([n0, n1, n2, n3]);
            let columns = [convert(mine_ab, next_ab), convert(mine_cd, next_cd)];
            store_columns(columns, &mut out[4 * i * width..], width);
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn transpose(rows: [&[u64; 4]; 4], out: &mut [u64], stride: usize) {
        store_columns(interleave(rows), out, stride);
    }

    /// For rows a, b, c, d the vectors `a0 b0 a2 b2`, `a1 b1 a3 b3` and the same of c and d.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn interleave(rows: [&[u64; 4]; 4]) -> [[__m256i; 2]; 2] {
        let [a, b, c, d] = rows.map(|row| load4(row));
        [
            [_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b)],
            [_mm256_unpacklo_epi64(c, d), _mm256_unpackhi_epi64(c, d)],
        ]
    }

    /// Writes the columns of rows that went through [`interleave`].
    #[inline]
    #[target_feature(enable = "avx2")]
    fn store_columns([ab, cd]: [[__m256i; 2]; 2], out: &mut [u64], stride: usize) {
        let columns = [
            _mm256_permute2x128_si256::<0x20>(ab[0], cd[0]),
            _mm256_permute2x128_si256::<0x20>(ab[1], cd[1]),
            _mm256_permute2x128_si256::<0x31>(ab[0], cd[0]),
            _mm256_permute2x128_si256::<0x31>(ab[1], cd[1]),
        ];
        for (i, column) in columns.into_iter().enumerate() {
            if let Some(out) = out[i * stride..].first_chunk_mut() {
                store4(out, column);
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load4(words: &[u64; 4]) -> __m256i {
        // SAFETY: the array has the four words of a vector, and the instruction needs no alignment.
        unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn store4(words: &mut [u64; 4], vector: __m256i) {
        // SAFETY: the array has the four words of a vector, and the instruction needs no alignment.
        unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), vector) };
    }
}
