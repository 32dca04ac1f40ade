//! What this machine gives to three parties at work at once, each resource alone.

use std::hint::black_box;
use std::num::NonZeroU8;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use shamisen_local::parties;
use shamisen_local::transport::TransportName;
use shamisen_net::{Peers, Transport};
use shamisen_nn::plan::Plan;
use shamisen_party::event::Failed;
use shamisen_ring::matmul::{MatRef, multiply};
use shamisen_ring::prg::Prg;

use crate::bench::case::SplitMix64;
use crate::failure::Result;

/// What one of three parties gets while the two others want the same.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Rates {
    /// Multiply-adds of the matrix kernel, with the shapes of a mini-batch.
    pub(crate) multiply_adds_per_second: f64,
    /// Bytes from the generator, added to a vector of 128 kB.
    pub(crate) random_bytes_per_second: f64,
    /// Bytes that a party sends while all three send both others 130 kB at a time.
    pub(crate) bytes_sent_per_second: f64,
    /// Time of a round in which each sends 64 bytes to the party before it.
    pub(crate) seconds_per_round: f64,
}

/// Bytes of a large message.
const LARGE: usize = 130_000;
/// Bytes of a small message.
const SMALL: usize = 64;
/// Exchanges of large and of small messages in one measurement.
const LARGE_ROUNDS: u32 = 200;
const SMALL_ROUNDS: u32 = 2000;
/// Words of the generator's vector.
const RANDOM_WORDS: usize = 16_384;
/// Least time of a measurement of something local.
const WINDOW: Duration = Duration::from_millis(150);
/// Measurements, of which the best counts: what is wanted is a bound.
const REPEATS: usize = 3;

/// Measures all rates, for the products of a mini-batch of the plan.
///
/// Fails if the parties cannot be joined.
pub(crate) fn measure(plan: &Plan, transport: TransportName) -> Result<Rates> {
    let mean = |figures: [f64; 3]| figures.iter().sum::<f64>() / 3.0;
    let multiply_adds = in_three_threads(|together| {
        let mut products = Products::new(plan);
        local_rate(together, || products.compute())
    });
    let random_bytes = in_three_threads(|together| {
        let prg = Prg::new(&[7; 16]);
        let (mut words, mut stream) = (vec![0; RANDOM_WORDS], 0);
        local_rate(together, || {
            stream += 1;
            prg.add_into(stream, 0, black_box(&mut words));
            (8 * RANDOM_WORDS) as f64
        })
    });
    let of_parties = |task: &(dyn Fn(&mut dyn Transport) -> std::result::Result<f64, Failed> + Sync)| {
        parties::run(transport, NonZeroU8::MIN, |mut ends| task(&mut *ends[0]))
    };
    let large = of_parties(&|end| exchanges(end, LARGE_ROUNDS, (LARGE, LARGE)))?;
    let small = of_parties(&|end| exchanges(end, SMALL_ROUNDS, (0, SMALL)))?;
    Ok(Rates {
        multiply_adds_per_second: mean(multiply_adds),
        random_bytes_per_second: mean(random_bytes),
        bytes_sent_per_second: f64::from(LARGE_ROUNDS) * (2 * LARGE) as f64 / mean(large),
        seconds_per_round: mean(small) / f64::from(SMALL_ROUNDS),
    })
}

/// Runs the same in three threads that can wait for each other.
fn in_three_threads(task: impl Fn(&Barrier) -> f64 + Sync) -> [f64; 3] {
    let (task, together) = (&task, &Barrier::new(3));
    thread::scope(|scope| {
        [(); 3]
            .map(|()| scope.spawn(move || task(together)))
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// The best rate of a local task, which returns its amount, while the two others do the same.
fn local_rate(together: &Barrier, mut task: impl FnMut() -> f64) -> f64 {
    let mut best = 0.0_f64;
    task();
    for _ in 0..REPEATS {
        together.wait();
        let (start, mut amount) = (Instant::now(), 0.0);
        while start.elapsed() < WINDOW {
            amount += task();
        }
        best = best.max(amount / start.elapsed().as_secs_f64());
    }
    best
}

/// The least time of so many exchanges of messages with these numbers of bytes for the next and the previous party.
fn exchanges(
    end: &mut dyn Transport,
    rounds: u32,
    (next, prev): (usize, usize),
) -> std::result::Result<f64, Failed> {
    let (to_next, to_prev) = (vec![1; next], vec![2; prev]);
    let (mut from_next, mut from_prev) = (vec![0; prev], vec![0; next]);
    let mut best = f64::INFINITY;
    // The first time is for warming up.
    for repeat in 0..=REPEATS {
        let start = Instant::now();
        for _ in 0..rounds {
            end.exchange(
                Peers { next: &to_next, prev: &to_prev },
                Peers { next: &mut from_next, prev: &mut from_prev },
            )?;
        }
        if repeat > 0 {
            best = best.min(start.elapsed().as_secs_f64());
        }
    }
    Ok(best)
}

/// A matrix of the given shape from the start of two components.
fn view(components: &[Vec<u64>; 2], rows: usize, cols: usize, turned: bool) -> MatRef<'_> {
    let [mine, next] = components.each_ref().map(|words| &words[..rows * cols]);
    if turned {
        MatRef::new(mine, next, cols, rows).transposed()
    } else {
        MatRef::new(mine, next, rows, cols)
    }
}

/// The matrix products of a mini-batch: of each layer the outputs, the gradient, and the error of the layer before.
struct Products {
    layers: Vec<usize>,
    rows: usize,
    /// Two components of each operand.
    left: [Vec<u64>; 2],
    right: [Vec<u64>; 2],
    out: Vec<u64>,
}

impl Products {
    fn new(plan: &Plan) -> Self {
        let rows = plan.batch_size;
        let widest = plan.layers.iter().copied().max().unwrap_or_default();
        let size = widest * widest.max(rows);
        let mut generator = SplitMix64(9);
        let mut words = || generator.words(size);
        Self {
            layers: plan.layers.clone(),
            rows,
            left: [words(), words()],
            right: [words(), words()],
            out: vec![0; size],
        }
    }

    /// Computes them all and returns the number of multiply-adds.
    fn compute(&mut self) -> f64 {
        let Self { layers, rows, left, right, out } = self;
        let rows = *rows;
        let mut count = 0;
        let mut multiply = |m: usize, k: usize, n: usize, turn_left: bool, turn_right: bool| {
            multiply(
                black_box(&mut out[..m * n]),
                view(left, m, k, turn_left),
                view(right, k, n, turn_right),
            );
            count += m * k * n;
        };
        for (layer, pair) in layers.windows(2).enumerate() {
            let (inputs, units) = (pair[0], pair[1]);
            multiply(rows, inputs, units, false, false);
            multiply(inputs, rows, units, true, false);
            if layer > 0 {
                multiply(rows, units, inputs, false, true);
            }
        }
        count as f64
    }
}
