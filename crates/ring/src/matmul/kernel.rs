//! The innermost loops: the product of two panels, with the sums in registers.

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

    /// Writes the `rows` x `vectors * LANES` product to the start of `tile`, row after row.
    ///
    /// `left` holds `rows` values, and `right` `vectors * LANES`, for each step of the inner dimension.
    fn tile(self, rows: usize, vectors: usize, left: &[u64], right: &[u64], tile: &mut [u64; MAX_TILE]);

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

    fn tile(self, rows: usize, _vectors: usize, left: &[u64], right: &[u64], tile: &mut [u64; MAX_TILE]) {
        match rows {
            1 => portable::<1>(left, right, tile),
            2 => portable::<2>(left, right, tile),
            3 => portable::<3>(left, right, tile),
            4 => portable::<4>(left, right, tile),
            _ => unreachable!("a tile has 1 to 4 rows"),
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

fn portable<const R: usize>(left: &[u64], right: &[u64], tile: &mut [u64; MAX_TILE]) {
    let mut sums = [[0u64; Portable::LANES]; R];
    for (left, right) in left.as_chunks::<R>().0.iter().zip(right.as_chunks::<{ Portable::LANES }>().0) {
        for (sums, x) in sums.iter_mut().zip(left) {
            for (sum, y) in sums.iter_mut().zip(right) {
                *sum = sum.wrapping_add(x.wrapping_mul(*y));
            }
        }
    }
    tile[..R * Portable::LANES].copy_from_slice(sums.as_flattened());
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use core::arch::asm;
    use core::arch::x86_64::{
        __m256i, __m512i, _mm256_add_epi32, _mm256_add_epi64, _mm256_loadu_si256, _mm256_mul_epu32,
        _mm256_mullo_epi32, _mm256_permute2x128_si256, _mm256_set1_epi64x, _mm256_setzero_si256,
        _mm256_shuffle_epi32, _mm256_slli_epi64, _mm256_storeu_si256, _mm256_unpackhi_epi64,
        _mm256_unpacklo_epi64, _mm512_add_epi64, _mm512_mullo_epi64, _mm512_set1_epi64, _mm512_setzero_si512,
    };

    use super::{Kernel, MAX_TILE};
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

        fn tile(self, rows: usize, vectors: usize, left: &[u64], right: &[u64], tile: &mut [u64; MAX_TILE]) {
            macro_rules! sizes {
                ($($rows:literal $vectors:literal),*) => {
                    match (rows, vectors) {
                        // SAFETY: whoever made this value knows that the processor has the instructions.
                        $(($rows, $vectors) => unsafe { avx512::<$rows, $vectors>(left, right, tile) },)*
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
        fn transpose(self, rows: [&[u64; 4]; 4], out: &mut [u64], stride: usize) {
            // SAFETY: whoever made this value knows that the processor has the instructions.
            unsafe { transpose(rows, out, stride) }
        }
    }

    #[target_feature(enable = "avx512f,avx512dq")]
    fn avx512<const R: usize, const V: usize>(left: &[u64], right: &[u64], tile: &mut [u64; MAX_TILE]) {
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
        for (sum, lanes) in sums.as_flattened().iter().zip(tile.as_chunks_mut::<LANES>().0) {
            store(lanes, *sum);
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

        fn tile(self, rows: usize, _vectors: usize, left: &[u64], right: &[u64], tile: &mut [u64; MAX_TILE]) {
            macro_rules! sizes {
                ($($rows:literal),*) => {
                    match rows {
                        // SAFETY: whoever made this value knows that the processor has the instructions.
                        $($rows => unsafe { avx2::<$rows>(left, right, tile) },)*
                        _ => unreachable!("a tile has 1 to 6 rows"),
                    }
                };
            }
            sizes!(6, 5, 4, 3, 2, 1);
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
    fn avx2<const R: usize>(left: &[u64], right: &[u64], tile: &mut [u64; MAX_TILE]) {
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
        for ((low, cross), lanes) in low.into_iter().zip(cross).zip(tile.as_chunks_mut::<LANES>().0) {
            let folded = _mm256_add_epi32(cross, _mm256_shuffle_epi32::<0b10_11_00_01>(cross));
            let sum = _mm256_add_epi64(low, _mm256_slli_epi64::<32>(folded));
            store4(lanes, sum);
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn transpose(rows: [&[u64; 4]; 4], out: &mut [u64], stride: usize) {
        let [a, b, c, d] = rows;
        let (a, b, c, d) = (load4(a), load4(b), load4(c), load4(d));
        let (ab0, ab1) = (_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
        let (cd0, cd1) = (_mm256_unpacklo_epi64(c, d), _mm256_unpackhi_epi64(c, d));
        let columns = [
            _mm256_permute2x128_si256::<0x20>(ab0, cd0),
            _mm256_permute2x128_si256::<0x20>(ab1, cd1),
            _mm256_permute2x128_si256::<0x31>(ab0, cd0),
            _mm256_permute2x128_si256::<0x31>(ab1, cd1),
        ];
        for (out, column) in out.chunks_mut(stride).zip(columns) {
            if let Some(out) = out.first_chunk_mut() {
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
