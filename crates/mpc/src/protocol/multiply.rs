//! Products: element by element, inner products, and matrices. All are local up to one message of resharing.

use std::ops::Range;

use shamisen_ring::bits;
use shamisen_ring::matmul::{self, MatRef};
use shamisen_ring::words::Words;

use crate::error::Result;
use crate::roles::chunks;
use crate::session::Session;
use crate::share::{Additive, Rep};

/// The element-wise product as an additive sharing. Local.
///
/// `x y` is the sum over parties of `x_i (y_i + y_{i+1}) + x_{i+1} y_i` (Araki et al., CCS 2016, section 2.2).
///
/// # Panics
///
/// When lengths or widths do not fit, which is a mistake of the caller.
pub fn product(x: &Rep, y: &Rep) -> Additive {
    assert_eq!(x.len(), y.len(), "factors of an element-wise product have one length");
    let mut out = Words::scratch(x.len());
    bits::mul_shares(&mut out, &x.mine, &x.next, &y.mine, &y.next);
    Additive(out)
}

/// A matrix under replicated sharing, row-major, possibly seen transposed.
#[derive(Clone, Copy)]
pub struct RepMatrix<'a>(MatRef<'a>);

impl<'a> RepMatrix<'a> {
    /// The elements of `data` as a matrix, row-major.
    pub fn new(data: &'a Rep, rows: usize, cols: usize) -> Self {
        Self::of_range(data, 0..data.len(), rows, cols)
    }

    /// Some elements of `data` as a matrix, row-major.
    ///
    /// # Panics
    ///
    /// When lengths or widths do not fit, which is a mistake of the caller.
    pub fn of_range(data: &'a Rep, range: Range<usize>, rows: usize, cols: usize) -> Self {
        Self(MatRef::new(&data.mine[range.clone()], &data.next[range], rows, cols))
    }

    /// The transpose; nothing is copied.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self(self.0.transposed())
    }
}

/// The matrix product as an additive sharing, row-major. Local: one ring product of the given shape.
///
/// Each party converts its components to factors of a single product in the Galois ring `Z_2^64[w]/(w^2 + w + 1)`. With pairs of
/// elements of a row of `x` and a column of `y` as one ring element each, the parties' summands are a coordinate of
/// `(x_{i+1} - w^2 x_i) (y_i - w y_{i+1})`, and these add up to `x y`: Shamir shares over a Galois ring (Abspoel et al., TCC
/// 2019) in a form of this project's own. Products with a vector use the formula of [`product`].
///
/// Nothing is sent, so there is nothing to learn. The summand is not masked yet, as with [`product`].
///
/// # Panics
///
/// When lengths or widths do not fit, which is a mistake of the caller.
pub fn matrix_product(x: RepMatrix<'_>, y: RepMatrix<'_>, session: &mut Session) -> Additive {
    let mut out = Additive(Words::scratch(x.0.rows() * y.0.cols()));
    out.set_matrix_product(0, x, y, session);
    out
}

impl Additive {
    /// Writes a [`matrix_product`] to the elements from `first` on.
    ///
    /// # Panics
    ///
    /// When lengths or widths do not fit, which is a mistake of the caller.
    pub fn set_matrix_product(
        &mut self,
        first: usize,
        x: RepMatrix<'_>,
        y: RepMatrix<'_>,
        session: &mut Session,
    ) {
        session.count_multiply_adds(x.0.rows() * x.0.cols() * y.0.cols());
        let len = x.0.rows() * y.0.cols();
        matmul::multiply(&mut self.0[first..first + len], x.0, y.0);
    }

    /// Writes some elements of a [`product`], times a public number.
    ///
    /// # Panics
    ///
    /// When there are not so many elements, which is a mistake of the caller.
    pub fn set_product(&mut self, elements: Range<usize>, x: &Rep, y: &Rep, factor: u64) {
        let out = &mut self.0[elements.clone()];
        let [x_mine, x_next, y_mine, y_next] =
            [&x.mine, &x.next, &y.mine, &y.next].map(|words| &words[elements.clone()]);
        bits::mul_shares(out, x_mine, x_next, y_mine, y_next);
        if factor != 1 {
            bits::scale_assign(out, factor);
        }
    }
}

/// Turns an additive sharing into a replicated one.
///
/// Each party masks its summand with a share of zero and sends it to the previous party. 1 round, 24 bytes.
/// What party `i` receives is masked by `F(s_{i+2})`, which it cannot compute.
///
/// # Errors
///
/// When a peer fails.
pub fn reshare(sum: Additive, session: &mut Session) -> Result<Rep> {
    let mut mine = sum.0;
    let (own, next) = session.zero_sharing();
    for chunk in chunks(mine.len()) {
        own.add_into(chunk.start, &mut mine[chunk.clone()]);
        next.sub_into(chunk.start, &mut mine[chunk]);
    }
    let next = session.pass_back(&mine)?;
    Ok(Rep { mine, next })
}

/// The element-wise product, reshared. 1 round, 24 bytes.
///
/// # Errors
///
/// When a peer fails.
pub fn multiply(x: &Rep, y: &Rep, session: &mut Session) -> Result<Rep> {
    reshare(product(x, y), session)
}
