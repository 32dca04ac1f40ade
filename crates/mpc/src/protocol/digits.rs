//! Numbers digit by digit: what each 4-bit digit of a sum tells, before and after the carries.
//!
//! `x = a + b` with `a` known to First and `b` to the two others. For a digit `alpha` of `a` and `beta` of `b`, any bit that
//! depends on both comes out of a look-up: First asks for place `alpha`, the two others answer from a table that they
//! have chosen by `beta`.

use std::ops::Range;

use shamisen_net::Peers;
use shamisen_ring::digits;
use shamisen_ring::words::Words;

use crate::error::Result;
use crate::protocol::add_bits::Answers;
use crate::protocol::split::Split;
use crate::roles::{Incoming, Part, Role, Round, together};
use crate::session::{Key, Session};
use crate::share::Bits;

/// Bits of a digit.
pub(crate) const DIGIT_BITS: u32 = 4;

/// For each `beta`, the places `alpha` where the bit is 1.
pub(crate) type Table = [u16; 16];

/// The table of a condition on `alpha + beta`, from 0 to 30.
pub(crate) fn table(condition: impl Fn(usize) -> bool) -> Table {
    std::array::from_fn(|beta| {
        (0..16).filter(|alpha| condition(alpha + beta)).fold(0, |places, alpha| places | 1 << alpha)
    })
}

/// Whether the digits make a carry by themselves.
pub(crate) fn generate() -> Table {
    table(|sum| sum >= 16)
}

/// Whether the digits hand on a carry from below.
pub(crate) fn propagate() -> Table {
    table(|sum| sum == 15)
}

/// Bits that the digits tell: those from bit `low` on, `tables.len()` of them, each asked by its tables.
///
/// One plane per table, digit by digit. The tables know nothing of carries from below.
///
/// First draws a random query of 16 bits for each digit from `s_1`, which Second knows too, and sends it to Third with bit
/// `alpha` flipped. Second and Third add up (XOR) the bits of the table's entry for `beta` that their query selects; the two
/// sums differ by the bit at `alpha`. Third lacks `s_1`; the answers are exchanged under masks that the other lacks.
/// (Two-server private information retrieval, Chor et al., 1995.)
///
/// 2 rounds; 16 bits a digit and 2 bits a table. The first one closes the value if it is open.
///
/// # Errors
///
/// When a peer fails.
pub(crate) fn look_up_digits(
    value: &mut Split,
    low: u32,
    tables: &[Vec<Table>],
    session: &mut Session,
) -> Result<Bits> {
    let parts = value.parts(session.party());
    let queries = Queries::send_of(value, &parts, low, tables.len(), session)?;
    let planes = tables.iter().map(Vec::len).sum();
    let mut answers = Answers::new(planes, value.len(), &parts);
    for part in &parts {
        answers.give(part, session, |out| {
            let mut rest = out;
            for (digit, tables) in tables.iter().enumerate() {
                let (planes, later) = rest.split_at_mut(tables.len() * part.words().len());
                queries.answer(part, digit, &value.own, tables, planes);
                rest = later;
            }
        });
    }
    answers.exchange(session)
}

/// The queries for some digits, as they are known to those who answer.
pub(crate) struct Queries {
    places: Vec<u32>,
    /// Of the part in which this party is Second.
    second: Words,
    /// Of the part in which it is Third.
    third: Words,
}

impl Queries {
    /// First's digits of a number from bit `low` on, `count` of them. 1 round, 16 bits a digit; it closes the number if it is
    /// open.
    fn send_of(
        value: &mut Split,
        parts: &[Part; 3],
        low: u32,
        count: usize,
        session: &mut Session,
    ) -> Result<Self> {
        let mut round =
            Round::new(parts, |role, part| together(value.sends(role, part), Self::sends(count, role, part)));
        value.send(parts, &mut round);
        let queries = Self::write(&value.own, parts, low, count, &mut round, session);
        let mut incoming = round.exchange(session)?;
        value.receive(parts, &mut incoming);
        Ok(queries.read(parts, incoming))
    }

    /// First's digits of `values` from bit `low` on, `count` of them. 1 round, 16 bits a digit.
    pub(crate) fn send(
        values: &[u64],
        parts: &[Part; 3],
        low: u32,
        count: usize,
        session: &mut Session,
    ) -> Result<Self> {
        let mut round = Round::new(parts, |role, part| Self::sends(count, role, part));
        let queries = Self::write(values, parts, low, count, &mut round, session);
        let incoming = round.exchange(session)?;
        Ok(queries.read(parts, incoming))
    }

    /// What is sent, in words.
    fn sends(count: usize, role: Role, part: &Part) -> Peers<usize> {
        Peers { next: 0, prev: if role == Role::First { count * digits::query_words(part.len()) } else { 0 } }
    }

    /// First's message, and the queries as Second knows them.
    fn write(
        values: &[u64],
        parts: &[Part; 3],
        low: u32,
        count: usize,
        round: &mut Round,
        session: &mut Session,
    ) -> Self {
        let places: Vec<u32> = (low..).step_by(DIGIT_BITS as usize).take(count).collect();
        let mut second = Words::default();
        for part in parts {
            let [random] = session.steps();
            let each = digits::query_words(part.len());
            match part.role {
                Role::First => {
                    let message = round.write_prev(count * each);
                    session.stream(Key::Next, random).fill(0, message);
                    for (query, &place) in message.chunks_exact_mut(each.max(1)).zip(&places) {
                        digits::set_points(query, &values[part.elements.clone()], place);
                    }
                }
                Role::Second => second = session.random(Key::Own, random, count * each),
                Role::Third => {}
            }
        }
        Self { places, second, third: Words::default() }
    }

    /// The queries as Third gets them: the rest of its message.
    fn read(mut self, parts: &[Part; 3], mut incoming: Incoming) -> Self {
        for part in parts.iter().filter(|part| part.role == Role::Third) {
            let size = self.places.len() * digits::query_words(part.len());
            self.third = incoming.take_rest_next(size);
        }
        self
    }

    /// XORs what Second's or Third's tables tell of a digit into planes; `values` are theirs.
    pub(crate) fn answer(
        &self,
        part: &Part,
        digit: usize,
        values: &[u64],
        tables: &[Table],
        planes: &mut [u64],
    ) {
        self.answer_chunk(part, digit, &(0..part.len()), &values[part.elements.clone()], tables, planes);
    }

    /// As [`answer`](Self::answer), for a chunk of the part's elements, with values and planes of the chunk alone.
    pub(crate) fn answer_chunk(
        &self,
        part: &Part,
        digit: usize,
        chunk: &Range<usize>,
        values: &[u64],
        tables: &[Table],
        planes: &mut [u64],
    ) {
        let queries = if part.role == Role::Second { &self.second } else { &self.third };
        let first = digit * digits::query_words(part.len());
        let query =
            &queries[first + digits::query_words(chunk.start)..first + digits::query_words(chunk.end)];
        digits::answer(query, values, self.places[digit], tables, planes);
    }
}
