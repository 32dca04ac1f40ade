//! Oblivious look-up in a public table, with the result in the ring.

use shamisen_net::Peers;
use shamisen_ring::{bits, lookup, planes};

use crate::error::Result;
use crate::roles::{Part, Role, Round, parts};
use crate::session::{Key, Session};
use crate::share::{Bits, Rep};

/// The entries of public tables at a shared index; one result per table.
///
/// `index` has k bits, the tables `2^k` entries each (k from 4 to 10).
///
/// The index is `alpha XOR beta` with `alpha = i_0 ^ i_1` known to First and `beta = i_2` to the two others. First
/// sends Third a random query `q` with bit `alpha` flipped; Second has `q` itself, drawn from `s_1`. Second and Third
/// each add up (XOR) the entries `T[j ^ beta] + r` that their query selects and send First the sum under a common pad;
/// the two sums differ by `T[index] + r`. Component 2 of the result is `-r`, component 0 is drawn from `s_0` and
/// component 1 is what is left, sent from First to Second. (Two-server private information retrieval, Chor et al.,
/// 1995, on a table rotated and masked by its servers.)
///
/// Third receives `q` with a bit flipped, and lacks `s_1`. First receives sums under a pad and a mask from `s_2`.
/// Second receives the result minus a draw from `s_0`.
///
/// 3 rounds, `2^k / 8` bytes for all tables and 24 bytes for each.
///
/// # Errors
///
/// When a peer fails.
pub fn look_up(index: &Bits, tables: &[&[u64]], session: &mut Session) -> Result<Vec<Rep>> {
    let entries = 1_usize << index.width();
    assert!((4..=10).contains(&index.width()), "tables of 16 to 1024 entries");
    assert!(tables.iter().all(|table| table.len() == entries), "a table has 2^k entries");
    let query_words = (entries / 64).max(1);
    let parts = parts(index.len(), session.party());
    let indices_of = |component: &[u64], part: &Part| -> Vec<u16> {
        let words = part.words();
        let stride = index.plane_words();
        let cut: Vec<u64> = (0..index.width())
            .flat_map(|plane| component[plane * stride + words.start..plane * stride + words.end].iter().copied())
            .collect();
        let mut values = vec![0; part.len()];
        planes::from_planes(&cut, index.width() as u32, part.len(), &mut values);
        values.into_iter().map(|value| value as u16).collect()
    };

    let mut round = Round::new();
    let mut queries = Vec::with_capacity(3);
    for part in &parts {
        let [query] = session.steps();
        let size = query_words * part.len();
        queries.push(match part.role {
            Role::First => {
                let mut both = index.mine.clone();
                bits::xor_assign(&mut both, &index.next);
                let mut flipped = session.random(Key::Next, query, size);
                lookup::set_point(&mut flipped, &indices_of(&both, part), entries);
                round.to_prev(&flipped);
                Vec::new()
            }
            Role::Second => session.random(Key::Own, query, size),
            Role::Third => Vec::new(),
        });
    }
    let sends =
        |role, part: &Part| Peers { next: 0, prev: if role == Role::First { query_words * part.len() } else { 0 } };
    let mut incoming = round.exchange(&parts, sends, session)?;

    let mut round = Round::new();
    let mut masks: Vec<Vec<u64>> = Vec::with_capacity(3);
    for (part, query) in parts.iter().zip(&mut queries) {
        let [pad, mask] = session.steps();
        let size = tables.len() * part.len();
        let (key, component) = match part.role {
            Role::First => {
                masks.push(Vec::new());
                continue;
            }
            Role::Second => (Key::Next, &index.next),
            Role::Third => {
                *query = incoming.from_next(query_words * part.len()).to_vec();
                (Key::Own, &index.mine)
            }
        };
        let beta = indices_of(component, part);
        let mask = session.random(key, mask, size);
        let mut sums = session.random(key, pad, size);
        if !part.elements.is_empty() {
            let columns = sums.chunks_exact_mut(part.len()).zip(mask.chunks_exact(part.len()));
            for (table, (sums, mask)) in tables.iter().zip(columns) {
                lookup::answer(query, &beta, table, mask, sums);
            }
        }
        if part.role == Role::Second { round.to_prev(&sums) } else { round.to_next(&sums) }
        masks.push(mask);
    }
    let sends = |role, part: &Part| {
        let size = tables.len() * part.len();
        match role {
            Role::First => Peers { next: 0, prev: 0 },
            Role::Second => Peers { next: 0, prev: size },
            Role::Third => Peers { next: size, prev: 0 },
        }
    };
    let mut incoming = round.exchange(&parts, sends, session)?;

    let mut round = Round::new();
    let mut kept = Vec::with_capacity(3);
    for (part, mask) in parts.iter().zip(masks) {
        let [first] = session.steps();
        let size = tables.len() * part.len();
        let negated = |mask: Vec<u64>| mask.into_iter().map(u64::wrapping_neg).collect::<Vec<_>>();
        kept.push(match part.role {
            Role::First => {
                let mut rest = incoming.from_next(size).to_vec();
                bits::xor_assign(&mut rest, incoming.from_prev(size));
                let component = session.random(Key::Own, first, size);
                bits::sub_assign(&mut rest, &component);
                round.to_next(&rest);
                (component, rest)
            }
            Role::Second => (Vec::new(), negated(mask)),
            Role::Third => (negated(mask), session.random(Key::Next, first, size)),
        });
    }
    let sends = |role, part: &Part| Peers {
        next: if role == Role::First { tables.len() * part.len() } else { 0 },
        prev: 0,
    };
    let mut incoming = round.exchange(&parts, sends, session)?;
    let mut out: Vec<Rep> = tables.iter().map(|_| Rep::zeros(index.len())).collect();
    for (part, (mut mine, next)) in parts.iter().zip(kept) {
        if part.role == Role::Second {
            mine = incoming.from_prev(tables.len() * part.len()).to_vec();
        }
        for (column, out) in out.iter_mut().enumerate() {
            let from = column * part.len()..(column + 1) * part.len();
            out.mine[part.elements.clone()].copy_from_slice(&mine[from.clone()]);
            out.next[part.elements.clone()].copy_from_slice(&next[from]);
        }
    }
    Ok(out)
}
