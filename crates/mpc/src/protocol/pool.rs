//! Tables of several owners as one: the statistics of all rows together, and each owner's rows rescaled by them.
//!
//! Each owner has scaled its rows by statistics of its own, `(x - m_k) / s_k`, and shares these. For the rows of all owners,
//! with weights `w_k` by the public numbers of rows, the mean is `m = sum of w_k m_k` and the variance
//! `s^2 = sum of w_k (s_k^2 + (m_k - m)^2)`. Then `(x - m) / s` is `a_k (x - m_k) / s_k + b_k` with `a_k = s_k / s` and
//! `b_k = (m_k - m) / s`: for every column a shared factor and a shared summand. Nothing is opened.

use core::ops::Range;

use shamisen_ring::fixed;
use shamisen_ring::levels::{FRAC, LEVELS, decode, exponent};

use crate::error::Result;
use crate::protocol::compare::is_negative;
use crate::protocol::convert::to_ring;
use crate::protocol::gate::rectify;
use crate::protocol::leading_bit::Window;
use crate::protocol::multiply::{product, reshare};
use crate::protocol::reciprocal::rounded;
use crate::protocol::split::{Split, open_split};
use crate::protocol::square_root::inverse_square_root;
use crate::protocol::truncate::{truncate, truncate_shared};
use crate::session::Session;
use crate::share::{Additive, Rep};

/// Words of a column in an owner's statistics: its offset on all [levels](shamisen_ring::levels), then its width.
pub const OWN_WORDS: usize = 2 * LEVELS;

/// Words of a column in pooled statistics: its offset on all levels where it counts and 0 elsewhere, for each level 1 where it
/// counts, and the inverse of its width in the unit of the last of these levels.
pub const POOLED_WORDS: usize = 2 * LEVELS + 1;

/// Fractional bits of the factors and summands by which rows are rescaled, and of the inverse of a width.
pub const MAP_FRAC: u32 = 24;

/// Most owners whose rows are pooled.
pub const MOST_OWNERS: usize = 1 << 8;

/// An owner has at least one row in so many.
pub const LEAST_SHARE: u64 = 1 << 10;

/// Numbers that are rescaled are below two to this power.
pub const RESCALED_BITS: u32 = 9;

/// The inverse of a width is below this, if the column varies at all; larger ones stand for columns that are the same everywhere.
pub const STEEPEST: f64 = 1024.0;

/// Fractional bits of a variance, in the squared unit of its level.
const VARIANCE_FRAC: u32 = 36;

/// Where a variance has its leading one: above, it is at most 2; below, it counts as the least that a column has which varies.
const WINDOW: Window = Window { low: VARIANCE_FRAC - 20, width: 22, mantissa: 4, guard: 3 };

/// Bits of the numbers of violations.
const COUNT_BITS: u32 = 24;

/// How the rows of an owner are rescaled, for each column with [`MAP_FRAC`] fractional bits.
#[derive(Clone, Debug)]
pub struct Rescaling {
    factor: Rep,
    summand: Rep,
}

/// What comes out of [`pool`].
#[derive(Debug)]
pub struct Pooled {
    /// For each owner.
    pub rescaling: Vec<Rescaling>,
    /// [`POOLED_WORDS`] for each column.
    pub statistics: Rep,
}

/// The statistics of the rows of several owners together.
///
/// `owners` has for each the statistics of the same columns, [`OWN_WORDS`] a column, and its public number of rows.
///
/// *Units.* Nobody knows how large the numbers of a column are. For each column the finest level is taken on which all widths,
/// and all differences of offsets to the first owner's, are at most 1. Whether a word is within `[-2^30, 2^30]` is seen by two
/// signs of 64 bits. The words of fine levels have wrapped around; but from one level to the next a number grows by `2^4`, so
/// that the first level on which it does not fit is seen as such, and of what comes after it nothing counts. Violations are counted
/// up level by level, which is local, and a level is good if there are none. The marks of the level that is taken are differences
/// of neighbours; inner products with them take the numbers out, without a truncation.
///
/// *Ranges.* On the level that is taken (`30` fractional bits) widths and differences are at most 1, so that the variance is at most
/// 2; and one of them is above `2^-4`, with weights of at least `2^-10`, so that the variance is at least `2^-19`, unless the column
/// is the same everywhere, or to `2^-62`. Weights are multiplied before squaring, as roots, so that little is lost: the variance is exact to
/// `2^-36`, its inverse root to `2^-19` of itself and the same for all owners. `a_k` and `b_k` are at most `2^5`, and exact to
/// `2^-19`.
///
/// 52 rounds for any number of owners.
///
/// | step | rounds | elements |
/// |---|---|---|
/// | signs of 64 bits, as numbers | 6 + 2 | `2 (2 k - 1) n` on 33 levels |
/// | mean, on all levels | 2 | `n` on 33 levels |
/// | signs of the counts, as numbers | 5 + 2 | `n` on 33 levels |
/// | what is taken out, and the offsets where they count | 1 | `2 k n`, and `n` on 33 levels |
/// | weights | 2 | `2 k n` |
/// | variance | 2 | `n` |
/// | its inverse root, two Newton steps | 16 + 12 | `n` |
/// | factors and summands | 2 | `2 k n` |
///
/// # Errors
///
/// When a peer fails.
///
/// # Panics
///
/// When there are no owners or too many, the statistics are not of the same columns, or an owner has too few rows, which is a
/// mistake of the caller.
pub fn pool(owners: &[(&Rep, u64)], session: &mut Session) -> Result<Pooled> {
    let count = owners.len();
    let columns = owners.first().map_or(0, |(words, _)| words.len() / OWN_WORDS);
    let rows: u64 = owners.iter().map(|(_, rows)| rows).sum();
    assert!((1..=MOST_OWNERS).contains(&count), "1 to {MOST_OWNERS} owners, not {count}");
    for (words, own) in owners {
        assert_eq!(words.len(), columns * OWN_WORDS, "all owners have the same columns");
        assert!(own.saturating_mul(LEAST_SHARE) >= rows, "{own} rows of {rows} are too few");
    }
    let weights: Vec<f64> = owners.iter().map(|(_, own)| *own as f64 / rows as f64).collect();

    let part = |words: &Rep, from: usize| {
        words.gather((0..columns * LEVELS).map(move |at| at / LEVELS * OWN_WORDS + from + at % LEVELS))
    };
    let widths: Vec<Rep> = owners.iter().map(|(words, _)| part(words, LEVELS)).collect();
    let offsets: Vec<Rep> = owners.iter().map(|(words, _)| part(words, 0)).collect();
    let differences: Vec<Rep> = offsets
        .iter()
        .map(|offset| {
            let mut difference = offset.clone();
            difference.sub_assign(&offsets[0]);
            difference
        })
        .collect();
    // Those of the first owner are 0.
    let fits = where_all_fit(widths.iter().chain(&differences[1..]), columns, session)?;
    let mean = weighted_mean(&differences, &weights, session)?;

    let marks = last_of(&fits);
    let mut taken = Additive::zeros(0);
    for width in &widths {
        taken.extend(&product(&marks, width).sum_groups(LEVELS));
    }
    for difference in &differences {
        let mut deviation = difference.clone();
        deviation.sub_assign(&mean);
        taken.extend(&product(&marks, &deviation).sum_groups(LEVELS));
    }
    let mut offset = mean;
    offset.add_assign(&offsets[0]);
    taken.extend(&product(&fits, &offset));
    let taken = reshare(taken, session)?;
    let (numbers, offset) =
        (taken.slice(0..2 * count * columns), taken.slice(2 * count * columns..taken.len()));

    let steepness = inverse_deviation(&numbers, &weights, columns, session)?;
    let every = steepness.gather((0..numbers.len()).map(|at| at % columns));
    let maps = truncate(product(&numbers, &every), FRAC, session)?;
    let of = |at: usize| maps.slice(at * columns..(at + 1) * columns);
    let rescaling = (0..count).map(|owner| Rescaling { factor: of(owner), summand: of(count + owner) });

    let mut statistics = offset;
    statistics.extend(&fits);
    statistics.extend(&steepness);
    let all = columns * LEVELS;
    let places = (0..columns * POOLED_WORDS).map(|at| match (at / POOLED_WORDS, at % POOLED_WORDS) {
        (column, word) if word < LEVELS => column * LEVELS + word,
        (column, word) if word < 2 * LEVELS => all + column * LEVELS + word - LEVELS,
        (column, _) => 2 * all + column,
    });
    Ok(Pooled { rescaling: rescaling.collect(), statistics: statistics.gather(places) })
}

/// For each column and level 1 if all numbers are within `[-1, 1]` there and on all coarser levels, and 0 otherwise.
fn where_all_fit<'a>(
    numbers: impl Iterator<Item = &'a Rep>,
    columns: usize,
    session: &mut Session,
) -> Result<Rep> {
    let party = session.party();
    let mut sides = Rep::default();
    for number in numbers {
        let mut above = number.clone();
        above.add_constant(1 << FRAC, party);
        let mut below = number.clone().negated();
        below.add_constant(1 << FRAC, party);
        sides.extend(&above);
        sides.extend(&below);
    }
    let violations = to_ring(&is_negative(&sides, u64::BITS, session)?, session)?;
    let size = columns * LEVELS;
    let mut counts = Rep::zeros(size);
    for at in (0..violations.len()).step_by(size.max(1)) {
        counts.add_assign(&violations.slice(at..at + size));
    }
    // Level by level, with those of all coarser ones.
    let mut so_far = Rep::zeros(columns);
    let mut by_level = Rep::default();
    for level in 0..LEVELS {
        so_far.add_assign(&counts.gather((0..columns).map(|column| column * LEVELS + level)));
        by_level.extend(&so_far);
    }
    let mut none = by_level.gather((0..size).map(|at| at % LEVELS * columns + at / LEVELS));
    none.add_constant(u64::MAX, party);
    to_ring(&is_negative(&none, COUNT_BITS, session)?, session)
}

/// For each column 1 at the last level that has a 1, where those that have one come first.
fn last_of(fits: &Rep) -> Rep {
    let mut marks = fits.clone();
    let mut next = fits.clone();
    // Behind the last level there is a 0.
    next.extend(&Rep::zeros(1));
    let end = fits.len();
    let places = (0..end).map(move |at| if (at + 1) % LEVELS == 0 { end } else { at + 1 });
    marks.sub_assign(&next.gather(places));
    marks
}

/// The mean of some numbers with weights whose sum is 1; right where the numbers are at most 1.
fn weighted_mean(numbers: &[Rep], weights: &[f64], session: &mut Session) -> Result<Rep> {
    let mut sum = Rep::zeros(numbers[0].len());
    for (number, weight) in numbers.iter().zip(weights) {
        sum.add_scaled(number, rounded(*weight, FRAC));
    }
    truncate_shared(&sum, FRAC, session)
}

/// `1 / s` for each column, from the widths and deviations of all owners: the inverse root of the weighted sum of their squares.
fn inverse_deviation(numbers: &Rep, weights: &[f64], columns: usize, session: &mut Session) -> Result<Rep> {
    let mut weighted = Rep::default();
    for at in 0..numbers.len() / columns.max(1) {
        let mut number = numbers.slice(at * columns..(at + 1) * columns);
        number.scale(rounded(weights[at % weights.len()].sqrt(), FRAC));
        weighted.extend(&number);
    }
    let weighted = truncate_shared(&weighted, FRAC, session)?;
    let squares = product(&weighted, &weighted);
    let mut variance = Additive::zeros(columns);
    for at in (0..squares.len()).step_by(columns.max(1)) {
        variance.add_assign(&squares.slice(at..at + columns));
    }
    let variance = truncate(variance, 2 * FRAC - VARIANCE_FRAC, session)?;
    let scale = f64::from(MAP_FRAC + VARIANCE_FRAC / 2).exp2();
    let mut inverse = inverse_square_root(&variance, WINDOW, scale, session)?;
    for _ in 0..2 {
        inverse = refine(&variance, &inverse, session)?;
    }
    Ok(inverse)
}

/// A Newton step on a guess at `1 / sqrt(x)`, as [`square_root::refine`](crate::protocol::square_root::refine), but with
/// [`FRAC`] fractional bits of the root, which can be small.
fn refine(variance: &Rep, guess: &Rep, session: &mut Session) -> Result<Rep> {
    let root = truncate(product(variance, guess), VARIANCE_FRAC + MAP_FRAC - FRAC, session)?;
    let mut rest = truncate(product(&root, guess), FRAC, session)?.negated();
    rest.add_constant(3 << MAP_FRAC, session.party());
    truncate(product(&rest, guess), MAP_FRAC + 1, session)
}

impl Rescaling {
    /// The columns that it is for.
    pub fn columns(&self) -> usize {
        self.factor.len()
    }

    /// Some of the columns.
    #[must_use]
    pub fn of(&self, columns: Range<usize>) -> Self {
        Self { factor: self.factor.slice(columns.clone()), summand: self.summand.slice(columns) }
    }

    /// Rows with `frac` fractional bits, row-major, rescaled; the result is below `2^RESCALED_BITS` and has the error of
    /// [`truncate`], besides that of the map.
    ///
    /// 2 rounds, 24 bytes + 74 bits.
    ///
    /// # Errors
    ///
    /// When a peer fails.
    pub fn apply(&self, rows: &Rep, frac: u32, session: &mut Session) -> Result<Rep> {
        truncate(self.untruncated(rows, frac), MAP_FRAC, session)
    }

    /// As [`apply`](Self::apply), and clipped to `limit` on either side: `limit - max(2 limit - max(x + limit, 0), 0)`.
    ///
    /// The first rectifier comes with the truncation but for one bit, the second one with the truncation of that bit. What
    /// it is clipped to, or near to it, is exact to two units.
    ///
    /// 12 rounds, about 150 bytes.
    ///
    /// # Errors
    ///
    /// When a peer fails.
    pub fn apply_clipped(&self, rows: &Rep, frac: u32, limit: u32, session: &mut Session) -> Result<Rep> {
        let party = session.party();
        let limit = u64::from(limit);
        // Both sides together are below 2^(RESCALED_BITS + 1).
        let width = frac + RESCALED_BITS + 4;
        let mut sum = self.untruncated(rows, frac);
        let mut low = Rep::zeros(self.columns());
        low.add_constant(limit << (frac + MAP_FRAC), party);
        sum.add_row(&low, 1);
        let mut sum = open_split(sum, 0, u64::BITS, session);
        let (above, _) = rectify(&mut sum, MAP_FRAC - 1, width, session)?;
        let mut rest = above.negated();
        rest.add_constant((2 * limit) << (frac + 1), party);
        let (below, _) = rectify(&mut Split::of(&rest, party), 1, width, session)?;
        let mut clipped = below.negated();
        clipped.add_constant(limit << frac, party);
        Ok(clipped)
    }

    /// With [`MAP_FRAC`] fractional bits more.
    fn untruncated(&self, rows: &Rep, frac: u32) -> Additive {
        let columns = self.columns();
        let mut sum = product(rows, &self.factor.gather((0..rows.len()).map(|at| at % columns)));
        sum.add_row(&self.summand, 1 << frac);
        sum
    }
}

/// The offset and the width of a column, from its pooled statistics; a column that is the same everywhere has the width 0.
pub fn pooled_statistics(words: &[u64]) -> (f64, f64) {
    let (offsets, rest) = words.split_at(LEVELS.min(words.len()));
    let good = rest.iter().take(LEVELS).take_while(|fits| **fits == 1).count().min(offsets.len());
    let offset = decode(&offsets[..good]);
    let steepness = rest.last().map_or(0.0, |word| fixed::decode(*word, MAP_FRAC));
    if good == 0 || !(steepness > 0.0 && steepness < STEEPEST) {
        return (offset, 0.0);
    }
    (offset, f64::from(exponent(good - 1)).exp2() / steepness)
}
