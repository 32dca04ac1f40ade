//! From the ring to bits: a binary adder over the components.
//!
//! `x = a + b` with `a = x_0 + x_1` known to First and `b = x_2` known to the two others. First shares the bits of `a`,
//! those of `b` are shared as they are, and a carry tree adds them.

use shamisen_net::{Party, Peers};
use shamisen_ring::words::Words;
use shamisen_ring::{bits, planes};

use crate::error::Result;
use crate::protocol::circuit::Circuit;
use crate::protocol::split::Split;
use crate::roles::{Part, Role, Round};
use crate::session::{Key, Session, Stream};
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
    let mut value = Split::of(shared, session.party());
    if low > 0 {
        value.add_constant(1 << low, session.party());
    }
    let addends = Addends::share(&value, low, width, session)?;
    let width = width as usize;
    let generate = addends.generate(width - 1, session)?;
    let mut inputs = addends.propagate;
    inputs.push(&generate);
    let (propagate, generate): (Vec<_>, Vec<_>) = (0..width - 1).map(|at| (at, width + at)).unzip();
    let mut circuit = Circuit::new(inputs, width * (width.ilog2() as usize + 3));
    let carries = circuit.carries(&generate, &propagate, session)?;
    let mut sum = circuit.outputs(&(0..width).collect::<Vec<_>>());
    sum.xor_planes(1, &circuit.outputs(&carries));
    Ok(sum)
}

/// The two summands of a shared number, bit by bit: `a` in components 0 and 1, `b` in component 2.
pub(crate) struct Addends {
    /// `a XOR b`: whether a position hands a carry on. A complete replicated sharing.
    pub(crate) propagate: Bits,
    parts: [Part; 3],
}

impl Addends {
    /// Shares bits `low..low + width` of both summands.
    ///
    /// One half of `a` is drawn from `s_1` (First and Second), the rest goes from First to Third, masked by that key,
    /// which Third lacks. 1 round, `width` bits.
    pub(crate) fn share(value: &Split, low: u32, width: u32, session: &mut Session) -> Result<Self> {
        assert!(width >= 1 && low + width <= 64, "bits {low}..{} of a 64-bit word", low + width);
        let parts = value.parts(session.party());
        let mut propagate = second_summand(value, low, width, session.party());
        let stride = propagate.plane_words();
        let mut round = Round::new(&parts, |role, part| Peers {
            next: 0,
            prev: if role == Role::First { width as usize * part.words().len() } else { 0 },
        });
        for part in &parts {
            let [half] = session.steps();
            let words = part.words();
            let size = width as usize * words.len();
            let range = part.elements.clone();
            match part.role {
                Role::First => {
                    let rest = round.write_prev(size);
                    planes::to_planes(&value.own[range], low, width, rest);
                    let random = session.random(Key::Next, half, size);
                    bits::xor_assign(rest, &random);
                    place(&mut propagate.mine, rest, stride, &words);
                    place(&mut propagate.next, &random, stride, &words);
                }
                Role::Second => {
                    let random = session.random(Key::Own, half, size);
                    place(&mut propagate.mine, &random, stride, &words);
                }
                Role::Third => {}
            }
        }
        let mut incoming = round.exchange(session)?;
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
        let mut answers = Answers::new(width, self.propagate.len(), &self.parts);
        for part in &self.parts {
            let words = part.words();
            answers.give(part, session, |out| {
                for (plane, out) in out.chunks_exact_mut(words.len().max(1)).enumerate() {
                    let place = plane * stride + words.start..plane * stride + words.end;
                    bits::and_assign(out, &self.propagate.mine[place.clone()], &self.propagate.next[place]);
                }
            });
        }
        answers.exchange(session)
    }
}

/// Bits that Second and Third compute each for itself, and whose XOR is the result: they become a replicated sharing.
///
/// Each sends the other what it has, masked by `s_1` and `s_0`, which the other lacks: these are components 1 and 0.
/// 1 round, 2 bits a bit.
pub(crate) struct Answers<'a> {
    parts: &'a [Part; 3],
    round: Round,
    out: Bits,
}

impl<'a> Answers<'a> {
    /// For `width` planes of `len` bits.
    pub(crate) fn new(width: usize, len: usize, parts: &'a [Part; 3]) -> Self {
        let round = Round::new(parts, |role, part| {
            let size = width * part.words().len();
            match role {
                Role::First => Peers { next: 0, prev: 0 },
                Role::Second => Peers { next: size, prev: 0 },
                Role::Third => Peers { next: 0, prev: size },
            }
        });
        // Circuits on what comes out are about as large again.
        Self { parts, round, out: Bits::scratch_with_room(width, width + 16, len) }
    }

    /// The bits of a part, the parts in their order: `answer` is called at Second and Third and XORs its bits into the
    /// planes, which hold a mask.
    pub(crate) fn give(&mut self, part: &Part, session: &mut Session, answer: impl FnOnce(&mut [u64])) {
        let [first, second] = session.steps();
        let (stride, words) = (self.out.plane_words(), part.words());
        let size = self.out.width * words.len();
        let place = |stream: &Stream, component: &mut [u64]| {
            for (plane, out) in component.chunks_exact_mut(stride.max(1)).enumerate() {
                stream.fill(plane * words.len(), &mut out[words.clone()]);
            }
        };
        let (stream, message) = match part.role {
            Role::First => {
                place(&session.stream(Key::Own, first), &mut self.out.mine);
                place(&session.stream(Key::Next, second), &mut self.out.next);
                return;
            }
            Role::Second => {
                let stream = session.stream(Key::Own, second);
                place(&stream, &mut self.out.mine);
                (stream, self.round.write_next(size))
            }
            Role::Third => {
                let stream = session.stream(Key::Next, first);
                place(&stream, &mut self.out.next);
                (stream, self.round.write_prev(size))
            }
        };
        stream.fill(0, message);
        answer(message);
    }

    /// Sends and receives, once all three parts are given.
    pub(crate) fn exchange(self, session: &mut Session) -> Result<Bits> {
        let Self { parts, round, mut out } = self;
        let stride = out.plane_words();
        let mut incoming = round.exchange(session)?;
        for part in parts.iter().filter(|part| part.len() > 0) {
            let words = part.words();
            let size = out.width * words.len();
            // The component that both servers know is what one sent XOR what the other sent.
            let ((received, sent), component) = match part.role {
                Role::First => continue,
                Role::Second => (incoming.take_both_next(size), &mut out.next),
                Role::Third => (incoming.take_both_prev(size), &mut out.mine),
            };
            let planes = received.chunks_exact(words.len()).zip(sent.chunks_exact(words.len()));
            for (out, (received, sent)) in component.chunks_exact_mut(stride).zip(planes) {
                bits::xor(&mut out[words.clone()], received, sent);
            }
        }
        Ok(out)
    }
}

/// Bits `low..low + width` of the second summand; in component 2 alone.
fn second_summand(value: &Split, low: u32, width: u32, party: Party) -> Bits {
    // Circuits on it take several times as many planes.
    let mut out = Bits::scratch_with_room(width as usize, 3 * width as usize + 16, value.len());
    out.mine.fill(0);
    out.next.fill(0);
    let stride = out.plane_words();
    for part in &value.parts(party) {
        let to = match part.role {
            Role::First => continue,
            Role::Second => &mut out.next,
            Role::Third => &mut out.mine,
        };
        let mut bits = Words::scratch(width as usize * part.words().len());
        planes::to_planes(&value.own[part.elements.clone()], low, width, &mut bits);
        place(to, &bits, stride, &part.words());
    }
    out
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
