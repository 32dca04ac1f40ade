//! Numbers digit by digit: what each 4-bit digit of a sum tells, before and after the carries.
//!
//! `x = a + b` with `a` known to First and `b` to the two others. For a digit `alpha` of `a` and `beta` of `b`, any bit that
//! depends on both comes out of a look-up: First asks for place `alpha`, the two others answer from a table that they
//! have chosen by `beta`.

use shamisen_net::Peers;
use shamisen_ring::digits;
use shamisen_ring::words::Words;

use crate::error::Result;
use crate::protocol::add_bits::Answers;
use crate::protocol::split::Split;
use crate::roles::{Role, Round};
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
/// 2 rounds; 16 bits a digit and 2 bits a table.
///
/// # Errors
///
/// When a peer fails.
pub(crate) fn look_up_digits(
    value: &Split,
    low: u32,
    tables: &[Vec<Table>],
    session: &mut Session,
) -> Result<Bits> {
    let parts = value.parts(session.party());
    let places: Vec<u32> = (low..).step_by(DIGIT_BITS as usize).take(tables.len()).collect();
    let planes = tables.iter().map(Vec::len).sum();

    let mut round = Round::new(&parts, |role, part| Peers {
        next: 0,
        prev: if role == Role::First { places.len() * digits::query_words(part.len()) } else { 0 },
    });
    let mut queries = Vec::with_capacity(3);
    for part in &parts {
        let [random] = session.steps();
        let size = digits::query_words(part.len());
        queries.push(match part.role {
            Role::First => {
                let message = round.to_prev(places.len() * size);
                session.stream(Key::Next, random).fill(0, message);
                for (query, &place) in message.chunks_exact_mut(size.max(1)).zip(&places) {
                    digits::set_points(query, &value.own[part.elements.clone()], place);
                }
                Words::default()
            }
            Role::Second => session.random(Key::Own, random, places.len() * size),
            Role::Third => Words::default(),
        });
    }
    let mut incoming = round.exchange(session)?;

    let mut answers = Answers::new(planes, value.len(), &parts);
    for (part, query) in parts.iter().zip(&queries) {
        let size = digits::query_words(part.len());
        let query = if part.role == Role::Third { incoming.take_next(places.len() * size) } else { query };
        answers.give(part, session, |out| {
            let mut rest = out;
            for ((query, &place), tables) in query.chunks_exact(size.max(1)).zip(&places).zip(tables) {
                let (planes, later) = rest.split_at_mut(tables.len() * part.words().len());
                digits::answer(query, &value.own[part.elements.clone()], place, tables, planes);
                rest = later;
            }
        });
    }
    answers.exchange(session)
}
