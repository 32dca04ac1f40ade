//! What each protocol costs, from its description: rounds, and payload bytes of all three parties together.

use std::ops::Add;

use shamisen_mpc::protocol::leading_bit::Window;
use shamisen_mpc::protocol::leading_digit::DigitWindow;
use shamisen_mpc::protocol::points::Points;

/// Rounds and bytes; `+` is one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) rounds: u64,
    pub(crate) bytes: u64,
}

impl Cost {
    pub(crate) const NONE: Self = Self { rounds: 0, bytes: 0 };

    /// `rounds` rounds that move `words` words altogether; no round takes place for nothing.
    fn new(rounds: usize, words: usize) -> Self {
        Self { rounds: if words == 0 { 0 } else { rounds as u64 }, bytes: 8 * words as u64 }
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, later: Self) -> Self {
        Self { rounds: self.rounds + later.rounds, bytes: self.bytes + later.bytes }
    }
}

/// Words of a bit plane of `n` elements.
fn plane(n: usize) -> usize {
    n.div_ceil(64)
}

/// Words of `n` numbers of `bits` bits, packed separately in each of the three parts of the vector.
fn packed(n: usize, bits: u32) -> usize {
    let cut = |third: usize| (plane(n) * third / 3 * 64).min(n);
    (0..3).map(|third| ((cut(third + 1) - cut(third)) * bits as usize).div_ceil(64)).sum()
}

fn ceil_log2(x: usize) -> usize {
    x.next_power_of_two().trailing_zeros() as usize
}

pub(crate) fn open(n: usize) -> Cost {
    Cost::new(1, 3 * n)
}

pub(crate) fn open_to(n: usize) -> Cost {
    Cost::new(1, n)
}

pub(crate) fn open_bits(width: usize, n: usize) -> Cost {
    Cost::new(1, 3 * width * plane(n))
}

pub(crate) fn reshare(n: usize) -> Cost {
    Cost::new(1, 3 * n)
}

pub(crate) fn truncate(n: usize, bits: u32) -> Cost {
    Cost::new(2, 3 * n + 3 * packed(n, bits) + 2 * plane(n))
}

pub(crate) fn truncate_roughly(n: usize, bits: u32, low: u32) -> Cost {
    Cost::new(2, n + 2 * packed(n, 64 - low) + 3 * packed(n, bits) + 2 * plane(n))
}

pub(crate) fn truncate_shared(n: usize, bits: u32) -> Cost {
    Cost::new(2, n + 3 * packed(n, bits) + 2 * plane(n))
}

/// AND of `planes` planes of `n` bits.
pub(crate) fn and(planes: usize, n: usize) -> Cost {
    Cost::new(1, 3 * planes * plane(n))
}

pub(crate) fn and_planes(groups: usize, size: usize, n: usize) -> Cost {
    Cost::new(ceil_log2(size), 3 * groups * (size - 1) * plane(n))
}

pub(crate) fn all(n: usize) -> Cost {
    if n == 0 { Cost::NONE } else { and_planes(1, plane(n), 64) + Cost::new(6, 6 * 3) }
}

/// The bits of the first summand, and where it makes a carry with the second.
fn addends(width: usize, n: usize) -> Cost {
    Cost::new(1, width * plane(n)) + Cost::new(1, 2 * (width - 1) * plane(n))
}

/// Elements of `0..width` that a step of a prefix tree updates: those in the upper half of a block of `2 span`.
fn uppers(width: usize, span: usize) -> usize {
    (0..width).filter(|i| i / span % 2 == 1).count()
}

fn spans(width: usize) -> impl Iterator<Item = usize> {
    (0..ceil_log2(width)).map(|step| 1 << step)
}

pub(crate) fn to_bits(width: u32, n: usize) -> Cost {
    let positions = width as usize - 1;
    addends(width as usize, n) + Cost::new(ceil_log2(positions), 3 * carry_ands(positions) * plane(n))
}

/// Words of the queries for a digit of `n` numbers, in each of the three parts of the vector.
fn digit_queries(n: usize) -> usize {
    let cut = |third: usize| (plane(n) * third / 3 * 64).min(n);
    (0..3).map(|third| (cut(third + 1) - cut(third)).div_ceil(4)).sum()
}

/// Digits that are asked, and the tables of all of them.
fn look_up_digits(digits: usize, tables: usize, n: usize) -> Cost {
    Cost::new(1, digits * digit_queries(n)) + Cost::new(1, 2 * tables * plane(n))
}

/// The sign up to the last AND of the digits' carries.
fn sign_but_last(width: u32, n: usize) -> Cost {
    let digits = width.div_ceil(4) as usize;
    let mut groups = digits;
    let mut ands = 0;
    while groups > 2 {
        // Two ANDs a pair, but one where the pair is the lowest group of all.
        ands += 2 * (groups / 2) - usize::from(groups.is_multiple_of(2));
        groups = groups.div_ceil(2);
    }
    look_up_digits(digits, 2 * digits, n)
        + Cost::new(ceil_log2(digits).saturating_sub(1), 3 * ands * plane(n))
}

pub(crate) fn is_negative(width: u32, n: usize) -> Cost {
    sign_but_last(width, n) + if width > 4 { and(1, n) } else { Cost::NONE }
}

/// What an open number or open bits add to the first round of the protocol that takes them: so many words.
fn closing(words: usize) -> Cost {
    Cost { rounds: 0, bytes: 8 * words as u64 }
}

/// A number of `width` bits that is open.
pub(crate) fn closing_split(n: usize, width: u32) -> Cost {
    closing(2 * packed(n, width))
}

pub(crate) fn replicated(n: usize) -> Cost {
    Cost::new(1, n)
}

pub(crate) fn to_ring(planes: usize, n: usize) -> Cost {
    Cost::new(2, 3 * planes * n)
}

/// A number that passes a gate of which nothing is shared yet, or another one afterwards.
pub(crate) fn pass(bits: u32, first: bool, n: usize) -> Cost {
    Cost::new(1, if first { 2 * n } else { n } + 2 * packed(n, bits)) + reshare(n)
}

pub(crate) fn rectify(bits: u32, width: u32, n: usize) -> Cost {
    let last = if width > 4 { closing(2 * plane(n)) } else { Cost::NONE };
    sign_but_last(width, n) + last + pass(bits, true, n)
}

/// Look-ups at indices of these numbers of bits, in so many tables each.
pub(crate) fn look_up(queries: &[(usize, usize)], n: usize) -> Cost {
    let words: usize = queries.iter().map(|(bits, tables)| (1_usize << bits).div_ceil(64) + 3 * tables).sum();
    Cost::new(3, words * n)
}

pub(crate) fn leading_index(window: Window, n: usize) -> Cost {
    let below = (window.mantissa + window.guard).min(window.low);
    let width = window.width as usize;
    let ors: usize = spans(width).map(|span| uppers(width, span)).sum();
    to_bits(window.width + below, n)
        + Cost::new(ceil_log2(width), 3 * ors * plane(n))
        + and(window.mantissa as usize, n)
}

/// ANDs that bring the carries out of `positions` places.
fn carry_ands(positions: usize) -> usize {
    // A join takes two ANDs, but one where it reaches down to position 0.
    spans(positions).map(|span| 2 * uppers(positions, span) - uppers(positions.min(2 * span), span)).sum()
}

pub(crate) fn leading_digit(window: DigitWindow, n: usize) -> Cost {
    let digits = window.digits as usize;
    // Carry, hand on, zero, the class and its change: no carry leaves the top digit or comes into the lowest.
    // Whether it is 1, and the top bit for the digit above.
    let tables = (digits - 1) + digits + digits + 3 * digits + 3 * (digits - 1) + digits + (digits - 1);
    let ors: usize = spans(digits).map(|span| uppers(digits, span)).sum();
    look_up_digits(digits, tables, n)
        + Cost::new(ceil_log2(digits - 1), 3 * carry_ands(digits - 1) * plane(n))
        + and(digits - 1, n)
        + Cost::new(ceil_log2(digits), 3 * ors * plane(n))
        + and(digits - 1, n)
        + and(5, n)
        + and(1, n)
}

/// The last AND needs no round of its own.
pub(crate) fn look_up_leading_digit(window: DigitWindow, n: usize) -> Cost {
    let last = and(1, n);
    let Cost { rounds, bytes } = leading_digit(window, n);
    let index = Cost { rounds: rounds - last.rounds, bytes: bytes - last.bytes } + closing(2 * plane(n));
    index + look_up(&[(window.index_bits() as usize, 1)], n)
}

/// The leading bit, one look-up in `tables` tables.
fn logarithmic_table(window: Window, tables: usize, n: usize) -> Cost {
    leading_index(window, n) + look_up(&[(window.index_bits() as usize, tables)], n)
}

pub(crate) fn reciprocal(frac: u32, integer_bits: u32, result_frac: u32, n: usize) -> Cost {
    let window = Window { low: frac, width: integer_bits.max(2), mantissa: 5, guard: 3 };
    logarithmic_table(window, 2, n) + truncate(n, 60 - result_frac)
}

pub(crate) fn inverse_square_root(window: Window, n: usize) -> Cost {
    logarithmic_table(window, 1, n)
}

pub(crate) fn refine(frac: u32, guess_frac: u32, n: usize) -> Cost {
    truncate(n, frac) + truncate(n, guess_frac) + truncate(n, guess_frac + 1)
}

pub(crate) fn inverse_square_root_of_fixed(frac: u32, integer_bits: u32, n: usize) -> Cost {
    let window = Window { low: frac, width: integer_bits.max(2), mantissa: 4, guard: 3 };
    inverse_square_root(window, n) + refine(frac, 24, n)
}

pub(crate) fn ln(frac: u32, integer_bits: u32, n: usize) -> Cost {
    let window = Window { low: frac, width: integer_bits.max(2), mantissa: 5, guard: 3 };
    logarithmic_table(window, 2, n) + truncate(n, frac) + truncate(n, 33)
}

pub(crate) fn reciprocal_near(points: Points, n: usize) -> Cost {
    look_up(&[(points.index_bits() as usize, 2)], n) + reshare(n)
}

pub(crate) fn ln_near(points: Points, frac: u32, n: usize) -> Cost {
    look_up(&[(points.index_bits() as usize, 2)], n) + truncate(n, frac) + truncate(n, 33)
}

pub(crate) fn exp_negative(integer_bits: u32, n: usize) -> Cost {
    let beyond = integer_bits.saturating_sub(4).max(6) as usize;
    look_up(&[(6, 1), (6, 1), (7, 2), (beyond, 2)], n) + reshare(2 * n) + truncate(n, 38)
}

/// Whether all of so many bits are 1, as numbers.
fn all_won(bits: usize, n: usize) -> Cost {
    if bits <= 2 {
        return and_planes(1, bits, n) + to_ring(1, n);
    }
    if bits > 10 {
        return and(bits / 2, n) + all_won(bits.div_ceil(2), n);
    }
    look_up(&[(bits.max(4), 1)], n)
}

/// All pairs of up to 16 classes.
fn all_pairs(rows: usize, classes: usize, width: u32) -> Cost {
    if classes == 1 {
        return Cost::NONE;
    }
    let (pairs, padded) = (classes * (classes - 1) / 2, rows.next_multiple_of(64));
    let (games, elements) = (classes - 1, (classes - 1) * padded);
    if (3..=10).contains(&games) {
        // The last AND of each pair is computed for both classes.
        return sign_but_last(width, pairs * padded)
            + closing(2 * games * plane(elements))
            + look_up(&[(games.max(4), 1)], elements);
    }
    // For the last AND, too.
    sign_but_last(width, pairs * padded) + and(games, elements) + all_won(games, elements)
}

pub(crate) fn arg_max(rows: usize, classes: usize, width: u32) -> Cost {
    if classes <= 16 {
        return all_pairs(rows, classes, width);
    }
    let groups = classes.div_ceil(8);
    all_pairs(rows * groups, 8, width)
        + reshare(rows * groups)
        + arg_max(rows, groups, width)
        + reshare(rows * classes)
}

pub(crate) fn row_max(rows: usize, classes: usize, width: u32) -> Cost {
    if classes <= 16 {
        return all_pairs(rows, classes, width);
    }
    let groups = classes.div_ceil(8);
    all_pairs(rows * groups, 8, width) + reshare(rows * groups) + row_max(rows, groups, width)
}

/// The bits of the distances to the maximum, and the exponentials.
fn powers(frac: u32, integer_bits: u32, n: usize) -> Cost {
    closing_split(n, frac + 4 + (integer_bits + 1 - 4).max(6)) + exp_negative(integer_bits + 1, n)
}

/// Integer bits of a sum of as many powers.
fn sum_bits(classes: usize) -> u32 {
    ceil_log2(classes) as u32 + 1
}

pub(crate) fn soft_max(rows: usize, classes: usize, frac: u32, integer_bits: u32) -> Cost {
    let n = rows * classes;
    let powers = row_max(rows, classes, frac + integer_bits + 2) + powers(frac, integer_bits, n);
    match Points::up_to(classes, 20) {
        Some(points) => powers + reciprocal_near(points, rows) + truncate(n, 32),
        None => powers + reciprocal(20, sum_bits(classes), 24, rows) + truncate(n, 24),
    }
}

/// From the sums and margins of each row.
pub(crate) fn loss(rows: usize, classes: usize) -> Cost {
    match Points::up_to(classes, 20) {
        Some(points) => ln_near(points, 20, rows),
        None => ln(20, sum_bits(classes), rows),
    }
}

pub(crate) fn cross_entropy(rows: usize, classes: usize, frac: u32, integer_bits: u32) -> Cost {
    arg_max(rows, classes, frac + integer_bits + 2)
        + powers(frac, integer_bits, rows * classes)
        + loss(rows, classes)
}

pub(crate) fn in_range(bound: u32, prior: u32, n: usize) -> Cost {
    let high = (prior.max(bound + 1) + 2).min(64) - bound;
    let digits = high.div_ceil(4) as usize;
    look_up_digits(digits, 2 * digits, n) + and_planes(2, digits, n)
}

/// Statistics of so many columns, of so many owners.
pub(crate) fn pool(owners: usize, n: usize) -> Cost {
    let window = Window { low: 16, width: 22, mantissa: 4, guard: 3 };
    let (levels, all) = (33 * n, 2 * owners * n);
    let sides = 2 * (2 * owners - 1) * levels;
    is_negative(64, sides)
        + to_ring(1, sides)
        + is_negative(24, levels)
        + to_ring(1, levels)
        + truncate_shared(levels, 30)
        + reshare(all + levels)
        + truncate_shared(all, 30)
        + truncate(n, 24)
        + inverse_square_root(window, n)
        + pooled_root(n)
        + pooled_root(n)
        + truncate(all, 30)
}

fn pooled_root(n: usize) -> Cost {
    truncate(n, 30) + truncate(n, 30) + truncate(n, 25)
}

pub(crate) fn apply_clipped(frac: u32, n: usize) -> Cost {
    closing_split(n, 64) + rectify(23, frac + 13, n) + rectify(1, frac + 13, n)
}

pub(crate) fn reseed(n: usize) -> Cost {
    Cost::new(1, 2 * n)
}
