//! From replicated shares to the factors of a single product.
//!
//! Let `w` be a root of `w^2 + w + 1`, so that `w^3 = 1`. Let a party hold the components `m` ("mine") and `n` ("next") of one
//! value and `M` and `N` of another, and compute
//!
//! ```text
//! (n - w^2 m) (M - w N) = m N + n M - w n N - w^2 m M
//! ```
//!
//! The sum over the three parties is the product of the two values: two different components meet at one party, with factor 1; a
//! component meets itself at two parties, with `-w` at one and `-w^2` at the other, and these add up to 1.
//!
//! A number `c0 + c1 w` has two coordinates, so that one product has room for two terms `a0 b0 + a1 b1` of an inner product: let
//! `a = a0 + a1 w`, and let `b0`, `b1` be the coordinates of `b` in the basis for which `a0 b0 + a1 b1` is a coordinate of `a b`.
//! Multiplication by `w` takes `(c0, c1)` to `(-c1, c0 - c1)` on the left and, as the transpose, to `(c1, -c0 - c1)` on the right.
//! Two ring multiplications then do for two terms, where `m (M + N) + n M` takes four.
//!
//! The two factors are, up to units of the Galois ring `Z_2^64[w]`, the party's Shamir shares at the points 1, `w` and `w^2`:
//! Cramer, Damgård, Ishai, "Share Conversion, Pseudorandom Secret-Sharing and Applications to Secure Computation", TCC 2005, for
//! the conversion, and Abspoel, Cramer, Damgård, Escudero, Yuan, "Efficient Information-Theoretic Secure Multiparty Computation
//! over Z/p^kZ via Galois Rings", TCC 2019, for the ring. The units are chosen so that the division by 3 of the interpolation
//! cancels: `(1 - w)^2 = -3 w`. Pairs, units and formulas are this project's own.

#![expect(clippy::inline_always, reason = "inlined functions take on the features of the shell around them")]

/// One of the two operands.
pub(super) trait Factor {
    /// The coordinates of the factor for a pair of values, given the components of both, in words or vectors of words.
    fn convert_with<V: Copy>(
        mine: [V; 2],
        next: [V; 2],
        add: impl Fn(V, V) -> V,
        sub: impl Fn(V, V) -> V,
    ) -> [V; 2];

    /// [`convert_with`](Self::convert_with) for words.
    #[inline]
    fn convert(mine: [u64; 2], next: [u64; 2]) -> [u64; 2] {
        Self::convert_with(mine, next, u64::wrapping_add, u64::wrapping_sub)
    }
}

/// The operand on the left: `n - w^2 m`.
pub(super) struct First;

impl Factor for First {
    #[inline(always)]
    fn convert_with<V: Copy>(
        mine: [V; 2],
        next: [V; 2],
        add: impl Fn(V, V) -> V,
        sub: impl Fn(V, V) -> V,
    ) -> [V; 2] {
        [add(next[0], sub(mine[0], mine[1])), add(next[1], mine[0])]
    }
}

/// The operand on the right: `m - w n`.
pub(super) struct Second;

impl Factor for Second {
    #[inline(always)]
    fn convert_with<V: Copy>(
        mine: [V; 2],
        next: [V; 2],
        add: impl Fn(V, V) -> V,
        sub: impl Fn(V, V) -> V,
    ) -> [V; 2] {
        [sub(mine[0], next[1]), add(mine[1], add(next[0], next[1]))]
    }
}
