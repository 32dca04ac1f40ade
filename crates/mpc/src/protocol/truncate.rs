//! Truncation: dropping low bits of a fixed-point product, without any probability of a large error.

use std::ops::Range;

use shamisen_net::Peers;
use shamisen_ring::words::Words;
use shamisen_ring::{bits, pack, planes, truncation};

use crate::error::Result;
use crate::roles::{CHUNK, Incoming, Part, Posted, Role, Round, chunks, parts, pieces};
use crate::session::{Key, Session, Stream};
use crate::share::{Additive, Rep};

/// Values must lie in `[-2^62, 2^62)` before truncation.
pub const RANGE_BITS: u32 = 62;

/// What is added to a value before a truncation, so that it is not negative; less one, so that rounding has a mean error of 0.
pub(crate) const OFFSET: u64 = (1 << RANGE_BITS) - 1;

/// Divides an additive sharing by `2^bits` and reshares it: the fused end of a fixed-point product.
///
/// The input must lie in `[-2^62, 2^62)` and `bits` in `1..=61`. The result is the floor or the ceiling: its error lies in
/// `(-1, 1)` units of the last place with mean 0, for the rounding is stochastic, and a multiple of `2^bits` has none.
/// It never fails by more.
///
/// Let `z` be the value plus `2^62 - 1`, so that `-1 <= z < 2^63 - 1`. First (a) and Third (c) draw `u_0` from their common key
/// and send Second (b) masked summands, from which it forms `u_1 = z - u_0`. Over the integers
/// `u_0 + u_1 = z + w 2^64`, and because the top bit of `z` is 0, the wrap `w` is `msb(u_0) OR msb(u_1)`; this is 1 for `z = -1`, too,
/// where one half has the bits that the other lacks. Second shares
/// `msb(u_1)` under a random bit `beta`; the parties take `w 2^(64 - bits)` off the sum of the shifted halves.
///
/// The sum of the shifted halves lacks a unit where their low parts carry, and a unit is added: the floor of `(z + 1) / 2^bits`
/// comes out one higher as often as it should be.
///
/// | key | known to | masks |
/// |---|---|---|
/// | `s_0` | First, Third | `u_0`, `v`: the summands on their way to Second |
/// | `s_1` | First, Second | `kappa`: what Third receives |
/// | `s_2` | Second, Third | `mu_c`, `lambda`, `r`: what First receives |
/// | private | Second | `beta`, which hides `msb(u_1)` |
///
/// 2 rounds, 24 bytes + 3 `bits` + 2 bits.
///
/// # Errors
///
/// When a peer fails.
pub fn truncate(sum: Additive, bits: u32, session: &mut Session) -> Result<Rep> {
    truncate_roughly(sum, bits, 0, session)
}

/// As [`truncate`], but each party first drops the lowest `low` bits of its summand, which need not be sent then.
///
/// The error is up to `1.5 * 2^(low - bits)` units more, to either side, with a mean of `2^-(bits + 1)` units, and the input must lie so much
/// further from the ends of its range. 2 rounds, 24 bytes + 3 `bits` + 2 bits - 2 `low` bits; `low` is less than `bits`.
/// Messages and masks are those of [`truncate`].
///
/// # Errors
///
/// When a peer fails.
///
/// # Panics
///
/// When not all of the `low` bits are dropped in the end, which is a mistake of the caller.
pub fn truncate_roughly(sum: Additive, bits: u32, low: u32, session: &mut Session) -> Result<Rep> {
    truncate_in_pieces(sum, Shift { bits, low }, |_, _| (), |_, _| (), session)
}

/// The bits that a truncation drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    /// All of them.
    pub bits: u32,
    /// Those that each party drops for itself beforehand, as in [`truncate_roughly`].
    pub low: u32,
}

/// [`truncate_roughly`] of what `fill` writes, stretch by stretch; `done` is told which results are there.
///
/// Both are called once for each element, with ranges that are the same for all three parties: what comes before and after a
/// truncation can so be done while the numbers are in the cache.
///
/// # Errors
///
/// When a peer fails.
///
/// # Panics
///
/// As [`truncate_roughly`].
pub fn truncate_in_pieces(
    sum: Additive,
    shift: Shift,
    mut fill: impl FnMut(Range<usize>, &mut Additive),
    mut done: impl FnMut(Range<usize>, &Rep),
    session: &mut Session,
) -> Result<Rep> {
    let mut truncation = Truncation::new(sum, shift);
    for parts in pieces(&parts(truncation.sum.len(), session.party())) {
        truncation.begin(parts, &mut fill, session)?;
    }
    truncation.replicate(session)?;
    while let Some(parts) = truncation.complete(session)? {
        for part in parts {
            done(part.elements, &truncation.out);
        }
    }
    session.flush()?;
    Ok(truncation.out)
}

/// [`truncate_roughly`] of a vector, and of a second one of the same length that `between` makes of the results, stretch by stretch;
/// `done` is told which results of the second are there. Returns the results of both.
///
/// A piece goes from the first truncation into the second without waiting for the others. 4 rounds, and the bytes of both.
///
/// # Errors
///
/// When a peer fails.
///
/// # Panics
///
/// As [`truncate_roughly`].
pub fn truncate_twice(
    sum: Additive,
    shifts: [Shift; 2],
    mut between: impl FnMut(Range<usize>, &Rep, &mut Additive),
    mut done: impl FnMut(Range<usize>, &Rep),
    session: &mut Session,
) -> Result<(Rep, Rep)> {
    let mut second = Truncation::new(Additive::unwritten(sum.len()), shifts[1]);
    let mut first = Truncation::new(sum, shifts[0]);
    for parts in pieces(&parts(first.sum.len(), session.party())) {
        first.begin(parts, &mut |_, _| (), session)?;
    }
    first.replicate(session)?;
    while let Some(parts) = first.complete(session)? {
        second.begin(parts, &mut |elements, sum| between(elements, &first.out, sum), session)?;
    }
    second.replicate(session)?;
    while let Some(parts) = second.complete(session)? {
        for part in parts {
            done(part.elements, &second.out);
        }
    }
    session.flush()?;
    Ok((first.out, second.out))
}

/// A truncation that goes through its vector piece by piece.
struct Truncation {
    shift: Shift,
    /// The summands, and then the halves.
    sum: Additive,
    out: Rep,
    /// Pieces of which the first messages are sent.
    begun: Vec<Begun>,
    /// Pieces of which the second messages are sent.
    replicated: std::vec::IntoIter<Replicated>,
    /// Whether the last round has begun.
    is_completing: bool,
}

struct Begun {
    parts: [Part; 3],
    wraps: Vec<Wrap>,
    posted: Posted,
}

struct Replicated {
    parts: [Part; 3],
    kept: Kept,
    posted: Posted,
}

impl Truncation {
    fn new(sum: Additive, shift: Shift) -> Self {
        let Shift { bits, low } = shift;
        assert!(low < bits, "bits that are dropped beforehand, {low}, are some of {bits}");
        Self {
            shift,
            out: Rep::scratch(sum.len()),
            sum,
            begun: Vec::new(),
            replicated: Vec::new().into_iter(),
            is_completing: false,
        }
    }

    /// First half of the first round for a piece that is filled.
    fn begin(
        &mut self,
        parts: [Part; 3],
        fill: &mut dyn FnMut(Range<usize>, &mut Additive),
        session: &mut Session,
    ) -> Result<()> {
        for part in &parts {
            fill(part.elements.clone(), &mut self.sum);
        }
        self.begun.push(begin(parts, &mut self.sum.0, self.shift, session)?);
        Ok(())
    }

    /// Second half of the first round and first half of the second one, for all pieces.
    fn replicate(&mut self, session: &mut Session) -> Result<()> {
        let (sum, Shift { bits, low }) = (&mut self.sum.0, self.shift);
        let mut replicated = Vec::with_capacity(self.begun.len());
        for (at, Begun { parts, mut wraps, posted }) in self.begun.drain(..).enumerate() {
            let incoming = posted.collect(at == 0, session)?;
            meet(&parts, sum, &mut wraps, incoming, bits, low);
            let halves = parts.each_ref().map(|part| &sum[part.elements.clone()]);
            let (kept, posted) = replicate(&parts, halves, &wraps, bits, &mut self.out, session)?;
            replicated.push(Replicated { parts, kept, posted });
        }
        self.replicated = replicated.into_iter();
        Ok(())
    }

    /// Second half of the second round, for the next piece, if there is one: its results are there.
    fn complete(&mut self, session: &mut Session) -> Result<Option<[Part; 3]>> {
        let Some(Replicated { parts, kept, posted }) = self.replicated.next() else { return Ok(None) };
        let incoming = posted.collect(!std::mem::replace(&mut self.is_completing, true), session)?;
        let halves = parts.each_ref().map(|part| &self.sum.0[part.elements.clone()]);
        complete(&parts, halves, kept, self.shift.bits, &mut self.out, incoming);
        Ok(Some(parts))
    }
}

/// First half of the first round: the summands on their way to Second, and the bits that will hide its top bits.
fn begin(parts: [Part; 3], sum: &mut [u64], shift: Shift, session: &mut Session) -> Result<Begun> {
    let Shift { bits, low } = shift;
    let width = u64::BITS - low;
    let mut round = Round::new(&parts, |role, part| match role {
        Role::First => Peers { next: pack::packed_words(part.len(), width), prev: 0 },
        Role::Second => Peers { next: 0, prev: pack::packed_words(part.len(), bits) },
        Role::Third => Peers { next: 0, prev: pack::packed_words(part.len(), width) },
    });
    // Each of the three loses half of `2^low - 1` on average.
    let loss = (3 << low) / 2 - 1;
    let mut wraps = Vec::with_capacity(3);
    let mut buffer = Words::scratch(CHUNK);
    for part in &parts {
        wraps.push(begin_wrap(part, bits, &mut round, session));
        let [half, mask] = session.steps();
        let own = &mut sum[part.elements.clone()];
        let size = pack::packed_words(part.len(), width);
        let (half, mask, message) = match part.role {
            Role::First => {
                (session.stream(Key::Own, half), session.stream(Key::Own, mask), round.write_next(size))
            }
            Role::Second => continue,
            Role::Third => {
                (session.stream(Key::Next, half), session.stream(Key::Next, mask), round.write_prev(size))
            }
        };
        for chunk in chunks(part.len()) {
            let (out, own) = (&mut buffer[..chunk.len()], &mut own[chunk.clone()]);
            if part.role == Role::First {
                bits::add_constant(own, loss);
            }
            out.copy_from_slice(own);
            half.fill(chunk.start, own);
            bits::clear_low(out, low);
            bits::clear_low(own, low);
            // What is left of the own summand is the half, which First takes off.
            if part.role == Role::First {
                bits::sub_assign(out, own);
                bits::shr_logical(out, low);
                mask.add_into(chunk.start, out);
            } else {
                bits::shr_logical(out, low);
                mask.sub_into(chunk.start, out);
            }
            pack::pack(out, width, pack::part_mut(message, &chunk, width));
        }
    }
    let posted = round.post(session)?;
    Ok(Begun { parts, wraps, posted })
}

/// Second half of the first round: Second has its half, First its share of the hiding bits.
fn meet(parts: &[Part; 3], sum: &mut [u64], wraps: &mut [Wrap], mut incoming: Incoming, bits: u32, low: u32) {
    let width = u64::BITS - low;
    let mut buffer = Words::scratch(CHUNK);
    for (part, wrap) in parts.iter().zip(wraps) {
        let own = &mut sum[part.elements.clone()];
        let size = pack::packed_words(part.len(), width);
        match part.role {
            Role::First => wrap.take(incoming.take_next(pack::packed_words(part.len(), bits))),
            Role::Second => {
                let (from_next, from_prev) = incoming.take_of_both(size, size);
                for chunk in chunks(part.len()) {
                    let (own, summand) = (&mut own[chunk.clone()], &mut buffer[..chunk.len()]);
                    bits::shr_logical(own, low);
                    for message in [from_next, from_prev] {
                        pack::unpack(pack::part(message, &chunk, width), width, summand);
                        bits::add_assign(own, summand);
                    }
                    bits::shl_assign(own, low);
                    bits::add_constant(own, OFFSET);
                }
            }
            Role::Third => {}
        }
    }
}

/// Divides a replicated sharing by `2^bits`.
///
/// As [`truncate`], but the halves are there already: component 0 with First and Third, the sum of the two others with
/// Second. 2 rounds, 8 bytes + 3 `bits` + 2 bits. Input range and error as there.
///
/// # Errors
///
/// When a peer fails.
pub fn truncate_shared(shared: &Rep, bits: u32, session: &mut Session) -> Result<Rep> {
    let parts = parts(shared.len(), session.party());
    let mut round = Round::new(&parts, |role, part| match role {
        Role::Second => Peers { next: 0, prev: pack::packed_words(part.len(), bits) },
        Role::First | Role::Third => Peers { next: 0, prev: 0 },
    });
    let mut wraps = Vec::with_capacity(3);
    for part in &parts {
        wraps.push(begin_wrap(part, bits, &mut round, session));
    }
    let mut incoming = round.exchange(session)?;
    let mut second = Words::default();
    for (part, wrap) in parts.iter().zip(&mut wraps) {
        match part.role {
            Role::First => wrap.take(incoming.take_next(pack::packed_words(part.len(), bits))),
            Role::Second => {
                second = Words::copy(&shared.mine[part.elements.clone()]);
                bits::add_assign(&mut second, &shared.next[part.elements.clone()]);
                bits::add_constant(&mut second, OFFSET);
            }
            Role::Third => {}
        }
    }
    let halves = parts.each_ref().map(|part| match part.role {
        Role::First => &shared.mine[part.elements.clone()],
        Role::Second => &*second,
        Role::Third => &shared.next[part.elements.clone()],
    });
    let mut out = Rep::scratch(shared.len());
    let (kept, posted) = replicate(&parts, halves, &wraps, bits, &mut out, session)?;
    complete(&parts, halves, kept, bits, &mut out, posted.collect(true, session)?);
    session.flush()?;
    Ok(out)
}

/// The random bit `beta` of one part, as a party knows it.
enum Wrap {
    /// First: its share of `beta` modulo `2^bits`, packed; empty until it has come.
    First(Words),
    /// Second: the bits themselves, a plane.
    Second(Words),
    /// Third: its share `mu_c`, a stream under `s_2`.
    Third(Stream),
}

impl Wrap {
    /// First takes what Second sent.
    fn take(&mut self, packed: &[u64]) {
        *self = Self::First(Words::copy(packed));
    }
}

/// First half of the wrap correction: Second sends `beta - mu_c` to First, modulo `2^bits`.
fn begin_wrap(part: &Part, bits: u32, round: &mut Round, session: &mut Session) -> Wrap {
    assert!((1..RANGE_BITS).contains(&bits), "truncation by 1 to 61 bits, not {bits}");
    let [mu, beta] = session.steps();
    match part.role {
        Role::First => Wrap::First(Words::default()),
        Role::Second => {
            let beta = session.random(Key::Private, beta, planes::plane_words(part.len()));
            let mu = session.stream(Key::Next, mu);
            let message = round.write_prev(pack::packed_words(part.len(), bits));
            let mut buffer = Words::scratch(CHUNK);
            for chunk in chunks(part.len()) {
                let share = &mut buffer[..chunk.len()];
                mu.fill_bits(bits, chunk.start, share);
                truncation::subtract_from_bits(share, plane_of(&beta, &chunk));
                pack::pack(share, bits, pack::part_mut(message, &chunk, bits));
            }
            Wrap::Second(beta)
        }
        Role::Third => Wrap::Third(session.stream(Key::Own, mu)),
    }
}

/// For First and Third, what they do in the end with a part: the mask to take off the component that only one of them has, and for
/// Third its stream of that component.
type Kept = Vec<(Option<Stream>, Option<Stream>)>;

/// First half of the second round: the shifted halves become replicated, and Second takes off the wrap.
fn replicate(
    parts: &[Part; 3],
    halves: [&[u64]; 3],
    wraps: &[Wrap],
    bits: u32,
    out: &mut Rep,
    session: &mut Session,
) -> Result<(Kept, Posted)> {
    let mut round = Round::new(parts, |role, part| {
        let (narrow, plane) = (pack::packed_words(part.len(), bits), planes::plane_words(part.len()));
        match role {
            Role::First => Peers { next: 0, prev: narrow },
            Role::Second => Peers { next: plane, prev: part.len() + plane },
            Role::Third => Peers { next: narrow, prev: 0 },
        }
    });
    let mut buffer = [Words::scratch(CHUNK), Words::scratch(CHUNK)];
    let [share, random] = &mut buffer;
    // First keeps kappa, Third lambda and r, for what they do when e has come.
    let mut kept = Vec::with_capacity(3);
    for ((part, half), wrap) in parts.iter().zip(halves).zip(wraps) {
        let [kappa, lambda, mask] = session.steps();
        let mine = &mut out.mine[part.elements.clone()];
        let next = &mut out.next[part.elements.clone()];
        let len = part.len();
        // First and Third: (1 - m0) times a share of beta, minus a mask; sent and kept.
        match (part.role, wrap) {
            (Role::First, Wrap::First(beta)) => {
                let kappa = session.stream(Key::Next, kappa);
                let message = round.write_prev(pack::packed_words(len, bits));
                for chunk in chunks(len) {
                    let (share, kappas) = (&mut share[..chunk.len()], &mut random[..chunk.len()]);
                    kappa.fill_bits(bits, chunk.start, kappas);
                    pack::unpack(pack::part(beta, &chunk, bits), bits, share);
                    let own = &mut mine[chunk.clone()];
                    truncation::select_masked(own, share, &half[chunk.clone()], kappas);
                    pack::pack(own, bits, pack::part_mut(message, &chunk, bits));
                }
                kept.push((Some(kappa), None));
            }
            (Role::Second, Wrap::Second(beta)) => {
                let (kappa, lambda) = (session.stream(Key::Own, kappa), session.stream(Key::Next, lambda));
                let r = session.stream(Key::Next, mask);
                let mut e = Words::scratch(planes::plane_words(len));
                planes::to_planes(half, 63, 1, &mut e);
                bits::xor_assign(&mut e, beta);
                let message = round.write_prev(len);
                for chunk in chunks(len) {
                    let (bc, ab) = (&mut next[chunk.clone()], &mut mine[chunk.clone()]);
                    r.fill(chunk.start, bc);
                    truncation::shift_masked(ab, &half[chunk.clone()], bc, bits);
                    message[chunk.clone()].copy_from_slice(ab);
                    // Both components, less the wrap.
                    let masks = &mut share[..chunk.len()];
                    kappa.fill_bits(bits, chunk.start, masks);
                    truncation::subtract_signed(ab, masks, plane_of(&e, &chunk), bits);
                    lambda.fill_bits(bits, chunk.start, masks);
                    truncation::subtract_signed(bc, masks, plane_of(&e, &chunk), bits);
                }
                round.write_prev(e.len()).copy_from_slice(&e);
                round.write_next(e.len()).copy_from_slice(&e);
                kept.push((None, None));
            }
            (Role::Third, Wrap::Third(mu)) => {
                let (lambda, r) = (session.stream(Key::Own, lambda), session.stream(Key::Own, mask));
                let message = round.write_next(pack::packed_words(len, bits));
                for chunk in chunks(len) {
                    let (share, lambdas) = (&mut share[..chunk.len()], &mut random[..chunk.len()]);
                    mu.fill_bits(bits, chunk.start, share);
                    lambda.fill_bits(bits, chunk.start, lambdas);
                    let own = &mut next[chunk.clone()];
                    truncation::select_masked(own, share, &half[chunk.clone()], lambdas);
                    pack::pack(own, bits, pack::part_mut(message, &chunk, bits));
                }
                kept.push((Some(lambda), Some(r)));
            }
            _ => unreachable!("a wrap is begun in the role of its part"),
        }
    }
    Ok((kept, round.post(session)?))
}

/// Second half of the second round: First and Third take off the wrap.
fn complete(
    parts: &[Part; 3],
    halves: [&[u64]; 3],
    kept: Kept,
    bits: u32,
    out: &mut Rep,
    mut incoming: Incoming,
) {
    let mut buffer = [Words::scratch(CHUNK), Words::scratch(CHUNK)];
    let [share, random] = &mut buffer;
    let offset = 1_u64.wrapping_sub(1 << (RANGE_BITS - bits));
    for ((part, half), (mask, r)) in parts.iter().zip(halves).zip(kept) {
        let len = part.len();
        let (narrow, plane) = (pack::packed_words(len, bits), planes::plane_words(len));
        let mine = &mut out.mine[part.elements.clone()];
        let next = &mut out.next[part.elements.clone()];
        // The component that First and Third know, the other one of theirs, and the mask to take off that.
        let (common, other, mask, received, e) = match (part.role, mask) {
            (Role::First, Some(kappa)) => {
                next.copy_from_slice(incoming.take_next(len));
                let (e, received) = incoming.take_of_both(plane, narrow);
                (mine, next, kappa, received, e)
            }
            (Role::Third, Some(lambda)) => {
                let (received, e) = incoming.take_of_both(narrow, plane);
                (next, mine, lambda, received, e)
            }
            _ => continue,
        };
        for chunk in chunks(len) {
            let (share, masks) = (&mut share[..chunk.len()], &mut random[..chunk.len()]);
            pack::unpack(pack::part(received, &chunk, bits), bits, share);
            let e = plane_of(e, &chunk);
            truncation::known_component(
                &mut common[chunk.clone()],
                share,
                &half[chunk.clone()],
                e,
                bits,
                offset,
            );
            if let Some(r) = &r {
                r.fill(chunk.start, &mut other[chunk.clone()]);
            }
            mask.fill_bits(bits, chunk.start, masks);
            truncation::subtract_signed(&mut other[chunk], masks, e, bits);
        }
    }
}

/// The words of a plane that belong to a chunk.
fn plane_of<'a>(plane: &'a [u64], chunk: &Range<usize>) -> &'a [u64] {
    &plane[chunk.start / 64..chunk.end.div_ceil(64)]
}
