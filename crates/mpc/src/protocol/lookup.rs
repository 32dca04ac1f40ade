//! Oblivious look-up in a public table, with the result in the ring.

use std::ops::Range;

use shamisen_net::Peers;
use shamisen_ring::words::Words;
use shamisen_ring::{bits, lookup, pack, planes};

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

    /// What `plane` tells of the index's bits, for each element of a part.
    fn indices(&self, plane: impl Fn(Range<usize>, &mut [u64]), part: &Part) -> Indices {
        let (words, stride, width) = (part.words(), self.index.plane_words(), self.index.width());
        let mut bits = Words::scratch(width * words.len());
        for (at, bits) in bits.chunks_exact_mut(words.len().max(1)).enumerate() {
            plane(at * stride + words.start..at * stride + words.end, bits);
        }
        let mut values = Words::scratch(part.len());
        planes::from_planes(&bits, width as u32, part.len(), &mut values);
        let mut narrow = Words::scratch(pack::packed_words(part.len(), u16::BITS));
        pack::pack(&values, u16::BITS, &mut narrow);
        Indices { narrow, len: part.len() }
    }
}

/// The indices of some elements, each in 16 bits.
struct Indices {
    narrow: Words,
    len: usize,
}

impl Indices {
    fn get(&self) -> &[u16] {
        &bytemuck::cast_slice(&self.narrow)[..self.len]
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

    let mut round = Round::new(&parts, |role, part| Peers {
        next: 0,
        prev: if role == Role::First { query_words * part.len() } else { 0 },
    });
    // One selection per part and query; Third's comes with the message.
    let mut selections = Vec::with_capacity(3 * queries.len());
    for part in &parts {
        for query in queries {
            let [random] = session.steps();
            let size = query.words() * part.len();
            selections.push(match part.role {
                Role::First => {
                    let alpha = |place: Range<usize>, bits: &mut [u64]| {
                        bits.copy_from_slice(&query.index.mine[place.clone()]);
                        bits::xor_assign(bits, &query.index.next[place]);
                    };
                    let flipped = round.to_prev(size);
                    session.stream(Key::Next, random).fill(0, flipped);
                    lookup::set_point(flipped, query.indices(alpha, part).get(), query.entries());
                    Words::default()
                }
                Role::Second => session.random(Key::Own, random, size),
                Role::Third => Words::default(),
            });
        }
    }
    let mut incoming = round.exchange(session)?;

    let mut round = Round::new(&parts, |role, part| {
        let size = columns * part.len();
        match role {
            Role::First => Peers { next: 0, prev: 0 },
            Role::Second => Peers { next: 0, prev: size },
            Role::Third => Peers { next: size, prev: 0 },
        }
    });
    let mut masks: Vec<Words> = Vec::with_capacity(3);
    for (part, selections) in parts.iter().zip(selections.chunks(queries.len())) {
        let [pad, mask] = session.steps();
        let size = columns * part.len();
        let (key, sums) = match part.role {
            Role::First => {
                masks.push(Words::default());
                continue;
            }
            Role::Second => (Key::Next, round.to_prev(size)),
            Role::Third => (Key::Own, round.to_next(size)),
        };
        let mask = session.random(key, mask, size);
        session.stream(key, pad).fill(0, sums);
        let mut columns = sums.chunks_mut(part.len().max(1)).zip(mask.chunks(part.len().max(1)));
        for (query, selection) in queries.iter().zip(selections) {
            let (component, selection) = if part.role == Role::Second {
                (&query.index.next, &**selection)
            } else {
                (&query.index.mine, incoming.take_next(query.words() * part.len()))
            };
            let beta = query.indices(|place, bits| bits.copy_from_slice(&component[place]), part);
            for (table, (sums, mask)) in query.tables.iter().zip(&mut columns) {
                lookup::answer(selection, beta.get(), table, mask, sums);
            }
        }
        masks.push(mask);
    }
    let mut incoming = round.exchange(session)?;

    let mut round = Round::new(&parts, |role, part| Peers {
        next: if role == Role::First { columns * part.len() } else { 0 },
        prev: 0,
    });
    let mut results: Vec<Rep> = (0..columns).map(|_| Rep::scratch(len)).collect();
    for (part, mut mask) in parts.iter().zip(masks) {
        let [first] = session.steps();
        let size = columns * part.len();
        match part.role {
            Role::First => {
                let component = session.random(Key::Own, first, size);
                let rest = round.to_next(size);
                rest.copy_from_slice(incoming.take_next(size));
                bits::xor_assign(rest, incoming.take_prev(size));
                bits::sub_assign(rest, &component);
                deal_columns(&component, part, results.iter_mut().map(|out| &mut out.mine));
                deal_columns(rest, part, results.iter_mut().map(|out| &mut out.next));
            }
            Role::Second => {
                bits::negate(&mut mask);
                deal_columns(&mask, part, results.iter_mut().map(|out| &mut out.next));
            }
            Role::Third => {
                bits::negate(&mut mask);
                deal_columns(&mask, part, results.iter_mut().map(|out| &mut out.mine));
                let component = session.random(Key::Next, first, size);
                deal_columns(&component, part, results.iter_mut().map(|out| &mut out.next));
            }
        }
    }
    let mut incoming = round.exchange(session)?;
    for part in parts.iter().filter(|part| part.role == Role::Second) {
        let rest = incoming.take_prev(columns * part.len());
        deal_columns(rest, part, results.iter_mut().map(|out| &mut out.mine));
    }
    let mut results = results.into_iter();
    Ok(queries.iter().map(|query| results.by_ref().take(query.tables.len()).collect()).collect())
}

/// Puts the results of a part, one table after the other, in their places.
fn deal_columns<'a>(results: &[u64], part: &Part, columns: impl Iterator<Item = &'a mut Words>) {
    for (from, to) in results.chunks_exact(part.len().max(1)).zip(columns) {
        to[part.elements.clone()].copy_from_slice(from);
    }
}
