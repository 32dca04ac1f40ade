//! Range checks: values that must not leave their fixed-point range are collected and verified before anything that
//! depends on them is opened.

use std::cmp::Reverse;

use shamisen_ring::bits;

use crate::error::{MpcError, Result};
use crate::lanes::{Lanes, pieces};
use crate::protocol::add_bits::Answers;
use crate::protocol::and::all;
use crate::protocol::circuit::Circuit;
use crate::protocol::digits::{self, DIGIT_BITS, Queries, Table};
use crate::protocol::open::open_bits;
use crate::protocol::split::Split;
use crate::session::Session;
use crate::share::Bits;

/// Claims about ranges, collected until they are verified together.
#[derive(Default)]
pub struct RangeChecks {
    claims: Vec<Claim>,
    verdicts: Vec<Verdict>,
}

/// One claim: `|x| < 2^(bound - 1)` where `|x| < 2^prior` is known.
struct Claim {
    name: String,
    values: Split,
    bound: u32,
    prior: u32,
}

/// What [`RangeChecks::settle`] has found about a claim.
struct Verdict {
    name: String,
    bound: u32,
    /// One bit for each element, 1 where the claim holds.
    holds: Bits,
}

impl Claim {
    /// Number of bits that tell whether the claim holds.
    fn window(&self) -> u32 {
        window(self.bound, self.prior)
    }

    /// Bits that are worked on.
    fn work(&self) -> usize {
        self.values.len() * self.window() as usize
    }
}

impl RangeChecks {
    /// Claims that `|x| < 2^(bound - 1)` for every element; `|x| < 2^prior` is known. `name` says what it is.
    ///
    /// What is known may rest on claims that are verified at the same time.
    pub fn claim(&mut self, name: impl Into<String>, values: Split, bound: u32, prior: u32) {
        if !values.is_empty() && bound <= prior {
            self.claims.push(Claim { name: name.into(), values, bound, prior });
        }
    }

    /// Number of values that are not settled yet.
    pub fn len(&self) -> usize {
        self.claims.iter().map(|claim| claim.values.len()).sum()
    }

    /// Whether all values are settled.
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    /// Finds out which claims hold, without telling anybody; only that is kept of them.
    ///
    /// Doing so before there are too many keeps the memory small.
    ///
    /// # Errors
    ///
    /// When a peer fails.
    pub fn settle(&mut self, session: &mut Session) -> Result<()> {
        // Claims whose windows take as many rounds, and can be shifted to one place, share them.
        let mut claims = std::mem::take(&mut self.claims);
        let rounds = |width: u32| width.div_ceil(DIGIT_BITS).next_power_of_two();
        claims.sort_by_key(|claim| (rounds(claim.window()), claim.bound));
        while let Some(first) = claims.first() {
            let wanted = rounds(first.window());
            let (mut width, mut count) = (0, 0);
            for claim in &claims {
                let wider = claim.window().max(width);
                if rounds(claim.window()) != wanted || count > 0 && claim.bound + wider > 64 {
                    break;
                }
                width = wider;
                count += 1;
            }
            let bound = claims[count - 1].bound;
            let (names, values): (Vec<_>, Vec<Split>) = claims
                .drain(..count)
                .map(|mut claim| {
                    claim.values.scale(1 << (bound - claim.bound));
                    ((claim.name, claim.bound), claim.values)
                })
                .unzip();
            let (joined, places) = Split::join(&values);
            let ok = in_range(joined, bound, bound + width - 2, session)?;
            for ((name, bound), parts) in names.into_iter().zip(places) {
                let mut holds = Bits::zeros(1, 0);
                for words in parts {
                    holds.mine.extend_from_slice(&ok.mine[words.clone()]);
                    holds.next.extend_from_slice(&ok.next[words]);
                }
                // Between the parts stand zeros, which are in range.
                holds.len = holds.mine.len() * 64;
                self.verdicts.push(Verdict { name, bound, holds });
            }
        }
        Ok(())
    }

    /// As [`settle`](Self::settle), on several lanes at the same time if there are enough values.
    ///
    /// Whole claims are given to the lanes, the largest first, each to the one that has least to do: nothing is sent for
    /// that, and all three parties do it alike.
    ///
    /// # Errors
    ///
    /// When a peer fails.
    pub fn settle_in(&mut self, lanes: &mut Lanes) -> Result<()> {
        let count = pieces(self.len(), lanes.count()).len();
        if count == 1 {
            return self.settle(lanes.main());
        }
        let mut claims = std::mem::take(&mut self.claims);
        claims.sort_by_key(|claim| Reverse(claim.work()));
        let mut shares: Vec<Self> = (0..count).map(|_| Self::default()).collect();
        let mut loads = vec![0; count];
        for claim in claims {
            // Of equals the first one.
            let Some(lane) = (0..count).min_by_key(|&lane| loads[lane]) else { unreachable!("at least 1") };
            loads[lane] += claim.work();
            shares[lane].claims.push(claim);
        }
        let settled = lanes.each(shares, |mut checks, session| {
            let before = session.enter("range checks");
            checks.settle(session)?;
            session.enter(before);
            Ok::<_, MpcError>(checks)
        })?;
        for checks in settled {
            self.absorb(checks);
        }
        Ok(())
    }

    /// Takes over the claims of another collection, and what is known about them.
    pub fn absorb(&mut self, other: Self) {
        self.claims.extend(other.claims);
        self.verdicts.extend(other.verdicts);
    }

    /// Verifies all claims and forgets them; the name of a false one, if any: of the lowest bound among several.
    ///
    /// One bit is opened: whether all hold. Only when it is 0, one bit per name is opened.
    ///
    /// # Errors
    ///
    /// When a peer fails.
    pub fn verify(&mut self, session: &mut Session) -> Result<Option<String>> {
        self.settle(session)?;
        let mut verdicts = std::mem::take(&mut self.verdicts);
        if verdicts.is_empty() {
            return Ok(None);
        }
        let verdict = all(&joined(&verdicts), session)?;
        if open_bits(&verdict, session)?[0] & 1 == 1 {
            return Ok(None);
        }
        verdicts.sort_by_key(|verdict| verdict.bound);
        while let Some(Verdict { name, .. }) = verdicts.first() {
            let name = name.clone();
            let (same, others): (Vec<_>, _) = verdicts.into_iter().partition(|verdict| verdict.name == name);
            verdicts = others;
            let verdict = all(&joined(&same), session)?;
            if open_bits(&verdict, session)?[0] & 1 == 0 {
                return Ok(Some(name));
            }
        }
        unreachable!("one of the claims is false")
    }
}

/// The bits of several verdicts.
fn joined(verdicts: &[Verdict]) -> Bits {
    let mut every = Bits::zeros(1, 0);
    for Verdict { holds, .. } in verdicts {
        every.mine.extend_from_slice(&holds.mine);
        every.next.extend_from_slice(&holds.next);
    }
    every.len = every.mine.len() * 64;
    every
}

/// Whether each element is in range, 1 or 0.
///
/// Known beforehand is `|x| < 2^prior`. Every element with `|x| < 2^(bound - 1)` passes, and one that passes has
/// `|x| < 2^(bound + 1)`: the check drops the low bits of both summands, so it is not sharper, but never wrong.
///
/// With `y = x + 2^(bound - 1)` and `y = a + b`, the sum of the high parts of `a` and `b` is `floor(y / 2^bound)` or one
/// less, so it is 0 or -1 exactly when `y` is near `[0, 2^bound)`. It is 0 when every digit of the high part of `a` is that
/// of `-b`, and -1 when every digit adds up to 15 with that of `b`: two trees of ANDs, and no carries.
///
/// With `d` digits for `h = prior + 2 - bound` bits: 2 + ceil(log2(d)) rounds, `20 d + 6 (d - 1)` bits.
///
/// # Errors
///
/// When a peer fails.
pub fn in_range(value: Split, bound: u32, prior: u32, session: &mut Session) -> Result<Bits> {
    let party = session.party();
    let count = window(bound, prior).div_ceil(DIGIT_BITS) as usize;
    // Digits up to the end of the word may begin below the bound: what is there is cleared.
    let low = bound.min(u64::BITS - DIGIT_BITS * count as u32);
    let below = bound - low;
    let mut high = value;
    high.add_constant(1 << (bound - 1), party);
    bits::clear_low(&mut high.own, bound);
    let mut negated = high.own.clone();
    bits::negate(&mut negated);

    let equal: Table = std::array::from_fn(|beta| 1 << beta);
    // A sum of -1, in units of the bound.
    let all_ones = |digit: usize| {
        let ones = if digit == 0 { 16 - (1 << below) } else { 15 };
        digits::table(|sum| sum == ones)
    };
    let parts = high.parts(party);
    let queries = Queries::send(&high.own, &parts, low, count, session)?;
    let mut answers = Answers::new(2 * count, high.len(), &parts);
    for part in &parts {
        answers.give(part, session, |out| {
            let mut planes = out.chunks_exact_mut(part.words().len().max(1));
            for digit in 0..count {
                let (Some(zero), Some(minus_one)) = (planes.next(), planes.next()) else { return };
                queries.answer(part, digit, &negated, &[equal], zero);
                queries.answer(part, digit, &high.own, &[all_ones(digit)], minus_one);
            }
        });
    }
    let bits = answers.exchange(session)?;
    let mut circuit = Circuit::new(bits, 2 * count);
    let ends = (0..2).map(|end| (0..count).map(|digit| 2 * digit + end).collect()).collect();
    let ends = circuit.all_of(ends, session)?;
    let ok = circuit.xor(&ends);
    Ok(circuit.outputs(&[ok]))
}

/// Number of bits from `bound` up that tell whether a number below `2^prior` is in range.
fn window(bound: u32, prior: u32) -> u32 {
    (prior.max(bound + 1) + 2).min(64) - bound
}
