//! `bench standard`: a mini-batch of MNIST's shape, phase by phase.

use std::fmt::Write;

use serde::Serialize;
use shamisen_local::link::Link;
use shamisen_local::report::mean_by_phase;
use shamisen_local::store::check_writable;
use shamisen_local::transport::{Joined, TransportName};
use shamisen_nn::formats::CHECK_EVERY;
use shamisen_nn::plan::{Optimizer, Plan};
use shamisen_party::event::{Outcome, PhaseCost, Steady};

use crate::bench::args::StandardArguments;
use crate::bench::case::Case;
use crate::bench::document::{Machine, publish};
use crate::bench::rates::{self, Rates};
use crate::bench::table::{prefixed, table};
use crate::failure::{Failure, Result};

/// The figures of `bench standard`.
#[derive(Serialize)]
struct Standard {
    /// `MNIST` or `synthetic`.
    data: &'static str,
    layers: Vec<usize>,
    parameters: usize,
    batch_size: usize,
    optimizer: Optimizer,
    /// Threads of each party that worked at the same time.
    threads: usize,
    /// Mini-batches that were measured, and those before that were not.
    batches: usize,
    warm_up_batches: usize,
    /// Wall time of a mini-batch, of the slowest party.
    seconds_per_batch: f64,
    /// What a mini-batch costs a party by phase, mean of the parties.
    phases: Vec<Phase>,
    total: PhaseCost,
    peak_rss_bytes: [u64; 3],
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<Budget>,
    rates: Rates,
    bounds: Vec<Bound>,
    largest_bound: &'static str,
    largest_bound_seconds: f64,
    sum_of_bounds_seconds: f64,
    measured_over_largest_bound: f64,
    measured_over_sum_of_bounds: f64,
}

#[derive(Serialize)]
struct Phase {
    name: String,
    #[serde(flatten)]
    cost: PhaseCost,
}

/// What a mini-batch of the standard case may cost a party at most.
#[derive(Clone, Copy, Serialize)]
struct Budget {
    rounds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_sent: Option<f64>,
    multiply_adds: f64,
}

/// The time that a mini-batch would take if it needed one resource alone.
#[derive(Serialize)]
struct Bound {
    resource: &'static str,
    /// What a party needs of it for a mini-batch.
    amount: f64,
    /// How much of it a party gets in a second while all three want it.
    per_second: f64,
    seconds: f64,
}

/// Carries out `bench standard`.
pub(crate) fn run(arguments: &StandardArguments, verbose: u8) -> Result<()> {
    arguments.json.as_deref().map_or(Ok(()), check_writable)?;
    let machine = Machine::new(Some(arguments.case.transport));
    let case = Case::new(&arguments.case, Some(rows(arguments.case.batch_size, arguments.batches)?))?;
    let link = Link::new(arguments.case.transport, None, None, None, None)?;
    let outcomes = case.train(&link, verbose)?;
    let rates = rates::measure(&case.plan, arguments.case.transport)?;
    let figures = figures(&case, &outcomes, rates)?;
    let text = text(&case, &figures, &machine, arguments.case.transport);
    publish("standard", machine, &figures, &text, arguments.json.as_deref())
}

/// Rows for so many mini-batches and those before them.
pub(crate) fn rows(batch_size: usize, batches: usize) -> Result<usize> {
    if batches == 0 {
        return Err(Failure::input("no mini-batches are to be measured: give --batches at least 1"));
    }
    batches.checked_add(CHECK_EVERY).and_then(|batches| batches.checked_mul(batch_size)).ok_or_else(|| {
        Failure::input(format!("{batches} mini-batches have more rows than can be counted: choose fewer"))
    })
}

/// The part of the training that is measured, of each party.
pub(crate) fn steady(outcomes: &[Outcome; 3]) -> Result<[&Steady; 3]> {
    match outcomes.each_ref().map(|outcome| outcome.steady.as_ref()) {
        [Some(first), Some(second), Some(third)] => Ok([first, second, third]),
        _ => Err(Failure::run("a party measured nothing, which is a bug of shamisen")),
    }
}

fn figures(case: &Case, outcomes: &[Outcome; 3], rates: Rates) -> Result<Standard> {
    let steady = steady(outcomes)?;
    let batches = steady[0].batches;
    let seconds_per_batch = steady.iter().map(|steady| steady.seconds).fold(0.0, f64::max) / batches as f64;
    let by_phase = mean_by_phase(steady.map(|steady| &steady.cost), batches);
    let mut total = PhaseCost::default();
    for cost in by_phase.values() {
        total += *cost;
    }
    let mut phases: Vec<Phase> = by_phase.into_iter().map(|(name, cost)| Phase { name, cost }).collect();
    phases.sort_by(|one, other| other.cost.seconds.total_cmp(&one.cost.seconds));
    let bound = |resource, amount: f64, per_second: f64| Bound {
        resource,
        amount,
        per_second,
        seconds: amount / per_second,
    };
    let bounds = vec![
        bound("multiply-adds", total.multiply_adds, rates.multiply_adds_per_second),
        bound("random bytes", 8.0 * total.random_words, rates.random_bytes_per_second),
        bound("bytes sent", total.bytes_sent, rates.bytes_sent_per_second),
        bound("rounds", total.rounds, 1.0 / rates.seconds_per_round),
    ];
    let sum: f64 = bounds.iter().map(|bound| bound.seconds).sum();
    let largest = bounds.iter().max_by(|one, other| one.seconds.total_cmp(&other.seconds));
    let (largest, largest_seconds) = largest.map_or(("none", 0.0), |bound| (bound.resource, bound.seconds));
    Ok(Standard {
        data: case.data,
        layers: case.plan.layers.clone(),
        parameters: case.plan.parameters(),
        batch_size: case.plan.batch_size,
        optimizer: case.plan.optimizer,
        threads: case.lanes(),
        batches,
        warm_up_batches: CHECK_EVERY,
        seconds_per_batch,
        phases,
        total,
        peak_rss_bytes: outcomes.each_ref().map(|outcome| outcome.cost.peak_rss_bytes),
        budget: budget(&case.plan),
        rates,
        bounds,
        largest_bound: largest,
        largest_bound_seconds: largest_seconds,
        sum_of_bounds_seconds: sum,
        measured_over_largest_bound: seconds_per_batch / largest_seconds,
        measured_over_sum_of_bounds: seconds_per_batch / sum,
    })
}

/// The budget, if the plan is the standard case.
fn budget(plan: &Plan) -> Option<Budget> {
    let Optimizer::Adam { refresh, .. } = plan.optimizer else { return None };
    let bytes_sent = match refresh {
        1 => Some(9e6),
        16.. => Some(5e6),
        _ => None,
    };
    (plan.layers == [784, 128, 128, 10] && plan.batch_size == 128).then_some(Budget {
        rounds: 85.0,
        bytes_sent,
        multiply_adds: 32.5e6,
    })
}

fn text(case: &Case, figures: &Standard, machine: &Machine, transport: TransportName) -> String {
    let joined = Joined::from(transport);
    let mut out = format!("{}\n{}\n", case.line(), machine.line(&joined.of_training()));
    let checks = figures.batches.div_ceil(CHECK_EVERY);
    // Writing to a string does not fail.
    let _ = writeln!(
        out,
        "One mini-batch and party: mean of {} mini-batches after {CHECK_EVERY} to warm up; {checks} of them verify the\n\
         ranges and open the loss, as every {CHECK_EVERY}th and the last of an epoch do.\n",
        figures.batches,
    );
    let row = |name: &str, cost: &PhaseCost| {
        [
            name.to_owned(),
            format!("{:.3}", cost.seconds * 1e3),
            format!("{:.3}", cost.waiting * 1e3),
            format!("{:.3}", cost.encryption * 1e3),
            format!("{:.3}", cost.random_words * 8.0 / figures.rates.random_bytes_per_second * 1e3),
            format!("{:.2}", cost.rounds),
            format!("{:.3}", cost.bytes_sent / 1e6),
            format!("{:.3}", cost.multiply_adds / 1e6),
            format!("{:.3}", 8.0 * cost.random_words / 1e6),
        ]
    };
    let mut rows: Vec<_> = figures.phases.iter().map(|phase| row(&phase.name, &phase.cost)).collect();
    rows.push(row("all", &figures.total));
    if let Some(budget) = figures.budget {
        let empty = String::new;
        rows.push([
            "budget".to_owned(),
            empty(),
            empty(),
            empty(),
            empty(),
            format!("{:.0}", budget.rounds),
            budget.bytes_sent.map_or_else(empty, |bytes| format!("{:.3}", bytes / 1e6)),
            format!("{:.3}", budget.multiply_adds / 1e6),
            empty(),
        ]);
    }
    let heads =
        ["phase", "ms", "waiting", "encrypting", "generating", "rounds", "MB sent", "M madd", "MB random"];
    out.push_str(&table(heads, &rows));
    let peak = figures.peak_rss_bytes.iter().copied().max().unwrap_or_default();
    let _ = writeln!(
        out,
        "\nms includes waiting (sending and waiting for peers), which includes encrypting; generating is the time for the\n\
         random words at the rate below. Peak memory of a {}: {:.0} MB.\n",
        if joined.processes() == 3 { "party" } else { "process with all three parties" },
        peak as f64 / 1e6,
    );
    let rows: Vec<_> = figures
        .bounds
        .iter()
        .map(|bound| {
            [
                bound.resource.to_owned(),
                prefixed(bound.amount),
                prefixed(bound.per_second),
                format!("{:.3}", bound.seconds * 1e3),
            ]
        })
        .collect();
    out.push_str(&table(["bound by", "amount", "per second", "ms"], &rows));
    let _ = writeln!(
        out,
        "\nA rate is what one party gets of the resource alone while all three want it.\n\
         measured / bound: {:.2} ms is {:.2} times the largest bound ({}, {:.2} ms), {:.2} times their sum ({:.2} ms)",
        figures.seconds_per_batch * 1e3,
        figures.measured_over_largest_bound,
        figures.largest_bound,
        figures.largest_bound_seconds * 1e3,
        figures.measured_over_sum_of_bounds,
        figures.sum_of_bounds_seconds * 1e3,
    );
    out
}
