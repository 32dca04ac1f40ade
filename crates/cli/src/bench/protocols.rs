//! `bench protocols`: each protocol alone.

use std::num::NonZeroU8;
use std::time::Instant;

use serde::Serialize;
use shamisen_local::parties;
use shamisen_local::store::check_writable;
use shamisen_local::transport::{Joined, TransportName};
use shamisen_mpc::protocol::gate::rectify;
use shamisen_mpc::protocol::leading_bit::{Window, leading_index};
use shamisen_mpc::protocol::leading_digit::{DigitWindow, leading_digit};
use shamisen_mpc::protocol::multiply::{multiply, reshare};
use shamisen_mpc::protocol::split::{Split, open_split};
use shamisen_mpc::protocol::{
    add_bits, and, arg_max, compare, convert, exp, log, lookup, open, range, reciprocal, soft_max,
    square_root, truncate,
};
use shamisen_mpc::{Bits, MpcError, Rep, Session};
use shamisen_net::Party;

use crate::bench::args::ProtocolArguments;
use crate::bench::case::SplitMix64;
use crate::bench::document::{Machine, publish};
use crate::bench::table::{median, significant, table};
use crate::failure::{Failure, Result};
use crate::interrupt;

/// The figures of `bench protocols`.
#[derive(Serialize)]
struct Protocols {
    protocols: Vec<Figures>,
}

/// What a protocol costs on a vector of one length.
#[derive(Serialize)]
struct Figures {
    protocol: &'static str,
    elements: usize,
    /// Calls, of which the median counts.
    calls: usize,
    /// Wall time of a call.
    seconds: f64,
    nanoseconds_per_element: f64,
    /// Bytes that a party sends, mean of the parties.
    bytes_per_element: f64,
    rounds: u64,
    /// Words that a party draws from the generator, mean of the parties.
    random_words_per_element: f64,
}

/// What a party holds before a protocol: shares of the same values at all three.
struct Inputs {
    elements: usize,
    /// Numbers from 1 to 256 with 16 fractional bits.
    x: Rep,
    y: Rep,
    /// Six bits.
    index: Bits,
    /// One bit.
    a: Bits,
    b: Bits,
}

/// A protocol by name, the most elements that fit into an ordinary memory, and a call of it.
struct Protocol(&'static str, usize, fn(&Inputs, &mut Session) -> std::result::Result<(), MpcError>);

/// No limit on the number of elements.
const ANY: usize = usize::MAX;
/// Classes of a row, where elements are the logits of rows.
const CLASSES: usize = 10;
/// The window of Adam's second moment.
const WINDOW: Window = Window { low: 16, width: 31, mantissa: 1, guard: 2 };

/// All protocols, a line each.
const PROTOCOLS: &[Protocol] = &[
    Protocol("open", ANY, |i, session| open::open(&i.x, session).map(drop)),
    Protocol("reshare", ANY, |i, session| reshare(i.x.to_additive(), session).map(drop)),
    Protocol("multiply", ANY, |i, session| multiply(&i.x, &i.y, session).map(drop)),
    Protocol("truncate", ANY, |i, session| truncate::truncate(i.x.to_additive(), 16, session).map(drop)),
    Protocol("truncate_shared", ANY, |i, session| truncate::truncate_shared(&i.x, 16, session).map(drop)),
    Protocol("and", ANY, |i, session| and::and(&i.a, &i.b, session).map(drop)),
    Protocol("to_bits of 24", ANY, |i, session| add_bits::to_bits(&i.x, 0, 24, session).map(drop)),
    Protocol("to_bits of 64", ANY, |i, session| add_bits::to_bits(&i.x, 0, 64, session).map(drop)),
    Protocol("is_negative of 26", ANY, |i, session| compare::is_negative(&i.x, 26, session).map(drop)),
    Protocol("to_ring", ANY, |i, session| convert::to_ring(&i.a, session).map(drop)),
    Protocol("rectify to 26", ANY, |i, session| {
        rectify(&mut Split::of(&i.x, session.party()), 20, 26, session).map(drop)
    }),
    Protocol("look_up in 64", ANY, |i, session| lookup::look_up(&i.index, &[&[7; 64]], session).map(drop)),
    Protocol("leading_index", ANY, |i, session| leading_index(&i.x, WINDOW, session).map(drop)),
    Protocol("inverse_square_root", ANY, |i, session| {
        square_root::inverse_square_root(&i.x, WINDOW, 2.0_f64.powi(40), session).map(drop)
    }),
    Protocol("reciprocal", ANY, |i, session| reciprocal::reciprocal(&i.x, 16, 9, 20, session).map(drop)),
    Protocol("exp_negative", ANY, |i, session| {
        exp::exp_negative(Split::of(&i.x, session.party()), 16, 9, session).map(drop)
    }),
    Protocol("ln", ANY, |i, session| log::ln(&i.x, 16, 9, session).map(drop)),
    Protocol("soft_max of 10", 100_000, |i, session| {
        soft_max::soft_max(&i.x, i.elements / CLASSES, CLASSES, 16, 9, session).map(drop)
    }),
    Protocol("arg_max of 10", ANY, |i, session| {
        arg_max::arg_max(&i.x, i.elements / CLASSES, CLASSES, 27, session).map(drop)
    }),
    Protocol("open_split, replicated", ANY, |i, session| {
        open_split(i.x.to_additive(), 0, 64, session).replicated(session).map(drop)
    }),
    Protocol("replicated", ANY, |i, session| Split::of(&i.x, session.party()).replicated(session).map(drop)),
    Protocol("leading_digit of 8", ANY, |i, session| {
        let window = DigitWindow { low: 0, digits: 8 };
        leading_digit(&mut Split::of(&i.x, session.party()), window, session).map(drop)
    }),
    Protocol("in_range", ANY, |i, session| {
        range::in_range(&Split::of(&i.x, session.party()), 30, 62, session).map(drop)
    }),
];

/// Elements that are computed in the calls of one measurement, about.
const ELEMENTS: usize = 1_000_000;

/// Carries out `bench protocols`.
pub(crate) fn run(arguments: &ProtocolArguments) -> Result<()> {
    arguments.json.as_deref().map_or(Ok(()), check_writable)?;
    let machine = Machine::new(Some(arguments.transport));
    if let Some(elements) = arguments.elements.iter().find(|elements| !(1..=10_000_000).contains(*elements)) {
        return Err(Failure::input(format!("{elements} elements are asked for, it must be 1 to 10000000")));
    }
    let chosen = |protocol: &&Protocol| arguments.only.as_ref().is_none_or(|part| protocol.0.contains(part));
    let chosen: Vec<&Protocol> = PROTOCOLS.iter().filter(chosen).collect();
    if chosen.is_empty() {
        let names = PROTOCOLS.iter().map(|protocol| protocol.0).collect::<Vec<_>>().join(", ");
        return Err(Failure::input(format!("no protocol has that in its name; there are {names}")));
    }
    let mut protocols = Vec::new();
    for &elements in &arguments.elements {
        interrupt::check()?;
        protocols.extend(measure(&chosen, elements.next_multiple_of(CLASSES), arguments.transport)?);
    }
    protocols.sort_by_key(|figures| PROTOCOLS.iter().position(|protocol| protocol.0 == figures.protocol));
    let figures = Protocols { protocols };
    let text = text(&figures, &machine, arguments.transport);
    publish("protocols", machine, &figures, &text, arguments.json.as_deref())
}

/// Measures protocols on vectors of one length.
fn measure(protocols: &[&Protocol], elements: usize, transport: TransportName) -> Result<Vec<Figures>> {
    let calls = (ELEMENTS / elements).clamp(3, 30);
    let chosen: Vec<&&Protocol> = protocols.iter().filter(|protocol| elements <= protocol.1).collect();
    let of_parties = parties::run(transport, NonZeroU8::MIN, |mut ends| {
        let mut session = Session::open(ends.swap_remove(0))?;
        let inputs = Inputs::new(session.party(), elements);
        let mut all = Vec::with_capacity(chosen.len());
        for Protocol(_, _, call) in &chosen {
            // The first time is for warming up.
            call(&inputs, &mut session)?;
            let before = (session.counters().total, random_words(&session));
            let mut seconds = Vec::with_capacity(calls);
            for _ in 0..calls {
                let start = Instant::now();
                call(&inputs, &mut session)?;
                seconds.push(start.elapsed().as_secs_f64());
            }
            let traffic = session.counters().total - before.0;
            all.push((median(&seconds), traffic, random_words(&session) - before.1));
        }
        Ok(all)
    })?;
    let mut figures = Vec::with_capacity(chosen.len());
    for (at, Protocol(name, ..)) in chosen.into_iter().enumerate() {
        let ends = of_parties.each_ref().map(|all| all[at]);
        let seconds = ends.iter().map(|end| end.0).fold(0.0, f64::max);
        // Of all calls of the three parties, for a call of one.
        let mean = |amount: u64| amount as f64 / (3 * calls * elements) as f64;
        figures.push(Figures {
            protocol: name,
            elements,
            calls,
            seconds,
            nanoseconds_per_element: seconds * 1e9 / elements as f64,
            bytes_per_element: mean(ends.iter().map(|end| end.1.sent()).sum()),
            rounds: ends.iter().map(|end| end.1.rounds).max().unwrap_or_default() / calls as u64,
            random_words_per_element: mean(ends.iter().map(|end| end.2).sum()),
        });
    }
    Ok(figures)
}

fn random_words(session: &Session) -> u64 {
    session.counters().by_phase.values().map(|cost| cost.work.random_words).sum()
}

impl Inputs {
    fn new(party: Party, elements: usize) -> Self {
        // The three components from generators that all parties have: nothing here is secret.
        let component =
            |which: usize, input: u64, len: usize| SplitMix64(10 * input + which as u64).words(len);
        let share = |input: u64| {
            let mut last = SplitMix64(10 * input + 2).words(elements);
            let (first, second) = (component(0, input, elements), component(1, input, elements));
            for ((word, a), b) in last.iter_mut().zip(&first).zip(&second) {
                let value = (1 << 16) + (*word >> 41);
                *word = value.wrapping_sub(*a).wrapping_sub(*b);
            }
            let components = [first, second, last];
            let [mine, next] = [party, party.next()].map(|party| components[party.index()].clone());
            Rep::from_components(mine, next)
        };
        let bits = |input: u64, width: usize| {
            let words = width * elements.div_ceil(64);
            let [mine, next] = [party, party.next()].map(|party| component(party.index(), input, words));
            Bits::from_components(width, elements, mine, next)
        };
        Self { elements, x: share(1), y: share(2), index: bits(3, 6), a: bits(4, 1), b: bits(5, 1) }
    }
}

fn text(figures: &Protocols, machine: &Machine, transport: TransportName) -> String {
    let rows: Vec<_> = figures
        .protocols
        .iter()
        .map(|figure| {
            [
                figure.protocol.to_owned(),
                figure.elements.to_string(),
                significant(figure.nanoseconds_per_element),
                significant(figure.bytes_per_element),
                figure.rounds.to_string(),
                significant(figure.random_words_per_element),
                significant(figure.seconds * 1e3),
            ]
        })
        .collect();
    let heads = ["protocol", "elements", "ns", "bytes sent", "rounds", "random words", "ms a call"];
    format!(
        "{}ns, bytes sent and random words are for an element and a party; in soft_max and arg_max of 10 an element is a\n\
         logit. Each figure is the median of several calls, after one to warm up.\n\n{}",
        machine.line(&Joined::from(transport).of_threads()),
        table(heads, &rows)
    )
}
