//! Oblivious look-up in a public table, with the result in the ring.

use shamisen_net::Peers;
use shamisen_ring::words::Words;
use shamisen_ring::{bits, lookup, pack, planes};

use crate::error::Result;
use crate::protocol::split::Split;
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
    let query = Query { index: Index::Bits(index), tables };
    Ok(look_up_each(&[query], session)?.swap_remove(0))
}

/// An index and the tables that are read at it.
pub struct Query<'a> {
    /// The shared index, k bits.
    pub index: Index<'a>,
    /// Tables of `2^k` entries.
    pub tables: &'a [&'a [u64]],
}

/// A shared index, in one of the two forms that there are.
#[derive(Clone, Copy)]
pub enum Index<'a> {
    /// Its bits.
    Bits(&'a Bits),
    /// The bits from `low` on of the two components of a number, added up modulo `2^bits`, 6 bits or more.
    ///
    /// With `low` above 0 that is the number `x >> low` or one less. Here `alpha` and `beta` come from the components, and
    /// the servers read entry `j + beta` where they read `j ^ beta` for an index in bits. The messages and what masks them
    /// are the same.
    Sum {
        /// The number.
        value: &'a Split,
        /// Bits of both components that are dropped.
        low: u32,
        /// Bits of the index.
        bits: u32,
    },
}

impl Index<'_> {
    /// Number of elements.
    fn len(&self) -> usize {
        match self {
            Self::Bits(bits) => bits.len(),
            Self::Sum { value, .. } => value.len(),
        }
    }

    /// Number of bits.
    fn width(&self) -> usize {
        match *self {
            Self::Bits(bits) => bits.width(),
            Self::Sum { bits, .. } => bits as usize,
        }
    }

    /// The party's part of the index of each element: `alpha` at First, `beta` at the others. Bits above the index are
    /// arbitrary.
    fn own(&self, part: &Part) -> Indices {
        let values = match *self {
            Self::Bits(bits) => own_of_planes(bits, part),
            Self::Sum { value, low, .. } => {
                let mut own = Words::copy(&value.own[part.elements.clone()]);
                bits::shr_logical(&mut own, low);
                own
            }
        };
        let mut narrow = Words::scratch(pack::packed_words(part.len(), u16::BITS));
        pack::pack(&values, u16::BITS, &mut narrow);
        Indices { narrow, len: part.len() }
    }
}

/// The party's part of an index in bits.
fn own_of_planes(index: &Bits, part: &Part) -> Words {
    let (words, stride, width) = (part.words(), index.plane_words(), index.width());
    let mut planes = Words::scratch(width * words.len());
    for (at, plane) in planes.chunks_exact_mut(words.len().max(1)).enumerate() {
        let place = at * stride + words.start..at * stride + words.end;
        match part.role {
            Role::First => {
                plane.copy_from_slice(&index.mine[place.clone()]);
                bits::xor_assign(plane, &index.next[place]);
            }
            Role::Second => plane.copy_from_slice(&index.next[place]),
            Role::Third => plane.copy_from_slice(&index.mine[place]),
        }
    }
    let mut values = Words::scratch(part.len());
    planes::from_planes(&planes, width as u32, part.len(), &mut values);
    values
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

impl Query<'_> {
    fn entries(&self) -> usize {
        1 << self.index.width()
    }

    fn words(&self) -> usize {
        (self.entries() / 64).max(1)
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
        let fewest = if matches!(query.index, Index::Bits(_)) { 4 } else { 6 };
        assert!((fewest..=10).contains(&query.index.width()), "tables of 16 (64 for a sum) to 1024 entries");
        assert_eq!(query.index.len(), len, "indices of one length");
        if let Index::Sum { value, low, bits } = query.index {
            assert!(low + bits <= 64, "bits {low}..{} of a 64-bit word", low + bits);
            let party = session.party();
            let places = |parts: [Part; 3]| parts.map(|part| part.elements);
            assert_eq!(places(value.parts(party)), places(parts(len, party)), "a vector of its own");
        }
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
                    let flipped = round.write_prev(size);
                    session.stream(Key::Next, random).fill(0, flipped);
                    lookup::set_point(flipped, query.index.own(part).get(), query.entries());
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
            Role::Second => (Key::Next, round.write_prev(size)),
            Role::Third => (Key::Own, round.write_next(size)),
        };
        let mask = session.random(key, mask, size);
        session.stream(key, pad).fill(0, sums);
        let mut columns = sums.chunks_mut(part.len().max(1)).zip(mask.chunks(part.len().max(1)));
        for (query, selection) in queries.iter().zip(selections) {
            let mut selection = if part.role == Role::Second {
                &**selection
            } else {
                incoming.take_next(query.words() * part.len())
            };
            let mut beta = query.index.own(part);
            let mut moved = Words::default();
            if let Index::Sum { .. } = query.index {
                moved.extend_from_slice(selection);
                lookup::rotate(&mut moved, beta.get(), query.entries());
                beta.narrow.fill(0);
                selection = &moved;
            }
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
                let rest = round.write_next(size);
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
