//! What a training will cost, before anything is shared.

use std::fs;
use std::num::NonZeroU8;

use serde::Serialize;
use shamisen_mpc::Lanes;
use shamisen_nn::estimate::estimate as rehearse;
use shamisen_nn::plan::Plan;
use shamisen_nn::train::useful_lanes;

use crate::failure::Result;
use crate::parties;
use crate::transport::TransportName;

/// A network between the parties.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Network {
    /// One way, in milliseconds.
    pub latency_ms: f64,
    /// Of each link and direction, in Mbit/s.
    pub bandwidth_mbit: f64,
}

/// A local network.
pub const LAN: Network = Network { latency_ms: 0.1, bandwidth_mbit: 10_000.0 };

/// A wide area.
pub const WAN: Network = Network { latency_ms: 20.0, bandwidth_mbit: 100.0 };

/// What a training will cost, without the evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Estimate {
    /// Mini-batches of all epochs.
    pub batches: usize,
    /// Rounds of messages; of the party that takes part in most.
    pub rounds: u64,
    /// Bytes that each party sends.
    pub bytes_sent: [u64; 3],
    /// Memory of a party beyond that of an idle process; 0 where the system does not tell.
    pub memory_bytes: u64,
    /// Wall time with three parties on this machine, as they were joined for the estimate.
    pub seconds: f64,
    /// The same with a local network between them.
    pub seconds_lan: f64,
    /// The same with a wide area between them.
    pub seconds_wan: f64,
}

/// Estimates a training on so many rows by three parties of this machine that are joined by the transport.
///
/// Rounds and bytes are exact, unless the training keeps checkpoints: they add a round and 16 bytes to each report. Time and memory are
/// those of some mini-batches on rows of zeros, and other networks add what the rounds and bytes take in them.
///
/// # Errors
///
/// If the plan cannot be carried out, or the parties cannot be joined.
pub fn estimate(plan: &Plan, rows: usize, threads: NonZeroU8, transport: TransportName) -> Result<Estimate> {
    let lanes = useful_lanes(plan, threads.get().into()) + 1;
    let lanes = NonZeroU8::new(lanes as u8).unwrap_or(NonZeroU8::MAX);
    let idle = memory("VmRSS:");
    // From now on the peak counts, and not that of before. Where that is not allowed, the peak may be too high.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let parties = parties::run(transport, lanes, |ends| Ok(rehearse(plan, rows, &mut Lanes::open(ends)?)?))?;
    let peak = memory("VmHWM:");
    let [first, ..] = parties;
    let most = |of: fn(&shamisen_nn::estimate::Estimate) -> u64| parties.iter().map(of).max().unwrap_or(0);
    let rounds = most(|party| party.rounds);
    let busiest_link = most(|party| party.bytes_sent.next.max(party.bytes_sent.prev));
    let seconds = first.batches as f64 * first.seconds_per_batch;
    let over = |network: Network| {
        seconds
            + rounds as f64 * network.latency_ms / 1e3
            + busiest_link as f64 * 8.0 / (network.bandwidth_mbit * 1e6)
    };
    Ok(Estimate {
        batches: first.batches,
        rounds,
        bytes_sent: parties.map(|party| party.sent()),
        memory_bytes: peak.saturating_sub(idle) / 3,
        seconds,
        seconds_lan: over(LAN),
        seconds_wan: over(WAN),
    })
}

/// Resident memory of this process in bytes, now or at its peak; 0 where the system does not tell.
fn memory(what: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
