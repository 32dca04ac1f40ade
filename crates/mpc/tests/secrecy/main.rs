//! What a party receives tells it nothing: the messages of every protocol are distributed independently of the inputs.
//!
//! A party knows its two components, two of the three common keys and its own private key. Every protocol is run several
//! times with all that unchanged and other keys in the places that the party does not know, and what it receives is
//! recorded. The difference of what it received in two runs then consists of differences of masks: it must be uniformly
//! random, message by message, for equal inputs and for different ones (different in the component that the party lacks).
//! And it must be so for two messages together, or one mask would have served twice.
//!
//! Not here are the protocols that tell something on purpose: `open`, `open_to`, `open_bits`, and `RangeChecks::verify`
//! which opens verdicts; what it does before, `in_range` and `all`, is here.
//!
//! Lengths are multiples of 192, so that numbers packed in a few bits fill their words in each of the three parts of a
//! vector: the rest of a word would be zeros.

mod statistics;

use std::array;
use std::ops::Range;

use shamisen_mpc::protocol::gate::rectify;
use shamisen_mpc::protocol::leading_bit::{Window, leading_index};
use shamisen_mpc::protocol::leading_digit::{DigitWindow, leading_digit, look_up_leading_digit};
use shamisen_mpc::protocol::lookup::{Query, look_up, look_up_bits, look_up_sums};
use shamisen_mpc::protocol::multiply::{RepMatrix, matrix_product, multiply, product, reshare};
use shamisen_mpc::protocol::points::Points;
use shamisen_mpc::protocol::pool::{OWN_WORDS, pool};
use shamisen_mpc::protocol::reseed::{Seeds, reseed};
use shamisen_mpc::protocol::soft_max::{cross_entropy, soft_max};
use shamisen_mpc::protocol::split::{Split, open_split};
use shamisen_mpc::protocol::square_root::{
    inverse_square_root, inverse_square_root_of_fixed, refine, square,
};
use shamisen_mpc::protocol::truncate::Shift;
use shamisen_mpc::protocol::{
    add_bits, and, arg_max, compare, convert, exp, log, range, reciprocal, truncate,
};
use shamisen_mpc::{Additive, Bits, Rep, Result, Session};
use shamisen_net::recording::{Received, Recording};
use shamisen_net::{Party, Transport, memory};
use shamisen_testkit::{keys, random_words, rng, run_over};

use crate::statistics::{Seen, conspicuous};

const SEED: u64 = 20_260_202;
/// Elements of the vectors.
const LEN: usize = 192 * 3;
/// Classes of the matrix, with 192 rows; so many are not compared all at once.
const CLASSES: usize = 17;
/// Bits of the bit vectors.
const WIDTH: usize = 10;
/// Runs that are compared with a first one.
const RUNS: u64 = 4;
/// Messages that are compared in pairs lie at most so many messages apart.
const APART: usize = 6;

/// One party's share of the inputs.
struct Inputs {
    x: Rep,
    y: Rep,
    matrix: Rep,
    a: Bits,
    b: Bits,
}

/// A protocol, its name, and how often it is called: twice, so that masks of one call must not serve in the next, or once
/// where it consists of many such calls itself.
type Case = (&'static str, usize, fn(&Inputs, &mut Session) -> Result<()>);

/// The values of the inputs: all zeros, all ones (-1), the ends of several ranges, and random ones.
fn values(len: usize) -> [Vec<u64>; 4] {
    let ends = [1 << 63, !(1 << 63), 1 << 62, (1_u64 << 62).wrapping_neg(), 1, 0, 1 << 31, (1 << 16) - 1];
    let extremes = ends.iter().cycle().take(len).copied().collect();
    [vec![0; len], vec![u64::MAX; len], extremes, random_words(len, &mut rng(SEED))]
}

/// Shares of `values` in which the components that `receiver` holds do not depend on them; `less` is subtraction.
fn components(values: &[u64], receiver: Party, seed: u64, less: fn(u64, u64) -> u64) -> [Vec<u64>; 3] {
    let mut rng = rng(SEED ^ seed);
    let (mine, next) = (random_words(values.len(), &mut rng), random_words(values.len(), &mut rng));
    let rest = values.iter().zip(&mine).zip(&next).map(|((&x, &a), &b)| less(less(x, a), b)).collect();
    let mut components = [mine, next, rest];
    components.rotate_right(receiver.index());
    components
}

fn deal(values: &[u64], receiver: Party) -> [Inputs; 3] {
    let numbers = |len: usize, seed| components(&values[..len], receiver, seed, u64::wrapping_sub);
    let planes = |seed| components(&values[..WIDTH * LEN / 64], receiver, seed, |x, y| x ^ y);
    let (x, y, matrix, a, b) =
        (numbers(LEN, 0), numbers(LEN, 1), numbers(192 * CLASSES, 2), planes(3), planes(4));
    array::from_fn(|party| {
        let two =
            |components: &[Vec<u64>; 3]| (components[party].clone(), components[(party + 1) % 3].clone());
        let rep = |components| {
            let (mine, next) = two(components);
            Rep::from_components(mine, next)
        };
        let bits = |components| {
            let (mine, next) = two(components);
            Bits::from_components(WIDTH, LEN, mine, next)
        };
        Inputs { x: rep(&x), y: rep(&y), matrix: rep(&matrix), a: bits(&a), b: bits(&b) }
    })
}

/// What `receiver` gets in a run; `run` chooses the keys that it does not know.
fn received(case: Case, inputs: &[Inputs; 3], receiver: Party, run: u64) -> Vec<Received> {
    let (mut keys, unknown) = (keys(SEED), keys(SEED + 1 + run));
    let (next, prev) = (receiver.next().index(), receiver.prev().index());
    keys[next].next = unknown[next].next;
    keys[prev].own = unknown[prev].own;
    for other in [next, prev] {
        keys[other].private = unknown[other].private;
    }
    let mut transcript = None;
    let transports = memory::mesh().map(|transport| -> Box<dyn Transport> {
        if transport.party() != receiver {
            return Box::new(transport);
        }
        let recording = Recording::new(transport);
        transcript = Some(recording.transcript());
        Box::new(recording)
    });
    let (_, calls, protocol) = case;
    run_over(transports, keys, |session| {
        (0..calls)
            .try_for_each(|_| protocol(&inputs[session.party().index()], session))
            .expect("memory does not fail");
    });
    transcript.expect("the receiver is one of three").take()
}

fn words(message: &[u8]) -> impl Iterator<Item = u64> {
    message.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("8 bytes")))
}

/// The differences of the words of two runs.
#[derive(Default)]
struct Difference {
    /// By XOR.
    xor: Vec<u64>,
    /// By subtraction.
    minus: Vec<u64>,
}

impl Difference {
    fn of(run: &[u8], first: &[u8]) -> Self {
        Self {
            xor: words(run).zip(words(first)).map(|(x, y)| x ^ y).collect(),
            minus: words(run).zip(words(first)).map(|(x, y)| x.wrapping_sub(y)).collect(),
        }
    }

    fn extend(&mut self, other: &Self) {
        self.xor.extend(&other.xor);
        self.minus.extend(&other.minus);
    }

    /// The differences of the halves of the words, and of the low halves of each two words.
    fn pairs(&self, run: &[u8], first: &[u8]) -> impl Iterator<Item = (u32, u32)> {
        let high = |word: u64| (word >> 32) as u32;
        let halves: Vec<(u32, u32)> = words(run)
            .zip(words(first))
            .map(|(x, y)| ((x as u32).wrapping_sub(y as u32), high(x).wrapping_sub(high(y))))
            .collect();
        let low: Vec<(u32, u32)> =
            self.minus.chunks_exact(2).map(|two| (two[0] as u32, two[1] as u32)).collect();
        halves.into_iter().chain(low)
    }
}

/// Fails when the differences of some runs to a first one are not those of random words.
fn assert_random(what: &str, first: &[Received], runs: &[Vec<Received>]) {
    let mut messages: Vec<Difference> = first.iter().map(|_| Difference::default()).collect();
    for run in runs {
        let shape =
            |run: &[Received]| run.iter().map(|one| (one.from, one.message.len())).collect::<Vec<_>>();
        assert_eq!(shape(run), shape(first), "{what}: the messages themselves depend on the inputs");
        let [mut xor, mut minus] = [Seen::default(), Seen::default()];
        for ((number, message), (run, first)) in messages.iter_mut().enumerate().zip(run.iter().zip(first)) {
            let difference = Difference::of(&run.message, &first.message);
            let repeats = xor.repeats(&difference.xor)
                || minus.repeats(&difference.minus)
                || minus.repeats_pairs(difference.pairs(&run.message, &first.message));
            assert!(!repeats, "{what}, message {number} from {}: a mask is missing or used twice", run.from);
            message.extend(&difference);
        }
    }
    for (number, message) in messages.iter().enumerate() {
        for difference in [&message.xor, &message.minus] {
            if let Some(why) = conspicuous(difference) {
                panic!("{what}, message {number} from {}: {why}", first[number].from);
            }
        }
        for (before, other) in messages[number.saturating_sub(APART)..number].iter().enumerate() {
            if other.xor.len() != message.xor.len() {
                continue;
            }
            let combine = |x: &[u64], y: &[u64], how: fn(u64, u64) -> u64| -> Vec<u64> {
                x.iter().zip(y).map(|(&x, &y)| how(x, y)).collect()
            };
            let together = [
                combine(&message.xor, &other.xor, |x, y| x ^ y),
                combine(&message.minus, &other.minus, u64::wrapping_sub),
                combine(&message.minus, &other.minus, u64::wrapping_add),
            ];
            if let Some(why) = together.iter().find_map(|words| conspicuous(words)) {
                let before = number.saturating_sub(APART) + before;
                panic!("{what}, messages {before} and {number} together: {why}");
            }
        }
    }
}

fn assert_secret(case: Case) {
    for receiver in Party::ALL {
        let mut zeros = Vec::new();
        for (kind, values) in ["zeros", "ones", "extremes", "random"].into_iter().zip(values(192 * CLASSES)) {
            let inputs = deal(&values, receiver);
            let first = received(case, &inputs, receiver, 0);
            let runs: Vec<_> = (1..=RUNS).map(|run| received(case, &inputs, receiver, run)).collect();
            assert!(!first.is_empty(), "{} sends {receiver} something", case.0);
            assert_random(&format!("{} to {receiver}, {kind}", case.0), &first, &runs);
            if zeros.is_empty() {
                zeros = first;
            } else {
                assert_random(&format!("{} to {receiver}, {kind} or zeros", case.0), &zeros, &runs);
            }
        }
    }
}

const WINDOW: Window = Window { low: 16, width: 24, mantissa: 2, guard: 2 };

fn table(bits: u32) -> Vec<u64> {
    (0..1 << bits).map(|entry: u64| entry * entry).collect()
}

#[test]
fn products() {
    const CASES: [Case; 5] = [
        ("reshare", 2, |inputs, session| reshare(inputs.x.to_additive(), session).map(drop)),
        ("multiply", 2, |inputs, session| multiply(&inputs.x, &inputs.y, session).map(drop)),
        ("square", 2, |inputs, session| square(&inputs.x, session).map(drop)),
        ("matrix_product", 2, |inputs, session| {
            let (x, y) = (RepMatrix::new(&inputs.x, 24, 24), RepMatrix::new(&inputs.y, 24, 24));
            reshare(matrix_product(x, y, session), session).map(drop)
        }),
        ("matrix_product of an odd inner size", 2, |inputs, session| {
            let x = RepMatrix::of_range(&inputs.x, 0..25 * 21, 25, 21);
            let y = RepMatrix::of_range(&inputs.y, 0..21 * 25, 25, 21).transposed();
            reshare(matrix_product(x, y, session), session).map(drop)
        }),
    ];
    CASES.into_iter().for_each(assert_secret);
}

#[test]
fn truncations() {
    const CASES: [Case; 9] = [
        ("truncate twice", 4, |inputs, session| {
            let shifts = [Shift { bits: 9, low: 3 }, Shift { bits: 17, low: 0 }];
            let between = |elements: Range<usize>, first: &Rep, sum: &mut Additive| {
                sum.set_product(elements, first, &inputs.y, 3);
            };
            truncate::truncate_twice(inputs.x.to_additive(), shifts, between, |_, _| (), session).map(drop)
        }),
        ("truncate by 24, roughly", 2, |inputs, session| {
            truncate::truncate_roughly(product(&inputs.x, &inputs.y), 24, 17, session).map(drop)
        }),
        ("truncate by 1", 2, |inputs, session| {
            truncate::truncate(inputs.x.to_additive(), 1, session).map(drop)
        }),
        ("truncate by 16", 2, |inputs, session| {
            truncate::truncate(product(&inputs.x, &inputs.y), 16, session).map(drop)
        }),
        ("truncate by 32", 2, |inputs, session| {
            truncate::truncate(product(&inputs.x, &inputs.y), 32, session).map(drop)
        }),
        ("truncate by 61", 2, |inputs, session| {
            truncate::truncate(inputs.x.to_additive(), 61, session).map(drop)
        }),
        ("truncate_shared by 7", 2, |inputs, session| {
            truncate::truncate_shared(&inputs.x, 7, session).map(drop)
        }),
        ("truncate_shared by 16", 2, |inputs, session| {
            truncate::truncate_shared(&inputs.x, 16, session).map(drop)
        }),
        ("truncate_shared by 32", 2, |inputs, session| {
            truncate::truncate_shared(&inputs.x, 32, session).map(drop)
        }),
    ];
    CASES.into_iter().for_each(assert_secret);
}

#[test]
fn bits() {
    const CASES: [Case; 19] = [
        ("and", 2, |inputs, session| and::and(&inputs.a, &inputs.b, session).map(drop)),
        ("and_planes", 2, |inputs, session| and::and_planes(inputs.a.planes(0..9), 3, session).map(drop)),
        ("inner_products", 2, |inputs, session| {
            let terms = [vec![(0, 1), (2, 3)], vec![(1, 1)], vec![]];
            and::inner_products(&inputs.a, &inputs.b, &terms, session).map(drop)
        }),
        ("all", 2, |inputs, session| and::all(&inputs.a.plane(0), session).map(drop)),
        ("to_bits", 2, |inputs, session| add_bits::to_bits(&inputs.x, 0, 64, session).map(drop)),
        ("to_bits of few", 2, |inputs, session| add_bits::to_bits(&inputs.x, 0, 3, session).map(drop)),
        ("to_bits from above", 2, |inputs, session| add_bits::to_bits(&inputs.x, 13, 24, session).map(drop)),
        ("is_negative", 2, |inputs, session| compare::is_negative(&inputs.x, 32, session).map(drop)),
        ("rectify", 2, |inputs, session| {
            rectify(&mut Split::of(&inputs.x, session.party()), 20, 44, session).map(drop)
        }),
        ("rectify what is open", 2, |inputs, session| {
            let mut x = open_split(product(&inputs.x, &inputs.y), 12, 52, session).shifted_up(12);
            rectify(&mut x, 20, 44, session).map(drop)
        }),
        ("pass a gate", 2, |inputs, session| {
            let mut x = Split::of(&inputs.x, session.party());
            let (_, mut gate) = rectify(&mut x, 13, 26, session)?;
            gate.pass(&mut Split::of(&inputs.y, session.party()), 20, session).map(drop)
        }),
        ("pass a gate while open", 2, |inputs, session| {
            let (_, mut gate) = rectify(&mut Split::of(&inputs.x, session.party()), 13, 26, session)?;
            let mut z = open_split(product(&inputs.x, &inputs.y), 0, 64, session);
            gate.pass(&mut z, 20, session).map(drop)
        }),
        ("to_ring", 2, |inputs, session| convert::to_ring(&inputs.a.planes(0..3), session).map(drop)),
        ("in_range", 2, |inputs, session| {
            range::in_range(&Split::of(&inputs.x, session.party()), 30, 62, session).map(drop)
        }),
        ("leading_digit", 2, |inputs, session| {
            let window = DigitWindow { low: 18, digits: 7 };
            leading_digit(&mut Split::of(&inputs.x, session.party()), window, session).map(drop)
        }),
        ("look_up_leading_digit of what is open", 2, |inputs, session| {
            let window = DigitWindow { low: 18, digits: 7 };
            let party = session.party();
            let mut value = Split::of(&inputs.x, party);
            value.add_open(&open_split(product(&inputs.x, &inputs.y), 6, 58, session), party);
            look_up_leading_digit(&mut value, window, &[&table(6)], session).map(drop)
        }),
        ("open_split", 2, |inputs, session| {
            open_split(product(&inputs.x, &inputs.y), 0, 64, session).replicated(session).map(drop)
        }),
        ("open_split in part", 2, |inputs, session| {
            open_split(product(&inputs.x, &inputs.y), 18, 46, session).replicated(session).map(drop)
        }),
        ("replicated", 2, |inputs, session| {
            Split::of(&inputs.x, session.party()).replicated(session).map(drop)
        }),
    ];
    CASES.into_iter().for_each(assert_secret);
}

#[test]
fn tables() {
    const CASES: [Case; 7] = [
        ("look_up in 16", 2, |inputs, session| {
            look_up(&inputs.a.planes(0..4), &[&table(4)], session).map(drop)
        }),
        ("look_up in two of 64", 2, |inputs, session| {
            look_up(&inputs.a.planes(0..6), &[&table(6), &[7; 64]], session).map(drop)
        }),
        ("look_up in 1024", 2, |inputs, session| look_up(&inputs.a, &[&table(10)], session).map(drop)),
        ("look_up of a sum in two of 64", 2, |inputs, session| {
            let mut value = Split::of(&inputs.x, session.party());
            let query = Query { low: 14, bits: 6, tables: &[&table(6), &[7; 64]] };
            look_up_sums(&mut value, &[query], session).map(drop)
        }),
        ("look_up of a sum in 1024", 2, |inputs, session| {
            let mut value = Split::of(&inputs.x, session.party());
            look_up_sums(&mut value, &[Query { low: 0, bits: 10, tables: &[&table(10)] }], session).map(drop)
        }),
        ("look_up of sums with carries, open", 2, |inputs, session| {
            let mut value = open_split(product(&inputs.x, &inputs.y), 0, 40, session);
            let (small, large) = (table(7), table(9));
            let queries = [
                Query { low: 8, bits: 6, tables: &[&small] },
                Query { low: 14, bits: 9, tables: &[&large, &[1; 512]] },
            ];
            look_up_sums(&mut value, &queries, session).map(drop)
        }),
        ("look_up_bits", 2, |inputs, session| {
            let mut index = inputs.a.planes(0..4);
            index.push(&inputs.b.planes(0..7));
            let (small, large) = (table(4), table(7));
            let queries = [
                Query { low: 0, bits: 4, tables: &[&small] },
                Query { low: 4, bits: 7, tables: &[&large, &[1; 128]] },
            ];
            look_up_bits(&index, &queries, session).map(drop)
        }),
    ];
    CASES.into_iter().for_each(assert_secret);
}

#[test]
fn functions() {
    const CASES: [Case; 10] = [
        ("leading_index", 1, |inputs, session| leading_index(&inputs.x, WINDOW, session).map(drop)),
        ("reciprocal", 1, |inputs, session| reciprocal::reciprocal(&inputs.x, 16, 24, 20, session).map(drop)),
        ("inverse_square_root", 1, |inputs, session| {
            inverse_square_root(&inputs.x, WINDOW, 2.0_f64.powi(40), session).map(drop)
        }),
        ("inverse_square_root_of_fixed", 1, |inputs, session| {
            inverse_square_root_of_fixed(&inputs.x, 16, 20, session).map(drop)
        }),
        ("refine", 1, |inputs, session| refine(&inputs.x, &inputs.y, 16, 24, session).map(drop)),
        ("ln", 1, |inputs, session| log::ln(&inputs.x, 16, 20, session).map(drop)),
        ("exp_negative", 1, |inputs, session| {
            exp::exp_negative(Split::of(&inputs.x, session.party()), 14, 12, session).map(drop)
        }),
        ("exp_negative of long arguments", 1, |inputs, session| {
            exp::exp_negative(Split::of(&inputs.x, session.party()), 10, 14, session).map(drop)
        }),
        ("reciprocal_near", 1, |inputs, session| {
            reciprocal::reciprocal_near(&inputs.x, Points::up_to(10, 20).expect("few"), session).map(drop)
        }),
        ("ln_near", 1, |inputs, session| {
            log::ln_near(&inputs.x, Points::up_to(3, 16).expect("few"), session).map(drop)
        }),
    ];
    CASES.into_iter().for_each(assert_secret);
}

#[test]
fn several_owners() {
    const COLUMNS: usize = 192;
    const CASES: [Case; 2] = [
        ("pool and rescale", 1, |inputs, session| {
            let words = |x: &Rep| x.gather((0..COLUMNS * OWN_WORDS).map(|at| at % LEN));
            let pooled = pool(&[(&words(&inputs.x), 2), (&words(&inputs.y), 3)], session)?;
            pooled.rescaling[1].apply(&inputs.x, 14, session)?;
            pooled.rescaling[0].apply_clipped(&inputs.x, 14, 10, session).map(drop)
        }),
        // Party 0 gets nothing of it.
        ("reseed, and reshare", 2, |inputs, session| {
            let seeds = Seeds::draw(session);
            let half = LEN / 2;
            reseed(&inputs.x.slice(0..half), &seeds, 0, session)?;
            reseed(&inputs.x.slice(half..LEN), &seeds, half as u64, session)?;
            reshare(inputs.x.to_additive(), session).map(drop)
        }),
    ];
    CASES.into_iter().for_each(assert_secret);
}

#[test]
fn classes() {
    const CASES: [Case; 10] = [
        ("arg_max of 3", 1, |inputs, session| arg_max::arg_max(&inputs.x, 192, 3, 26, session).map(drop)),
        ("arg_max of 12", 1, |inputs, session| {
            arg_max::arg_max(&inputs.matrix.slice(0..192 * 12), 192, 12, 26, session).map(drop)
        }),
        ("arg_max of 17", 1, |inputs, session| {
            arg_max::arg_max(&inputs.matrix, 192, CLASSES, 26, session).map(drop)
        }),
        ("row_max of 17", 1, |inputs, session| {
            arg_max::row_max(&inputs.matrix, 192, CLASSES, 26, session).map(drop)
        }),
        ("soft_max of 3", 1, |inputs, session| soft_max(&inputs.x, 192, 3, 14, 10, session).map(drop)),
        ("soft_max of 10", 1, |inputs, session| {
            soft_max(&inputs.matrix.slice(0..1920), 192, 10, 14, 11, session).map(drop)
        }),
        ("soft_max of 17", 1, |inputs, session| {
            soft_max(&inputs.matrix, 192, CLASSES, 14, 10, session).map(drop)
        }),
        ("loss of 3", 1, |inputs, session| {
            let soft_max = soft_max(&inputs.x, 192, 3, 14, 10, session)?;
            let (_, terms) = soft_max.into_loss_terms(&inputs.x, &inputs.y);
            terms.cross_entropy(3, 14, session).map(drop)
        }),
        ("cross_entropy of 3", 1, |inputs, session| {
            cross_entropy(&inputs.x, &inputs.y, 192, 3, 14, 10, session).map(drop)
        }),
        ("cross_entropy of 17", 1, |inputs, session| {
            cross_entropy(&inputs.matrix, &inputs.matrix, 192, CLASSES, 14, 10, session).map(drop)
        }),
    ];
    CASES.into_iter().for_each(assert_secret);
}
