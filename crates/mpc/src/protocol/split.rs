//! The two-component form: `x = a + b` with `a` known to First and `b` to the two others.
//!
//! It is what a truncation, the bits of a sum and a look-up need, and costs less than a replicated sharing.

use std::fmt;

use shamisen_net::{Party, Peers};
use shamisen_ring::words::Words;
use shamisen_ring::{bits, pack};

use crate::error::Result;
use crate::roles::{CHUNK, Incoming, Part, Role, Round, chunks, cuts, parts, parts_at, together};
use crate::session::{Key, Session};
use crate::share::{Additive, Rep};

/// A vector of `Z_2^64` in two components, the roles changing among its three parts.
///
/// It may be *open*: then First has `a`, but the two others have summands of `b` only, which they exchange in the first round
/// of the protocol that takes it.
#[derive(Clone)]
pub struct Split {
    /// `a` where this party is First, `b` where it is Second or Third, or its summand of that.
    pub(crate) own: Words,
    /// Where the parts begin, and the end.
    cuts: [usize; 4],
    open: Option<Open>,
}

/// What is still to be exchanged of the summands of an open [`Split`]: so many bits, from bit `low` on; below it there are zeros.
#[derive(Clone, Copy)]
struct Open {
    low: u32,
    width: u32,
}

impl Split {
    /// A sharing of zeros.
    pub fn zeros(len: usize) -> Self {
        Self { own: Words::zeros(len), cuts: cuts(len), open: None }
    }

    /// A share as stored: what this party holds of each element.
    pub fn from_words(words: impl Into<Words>) -> Self {
        let own = words.into();
        Self { cuts: cuts(own.len()), own, open: None }
    }

    /// What this party holds of each element, for storing it.
    pub fn words(&self) -> &[u64] {
        debug_assert_eq!(self.cuts, cuts(self.own.len()), "what is stored is cut as its length says");
        debug_assert!(!self.is_open(), "what is stored is exchanged");
        &self.own
    }

    /// A replicated sharing in this form: `a = x_0 + x_1`, `b = x_2`. Local.
    pub fn of(shared: &Rep, party: Party) -> Self {
        let mut own = Words::scratch(shared.len());
        for part in parts(shared.len(), party) {
            let range = part.elements.clone();
            let out = &mut own[range.clone()];
            match part.role {
                Role::First => {
                    out.copy_from_slice(&shared.mine[range.clone()]);
                    bits::add_assign(out, &shared.next[range]);
                }
                Role::Second => out.copy_from_slice(&shared.next[range]),
                Role::Third => out.copy_from_slice(&shared.mine[range]),
            }
        }
        Self { own, cuts: cuts(shared.len()), open: None }
    }

    /// This form as a replicated sharing.
    ///
    /// First takes component 0 from `s_0`, which it has in common with Third, and sends Second the rest of `a`, masked by
    /// that. 1 round, 8 bytes; it closes what is open.
    ///
    /// # Errors
    ///
    /// When a peer fails.
    pub fn replicated(&mut self, session: &mut Session) -> Result<Rep> {
        let parts = self.parts(session.party());
        let mut out = Rep::scratch(self.len());
        let mut round = Round::new(&parts, |role, part| {
            let size = if role == Role::First { part.len() } else { 0 };
            together(self.sends(role, part), Peers { next: size, prev: 0 })
        });
        self.send(&parts, &mut round);
        for part in &parts {
            let [component] = session.steps();
            let range = part.elements.clone();
            let (mine, next) = (&mut out.mine[range.clone()], &mut out.next[range.clone()]);
            match part.role {
                Role::First => {
                    session.stream(Key::Own, component).fill(0, mine);
                    next.copy_from_slice(&self.own[range]);
                    bits::sub_assign(next, mine);
                    round.write_next(part.len()).copy_from_slice(next);
                }
                Role::Second => {}
                Role::Third => session.stream(Key::Next, component).fill(0, next),
            }
        }
        let mut incoming = round.exchange(session)?;
        self.receive(&parts, &mut incoming);
        for part in &parts {
            let range = part.elements.clone();
            match part.role {
                Role::First => {}
                Role::Second => {
                    out.mine[range.clone()].copy_from_slice(incoming.take_prev(part.len()));
                    out.next[range.clone()].copy_from_slice(&self.own[range]);
                }
                Role::Third => out.mine[range.clone()].copy_from_slice(&self.own[range]),
            }
        }
        Ok(out)
    }

    /// The three parts with this party's roles in them.
    pub(crate) fn parts(&self, party: Party) -> [Part; 3] {
        parts_at(self.cuts, party)
    }

    /// Where the parts begin, and the end.
    pub(crate) fn cuts(&self) -> [usize; 4] {
        self.cuts
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.own.len()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.own.is_empty()
    }

    /// Adds an open sharing of the same length; the sum is open.
    pub fn add_open(&mut self, other: &Self, party: Party) {
        debug_assert!(!self.is_open() && other.is_open(), "one is exchanged, the other is still to be");
        for part in self.parts(party) {
            let (own, summand) = (&mut self.own[part.elements.clone()], &other.own[part.elements]);
            if part.role == Role::Third {
                // What is known to Second as well counts once.
                own.copy_from_slice(summand);
            } else {
                bits::add_assign(own, summand);
            }
        }
        self.open = other.open;
    }

    /// Adds a public number to every element: `a` takes it.
    pub fn add_constant(&mut self, value: u64, party: Party) {
        for part in self.parts(party).iter().filter(|part| part.role == Role::First) {
            bits::add_constant(&mut self.own[part.elements.clone()], value);
        }
    }

    /// Multiplies every element by a public number.
    pub fn scale(&mut self, factor: u64) {
        debug_assert!(!self.is_open(), "bits that are exchanged stay where they are");
        bits::scale_assign(&mut self.own, factor);
    }

    /// Nothing is to be exchanged any more: of all pieces it was received.
    pub(crate) fn set_closed(&mut self) {
        self.open = None;
    }

    /// Whether the two others still have to exchange their summands.
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Multiplies every element by `2^bits`, also while it is open.
    #[must_use]
    pub fn shifted_up(mut self, bits: u32) -> Self {
        bits::shl_assign(&mut self.own, bits);
        self.open = self.open.map(|Open { low, width }| Open { low: low + bits, width });
        self
    }

    /// What is still to be exchanged, in words.
    pub(crate) fn sends(&self, role: Role, part: &Part) -> Peers<usize> {
        let size = self.open.map_or(0, |open| pack::packed_words(part.len(), open.width));
        match role {
            Role::First => Peers { next: 0, prev: 0 },
            Role::Second => Peers { next: size, prev: 0 },
            Role::Third => Peers { next: 0, prev: size },
        }
    }

    /// Writes what is still to be sent.
    pub(crate) fn send(&self, parts: &[Part; 3], round: &mut Round) {
        let Some(Open { low, width }) = self.open else { return };
        let mut buffer = Words::scratch(CHUNK);
        for part in parts {
            let size = pack::packed_words(part.len(), width);
            let message = match part.role {
                Role::First => continue,
                Role::Second => round.write_next(size),
                Role::Third => round.write_prev(size),
            };
            for chunk in chunks(part.len()) {
                let summand = &mut buffer[..chunk.len()];
                summand.copy_from_slice(&self.own[part.elements.clone()][chunk.clone()]);
                bits::shr_logical(summand, low);
                pack::pack(summand, width, pack::part_mut(message, &chunk, width));
            }
        }
    }

    /// Takes what was still to be received.
    pub(crate) fn receive(&mut self, parts: &[Part; 3], incoming: &mut Incoming) {
        self.receive_piece(parts, incoming);
        self.open = None;
    }

    /// Takes it of a piece.
    pub(crate) fn receive_piece(&mut self, parts: &[Part; 3], incoming: &mut Incoming) {
        let Some(Open { low, width }) = self.open else { return };
        let mut buffer = Words::scratch(CHUNK);
        for part in parts {
            let size = pack::packed_words(part.len(), width);
            let message = match part.role {
                Role::First => continue,
                Role::Second => incoming.take_next(size),
                Role::Third => incoming.take_prev(size),
            };
            let own = &mut self.own[part.elements.clone()];
            for chunk in chunks(part.len()) {
                let summand = &mut buffer[..chunk.len()];
                pack::unpack(pack::part(message, &chunk, width), width, summand);
                let own = &mut own[chunk];
                bits::shl_assign(summand, low);
                bits::add_assign(own, summand);
                // Second and Third have the same, also above.
                let above = u64::BITS - low - width;
                if above > 0 {
                    bits::shl_assign(own, above);
                    bits::shr_logical(own, above);
                }
            }
        }
    }
}

impl fmt::Debug for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Split({} elements)", self.len())
    }
}

/// Bits `low..low + width` of an additive sharing, `low + width <= 64`, as numbers modulo `2^width`, still open. Local.
///
/// With `low = 0` they are exact. Otherwise each summand drops its low bits for itself, and the result is that of
/// `x >> low` or up to two more. Bits above `width` are arbitrary in both components.
///
/// First adds masks from `s_0` and `s_1` to its summand, that is `a`. Third takes the one off its own, Second the other, and
/// they send each other what they have: Second lacks `s_0` and Third lacks `s_1`. The sum of both is `b`.
///
/// No round of its own; 2 `width` bits in the first round of the protocol that takes it.
///
/// # Panics
///
/// When there are no such bits in a word, which is a mistake of the caller.
pub fn open_split(sum: Additive, low: u32, width: u32, session: &mut Session) -> Split {
    // Each of the three loses up to a unit with its low bits.
    open(sum, low, width, if low > 0 { 2 << low } else { 0 }, session)
}

/// An additive sharing of which each summand drops its lowest `low` bits for itself, still open. Local.
///
/// The error is up to `1.5 * 2^low`, to either side, with a mean of 1/2. For what is truncated afterwards, by more than these bits;
/// messages and masks are those of [`open_split`], and cost 2 `(64 - low)` bits.
///
/// # Panics
///
/// When all bits are dropped, which is a mistake of the caller.
pub fn open_split_roughly(sum: Additive, low: u32, session: &mut Session) -> Split {
    // Each of the three loses half of `2^low - 1` on average.
    open(sum, low, u64::BITS - low, (3 << low) / 2 - 1, session).shifted_up(low)
}

/// [`open_split`], where First gives back so much of what is dropped.
fn open(sum: Additive, low: u32, width: u32, given_back: u64, session: &mut Session) -> Split {
    assert!(width >= 1 && low + width <= 64, "bits {low}..{} of a 64-bit word", low + width);
    let Additive(mut own) = sum;
    let cuts = cuts(own.len());
    for part in &parts_at(cuts, session.party()) {
        let [before, after] = session.steps();
        let own = &mut own[part.elements.clone()];
        let (plus, minus) = match part.role {
            Role::First => (Some(session.stream(Key::Own, before)), Some(session.stream(Key::Next, after))),
            Role::Second => (Some(session.stream(Key::Own, after)), None),
            Role::Third => (None, Some(session.stream(Key::Next, before))),
        };
        let given_back = if part.role == Role::First { given_back } else { 0 };
        for chunk in chunks(part.len()) {
            let own = &mut own[chunk.clone()];
            if let Some(plus) = &plus {
                plus.add_into(chunk.start, own);
            }
            if let Some(minus) = &minus {
                minus.sub_into(chunk.start, own);
            }
            if low > 0 {
                bits::add_constant(own, given_back);
                bits::shr_logical(own, low);
            }
        }
    }
    Split { own, cuts, open: Some(Open { low: 0, width }) }
}
