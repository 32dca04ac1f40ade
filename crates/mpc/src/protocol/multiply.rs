//! Products: element by element, inner products, and matrices. All are local up to one message of resharing.

use std::ops::Range;

use shamisen_ring::bits;
use shamisen_ring::matmul::{MatRef, multiply_add_pair};
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
    let mut out = Words::zeros(x.len());
    bits::mul_shares(&mut out, &x.mine, &x.next, &y.mine, &y.next);
    Additive(out)
}

/// A matrix under replicated sharing, row-major, possibly seen transposed.
#[derive(Clone, Copy)]
pub struct RepMatrix<'a> {
    mine: &'a [u64],
    next: &'a [u64],
    rows: usize,
    cols: usize,
    transposed: bool,
}

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
        assert_eq!(range.len(), rows * cols, "a matrix has rows x columns elements");
        Self { mine: &data.mine[range.clone()], next: &data.next[range], rows, cols, transposed: false }
    }

    /// The transpose; nothing is copied.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    fn view(self, words: &'a [u64]) -> MatRef<'a> {
        let view = MatRef::new(words, self.rows, self.cols);
        if self.transposed { view.transposed() } else { view }
    }

    fn shape(self) -> (usize, usize) {
        if self.transposed { (self.cols, self.rows) } else { (self.rows, self.cols) }
    }

    /// The sum of the two components.
    fn sum(self) -> Words {
        let mut sum = Words::copy(self.mine);
        bits::add_assign(&mut sum, self.next);
        sum
    }
}

/// The matrix product as an additive sharing, row-major. Local: two ring products of the given shape.
///
/// # Panics
///
/// When lengths or widths do not fit, which is a mistake of the caller.
pub fn matrix_product(x: RepMatrix<'_>, y: RepMatrix<'_>, session: &mut Session) -> Additive {
    let ((rows, inner), (y_rows, cols)) = (x.shape(), y.shape());
    assert_eq!(inner, y_rows, "inner dimensions of a matrix product agree");
    session.count_multiply_adds(2 * rows * inner * cols);
    let mut out = Words::zeros(rows * cols);
    // The sum goes over the smaller operand.
    if y.mine.len() <= x.mine.len() {
        let sum = y.sum();
        multiply_add_pair(&mut out, x.view(x.mine), y.view(&sum), x.view(x.next), y.view(y.mine));
    } else {
        let sum = x.sum();
        multiply_add_pair(&mut out, x.view(&sum), y.view(y.mine), x.view(x.mine), y.view(y.next));
    }
    Additive(out)
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
