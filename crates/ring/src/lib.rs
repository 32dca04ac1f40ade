//! Numbers of Shamisen: Z_2^64, fixed point, bit planes, matrix products and the pseudo-random generator, with SIMD kernels.
