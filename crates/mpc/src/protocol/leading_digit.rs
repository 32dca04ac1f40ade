//! The leading digit of a positive number in base 16 and about how large it is: the address of a value in a logarithmic
//! table, at less cost than its [leading bit](crate::protocol::leading_bit).

use std::iter;

use crate::error::Result;
use crate::protocol::and::and;
use crate::protocol::circuit::{Circuit, Wire};
use crate::protocol::digits::{self, Table, look_up_digits};
use crate::protocol::lookup::{self, Query, look_up_in};
use crate::protocol::split::Split;
use crate::protocol::split_bits::SplitBits;
use crate::session::Session;
use crate::share::{Bits, Rep};

/// Bits of the class of a digit.
const CLASS_BITS: usize = 3;
/// The class of each digit: its leading bit and the bit behind that. Digit 1 has class 0 or 1, after the digit below.
const CLASSES: [usize; 16] = [0, 0, 2, 3, 4, 4, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7];
/// Where the classes begin, and where the last one ends.
const ENDS: [f64; 9] = [1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0];

/// A window of digits in which the leading one is sought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigitWindow {
    /// The lowest bit of the lowest digit.
    pub low: u32,
    /// Number of digits, 2 to 8.
    pub digits: u32,
}

impl DigitWindow {
    /// Bits of the index: the place of the leading digit, then its class above it.
    pub fn index_bits(self) -> u32 {
        self.place_bits() + CLASS_BITS as u32
    }

    /// Numbers must be below two to this power, less one unit of the lowest bit.
    pub fn bits(self) -> u32 {
        self.low + digits::DIGIT_BITS * self.digits
    }

    /// A table over this window: `value` of a representative of each interval, by its number as an integer.
    ///
    /// Entry `place + 2^e class` stands for the integers whose leading digit has this place and class. The representative is
    /// the geometric middle of the interval, so that for a power of the number the greatest relative error is least. The
    /// numbers without a one in the window count as those with the lowest bit alone.
    pub fn table(self, value: impl Fn(f64) -> u64) -> Vec<u64> {
        (0..1_usize << self.index_bits())
            .map(|index| {
                let (place, class) = (index & ((1 << self.place_bits()) - 1), index >> self.place_bits());
                let place = (place as u32).min(self.digits - 1);
                // Below the lowest digit there is none that would tell 1.5 from 1.
                let end = if (place, class) == (0, 0) { ENDS[2] } else { ENDS[class + 1] };
                let middle = (ENDS[class] * end).sqrt();
                value(middle * 2.0_f64.powi((self.low + digits::DIGIT_BITS * place) as i32))
            })
            .collect()
    }

    fn place_bits(self) -> u32 {
        self.digits.next_power_of_two().trailing_zeros()
    }
}

/// The index of each element in a [`DigitWindow`]'s tables; elements must be non-negative and below its end.
///
/// The bits below the window are dropped from both components, so an element may be counted up to one unit of the window's
/// lowest bit too high. Whether a leading 1 is below or above 1.5 is told by the digit below as it is without its own carry,
/// so 1.5 may be taken to be up to 1/16 lower, and what is at most 1/16 above 1 may be taken as above 1.5; a 1 in the lowest place
/// is always taken as below.
///
/// Every digit tells what it would be without a carry from below and what a carry would change; a prefix tree brings the
/// carries, another one from the top finds the leading digit, and the class is an inner product of its marks with the
/// digits' classes.
///
/// With `d` digits: 6 + ceil(log2(d)) + ceil(log2(d - 1)) rounds; about `38 d` bits and fewer than `5 d` ANDs of 3 bits. The
/// first round closes the value if it is open.
///
/// # Errors
///
/// When a peer fails.
///
/// # Panics
///
/// When the window does not lie in a word, which is a mistake of the caller.
pub fn leading_digit(value: &mut Split, window: DigitWindow, session: &mut Session) -> Result<Bits> {
    let Index { mut plain, class_bit, product: [x, y] } = Index::of(value, window, session)?;
    plain.xor_planes(class_bit, &and(&x, &y, session)?);
    Ok(plain)
}

/// The entries of the [`DigitWindow`]'s tables at the leading digit of each element: [`leading_digit`] and
/// [`look_up`](crate::protocol::lookup::look_up), in one round less, since the last AND needs none of its own.
///
/// # Errors
///
/// When a peer fails.
///
/// # Panics
///
/// When the window does not lie in a word, or a table has not its size, which is a mistake of the caller.
pub fn look_up_leading_digit(
    value: &mut Split,
    window: DigitWindow,
    tables: &[&[u64]],
    session: &mut Session,
) -> Result<Vec<Rep>> {
    let Index { plain, class_bit, product: [x, y] } = Index::of(value, window, session)?;
    let mut index = SplitBits::of_products(&plain, class_bit, [&x, &y], value.cuts(), session);
    let query = Query { low: 0, bits: window.index_bits(), tables };
    Ok(look_up_in(lookup::Index::Bits(&mut index), &[query], session)?.swap_remove(0))
}

/// The index before the last AND of its circuit, `x AND y`, which is added to the lowest bit of the class.
struct Index {
    plain: Bits,
    class_bit: usize,
    product: [Bits; 2],
}

impl Index {
    fn of(value: &mut Split, window: DigitWindow, session: &mut Session) -> Result<Self> {
        let party = session.party();
        // In place of the carry out of the dropped bits.
        let carry = if window.low > 0 { 1 << window.low } else { 0_u64 };
        value.add_constant(carry, party);
        let index = index(value, window, session);
        value.add_constant(carry.wrapping_neg(), party);
        index
    }
}

/// The index of a value to which nothing needs to be added.
fn index(value: &mut Split, window: DigitWindow, session: &mut Session) -> Result<Index> {
    assert!((2..=8).contains(&window.digits) && window.bits() <= 64, "2 to 8 digits of a word");
    let count = window.digits as usize;
    let party = session.party();
    let mut columns = Columns::default();
    let generate: Vec<Wire> = (0..count - 1).map(|digit| columns.add(digit, digits::generate())).collect();
    let propagate: Vec<Wire> = (0..count).map(|digit| columns.add(digit, digits::propagate())).collect();
    let zero: Vec<Wire> =
        (0..count).map(|digit| columns.add(digit, digits::table(|sum| sum % 16 == 0))).collect();
    let class = |bit: usize, digit: usize| CLASSES[digit % 16] >> bit & 1;
    let classes: Vec<Vec<Wire>> = (0..CLASS_BITS)
        .map(|bit| {
            (0..count).map(|digit| columns.add(digit, digits::table(|sum| class(bit, sum) == 1))).collect()
        })
        .collect();
    // What a carry changes; none comes into the lowest digit.
    let changes: Vec<Vec<Wire>> = (0..CLASS_BITS)
        .map(|bit| {
            let changed = |sum: usize| class(bit, sum) != class(bit, sum + 1);
            (1..count).map(|digit| columns.add(digit, digits::table(changed))).collect()
        })
        .collect();
    let one: Vec<Wire> =
        (0..count).map(|digit| columns.add(digit, digits::table(|sum| sum % 16 == 1))).collect();
    let upper: Vec<Wire> =
        (0..count - 1).map(|digit| columns.add(digit, digits::table(|sum| sum % 16 >= 8))).collect();
    let (tables, wire_of) = columns.finish(count);
    let wires = |columns: &[Wire]| columns.iter().map(|&column| wire_of[column]).collect::<Vec<Wire>>();
    let (generate, propagate, zero) = (wires(&generate), wires(&propagate), wires(&zero));
    let (one, upper) = (wires(&one), wires(&upper));

    let bits = look_up_digits(value, window.low, &tables, session)?;
    let mut circuit = Circuit::new(bits, 10 * count);
    let carries = circuit.carries(&generate, &propagate[..count - 1], session)?;
    // With a carry a digit is 0 where it would have been 15.
    let gates: Vec<(Wire, Wire)> =
        (1..count).map(|digit| (carries[digit - 1], circuit.xor(&[zero[digit], propagate[digit]]))).collect();
    let mut zeros = vec![zero[0]];
    for (digit, changed) in (1..count).zip(circuit.and(&gates, session)?) {
        zeros.push(circuit.xor(&[zero[digit], changed]));
    }
    // Whether all digits are 0 from the top down to here; the leading digit is where that ends.
    zeros.reverse();
    let mut none = circuit.prefix_and(&zeros, session)?;
    none.reverse();
    let leading: Vec<Wire> = (0..count)
        .map(|digit| match none.get(digit + 1) {
            Some(&above) => circuit.xor(&[none[digit], above]),
            None => circuit.not(none[digit], party),
        })
        .collect();

    let mut index: Vec<Wire> = (0..window.place_bits())
        .map(|bit| {
            let places: Vec<Wire> =
                (0..count).filter(|digit| digit >> bit & 1 == 1).map(|digit| leading[digit]).collect();
            circuit.xor(&places)
        })
        .collect();
    let gates: Vec<(Wire, Wire)> = (1..count).map(|digit| (leading[digit], carries[digit - 1])).collect();
    let carried: Vec<Wire> = circuit.and(&gates, session)?.collect();
    let mut terms: Vec<Vec<(Wire, Wire)>> = classes
        .iter()
        .zip(&changes)
        .map(|(classes, changes)| {
            let plain = leading.iter().copied().zip(wires(classes));
            plain.chain(carried.iter().copied().zip(wires(changes))).collect()
        })
        .collect();
    // Whether the leading digit is 1, which a carry makes of 0, and the top bit of the digit below.
    let becomes_one = (1..count).map(|digit| circuit.xor(&[one[digit], zero[digit]])).collect::<Vec<_>>();
    terms.push(iter::chain(iter::zip(leading.clone(), one), iter::zip(carried, becomes_one)).collect());
    terms.push(iter::zip(leading[1..].to_vec(), upper).collect());
    let mut class: Vec<Wire> = circuit.inner_products(&terms, session)?.collect();
    let below = class.split_off(CLASS_BITS);
    let class_bit = index.len();
    index.extend(class);
    Ok(Index {
        plain: circuit.outputs(&index),
        class_bit,
        product: [circuit.outputs(&below[..1]), circuit.outputs(&below[1..])],
    })
}

/// Tables asked of digits, in any order; the look-up gives them digit by digit.
#[derive(Default)]
struct Columns {
    asked: Vec<(usize, Table)>,
}

impl Columns {
    /// Asks a digit for a bit and returns the number of the question.
    fn add(&mut self, digit: usize, table: Table) -> usize {
        self.asked.push((digit, table));
        self.asked.len() - 1
    }

    /// The tables of each digit, and the place of each question's answer.
    fn finish(self, digits: usize) -> (Vec<Vec<Table>>, Vec<Wire>) {
        let mut tables = vec![Vec::new(); digits];
        let mut order: Vec<usize> = (0..self.asked.len()).collect();
        order.sort_by_key(|&question| self.asked[question].0);
        let mut wires = vec![0; order.len()];
        for (wire, question) in order.into_iter().enumerate() {
            let (digit, table) = self.asked[question];
            wires[question] = wire;
            tables[digit].push(table);
        }
        (tables, wires)
    }
}
