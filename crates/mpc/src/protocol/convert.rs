//! Between bits and the ring.

use std::ops::Range;

use shamisen_net::Peers;
use shamisen_ring::words::Words;
use shamisen_ring::{bits, planes};

use crate::error::Result;
use crate::roles::{Part, Role, Round, parts};
use crate::session::{Key, Session};
use crate::share::{Bits, Rep};

/// Bits as numbers 0 and 1 of the ring; the planes follow one another, `width * len` elements.
///
/// A bit is `c XOR d` with `c = b_0 ^ b_1` known to First and `d = b_2` known to the two others, so it is
/// `d + (1 - 2d) c`. First shares `c` additively between the others: one half from `s_1` (with Second), the rest sent
/// to Third. These two multiply by `1 - 2d` and reshare: components 0 and 1 come from `s_0` and `s_1`, each sends the
/// other what is left of its summand, masked by the key that the other lacks.
///
/// 2 rounds, 24 bytes.
///
/// # Errors
///
/// When a peer fails.
pub fn to_ring(shared: &Bits, session: &mut Session) -> Result<Rep> {
    let (len, width, stride) = (shared.len(), shared.width(), shared.plane_words());
    let mut out = Rep::scratch(len * width);
    let parts = parts(len, session.party());
    // The bits of a part as numbers, plane by plane.
    let expand = |plane: &dyn Fn(Range<usize>, &mut [u64]), part: &Part, values: &mut [u64]| {
        let words = part.words();
        let mut bits = Words::scratch(words.len());
        for (at, values) in values.chunks_exact_mut(part.len().max(1)).enumerate() {
            let first = at * stride;
            plane(first + words.start..first + words.end, &mut bits);
            planes::from_planes(&bits, 1, part.len(), values);
        }
    };

    let mut round = Round::new(&parts, |role, part| Peers {
        next: 0,
        prev: if role == Role::First { width * part.len() } else { 0 },
    });
    let mut halves = Vec::with_capacity(3);
    for part in &parts {
        let [half] = session.steps();
        let size = width * part.len();
        halves.push(match part.role {
            Role::First => {
                let c = |place: Range<usize>, bits: &mut [u64]| {
                    bits.copy_from_slice(&shared.mine[place.clone()]);
                    bits::xor_assign(bits, &shared.next[place]);
                };
                let message = round.write_prev(size);
                expand(&c, part, message);
                session.stream(Key::Next, half).sub_into(0, message);
                Words::default()
            }
            Role::Second => session.random(Key::Own, half, size),
            Role::Third => Words::default(),
        });
    }
    let mut incoming = round.exchange(session)?;

    let mut round = Round::new(&parts, |role, part| match role {
        Role::First => Peers { next: 0, prev: 0 },
        Role::Second => Peers { next: width * part.len(), prev: 0 },
        Role::Third => Peers { next: 0, prev: width * part.len() },
    });
    let mut kept = Vec::with_capacity(3);
    for (part, half) in parts.iter().zip(halves) {
        let [first, second] = session.steps();
        let size = width * part.len();
        kept.push(match part.role {
            Role::First => (session.random(Key::Own, first, size), session.random(Key::Next, second, size)),
            Role::Second => {
                let mut d = Words::scratch(size);
                expand(&|place, bits| bits.copy_from_slice(&shared.next[place]), part, &mut d);
                let component = session.random(Key::Own, second, size);
                // (1 - 2d) times the half of c, plus d.
                let rest = round.write_next(size);
                bits::negate_where(rest, &half, &d);
                bits::add_assign(rest, &d);
                bits::sub_assign(rest, &component);
                (component, Words::copy(rest))
            }
            Role::Third => {
                let mut d = Words::scratch(size);
                expand(&|place, bits| bits.copy_from_slice(&shared.mine[place]), part, &mut d);
                let component = session.random(Key::Next, first, size);
                let rest = round.write_prev(size);
                bits::negate_where(rest, incoming.take_next(size), &d);
                bits::sub_assign(rest, &component);
                (Words::copy(rest), component)
            }
        });
    }
    let mut incoming = round.exchange(session)?;
    for (part, (mut mine, mut next)) in parts.iter().zip(kept) {
        let size = width * part.len();
        match part.role {
            Role::First => {}
            Role::Second => bits::add_assign(&mut next, incoming.take_next(size)),
            Role::Third => bits::add_assign(&mut mine, incoming.take_prev(size)),
        }
        for plane in 0..width {
            let (from, to) = (plane * part.len(), plane * len);
            let place = to + part.elements.start..to + part.elements.end;
            out.mine[place.clone()].copy_from_slice(&mine[from..from + part.len()]);
            out.next[place].copy_from_slice(&next[from..from + part.len()]);
        }
    }
    Ok(out)
}
