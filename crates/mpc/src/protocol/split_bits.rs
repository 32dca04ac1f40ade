//! Bits in the two-component form: `x = c XOR d` with `c` known to First and `d` to the two others.

use std::ops::Range;

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
    /// Planes that are still to be exchanged.
    open: Range<usize>,
}

impl SplitBits {
    /// A replicated sharing in this form. Local.
    pub(crate) fn of(bits: &Bits, cuts: [usize; 4], party: Party) -> Self {
        let mut own = Words::copy(&bits.mine);
        for part in &parts_at(cuts, party) {
            for words in part_words(0..bits.width, bits.plane_words(), part) {
                match part.role {
                    Role::First => bits::xor_assign(&mut own[words.clone()], &bits.next[words]),
                    Role::Second => own[words.clone()].copy_from_slice(&bits.next[words]),
                    Role::Third => {}
                }
            }
        }
        Self { own, width: bits.width, len: bits.len, cuts, open: 0..0 }
    }

    /// `plain XOR (x AND y)`, still open; `x` and `y` are for the planes from `first` on, as many as they have. Local.
    ///
    /// The summands of the ANDs are masked by a sharing of zero: what Second and Third send each other by `s_1` and `s_0`,
    /// which the other lacks. No round of its own; 2 bits a bit in the first round of the protocol that takes them.
    pub(crate) fn of_products(
        plain: &Bits,
        first: usize,
        [x, y]: [&Bits; 2],
        cuts: [usize; 4],
        session: &mut Session,
    ) -> Self {
        let party = session.party();
        let stride = plain.plane_words();
        let (before, after) = session.zero_sharing();
        let mut products = Words::scratch(x.mine.len());
        before.fill(0, &mut products);
        after.xor_into(0, &mut products);
        bits::and_shares(&mut products, &x.mine, &x.next, &y.mine, &y.next);
        let mut sum = Self::of(plain, cuts, party);
        sum.open = first..first + x.width;
        let open = &mut sum.own[first * stride..(first + x.width) * stride];
        for part in &parts_at(cuts, party) {
            for words in part_words(0..x.width, stride, part) {
                let (own, product) = (&mut open[words.clone()], &products[words]);
                if part.role == Role::Third {
                    // What is known to Second as well counts once.
                    own.copy_from_slice(product);
                } else {
                    bits::xor_assign(own, product);
                }
            }
        }
        sum
    }

    /// Planes of ones on top.
    pub(crate) fn push_ones(&mut self, count: usize, party: Party) {
        let stride = planes::plane_words(self.len);
        self.own.append(count * stride).fill(0);
        for part in parts_at(self.cuts, party).iter().filter(|part| part.role == Role::First) {
            for words in part_words(0..count, stride, part) {
                self.own[self.width * stride..][words].fill(u64::MAX);
            }
        }
        self.width += count;
    }

    /// The inverted bits.
    pub(crate) fn inverted(mut self, party: Party) -> Self {
        for part in parts_at(self.cuts, party).iter().filter(|part| part.role == Role::First) {
            for words in part_words(0..self.width, planes::plane_words(self.len), part) {
                bits::invert(&mut self.own[words]);
            }
        }
        self
    }

    /// What is still to be exchanged, in words.
    pub(crate) fn sends(&self, role: Role, part: &Part) -> Peers<usize> {
        let size = self.open.len() * part.words().len();
        match role {
            Role::First => Peers { next: 0, prev: 0 },
            Role::Second => Peers { next: size, prev: 0 },
            Role::Third => Peers { next: 0, prev: size },
        }
    }

    /// Writes what is still to be sent.
    pub(crate) fn send(&self, parts: &[Part; 3], round: &mut Round) {
        for part in parts {
            for words in part_words(self.open.clone(), planes::plane_words(self.len), part) {
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
        self.open = 0..0;
    }

    /// Takes it of a piece.
    pub(crate) fn receive_piece(&mut self, parts: &[Part; 3], incoming: &mut Incoming) {
        for part in parts {
            for words in part_words(self.open.clone(), planes::plane_words(self.len), part) {
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
        let all = part_words(0..self.width, planes::plane_words(self.len), part);
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
fn part_words(
    planes: Range<usize>,
    stride: usize,
    part: &Part,
) -> impl Iterator<Item = Range<usize>> + use<> {
    let words = part.words();
    planes.map(move |plane| plane * stride + words.start..plane * stride + words.end)
}
