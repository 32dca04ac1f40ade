//! `bench network`: the standard case over imitated networks.

use serde::Serialize;
use shamisen_local::link::Link;
use shamisen_local::store::check_writable;
use shamisen_local::transport::{Joined, TransportName};
use shamisen_nn::formats::CHECK_EVERY;
use shamisen_party::event::Outcome;

use crate::bench::args::{NetworkArguments, Profile};
use crate::bench::case::Case;
use crate::bench::document::{Machine, publish};
use crate::bench::standard::{rows, steady};
use crate::bench::table::table;
use crate::failure::Result;

/// The figures of `bench network`.
#[derive(Serialize)]
struct AllFigures {
    /// `MNIST` or `synthetic`.
    data: &'static str,
    layers: Vec<usize>,
    batch_size: usize,
    /// Threads of each party that worked at the same time.
    threads: usize,
    /// Mini-batches that were measured in each network, and those before that were not.
    batches: usize,
    warm_up_batches: usize,
    networks: Vec<Figures>,
}

/// What a mini-batch costs in one network.
#[derive(Serialize)]
struct Figures {
    network: Profile,
    /// One way, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<f64>,
    /// Of each link and direction.
    #[serde(skip_serializing_if = "Option::is_none")]
    bandwidth_mbit: Option<f64>,
    /// Wall time of a mini-batch, of the slowest party.
    seconds_per_batch: f64,
    rounds_per_batch: f64,
    /// Of the party that sends most.
    bytes_sent_per_batch: f64,
}

/// Carries out `bench network`.
pub(crate) fn run(arguments: &NetworkArguments, verbose: u8) -> Result<()> {
    arguments.json.as_deref().map_or(Ok(()), check_writable)?;
    let machine = Machine::new(Some(arguments.case.transport));
    let rows = rows(arguments.case.batch_size, arguments.batches)?;
    let case = Case::new(&arguments.case, Some(rows))?;
    let mut networks = Vec::with_capacity(arguments.profiles.len());
    for &network in &arguments.profiles {
        let (latency, bandwidth) = network.limits();
        let link = Link::new(arguments.case.transport, latency, bandwidth, None, None)?;
        networks.push(figures(network, &case.train(&link, verbose)?)?);
    }
    let figures = AllFigures {
        data: case.data,
        layers: case.plan.layers.clone(),
        batch_size: case.plan.batch_size,
        threads: case.lanes(),
        batches: arguments.batches,
        warm_up_batches: CHECK_EVERY,
        networks,
    };
    let text = text(&case, &figures, &machine, arguments.case.transport);
    publish("network", machine, &figures, &text, arguments.json.as_deref())
}

fn figures(network: Profile, outcomes: &[Outcome; 3]) -> Result<Figures> {
    let steady = steady(outcomes)?;
    let batches = steady[0].batches as f64;
    let totals = steady.map(|steady| steady.cost.total());
    let (latency_ms, bandwidth_mbit) = network.limits();
    Ok(Figures {
        network,
        latency_ms,
        bandwidth_mbit,
        seconds_per_batch: steady.iter().map(|steady| steady.seconds).fold(0.0, f64::max) / batches,
        rounds_per_batch: totals.iter().map(|total| total.rounds).fold(0.0, f64::max) / batches,
        bytes_sent_per_batch: totals.iter().map(|total| total.bytes_sent).fold(0.0, f64::max) / batches,
    })
}

fn text(case: &Case, figures: &AllFigures, machine: &Machine, transport: TransportName) -> String {
    let or_none = |limit: Option<f64>| limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string());
    let rows: Vec<_> = figures
        .networks
        .iter()
        .map(|figure| {
            [
                figure.network.to_string(),
                or_none(figure.latency_ms),
                or_none(figure.bandwidth_mbit),
                format!("{:.4}", figure.seconds_per_batch),
                format!("{:.1}", figure.rounds_per_batch),
                format!("{:.2}", figure.bytes_sent_per_batch / 1e6),
            ]
        })
        .collect();
    let heads = ["network", "ms one way", "Mbit/s", "seconds a mini-batch", "rounds", "MB sent by a party"];
    format!(
        "{}\n{}Mean of mini-batches {} to {}; the first {CHECK_EVERY} verify ranges and open the loss more often than the\n\
         rest of a training, where every {CHECK_EVERY}th and the last do. Latency and bandwidth are imitated.\n\n{}",
        case.line(),
        machine.line(&Joined::from(transport).of_training()),
        CHECK_EVERY + 1,
        CHECK_EVERY + figures.batches,
        table(heads, &rows)
    )
}
