//! Bits in the two-component form: `x = c XOR d` with `c` known to First and `d` to the two others.

use shamisen_net::{Party, Peers};
use shamisen_ring::words::Words;
use shamisen_ring::{bits, planes};

use crate::roles::{Incoming, Part, Role, Round, parts_at};
use crate::session::Session;
use crate::share::Bits;

/// Bit planes in two components, the roles changing among the three parts of the vector.
///
/// They may be *open*: then First has `c`, but the two others have summands of `d` only, which they exchange in the first round
/// of the protocol that takes them.
pub(crate) struct SplitBits {
    /// Planes of `c` where this party is First, of `d` where it is Second or Third, or its summand of that.
    own: Words,
    width: usize,
    len: usize,
    /// Where the parts begin, and the end.
    cuts: [usize; 4],
    /// So many of the lowest planes are still to be exchanged.
    open: usize,
}

impl SplitBits {
    /// A replicated sharing in this form. Local.
    pub(crate) fn of(bits: &Bits, cuts: [usize; 4], party: Party) -> Self {
        let mut own = Words::copy(&bits.mine);
        for part in &parts_at(cuts, party) {
            for words in part_words(bits.width, bits.plane_words(), part) {
                match part.role {
                    Role::First => bits::xor_assign(&mut own[words.clone()], &bits.next[words]),
                    Role::Second => own[words.clone()].copy_from_slice(&bits.next[words]),
                    Role::Third => {}
                }
            }
        }
        Self { own, width: bits.width, len: bits.len, cuts, open: 0 }
    }

    /// `plain XOR (x AND y)`, plane by plane, still open. Local.
    ///
    /// The summands of the ANDs are masked by a sharing of zero: what Second and Third send each other by `s_1` and `s_0`,
    /// which the other lacks. No round of its own; 2 bits a bit in the first round of the protocol that takes them.
    pub(crate) fn of_products(
        plain: &Bits,
        x: &Bits,
        y: &Bits,
        cuts: [usize; 4],
        session: &mut Session,
    ) -> Self {
        let party = session.party();
        let (before, after) = session.zero_sharing();
        let mut own = Words::scratch(plain.mine.len());
        before.fill(0, &mut own);
        after.xor_into(0, &mut own);
        bits::and_shares(&mut own, &x.mine, &x.next, &y.mine, &y.next);
        for part in &parts_at(cuts, party) {
            for words in part_words(plain.width, plain.plane_words(), part) {
                let own = &mut own[words.clone()];
                match part.role {
                    Role::First => {
                        bits::xor_assign(own, &plain.mine[words.clone()]);
                        bits::xor_assign(own, &plain.next[words]);
                    }
                    // What both others know counts once.
                    Role::Second => bits::xor_assign(own, &plain.next[words]),
                    Role::Third => {}
                }
            }
        }
        Self { own, width: plain.width, len: plain.len, cuts, open: plain.width }
    }

    /// Planes of ones on top.
    pub(crate) fn push_ones(&mut self, count: usize, party: Party) {
        let stride = planes::plane_words(self.len);
        self.own.append(count * stride).fill(0);
        for part in parts_at(self.cuts, party).iter().filter(|part| part.role == Role::First) {
            for words in part_words(count, stride, part) {
                self.own[self.width * stride..][words].fill(u64::MAX);
            }
        }
        self.width += count;
    }

    /// The inverted bits.
    pub(crate) fn inverted(mut self, party: Party) -> Self {
        for part in parts_at(self.cuts, party).iter().filter(|part| part.role == Role::First) {
            for words in part_words(self.width, planes::plane_words(self.len), part) {
                bits::invert(&mut self.own[words]);
            }
        }
        self
    }

    /// What is still to be exchanged, in words.
    pub(crate) fn sends(&self, role: Role, part: &Part) -> Peers<usize> {
        let size = self.open * part.words().len();
        match role {
            Role::First => Peers { next: 0, prev: 0 },
            Role::Second => Peers { next: size, prev: 0 },
            Role::Third => Peers { next: 0, prev: size },
        }
    }

    /// Writes what is still to be sent.
    pub(crate) fn send(&self, parts: &[Part; 3], round: &mut Round) {
        for part in parts {
            for words in part_words(self.open, planes::plane_words(self.len), part) {
                match part.role {
                    Role::First => {}
                    Role::Second => round.write_next(words.len()).copy_from_slice(&self.own[words]),
                    Role::Third => round.write_prev(words.len()).copy_from_slice(&self.own[words]),
                }
            }
        }
    }

    /// Takes what was still to be received.
    pub(crate) fn receive(&mut self, parts: &[Part; 3], incoming: &mut Incoming) {
        self.receive_piece(parts, incoming);
        self.set_closed();
    }

    /// Nothing is to be exchanged any more: of all pieces it was received.
    pub(crate) fn set_closed(&mut self) {
        self.open = 0;
    }

    /// Takes it of a piece.
    pub(crate) fn receive_piece(&mut self, parts: &[Part; 3], incoming: &mut Incoming) {
        let open = self.open;
        for part in parts {
            for words in part_words(open, planes::plane_words(self.len), part) {
                let own = &mut self.own[words.clone()];
                match part.role {
                    Role::First => {}
                    Role::Second => bits::xor_assign(own, incoming.take_next(words.len())),
                    Role::Third => bits::xor_assign(own, incoming.take_prev(words.len())),
                }
            }
        }
    }

    /// This party's bits of a plane, of all parts.
    pub(crate) fn plane(&self, index: usize) -> &[u64] {
        let stride = planes::plane_words(self.len);
        &self.own[index * stride..(index + 1) * stride]
    }

    /// This party's bits of some planes as a number for each element of a part.
    pub(crate) fn numbers(&self, low: u32, width: u32, part: &Part) -> Words {
        let words = part.words();
        let mut own = Words::scratch(width as usize * words.len());
        let all = part_words(self.width, planes::plane_words(self.len), part);
        for (plane, out) in all.skip(low as usize).zip(own.chunks_exact_mut(words.len().max(1))) {
            out.copy_from_slice(&self.own[plane]);
        }
        let mut numbers = Words::scratch(part.len());
        planes::from_planes(&own, width, part.len(), &mut numbers);
        numbers
    }

    /// Bits of an element.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Number of elements.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Where the parts begin, and the end.
    pub(crate) fn cuts(&self) -> [usize; 4] {
        self.cuts
    }
}

/// The words of a part in each of some planes.
fn part_words(width: usize, stride: usize, part: &Part) -> impl Iterator<Item = std::ops::Range<usize>> {
    let words = part.words();
    (0..width).map(move |plane| plane * stride + words.start..plane * stride + words.end)
}
