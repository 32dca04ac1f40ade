//! Signs.

use crate::error::Result;
use crate::protocol::and::and;
use crate::protocol::circuit::Circuit;
use crate::protocol::digits::{self, DIGIT_BITS};
use crate::protocol::split::Split;
use crate::protocol::split_bits::SplitBits;
use crate::session::Session;
use crate::share::{Bits, Rep};

/// Whether each element is negative, given `|x| < 2^(width - 1)`.
///
/// The low `width` bits, rounded up to whole digits, are added digit by digit; the top digit's carry is its top bit.
/// With d digits: 2 + ceil(log2(d)) rounds; `20 d` bits and fewer than 2 `d` ANDs of 3 bits.
///
/// # Errors
///
/// When a peer fails.
pub fn is_negative(shared: &Rep, width: u32, session: &mut Session) -> Result<Bits> {
    Sign::of(&mut Split::of(shared, session.party()), 0, width, session)?.replicated(session)
}

/// The bits that say whether elements are negative, before the last AND of their circuit: `plain XOR (x AND y)`.
pub(crate) struct Sign {
    pub(crate) plain: Bits,
    /// None where one digit says all.
    pub(crate) product: Option<[Bits; 2]>,
}

impl Sign {
    /// That of the sum that the two components have without their lowest `low` bits; as [`is_negative`], less the last round.
    ///
    /// The first round closes the value if it is open.
    pub(crate) fn of(value: &mut Split, low: u32, width: u32, session: &mut Session) -> Result<Self> {
        let count = width.div_ceil(DIGIT_BITS) as usize;
        let mut tables = vec![vec![digits::generate(), digits::propagate()]; count];
        // The top bit of the top digit, and whether a carry from below changes it.
        tables[count - 1] = vec![digits::table(|sum| sum % 16 >= 8), digits::table(|sum| sum % 8 == 7)];
        let bits = digits::look_up_digits(value, low, &tables, session)?;
        let (generate, propagate): (Vec<_>, Vec<_>) =
            (0..count).map(|digit| (2 * digit, 2 * digit + 1)).unzip();
        let mut circuit = Circuit::new(bits, 4 * count);
        let [top, hands_on, carry] = match *circuit.carry_halves(&generate, &propagate, session)? {
            [(top, _)] => return Ok(Self { plain: circuit.outputs(&[top]), product: None }),
            [(carry, _), (top, Some(hands_on))] => [top, hands_on, carry],
            _ => unreachable!("the upper half hands on a carry"),
        };
        let [plain, x, y] = [top, hands_on, carry].map(|wire| circuit.outputs(&[wire]));
        Ok(Self { plain, product: Some([x, y]) })
    }

    /// The bits. 1 round, 3 bits an element, or none.
    pub(crate) fn replicated(self, session: &mut Session) -> Result<Bits> {
        let Self { mut plain, product } = self;
        if let Some([x, y]) = product {
            plain.xor_assign(&and(&x, &y, session)?);
        }
        Ok(plain)
    }

    /// The bits in two components, for a vector with its parts at these cuts. Local; they are open, or complete.
    pub(crate) fn split(self, cuts: [usize; 4], session: &mut Session) -> SplitBits {
        match self.product {
            Some([x, y]) => SplitBits::of_products(&self.plain, 0, [&x, &y], cuts, session),
            None => SplitBits::of(&self.plain, cuts, session.party()),
        }
    }
}
