//! Oblivious look-up in a public table, with the result in the ring.

use shamisen_net::Peers;
use shamisen_ring::words::Words;
use shamisen_ring::{bits, lookup, pack};

use crate::error::Result;
use crate::protocol::split::Split;
use crate::protocol::split_bits::SplitBits;
use crate::roles::{Incoming, Part, Role, Round, cuts, parts_at, together};
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
    let query = Query { low: 0, bits: index.width() as u32, tables };
    Ok(look_up_bits(index, &[query], session)?.swap_remove(0))
}

/// Bits of an index and the tables that are read at them.
#[derive(Clone, Copy)]
pub struct Query<'a> {
    /// The lowest of the bits.
    pub low: u32,
    /// How many bits.
    pub bits: u32,
    /// Tables of as many entries as the bits address.
    pub tables: &'a [&'a [u64]],
}

/// [`look_up`] at several groups of bits of an index, each in its own tables, in the same three rounds.
///
/// # Errors
///
/// When a peer fails.
///
/// # Panics
///
/// When lengths or widths do not fit, which is a mistake of the caller.
pub fn look_up_bits(index: &Bits, queries: &[Query<'_>], session: &mut Session) -> Result<Vec<Vec<Rep>>> {
    let mut index = SplitBits::of(index, cuts(index.len()), session.party());
    look_up_in(Index::Bits(&mut index), queries, session)
}

/// [`look_up`] at several sums of a number's components, each in its own tables, in the same three rounds.
///
/// A query's bits are taken from both components and added up. A table of `2^bits` entries, 64 or more, is read at the sum modulo
/// `2^bits`: with `low` above 0 that are these bits of the number, or one less, as the carry from below is missing. A table of
/// twice as many is read at the sum itself.
///
/// Here `alpha` and `beta` come from the components, and the servers read entry `j + beta` where they read `j ^ beta` for an index in
/// bits. The messages and what masks them are the same. The first round closes the number if it is open.
///
/// # Errors
///
/// When a peer fails.
///
/// # Panics
///
/// When lengths or widths do not fit, which is a mistake of the caller.
pub fn look_up_sums(
    number: &mut Split,
    queries: &[Query<'_>],
    session: &mut Session,
) -> Result<Vec<Vec<Rep>>> {
    look_up_in(Index::Number(number), queries, session)
}

/// A shared index, in one of the two forms that there are.
pub(crate) enum Index<'a> {
    /// Bits.
    Bits(&'a mut SplitBits),
    /// A number whose components are added up.
    Number(&'a mut Split),
}

impl Index<'_> {
    /// Number of elements.
    fn len(&self) -> usize {
        match self {
            Self::Bits(bits) => bits.len(),
            Self::Number(number) => number.len(),
        }
    }

    fn cuts(&self) -> [usize; 4] {
        match self {
            Self::Bits(bits) => bits.cuts(),
            Self::Number(number) => number.cuts(),
        }
    }

    /// What is still to be exchanged, in words.
    fn sends(&self, role: Role, part: &Part) -> Peers<usize> {
        match self {
            Self::Bits(bits) => bits.sends(role, part),
            Self::Number(number) => number.sends(role, part),
        }
    }

    /// Writes what is still to be sent.
    fn send(&self, parts: &[Part; 3], round: &mut Round) {
        match self {
            Self::Bits(bits) => bits.send(parts, round),
            Self::Number(number) => number.send(parts, round),
        }
    }

    /// Takes what was still to be received.
    fn receive(&mut self, parts: &[Part; 3], incoming: &mut Incoming) {
        match self {
            Self::Bits(bits) => bits.receive(parts, incoming),
            Self::Number(number) => number.receive(parts, incoming),
        }
    }

    /// The party's part of the index of each element: `alpha` at First, `beta` at the others.
    fn own(&self, Query { low, bits, .. }: &Query<'_>, part: &Part) -> Indices {
        let values = match self {
            Self::Bits(index) => index.numbers(*low, *bits, part),
            Self::Number(number) => {
                let mut own = Words::copy(&number.own[part.elements.clone()]);
                bits::shl_assign(&mut own, u64::BITS - low - bits);
                bits::shr_logical(&mut own, u64::BITS - bits);
                own
            }
        };
        let mut narrow = Words::scratch(pack::packed_words(part.len(), u16::BITS));
        pack::pack(&values, u16::BITS, &mut narrow);
        Indices { narrow, len: part.len() }
    }

    /// Whether the sizes of a query's tables are right.
    fn admits(&self, query: &Query<'_>) -> bool {
        let size = 1 << query.bits;
        let (top, sizes, fewest) = match self {
            Self::Bits(bits) => (bits.width(), [size, size], 16),
            Self::Number(_) => (64, [size, 2 * size], 64),
        };
        let entries = query.entries();
        (query.low + query.bits) as usize <= top
            && sizes.contains(&entries)
            && (fewest..=1024).contains(&entries)
            && query.tables.iter().all(|table| table.len() == entries)
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

impl Query<'_> {
    fn entries(&self) -> usize {
        self.tables.first().map_or(0, |table| table.len())
    }

    fn words(&self) -> usize {
        (self.entries() / 64).max(1)
    }
}

/// [`look_up_bits`] or [`look_up_sums`].
pub(crate) fn look_up_in(
    mut index: Index<'_>,
    queries: &[Query<'_>],
    session: &mut Session,
) -> Result<Vec<Vec<Rep>>> {
    let len = index.len();
    assert!(queries.iter().all(|query| index.admits(query)), "tables of 16 (64 for a sum) to 1024 entries");
    let columns: usize = queries.iter().map(|query| query.tables.len()).sum();
    let query_words: usize = queries.iter().map(Query::words).sum();
    let parts = parts_at(index.cuts(), session.party());

    let mut round = Round::new(&parts, |role, part| {
        let size = if role == Role::First { query_words * part.len() } else { 0 };
        together(index.sends(role, part), Peers { next: 0, prev: size })
    });
    index.send(&parts, &mut round);
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
                    lookup::set_point(flipped, index.own(query, part).get(), query.entries());
                    Words::default()
                }
                Role::Second => session.random(Key::Own, random, size),
                Role::Third => Words::default(),
            });
        }
    }
    let mut incoming = round.exchange(session)?;
    index.receive(&parts, &mut incoming);

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
            let mut beta = index.own(query, part);
            let mut moved = Words::default();
            if let Index::Number(_) = index {
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
