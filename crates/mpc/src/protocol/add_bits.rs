//! From the ring to bits: a binary adder over the components.
//!
//! `x = a + b` with `a = x_0 + x_1` known to First and `b = x_2` known to the two others. First shares the bits of `a`,
//! those of `b` are shared as they are, and a carry tree adds them.

use shamisen_net::{Party, Peers};
use shamisen_ring::{bits, planes};

use crate::error::Result;
use crate::protocol::and::and;
use crate::roles::{Part, Role, Round, parts};
use crate::session::{Key, Session};
use crate::share::{Bits, Rep};

/// Bits `low..low + width` of every element, `low + width <= 64`.
///
/// With `low = 0` the result is exact. Otherwise the carry out of the dropped bits is replaced by a public 1, so the
/// result is that of `x >> low` or one more, and never negative for `x >= 0`.
///
/// 2 + ceil(log2(width - 1)) rounds; 3 `width` - 2 bits and about `width (log2(width) - 1)` ANDs of 3 bits.
///
/// # Errors
///
/// When a peer fails.
pub fn to_bits(shared: &Rep, low: u32, width: u32, session: &mut Session) -> Result<Bits> {
    let round_up = if low > 0 { 1 << low } else { 0 };
    let addends = Addends::share(shared, low, width, round_up, session)?;
    let generate = addends.generate(width as usize - 1, session)?;
    let carries = all_carries(generate, &addends.propagate, session)?;
    let mut sum = addends.propagate;
    sum.xor_planes(1, &carries);
    Ok(sum)
}

/// The two summands of a shared number, bit by bit: `a` in components 0 and 1, `b` in component 2.
pub(crate) struct Addends {
    /// `a XOR b`: whether a position hands a carry on. A complete replicated sharing.
    pub(crate) propagate: Bits,
    parts: [Part; 3],
}

impl Addends {
    /// Shares bits `low..low + width` of both summands; a public `offset` is added to the first.
    ///
    /// One half of `a` is drawn from `s_1` (First and Second), the rest goes from First to Third, masked by that key,
    /// which Third lacks. 1 round, `width` bits.
    pub(crate) fn share(
        shared: &Rep,
        low: u32,
        width: u32,
        offset: u64,
        session: &mut Session,
    ) -> Result<Self> {
        assert!(width >= 1 && low + width <= 64, "bits {low}..{} of a 64-bit word", low + width);
        let parts = parts(shared.len(), session.party());
        let mut propagate = second_summand(shared, low, width, |b| b, session.party());
        let stride = propagate.plane_words();
        let mut round = Round::new();
        for part in &parts {
            let [half] = session.steps();
            let words = part.words();
            let size = width as usize * words.len();
            let range = part.elements.clone();
            match part.role {
                Role::First => {
                    let mut a = shared.mine[range.clone()].to_vec();
                    bits::add_assign(&mut a, &shared.next[range]);
                    for word in &mut a {
                        *word = word.wrapping_add(offset);
                    }
                    let mut rest = vec![0; size];
                    planes::to_planes(&a, low, width, &mut rest);
                    let random = session.random(Key::Next, half, size);
                    bits::xor_assign(&mut rest, &random);
                    round.send_prev(&rest);
                    place(&mut propagate.mine, &rest, stride, &words);
                    place(&mut propagate.next, &random, stride, &words);
                }
                Role::Second => {
                    let random = session.random(Key::Own, half, size);
                    place(&mut propagate.mine, &random, stride, &words);
                }
                Role::Third => {}
            }
        }
        let sends = |role, part: &Part| Peers {
            next: 0,
            prev: if role == Role::First { width as usize * part.words().len() } else { 0 },
        };
        let mut incoming = round.exchange(&parts, sends, session)?;
        for part in parts.iter().filter(|part| part.role == Role::Third) {
            let words = part.words();
            place(&mut propagate.next, incoming.take_next(width as usize * words.len()), stride, &words);
        }
        Ok(Self { propagate, parts })
    }

    /// `a AND b` at the lowest `width` positions: whether they make a carry.
    ///
    /// Second holds one half of `a` and `b`, Third the other half and `b`: each multiplies and sends the other the
    /// result, masked by `s_1` and `s_0`. 1 round, 2 bits a position.
    pub(crate) fn generate(&self, width: usize, session: &mut Session) -> Result<Bits> {
        let stride = self.propagate.plane_words();
        let mut out = Bits::zeros(width, self.propagate.len());
        let mut round = Round::new();
        for part in &self.parts {
            let [first, second] = session.steps();
            let words = part.words();
            let size = width * words.len();
            let local = || {
                let mut product = cut(&self.propagate.mine, stride, width, &words);
                for (x, y) in product.iter_mut().zip(cut(&self.propagate.next, stride, width, &words)) {
                    *x &= y;
                }
                product
            };
            match part.role {
                Role::First => {
                    place(&mut out.mine, &session.random(Key::Own, first, size), stride, &words);
                    place(&mut out.next, &session.random(Key::Next, second, size), stride, &words);
                }
                Role::Second => {
                    let random = session.random(Key::Own, second, size);
                    let mut rest = local();
                    bits::xor_assign(&mut rest, &random);
                    round.send_next(&rest);
                    place(&mut out.mine, &random, stride, &words);
                    place(&mut out.next, &rest, stride, &words);
                }
                Role::Third => {
                    let random = session.random(Key::Next, first, size);
                    let mut rest = local();
                    bits::xor_assign(&mut rest, &random);
                    round.send_prev(&rest);
                    place(&mut out.mine, &rest, stride, &words);
                    place(&mut out.next, &random, stride, &words);
                }
            }
        }
        let sends = |role, part: &Part| {
            let size = width * part.words().len();
            match role {
                Role::First => Peers { next: 0, prev: 0 },
                Role::Second => Peers { next: size, prev: 0 },
                Role::Third => Peers { next: 0, prev: size },
            }
        };
        let mut incoming = round.exchange(&self.parts, sends, session)?;
        for part in &self.parts {
            let words = part.words();
            let size = width * words.len();
            match part.role {
                Role::First => {}
                Role::Second => xor_into(&mut out.next, incoming.take_next(size), stride, &words),
                Role::Third => xor_into(&mut out.mine, incoming.take_prev(size), stride, &words),
            }
        }
        Ok(out)
    }
}

/// Bits `low..low + width` of `map(b)`, where `b` is the second summand shifted down by `low`; in component 2 alone.
pub(crate) fn second_summand(
    shared: &Rep,
    low: u32,
    width: u32,
    map: impl Fn(u64) -> u64,
    party: Party,
) -> Bits {
    let mut out = Bits::zeros(width as usize, shared.len());
    let stride = out.plane_words();
    for part in &parts(shared.len(), party) {
        let (from, to) = match part.role {
            Role::First => continue,
            Role::Second => (&shared.next, &mut out.next),
            Role::Third => (&shared.mine, &mut out.mine),
        };
        let b: Vec<u64> = from[part.elements.clone()].iter().map(|&b| map(b >> low)).collect();
        let mut bits = vec![0; width as usize * part.words().len()];
        planes::to_planes(&b, 0, width, &mut bits);
        place(to, &bits, stride, &part.words());
    }
    out
}

/// The carry out of the top position.
///
/// Neighbouring groups of positions are joined until one is left: `g = g_hi ^ p_hi g_lo`, `p = p_hi p_lo`.
/// ceil(log2(width)) rounds, at most 2 ANDs a position.
pub(crate) fn carry_out(generate: Bits, propagate: Bits, session: &mut Session) -> Result<Bits> {
    let (mut g, mut p) = (generate, propagate);
    while g.width() > 1 {
        let pairs = g.width() / 2;
        let odd = g.width() % 2;
        // The lowest group never needs its own p.
        let highs = (0..pairs).map(|pair| odd + 2 * pair + 1);
        let lows = (0..pairs).map(|pair| odd + 2 * pair);
        let skip = usize::from(odd == 0);
        let mut left = p.select(highs.clone());
        left.push(&p.select(highs.clone().skip(skip)));
        let mut right = g.select(lows.clone());
        right.push(&p.select(lows.skip(skip)));
        let joined = and(&left, &right, session)?;
        let mut next_g = g.planes(0..odd);
        let mut upper = g.select(highs);
        upper.xor_assign(&joined.planes(0..pairs));
        next_g.push(&upper);
        // Without an odd group below, the lowest pair's p is left out: a zero plane keeps the places.
        let mut next_p = if odd == 1 { p.planes(0..1) } else { Bits::zeros(1, p.len()) };
        next_p.push(&joined.planes(pairs..joined.width()));
        (g, p) = (next_g, next_p);
    }
    Ok(g)
}

/// The carries out of every position (Sklansky's prefix tree).
///
/// ceil(log2(width)) rounds, `width / 2` joins of two ANDs in each.
fn all_carries(generate: Bits, propagate: &Bits, session: &mut Session) -> Result<Bits> {
    let width = generate.width();
    let (mut g, mut p) = (generate, propagate.planes(0..width));
    let mut span = 1;
    while span < width {
        // Position i joins the group that ends just below its own block of `span`, if its block is an upper one.
        let uppers: Vec<usize> = (0..width).filter(|i| i & span != 0).collect();
        let lower = |i: usize| (i & !(span - 1)) - 1;
        // Positions below 2 span then reach down to 0 and need no p any more.
        let rest: Vec<usize> = uppers.iter().copied().filter(|&i| i >= 2 * span).collect();
        let mut left = p.select(uppers.iter().copied());
        left.push(&p.select(rest.iter().copied()));
        let mut right = g.select(uppers.iter().map(|&i| lower(i)));
        right.push(&p.select(rest.iter().map(|&i| lower(i))));
        let joined = and(&left, &right, session)?;
        for (at, &i) in uppers.iter().enumerate() {
            g.xor_planes(i, &joined.plane(at));
        }
        for (at, &i) in rest.iter().enumerate() {
            p.set_plane(i, &joined.plane(uppers.len() + at));
        }
        span *= 2;
    }
    Ok(g)
}

/// Writes the planes of a part into planes of the whole.
fn place(whole: &mut [u64], part: &[u64], stride: usize, words: &std::ops::Range<usize>) {
    if words.is_empty() {
        return;
    }
    for (whole, part) in whole.chunks_exact_mut(stride).zip(part.chunks_exact(words.len())) {
        whole[words.clone()].copy_from_slice(part);
    }
}

/// As [`place`], by XOR.
fn xor_into(whole: &mut [u64], part: &[u64], stride: usize, words: &std::ops::Range<usize>) {
    if words.is_empty() {
        return;
    }
    for (whole, part) in whole.chunks_exact_mut(stride).zip(part.chunks_exact(words.len())) {
        bits::xor_assign(&mut whole[words.clone()], part);
    }
}

/// The planes of a part of the whole.
fn cut(whole: &[u64], stride: usize, width: usize, words: &std::ops::Range<usize>) -> Vec<u64> {
    (0..width)
        .flat_map(|plane| whole[plane * stride + words.start..plane * stride + words.end].iter().copied())
        .collect()
}
