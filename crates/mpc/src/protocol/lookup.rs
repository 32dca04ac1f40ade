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
/// 3 rounds, `2^k / 8` bytes (but at least 8) for all tables and 24 bytes for each.
///
/// # Errors
///
/// When a peer fails.
pub fn look_up(index: &Bits, tables: &[&[u64]], session: &mut Session) -> Result<Vec<Rep>> {
    Ok(look_up_each(&[Query { index, tables }], session)?.swap_remove(0))
}

/// An index and the tables that are read at it.
pub struct Query<'a> {
    /// The shared index, k bits.
    pub index: &'a Bits,
    /// Tables of `2^k` entries.
    pub tables: &'a [&'a [u64]],
}

impl Query<'_> {
    fn entries(&self) -> usize {
        1 << self.index.width()
    }

    fn words(&self) -> usize {
        (self.entries() / 64).max(1)
    }

    /// The index, or a component of it, of each element of a part.
    fn indices(&self, component: &[u64], part: &Part) -> Vec<u16> {
        let (words, stride, width) = (part.words(), self.index.plane_words(), self.index.width());
        let cut: Vec<u64> = (0..width)
            .flat_map(|plane| {
                component[plane * stride + words.start..plane * stride + words.end].iter().copied()
            })
            .collect();
        let mut values = vec![0; part.len()];
        planes::from_planes(&cut, width as u32, part.len(), &mut values);
        values.into_iter().map(|value| value as u16).collect()
    }
}

/// [`look_up`] of several indices, each in its own tables, in the same three rounds.
///
/// # Errors
///
/// When a peer fails.
///
/// # Panics
///
/// When lengths or widths do not fit, which is a mistake of the caller.
pub fn look_up_each(queries: &[Query<'_>], session: &mut Session) -> Result<Vec<Vec<Rep>>> {
    let len = queries[0].index.len();
    for query in queries {
        assert!((4..=10).contains(&query.index.width()), "tables of 16 to 1024 entries");
        assert_eq!(query.index.len(), len, "indices of one length");
        assert!(query.tables.iter().all(|table| table.len() == query.entries()), "a table has 2^k entries");
    }
    let columns: usize = queries.iter().map(|query| query.tables.len()).sum();
    let query_words: usize = queries.iter().map(Query::words).sum();
    let parts = parts(len, session.party());

    let mut round = Round::new();
    // One selection per part and query; Third's comes with the message.
    let mut selections = Vec::with_capacity(3 * queries.len());
    for part in &parts {
        for query in queries {
            let [random] = session.steps();
            let size = query.words() * part.len();
            selections.push(match part.role {
                Role::First => {
                    let mut both = query.index.mine.clone();
                    bits::xor_assign(&mut both, &query.index.next);
                    let mut flipped = session.random(Key::Next, random, size);
                    lookup::set_point(&mut flipped, &query.indices(&both, part), query.entries());
                    round.send_prev(&flipped);
                    Vec::new()
                }
                Role::Second => session.random(Key::Own, random, size),
                Role::Third => Vec::new(),
            });
        }
    }
    let sends = |role, part: &Part| Peers {
        next: 0,
        prev: if role == Role::First { query_words * part.len() } else { 0 },
    };
    let mut incoming = round.exchange(&parts, sends, session)?;

    let mut round = Round::new();
    let mut masks: Vec<Vec<u64>> = Vec::with_capacity(3);
    for (part, selections) in parts.iter().zip(selections.chunks_mut(queries.len())) {
        let [pad, mask] = session.steps();
        let size = columns * part.len();
        if part.role == Role::First {
            masks.push(Vec::new());
            continue;
        }
        let key = if part.role == Role::Second { Key::Next } else { Key::Own };
        let mask = session.random(key, mask, size);
        let mut sums = session.random(key, pad, size);
        let mut columns = sums.chunks_mut(part.len().max(1)).zip(mask.chunks(part.len().max(1)));
        for (query, selection) in queries.iter().zip(selections) {
            let component = if part.role == Role::Second { &query.index.next } else { &query.index.mine };
            if part.role == Role::Third {
                *selection = incoming.take_next(query.words() * part.len()).to_vec();
            }
            let beta = query.indices(component, part);
            for (table, (sums, mask)) in query.tables.iter().zip(&mut columns) {
                lookup::answer(selection, &beta, table, mask, sums);
            }
        }
        if part.role == Role::Second {
            round.send_prev(&sums);
        } else {
            round.send_next(&sums);
        }
        masks.push(mask);
    }
    let sends = |role, part: &Part| {
        let size = columns * part.len();
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
        let size = columns * part.len();
        let negated = |mask: Vec<u64>| mask.into_iter().map(u64::wrapping_neg).collect::<Vec<_>>();
        kept.push(match part.role {
            Role::First => {
                let mut rest = incoming.take_next(size).to_vec();
                bits::xor_assign(&mut rest, incoming.take_prev(size));
                let component = session.random(Key::Own, first, size);
                bits::sub_assign(&mut rest, &component);
                round.send_next(&rest);
                (component, rest)
            }
            Role::Second => (Vec::new(), negated(mask)),
            Role::Third => (negated(mask), session.random(Key::Next, first, size)),
        });
    }
    let sends = |role, part: &Part| Peers {
        next: if role == Role::First { columns * part.len() } else { 0 },
        prev: 0,
    };
    let mut incoming = round.exchange(&parts, sends, session)?;
    let mut results: Vec<Rep> = (0..columns).map(|_| Rep::zeros(len)).collect();
    for (part, (mut mine, next)) in parts.iter().zip(kept) {
        if part.role == Role::Second {
            mine = incoming.take_prev(columns * part.len()).to_vec();
        }
        for (column, out) in results.iter_mut().enumerate() {
            let from = column * part.len()..(column + 1) * part.len();
            out.mine[part.elements.clone()].copy_from_slice(&mine[from.clone()]);
            out.next[part.elements.clone()].copy_from_slice(&next[from]);
        }
    }
    let mut results = results.into_iter();
    Ok(queries.iter().map(|query| results.by_ref().take(query.tables.len()).collect()).collect())
}
