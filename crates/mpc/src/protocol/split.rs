//! The two-component form: `x = a + b` with `a` known to First and `b` to the two others.
//!
//! It is what a truncation, the bits of a sum and a look-up need, and costs less than a replicated sharing.

use std::fmt;

use shamisen_net::{Party, Peers};
use shamisen_ring::words::Words;
use shamisen_ring::{bits, pack};

use crate::error::Result;
use crate::roles::{CHUNK, Part, Role, Round, chunks, cuts, parts, parts_at};
use crate::session::{Key, Session};
use crate::share::{Additive, Rep};

/// A vector of `Z_2^64` in two components, the roles changing among its three parts.
#[derive(Clone)]
pub struct Split {
    /// `a` where this party is First, `b` where it is Second or Third.
    pub(crate) own: Words,
    /// Where the parts begin, and the end.
    cuts: [usize; 4],
}

impl Split {
    /// A sharing of zeros.
    pub fn zeros(len: usize) -> Self {
        Self { own: Words::zeros(len), cuts: cuts(len) }
    }

    /// A share as stored: what this party holds of each element.
    pub fn from_words(words: impl Into<Words>) -> Self {
        let own = words.into();
        Self { cuts: cuts(own.len()), own }
    }

    /// What this party holds of each element, for storing it.
    pub fn words(&self) -> &[u64] {
        debug_assert_eq!(self.cuts, cuts(self.own.len()), "what is stored is cut as its length says");
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
        Self { own, cuts: cuts(shared.len()) }
    }

    /// This form as a replicated sharing.
    ///
    /// First takes component 0 from `s_0`, which it has in common with Third, and sends Second the rest of `a`, masked by
    /// that. 1 round, 8 bytes.
    ///
    /// # Errors
    ///
    /// When a peer fails.
    pub fn replicated(&self, session: &mut Session) -> Result<Rep> {
        let parts = self.parts(session.party());
        let mut out = Rep::scratch(self.len());
        let mut round = Round::new(&parts, |role, part| Peers {
            next: if role == Role::First { part.len() } else { 0 },
            prev: 0,
        });
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
                Role::Second => next.copy_from_slice(&self.own[range]),
                Role::Third => {
                    mine.copy_from_slice(&self.own[range]);
                    session.stream(Key::Next, component).fill(0, next);
                }
            }
        }
        let mut incoming = round.exchange(session)?;
        for part in parts.iter().filter(|part| part.role == Role::Second) {
            out.mine[part.elements.clone()].copy_from_slice(incoming.take_prev(part.len()));
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

    /// Adds another sharing of the same length.
    pub fn add_assign(&mut self, other: &Self) {
        bits::add_assign(&mut self.own, &other.own);
    }

    /// Adds a public number to every element: `a` takes it.
    pub fn add_constant(&mut self, value: u64, party: Party) {
        for part in self.parts(party).iter().filter(|part| part.role == Role::First) {
            bits::add_constant(&mut self.own[part.elements.clone()], value);
        }
    }

    /// Multiplies every element by a public number.
    pub fn scale(&mut self, factor: u64) {
        bits::scale_assign(&mut self.own, factor);
    }
}

impl fmt::Debug for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Split({} elements)", self.len())
    }
}

/// Bits `low..low + width` of an additive sharing, `low + width <= 64`, as numbers modulo `2^width`.
///
/// With `low = 0` they are exact. Otherwise each summand drops its low bits for itself, and the result is that of
/// `x >> low` or up to two more. Bits above `width` are arbitrary in both components.
///
/// `b` comes from `s_2`, which First lacks. Second and Third send First their summands, the one less `b`, each under a mask
/// from `s_2`, which cancels in the sum. 1 round, 2 `width` bits.
///
/// # Errors
///
/// When a peer fails.
///
/// # Panics
///
/// When there are no such bits in a word, which is a mistake of the caller.
pub fn split(sum: &Additive, low: u32, width: u32, session: &mut Session) -> Result<Split> {
    assert!(width >= 1 && low + width <= 64, "bits {low}..{} of a 64-bit word", low + width);
    let parts = parts(sum.len(), session.party());
    let mut own = Words::scratch(sum.len());
    let mut round = Round::new(&parts, |role, part| {
        let size = pack::packed_words(part.len(), width);
        match role {
            Role::First => Peers { next: 0, prev: 0 },
            Role::Second => Peers { next: 0, prev: size },
            Role::Third => Peers { next: size, prev: 0 },
        }
    });
    let mut buffer = Words::scratch(CHUNK);
    for part in &parts {
        let [component, mask] = session.steps();
        let size = pack::packed_words(part.len(), width);
        let (key, message) = match part.role {
            Role::First => continue,
            Role::Second => (Key::Next, round.write_prev(size)),
            Role::Third => (Key::Own, round.write_next(size)),
        };
        let (component, mask) = (session.stream(key, component), session.stream(key, mask));
        let own = &mut own[part.elements.clone()];
        for chunk in chunks(part.len()) {
            let summand = &mut buffer[..chunk.len()];
            summand.copy_from_slice(&sum.0[part.elements.clone()][chunk.clone()]);
            bits::shr_logical(summand, low);
            let own = &mut own[chunk.clone()];
            component.fill(chunk.start, own);
            if part.role == Role::Second {
                bits::sub_assign(summand, own);
                mask.add_into(chunk.start, summand);
            } else {
                mask.sub_into(chunk.start, summand);
            }
            pack::pack(summand, width, pack::part_mut(message, &chunk, width));
        }
    }
    let mut incoming = round.exchange(session)?;
    for part in parts.iter().filter(|part| part.role == Role::First) {
        let size = pack::packed_words(part.len(), width);
        let (from_next, from_prev) = (Words::copy(incoming.take_next(size)), incoming.take_prev(size));
        let own = &mut own[part.elements.clone()];
        for chunk in chunks(part.len()) {
            let summand = &mut buffer[..chunk.len()];
            let own = &mut own[chunk.clone()];
            own.copy_from_slice(&sum.0[part.elements.clone()][chunk.clone()]);
            bits::shr_logical(own, low);
            if low > 0 {
                bits::add_constant(own, 2);
            }
            for message in [&*from_next, from_prev] {
                pack::unpack(pack::part(message, &chunk, width), width, summand);
                bits::add_assign(own, summand);
            }
        }
    }
    Ok(Split { own, cuts: cuts(sum.len()) })
}
