//! Range checks: values that must not leave their fixed-point range are collected and verified before anything that
//! depends on them is opened.

use shamisen_ring::words::Words;

use crate::error::Result;
use crate::protocol::add_bits::{Addends, second_summand};
use crate::protocol::and::{all, and_planes};
use crate::protocol::open::open_bits;
use crate::session::Session;
use crate::share::{Bits, Rep};

/// Claims about ranges, collected until they are verified together.
#[derive(Default)]
pub struct RangeChecks {
    claims: Vec<Claim>,
}

/// One claim: `|x| < 2^(bound - 1)` where `|x| < 2^prior` is known.
struct Claim {
    name: String,
    values: Rep,
    bound: u32,
    prior: u32,
}

impl RangeChecks {
    /// Claims that `|x| < 2^(bound - 1)` for every element; `|x| < 2^prior` is known. `name` says what it is.
    pub fn claim(&mut self, name: impl Into<String>, values: Rep, bound: u32, prior: u32) {
        if !values.is_empty() && bound <= prior {
            self.claims.push(Claim { name: name.into(), values, bound, prior });
        }
    }

    /// Number of values that wait.
    pub fn len(&self) -> usize {
        self.claims.iter().map(|claim| claim.values.len()).sum()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    /// Verifies all claims and forgets them; the name of a false one, if any: of the lowest bound among several.
    ///
    /// One bit is opened: whether all hold. Only when it is 0, one bit per name is opened.
    ///
    /// # Errors
    ///
    /// When a peer fails.
    pub fn verify(&mut self, session: &mut Session) -> Result<Option<String>> {
        let mut names: Vec<(String, Bits)> = Vec::new();
        // Claims whose windows can be shifted to one place share their rounds.
        let mut claims = std::mem::take(&mut self.claims);
        claims.sort_by_key(|claim| claim.bound);
        while !claims.is_empty() {
            let mut width = 0;
            let mut count = 0;
            for claim in &claims {
                let wider = window(claim.bound, claim.prior).max(width);
                if count > 0 && claim.bound + wider > 64 {
                    break;
                }
                width = wider;
                count += 1;
            }
            let group: Vec<Claim> = claims.drain(..count).collect();
            let bound = group[count - 1].bound;
            let total = group.iter().map(|claim| claim.values.len().next_multiple_of(64)).sum();
            let mut joined = Rep::zeros(total);
            let mut places = Vec::with_capacity(count);
            let mut start = 0;
            for mut claim in group {
                let len = claim.values.len();
                claim.values.scale(1 << (bound - claim.bound));
                joined.mine[start..start + len].copy_from_slice(&claim.values.mine);
                joined.next[start..start + len].copy_from_slice(&claim.values.next);
                places.push((claim.name, start / 64, len));
                start += len.next_multiple_of(64);
            }
            let ok = in_range(&joined, bound, bound + width - 2, session)?;
            for (name, word, len) in places {
                let words = word..word + len.div_ceil(64);
                let bits = Bits {
                    width: 1,
                    len,
                    mine: Words::copy(&ok.mine[words.clone()]),
                    next: Words::copy(&ok.next[words]),
                };
                names.push((name, bits));
            }
        }
        if names.is_empty() {
            return Ok(None);
        }
        let mut every = Bits::zeros(1, 0);
        for (_, bits) in &names {
            let filled = filled(bits, session);
            every.mine.extend_from_slice(&filled.mine);
            every.next.extend_from_slice(&filled.next);
        }
        every.len = every.mine.len() * 64;
        let verdict = all(&every, session)?;
        if open_bits(&verdict, session)?[0] & 1 == 1 {
            return Ok(None);
        }
        for (name, bits) in &names {
            let verdict = all(&filled(bits, session), session)?;
            if open_bits(&verdict, session)?[0] & 1 == 0 {
                return Ok(Some(name.clone()));
            }
        }
        unreachable!("one of the claims is false")
    }
}

/// The same bits with ones past the end, as a whole number of words.
fn filled(bits: &Bits, session: &Session) -> Bits {
    let mut out = bits.clone();
    out.set_past_end(session.party());
    out.len = out.mine.len() * 64;
    out
}

/// Whether each element is in range, 1 or 0.
///
/// Known beforehand is `|x| < 2^prior`. Every element with `|x| < 2^(bound - 1)` passes, and one that passes has
/// `|x| < 2^(bound + 1)`: the check drops the low bits of both summands, so it is not sharper, but never wrong.
///
/// With `y = x + 2^(bound - 1)` and `y = a + b`, the sum of the high parts of `a` and `b` is `floor(y / 2^bound)` or one
/// less, so it is 0 or -1 exactly when `y` is near `[0, 2^bound)`. It is 0 when the high part of `a` equals that of `-b`,
/// and -1 when all their bits differ: two trees of ANDs, and no carries.
///
/// 1 + ceil(log2(h)) rounds, `h + 6 (h - 1)` bits, where `h = prior + 2 - bound`.
///
/// # Errors
///
/// When a peer fails.
pub fn in_range(shared: &Rep, bound: u32, prior: u32, session: &mut Session) -> Result<Bits> {
    let width = window(bound, prior);
    let offset = 1_u64 << (bound - 1);
    let party = session.party();
    let minus_one = Addends::share(shared, bound, width, offset, session)?.propagate;
    let mut zero = minus_one.clone();
    zero.xor_assign(&second_summand(shared, bound, width, |b| b, party));
    zero.xor_assign(&second_summand(shared, bound, width, u64::wrapping_neg, party));
    let mut trees = zero.inverted(party);
    trees.push(&minus_one);
    let ends = and_planes(trees, 2, session)?;
    let mut ok = ends.plane(0);
    ok.xor_assign(&ends.plane(1));
    Ok(ok)
}

/// Number of bits from `bound` up that tell whether a number below `2^prior` is in range.
fn window(bound: u32, prior: u32) -> u32 {
    (prior.max(bound + 1) + 2).min(64) - bound
}
