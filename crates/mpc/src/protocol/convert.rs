//! Between bits and the ring.

use shamisen_net::Peers;
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
    let len = shared.len();
    let mut out = Rep::zeros(len * shared.width());
    let parts = parts(len, session.party());
    let width = shared.width();
    let expand = |component: &[u64], part: &Part| -> Vec<u64> {
        let mut values = vec![0; width * part.len()];
        for (plane, values) in values.chunks_exact_mut(part.len().max(1)).enumerate() {
            let first = plane * shared.plane_words();
            let words = first + part.words().start..first + part.words().end;
            planes::from_planes(&component[words], 1, part.len(), values);
        }
        values
    };

    let mut round = Round::new();
    let mut halves = Vec::with_capacity(3);
    for part in &parts {
        let [half] = session.steps();
        let size = width * part.len();
        halves.push(match part.role {
            Role::First => {
                let mut both = shared.mine.clone();
                bits::xor_assign(&mut both, &shared.next);
                let mut c = expand(&both, part);
                bits::sub_assign(&mut c, &session.random(Key::Next, half, size));
                round.send_prev(&c);
                Vec::new()
            }
            Role::Second => session.random(Key::Own, half, size),
            Role::Third => Vec::new(),
        });
    }
    let sends =
        |role, part: &Part| Peers { next: 0, prev: if role == Role::First { width * part.len() } else { 0 } };
    let mut incoming = round.exchange(&parts, sends, session)?;

    let mut round = Round::new();
    let mut kept = Vec::with_capacity(3);
    for (part, half) in parts.iter().zip(halves) {
        let [first, second] = session.steps();
        let size = width * part.len();
        // (1 - 2d) times the half of c.
        let signed = |mut half: Vec<u64>, d: &[u64]| {
            for (half, &d) in half.iter_mut().zip(d) {
                let negative = d.wrapping_neg();
                *half = (*half ^ negative).wrapping_sub(negative);
            }
            half
        };
        kept.push(match part.role {
            Role::First => (session.random(Key::Own, first, size), session.random(Key::Next, second, size)),
            Role::Second => {
                let d = expand(&shared.next, part);
                let mut rest = signed(half, &d);
                bits::add_assign(&mut rest, &d);
                let component = session.random(Key::Own, second, size);
                bits::sub_assign(&mut rest, &component);
                round.send_next(&rest);
                (component, rest)
            }
            Role::Third => {
                let d = expand(&shared.mine, part);
                let mut rest = signed(incoming.take_next(size).to_vec(), &d);
                let component = session.random(Key::Next, first, size);
                bits::sub_assign(&mut rest, &component);
                round.send_prev(&rest);
                (rest, component)
            }
        });
    }
    let sends = |role, part: &Part| match role {
        Role::First => Peers { next: 0, prev: 0 },
        Role::Second => Peers { next: width * part.len(), prev: 0 },
        Role::Third => Peers { next: 0, prev: width * part.len() },
    };
    let mut incoming = round.exchange(&parts, sends, session)?;
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
