//! Range checks: values that must not leave their fixed-point range are collected and verified before anything that
//! depends on them is opened.

use std::cmp::Reverse;
use std::ops::Range;
use std::panic;
use std::thread::{self, JoinHandle};

use shamisen_net::Party;
use shamisen_ring::bits;
use shamisen_ring::high::{give_high, high_words, take_high};
use shamisen_ring::words::Words;

use crate::error::{MpcError, Result};
use crate::lanes::{Lanes, pieces};
use crate::protocol::add_bits::Answers;
use crate::protocol::and::all;
use crate::protocol::circuit::Circuit;
use crate::protocol::digits::{self, DIGIT_BITS, Queries, Table};
use crate::protocol::open::open_bits;
use crate::protocol::split::Split;
use crate::roles::{CHUNK, Part, Role, chunks, cuts, parts_at};
use crate::session::Session;
use crate::share::{Bits, Rep};

/// Claims about ranges, collected until they are verified together.
#[derive(Default)]
pub struct RangeChecks {
    claims: Vec<Claim>,
    verdicts: Vec<Verdict>,
    /// Claims that are being settled on a lane of their own.
    aside: Option<JoinHandle<(Session, Result<RangeChecks>)>>,
}

/// One claim: `|x| < 2^(bound - 1)` where `|x| < 2^prior` is known.
struct Claim {
    name: String,
    values: High,
    bound: u32,
    prior: u32,
}

/// What a range check looks at: with `y = x + 2^(bound - 1)` in two components, the bits of each from `bound` on.
struct High {
    /// 32 bits of each element as [`take_high`] leaves them; whole words where there are more to look at.
    words: Words,
    narrow: bool,
    /// Where the parts begin, and the end.
    cuts: [usize; 4],
}

/// What [`RangeChecks::settle`] has found about a claim.
#[derive(Clone)]
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
    pub fn claim(&mut self, name: impl Into<String>, values: &Rep, bound: u32, prior: u32, party: Party) {
        self.claim_part(name, values, 0..values.len(), bound, prior, party);
    }

    /// As [`claim`](Self::claim), for some of the elements.
    pub fn claim_part(
        &mut self,
        name: impl Into<String>,
        values: &Rep,
        elements: Range<usize>,
        bound: u32,
        prior: u32,
        party: Party,
    ) {
        if !elements.is_empty() && bound <= prior {
            let (mine, next) = (&values.mine[elements.clone()], &values.next[elements]);
            let values = High::new(cuts(mine.len()), bound, prior, party, |part| match part.role {
                Role::First => (&mine[part.elements.clone()], Some(&next[part.elements.clone()])),
                Role::Second => (&next[part.elements.clone()], None),
                Role::Third => (&mine[part.elements.clone()], None),
            });
            self.claims.push(Claim { name: name.into(), values, bound, prior });
        }
    }

    /// As [`claim`](Self::claim), for values in two components.
    pub fn claim_split(
        &mut self,
        name: impl Into<String>,
        values: &Split,
        bound: u32,
        prior: u32,
        party: Party,
    ) {
        if !values.is_empty() && bound <= prior {
            self.claims.push(Claim {
                name: name.into(),
                values: High::of_split(values, bound, prior, party),
                bound,
                prior,
            });
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
            let greatest = claims[count - 1].bound;
            let group: Vec<Claim> = claims.drain(..count).collect();
            let digits = Digits::new(greatest, width);
            let (joined, cuts, places) = High::join(&group, digits.below);
            let ok = in_range_of(&joined, &parts_at(cuts, session.party()), digits, session)?;
            let names = group.into_iter().map(|claim| (claim.name, claim.bound));
            for ((name, bound), parts) in names.zip(places) {
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
        self.wait(lanes)?;
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

    /// As [`settle`](Self::settle), on the lane that is kept aside while the others go on; without one, as
    /// [`settle_in`](Self::settle_in).
    ///
    /// The claims that were given to it before are waited for first.
    ///
    /// # Errors
    ///
    /// When a peer fails; also if it failed in what is waited for.
    pub fn settle_aside(&mut self, lanes: &mut Lanes) -> Result<()> {
        self.wait(lanes)?;
        let Some(mut session) = lanes.lend_aside() else { return self.settle_in(lanes) };
        let mut checks = Self { claims: std::mem::take(&mut self.claims), ..Self::default() };
        self.aside = Some(thread::spawn(move || {
            session.enter("range checks");
            let settled = checks.settle(&mut session);
            (session, settled.map(|()| checks))
        }));
        Ok(())
    }

    /// Waits for the claims that are settled on the lane that is kept aside.
    ///
    /// # Errors
    ///
    /// When a peer failed in that.
    pub fn wait(&mut self, lanes: &mut Lanes) -> Result<()> {
        if let Some(aside) = self.aside.take() {
            let (session, settled) = aside.join().unwrap_or_else(|panic| panic::resume_unwind(panic));
            lanes.take_back(session);
            self.absorb(settled?);
        }
        Ok(())
    }

    /// Takes out what is settled, with the number of words that tell it.
    pub fn take_settled(&mut self) -> (Self, usize) {
        let verdicts = std::mem::take(&mut self.verdicts);
        let words = verdicts.iter().map(|verdict| verdict.holds.mine.len()).sum();
        (Self { verdicts, ..Self::default() }, words)
    }

    /// Takes over the claims that another collection has settled, which keeps them.
    pub fn absorb_settled(&mut self, other: &Self) {
        self.verdicts.extend_from_slice(&other.verdicts);
    }

    /// Takes over the claims of another collection, and what is known about them.
    pub fn absorb(&mut self, other: Self) {
        debug_assert!(other.aside.is_none(), "only one collection has claims on the lane that is kept aside");
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
        debug_assert!(self.aside.is_none(), "claims that are settled aside are waited for before");
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
pub fn in_range(value: &Split, bound: u32, prior: u32, session: &mut Session) -> Result<Bits> {
    let digits = Digits::new(bound, window(bound, prior));
    let parts = value.parts(session.party());
    let high = High::of_split(value, bound, prior, session.party());
    let mut words = Words::scratch(value.len());
    high.write(0..value.len(), digits.below, &mut words);
    in_range_of(&words, &parts, digits, session)
}

/// [`in_range`] of the high bits of both components, shifted up by what the digits have below the bound.
fn in_range_of(high: &[u64], parts: &[Part; 3], digits: Digits, session: &mut Session) -> Result<Bits> {
    let Digits { count, below } = digits;
    let equal: Table = std::array::from_fn(|beta| 1 << beta);
    // A sum of -1, in units of the bound.
    let all_ones = |digit: usize| {
        let ones = if digit == 0 { 16 - (1 << below) } else { 15 };
        digits::table(|sum| sum == ones)
    };
    let queries = Queries::send(high, parts, 0, count, session)?;
    let mut answers = Answers::new(2 * count, high.len(), parts);
    for part in parts {
        answers.give(part, session, |out| {
            let stride = part.words().len();
            let mut negated = Words::scratch(CHUNK);
            for chunk in chunks(part.len()) {
                let values = &high[part.elements.clone()][chunk.clone()];
                let negated = &mut negated[..chunk.len()];
                negated.copy_from_slice(values);
                bits::negate(negated);
                let words = chunk.start / 64..chunk.end.div_ceil(64);
                let plane = |at: usize| at * stride + words.start..at * stride + words.end;
                for digit in 0..count {
                    queries.answer_chunk(part, digit, &chunk, negated, &[equal], &mut out[plane(2 * digit)]);
                    queries.answer_chunk(
                        part,
                        digit,
                        &chunk,
                        values,
                        &[all_ones(digit)],
                        &mut out[plane(2 * digit + 1)],
                    );
                }
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

/// The digits that a range check looks at.
#[derive(Clone, Copy)]
struct Digits {
    count: usize,
    /// Bits of the lowest digit that lie below the bound, for digits that would go past the end of the word: zeros.
    below: u32,
}

impl Digits {
    /// For so many bits from `bound` on.
    fn new(bound: u32, width: u32) -> Self {
        let count = width.div_ceil(DIGIT_BITS);
        Self { count: count as usize, below: (bound + DIGIT_BITS * count).saturating_sub(u64::BITS) }
    }
}

impl High {
    /// The bits of the components that `of` tells for a part: one summand, or two.
    fn new<'a>(
        cuts: [usize; 4],
        bound: u32,
        prior: u32,
        party: Party,
        of: impl Fn(&Part) -> (&'a [u64], Option<&'a [u64]>),
    ) -> Self {
        let narrow = window(bound, prior) <= u32::BITS;
        let mut words = Words::scratch(if narrow { high_words(cuts[3]) } else { cuts[3] });
        for part in &parts_at(cuts, party) {
            let (x, y) = of(part);
            // `a` takes the constant.
            let constant = if part.role == Role::First { 1 << (bound - 1) } else { 0 };
            if narrow {
                let place = part.elements.start / 2..high_words(part.elements.end);
                take_high(&mut words[place], x, y, constant, bound);
            } else {
                let out = &mut words[part.elements.clone()];
                out.copy_from_slice(x);
                if let Some(y) = y {
                    bits::add_assign(out, y);
                }
                bits::add_constant(out, constant);
                bits::shr_logical(out, bound);
            }
        }
        Self { words, narrow, cuts }
    }

    fn of_split(values: &Split, bound: u32, prior: u32, party: Party) -> Self {
        Self::new(values.cuts(), bound, prior, party, |part| (&values.own[part.elements.clone()], None))
    }

    fn len(&self) -> usize {
        self.cuts[3]
    }

    /// Writes the bits of some elements, which begin at an even one, shifted up.
    fn write(&self, elements: Range<usize>, up: u32, out: &mut [u64]) {
        if self.narrow {
            give_high(out, &self.words[elements.start / 2..high_words(elements.end)], up);
        } else {
            out.copy_from_slice(&self.words[elements]);
            bits::shl_assign(out, up);
        }
    }

    /// Those of several claims as one, part by part: elements that one party knows stay with it.
    ///
    /// Every part of each begins at a whole word of a bit plane; what is filled up are zeros. Returns where the parts of the
    /// whole begin, with its end, and the places of the parts of each, in such words.
    fn join(claims: &[Claim], up: u32) -> (Words, [usize; 4], Vec<[Range<usize>; 3]>) {
        let elements = |high: &Self, third: usize| high.cuts[third]..high.cuts[third + 1];
        let words = |high: &Self, third: usize| elements(high, third).len().div_ceil(64);
        let total: usize =
            claims.iter().flat_map(|claim| (0..3).map(|third| words(&claim.values, third))).sum();
        let mut joined = Words::scratch(64 * total);
        let mut cuts = [0; 4];
        let mut places = vec![[const { 0..0 }; 3]; claims.len()];
        let mut word = 0;
        for third in 0..3 {
            for (claim, places) in claims.iter().zip(&mut places) {
                let part = elements(&claim.values, third);
                places[third] = word..word + words(&claim.values, third);
                let place = &mut joined[64 * word..64 * places[third].end];
                let (place, filled_up) = place.split_at_mut(part.len());
                claim.values.write(part, up, place);
                filled_up.fill(0);
                word = places[third].end;
            }
            cuts[third + 1] = 64 * word;
        }
        (joined, cuts, places)
    }
}

/// Number of bits from `bound` up that tell whether a number below `2^prior` is in range.
fn window(bound: u32, prior: u32) -> u32 {
    (prior.max(bound + 1) + 2).min(64) - bound
}
