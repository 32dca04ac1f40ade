//! Truncation: dropping low bits of a fixed-point product, without any probability of a large error.

use shamisen_net::Peers;
use shamisen_ring::{bits, pack, planes};

use crate::error::Result;
use crate::roles::{Part, Role, Round, parts};
use crate::session::{Key, Session, Step};
use crate::share::{Additive, Rep};

/// Values must lie in `[-2^62, 2^62)` before truncation.
pub const RANGE_BITS: u32 = 62;

/// Divides an additive sharing by `2^bits` and reshares it: the fused end of a fixed-point product.
///
/// The input must lie in `[-2^62, 2^62)` and `bits` in `1..=61`. The result is the floor or the ceiling plus at most
/// one unit: its error lies in `(-1, 1]` units of the last place with mean `2^-bits`, for the rounding is stochastic.
/// It never fails by more.
///
/// Let `z` be the value plus `2^62`, so that `0 <= z < 2^63`. First (a) and Third (c) draw `u_0` from their common key
/// and send Second (b) masked summands, from which it forms `u_1 = z - u_0`. Over the integers
/// `u_0 + u_1 = z + w 2^64`, and because the top bit of `z` is 0, the wrap `w` is `msb(u_0) OR msb(u_1)`. Second shares
/// `msb(u_1)` under a random bit `beta`; the parties take `w 2^(64 - bits)` off the sum of the shifted halves.
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
    let Additive(sum) = sum;
    let parts = parts(sum.len(), session.party());
    let mut halves = Vec::with_capacity(3);
    let mut round = Round::new();
    let mut wraps = Vec::with_capacity(3);
    for part in &parts {
        wraps.push(begin_wrap(part, bits, &mut round, session));
        let [half, mask] = session.steps();
        let mut own = sum[part.elements.clone()].to_vec();
        match part.role {
            Role::First => {
                let u0 = session.random(Key::Own, half, part.len());
                bits::sub_assign(&mut own, &u0);
                bits::add_assign(&mut own, &session.random(Key::Own, mask, part.len()));
                round.send_next(&own);
                halves.push(u0);
            }
            Role::Second => halves.push(own),
            Role::Third => {
                let u0 = session.random(Key::Next, half, part.len());
                bits::sub_assign(&mut own, &session.random(Key::Next, mask, part.len()));
                round.send_prev(&own);
                halves.push(u0);
            }
        }
    }
    let sends = |role, part: &Part| match role {
        Role::First => Peers { next: part.len(), prev: 0 },
        Role::Second => Peers { next: 0, prev: pack::packed_words(part.len(), bits) },
        Role::Third => Peers { next: 0, prev: part.len() },
    };
    let mut incoming = round.exchange(&parts, sends, session)?;
    let mut betas = Vec::with_capacity(3);
    for (part, half) in parts.iter().zip(&mut halves) {
        match part.role {
            Role::First => {
                betas.push(incoming.take_next(pack::packed_words(part.len(), bits)).to_vec());
            }
            Role::Second => {
                bits::add_assign(half, incoming.take_prev(part.len()));
                bits::add_assign(half, incoming.take_next(part.len()));
                for word in half.iter_mut() {
                    *word = word.wrapping_add(1 << RANGE_BITS);
                }
                betas.push(Vec::new());
            }
            Role::Third => betas.push(Vec::new()),
        }
    }
    finish(&parts, &halves, &wraps, betas, bits, sum.len(), session)
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
    let mut round = Round::new();
    let mut wraps = Vec::with_capacity(3);
    let mut halves = Vec::with_capacity(3);
    for part in &parts {
        wraps.push(begin_wrap(part, bits, &mut round, session));
        let range = part.elements.clone();
        halves.push(match part.role {
            Role::First => shared.mine[range].to_vec(),
            Role::Second => {
                let mut sum = shared.mine[range.clone()].to_vec();
                bits::add_assign(&mut sum, &shared.next[range]);
                for word in &mut sum {
                    *word = word.wrapping_add(1 << RANGE_BITS);
                }
                sum
            }
            Role::Third => shared.next[range].to_vec(),
        });
    }
    let sends = |role, part: &Part| match role {
        Role::Second => Peers { next: 0, prev: pack::packed_words(part.len(), bits) },
        Role::First | Role::Third => Peers { next: 0, prev: 0 },
    };
    let mut incoming = round.exchange(&parts, sends, session)?;
    let betas = parts
        .iter()
        .map(|part| match part.role {
            Role::First => incoming.take_next(pack::packed_words(part.len(), bits)).to_vec(),
            Role::Second | Role::Third => Vec::new(),
        })
        .collect();
    finish(&parts, &halves, &wraps, betas, bits, shared.len(), session)
}

/// Randomness of the wrap correction of one part.
struct Wrap {
    /// Stream of `mu_c`, under `s_2`.
    mu: Step,
    /// Second's random bits, as words; empty at the others.
    beta: Vec<u64>,
}

/// First half of the wrap correction: Second sends `beta - mu_c` to First, modulo `2^bits`.
fn begin_wrap(part: &Part, bits: u32, round: &mut Round, session: &mut Session) -> Wrap {
    let [mu, beta] = session.steps();
    if part.role != Role::Second {
        return Wrap { mu, beta: Vec::new() };
    }
    let beta = session.random(Key::Private, beta, planes::plane_words(part.len()));
    let mut share = session.random(Key::Next, mu, part.len());
    for (chunk, &word) in share.chunks_mut(64).zip(&beta) {
        for (bit, element) in chunk.iter_mut().enumerate() {
            *element = (word >> bit & 1).wrapping_sub(*element);
        }
    }
    round.send_prev(&packed(&share, bits));
    Wrap { mu, beta }
}

/// Second round: the shifted halves become replicated, and the wrap is taken off.
fn finish(
    parts: &[Part; 3],
    halves: &[Vec<u64>],
    wraps: &[Wrap],
    betas: Vec<Vec<u64>>,
    bits: u32,
    len: usize,
    session: &mut Session,
) -> Result<Rep> {
    assert!((1..RANGE_BITS).contains(&bits), "truncation by 1 to 61 bits, not {bits}");
    let mut round = Round::new();
    let mut steps = Vec::with_capacity(3);
    // What each role keeps: First kappa and its summand of q, Second kappa, lambda and e, Third lambda and its summand.
    let mut kept = Vec::with_capacity(3);
    for (((part, half), wrap), beta) in parts.iter().zip(halves).zip(wraps).zip(betas) {
        let [kappa, lambda, mask] = session.steps();
        steps.push((kappa, lambda, mask));
        // (1 - m0) times a share of beta, minus a mask.
        let summand = |share: Vec<u64>, mask: &[u64]| -> Vec<u64> {
            share
                .iter()
                .zip(half)
                .zip(mask)
                .map(|((&share, &u0), &mask)| (share & (u0 >> 63).wrapping_sub(1)).wrapping_sub(mask))
                .collect()
        };
        match part.role {
            Role::First => {
                let kappa = session.random(Key::Next, kappa, part.len());
                let mut share = vec![0; part.len()];
                pack::unpack(&beta, bits, &mut share);
                let own = summand(share, &kappa);
                round.send_prev(&packed(&own, bits));
                kept.push((kappa, own, Vec::new()));
            }
            Role::Second => {
                let mut shifted: Vec<u64> = half.iter().map(|&u1| u1 >> bits).collect();
                let lambda = session.random(Key::Next, lambda, part.len());
                let r = session.random(Key::Next, mask, part.len());
                bits::sub_assign(&mut shifted, &r);
                let mut e = vec![0; planes::plane_words(part.len())];
                planes::to_planes(half, 63, 1, &mut e);
                bits::xor_assign(&mut e, &wrap.beta);
                round.send_prev(&shifted);
                round.send_prev(&e);
                round.send_next(&e);
                let kappa = session.random(Key::Own, kappa, part.len());
                // Both components, still without the wrap.
                let mut ab = shifted;
                let mut bc = r;
                correct(&mut ab, &kappa, &e, bits);
                correct(&mut bc, &lambda, &e, bits);
                kept.push((ab, bc, Vec::new()));
            }
            Role::Third => {
                let mu = session.random(Key::Own, wrap.mu, part.len());
                let lambda = session.random(Key::Own, lambda, part.len());
                let own = summand(mu, &lambda);
                round.send_next(&packed(&own, bits));
                let r = session.random(Key::Own, mask, part.len());
                kept.push((lambda, own, r));
            }
        }
    }
    let sends = |role, part: &Part| {
        let (narrow, plane) = (pack::packed_words(part.len(), bits), planes::plane_words(part.len()));
        match role {
            Role::First => Peers { next: 0, prev: narrow },
            Role::Second => Peers { next: plane, prev: part.len() + plane },
            Role::Third => Peers { next: narrow, prev: 0 },
        }
    };
    let mut incoming = round.exchange(parts, sends, session)?;

    let mut out = Rep { mine: Vec::with_capacity(len), next: Vec::with_capacity(len) };
    for ((part, half), (first, second, third)) in parts.iter().zip(halves).zip(kept) {
        let (narrow, plane) = (pack::packed_words(part.len(), bits), planes::plane_words(part.len()));
        match part.role {
            Role::First => {
                let mut ab = incoming.take_next(part.len()).to_vec();
                let e = incoming.take_next(plane).to_vec();
                let ac = component_ac(half, &second, incoming.take_prev(narrow), &e, bits);
                correct(&mut ab, &first, &e, bits);
                out.mine.extend(ac);
                out.next.extend(ab);
            }
            Role::Second => {
                out.mine.extend(first);
                out.next.extend(second);
            }
            Role::Third => {
                let e = incoming.take_prev(plane).to_vec();
                let ac = component_ac(half, &second, incoming.take_next(narrow), &e, bits);
                let mut bc = third;
                correct(&mut bc, &first, &e, bits);
                out.mine.extend(bc);
                out.next.extend(ac);
            }
        }
    }
    Ok(out)
}

/// Takes `(1 - 2e) share 2^(64 - bits)` off a component.
fn correct(component: &mut [u64], share: &[u64], e: &[u64], bits: u32) {
    for ((component, share), &word) in component.chunks_mut(64).zip(share.chunks(64)).zip(e) {
        for (bit, (component, &share)) in component.iter_mut().zip(share).enumerate() {
            let negative = (word >> bit & 1).wrapping_neg();
            let signed = (share ^ negative).wrapping_sub(negative);
            *component = component.wrapping_sub(signed << (64 - bits));
        }
    }
}

/// The component that First and Third know: `(u_0 >> bits) - (m_0 + (1 - m_0) e + (1 - 2e) q) 2^(64 - bits)` plus the
/// public `1 - 2^(62 - bits)`, where `q` is the sum of the two exchanged summands.
fn component_ac(half: &[u64], own: &[u64], received: &[u64], e: &[u64], bits: u32) -> Vec<u64> {
    let mut q = vec![0; half.len()];
    pack::unpack(received, bits, &mut q);
    bits::add_assign(&mut q, own);
    let offset = 1_u64.wrapping_sub(1 << (RANGE_BITS - bits));
    for ((q, half), &word) in q.chunks_mut(64).zip(half.chunks(64)).zip(e) {
        for (bit, (q, &u0)) in q.iter_mut().zip(half).enumerate() {
            let e = word >> bit & 1;
            let negative = e.wrapping_neg();
            let wrap = (u0 >> 63 | e).wrapping_add((*q ^ negative).wrapping_sub(negative));
            *q = (u0 >> bits).wrapping_sub(wrap << (64 - bits)).wrapping_add(offset);
        }
    }
    q
}

fn packed(values: &[u64], width: u32) -> Vec<u64> {
    let mut out = vec![0; pack::packed_words(values.len(), width)];
    pack::pack(values, width, &mut out);
    out
}
