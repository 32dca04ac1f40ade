//! The command line of `bench`.

use std::num::NonZeroU8;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum, value_parser};
use serde::{Deserialize, Serialize};
use shamisen_local::estimate::{LAN, WAN};
use shamisen_local::transport::TransportName;

use crate::choices::{OptimizerName, transport_parser};

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct BenchArguments {
    /// What to measure.
    #[command(subcommand)]
    pub command: BenchCommand,
}

/// What can be measured.
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum BenchCommand {
    /// A mini-batch of MNIST's shape, phase by phase, beside its budget and the bounds of this machine.
    ///
    /// Trains as `train` does, then measures in the same run what each resource alone would allow with three parties
    /// at work: multiply-adds, random bytes, bytes over the transport, rounds.
    Standard(StandardArguments),
    /// Every kernel at every instruction set of this processor, beside plain Rust and a copy of memory.
    Kernels(KernelArguments),
    /// Every protocol alone: time, bytes and rounds.
    Protocols(ProtocolArguments),
    /// The standard case over imitated networks, from loopback to a wide area.
    Network(NetworkArguments),
    /// One epoch beside scikit-learn's `MLPClassifier` on the same rows, in turn.
    VersusSklearn(SklearnArguments),
    /// The experiments of the paper whose protocols this program set out from, its figures beside ours.
    ///
    /// "Realization of Practical Secure Deep Learning" (NTT, Computer Security Symposium 2020), tables 7 to 15. All but
    /// table 15 take minutes; that one trains on 10 million rows, needs 20 GB for temporary files, and takes the longest.
    Paper(PaperArguments),
    /// Three servers on this machine, and many clients that upload and ask for predictions at the same time.
    Service(ServiceArguments),
}

/// The case that is trained.
#[derive(Clone, Debug, Args)]
pub struct CaseArguments {
    /// Widths of all layers, the input's first.
    #[arg(long, value_name = "WIDTHS", default_value = "784,128,128,10")]
    pub layers: Widths,
    /// Rows of a mini-batch.
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub batch_size: usize,
    /// Adam or stochastic gradient descent.
    #[arg(long, value_enum, default_value = "adam")]
    pub optimizer: OptimizerName,
    /// Adam computes its preconditioner anew every so many steps; 1 is exact Adam.
    #[arg(long, value_name = "STEPS", default_value_t = 1)]
    pub refresh: u32,
    /// Step size.
    #[arg(long, value_name = "RATE", default_value_t = 0.001)]
    pub learning_rate: f64,
    /// Threads of each party, as in `train`. [default: a third of the cores, up to 8; at least 2 for Adam]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroU8>,
    /// Directory with the four MNIST files; synthetic rows of the same shape without it.
    #[arg(long, value_name = "DIR")]
    pub mnist: Option<PathBuf>,
    /// Processes joined by TLS over Unix sockets (tls) or over TCP (tcp), or threads in memory.
    #[arg(long, value_parser = transport_parser(), default_value = "tls")]
    pub transport: TransportName,
}

/// Arguments of `bench standard`.
#[derive(Debug, Args)]
pub struct StandardArguments {
    /// The case.
    #[command(flatten)]
    pub case: CaseArguments,
    /// Mini-batches to measure, after 16 to warm up; a multiple of 16 has as many range checks as a long training.
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub batches: usize,
    /// Write the figures as JSON.
    #[arg(long, value_name = "FILE.json")]
    pub json: Option<PathBuf>,
}

/// Arguments of `bench kernels`.
#[derive(Debug, Args)]
pub struct KernelArguments {
    /// Elements of a vector; few enough that all stays in the caches.
    #[arg(long, value_name = "N", default_value_t = 16_384)]
    pub elements: usize,
    /// Write the figures as JSON.
    #[arg(long, value_name = "FILE.json")]
    pub json: Option<PathBuf>,
    /// Measure this process's instruction set alone, and print JSON.
    #[arg(long, hide = true)]
    pub one_level: bool,
}

/// Arguments of `bench protocols`.
#[derive(Debug, Args)]
pub struct ProtocolArguments {
    /// Elements of a vector, one or several numbers.
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [1_000, 100_000, 1_000_000])]
    pub elements: Vec<usize>,
    /// Only protocols whose name contains this.
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,
    /// How the three threads are joined: in memory, or by TLS over Unix sockets (tls) or over TCP (tcp).
    #[arg(long, value_parser = transport_parser(), default_value = "memory")]
    pub transport: TransportName,
    /// Write the figures as JSON.
    #[arg(long, value_name = "FILE.json")]
    pub json: Option<PathBuf>,
}

/// Arguments of `bench network`.
#[derive(Debug, Args)]
pub struct NetworkArguments {
    /// The case.
    #[command(flatten)]
    pub case: CaseArguments,
    /// Mini-batches to measure in each network, after 16 to warm up.
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub batches: usize,
    /// Networks to imitate.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Profile::ALL)]
    pub profiles: Vec<Profile>,
    /// Write the figures as JSON.
    #[arg(long, value_name = "FILE.json")]
    pub json: Option<PathBuf>,
}

/// Arguments of `bench versus-sklearn`.
#[derive(Debug, Args)]
pub struct SklearnArguments {
    /// The case.
    #[command(flatten)]
    pub case: CaseArguments,
    /// Rows to train on. [default: all of MNIST, or 60000 synthetic ones]
    #[arg(long, value_name = "N")]
    pub rows: Option<usize>,
    /// Runs of each, in turn; the medians are compared.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub runs: usize,
    /// Python with scikit-learn.
    #[arg(long, value_name = "PATH", default_value = "python3")]
    pub python: PathBuf,
    /// Write the figures as JSON.
    #[arg(long, value_name = "FILE.json")]
    pub json: Option<PathBuf>,
}

/// Arguments of `bench paper`.
#[derive(Debug, Args)]
pub struct PaperArguments {
    /// Tables to reproduce. [default: all, 7 to 15]
    #[arg(long, value_name = "N", num_args = 1.., value_delimiter = ',', value_parser = value_parser!(u8).range(7..=15))]
    pub table: Vec<u8>,
    /// Measure some mini-batches of each training and extrapolate: all tables in a few minutes.
    #[arg(long)]
    pub quick: bool,
    /// Mini-batches that --quick measures, after 16 to warm up; a multiple of 16 has as many range checks as a long
    /// training.
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub batches: usize,
    /// Longest training of a row of table 15; as many rows as that allows are taken, and the epoch is extrapolated.
    #[arg(long, value_name = "M", default_value_t = 10.0)]
    pub minutes: f64,
    /// Directory with the four MNIST files; without it synthetic rows of the same shape, and no accuracy.
    #[arg(long, value_name = "DIR")]
    pub mnist: Option<PathBuf>,
    /// The Boston housing table, a CSV file whose target is MEDV; tables 12 and 13 need it.
    #[arg(long, value_name = "FILE.csv")]
    pub boston: Option<PathBuf>,
    /// Threads of each party, as in `train`. [default: a third of the cores, up to 8; at least 2 for Adam]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroU8>,
    /// Processes joined by TLS over Unix sockets (tls) or over TCP (tcp), or threads in memory.
    #[arg(long, value_parser = transport_parser(), default_value = "tls")]
    pub transport: TransportName,
    /// Write the figures as JSON.
    #[arg(long, value_name = "FILE.json")]
    pub json: Option<PathBuf>,
    /// Write the tables as Markdown: into a new file, or in place of those that an earlier run wrote into this one.
    #[arg(long, value_name = "FILE.md")]
    pub markdown: Option<PathBuf>,
    /// Draw tables 8, 9, 10, 12 and 15 as SVG files in this directory.
    #[arg(long, value_name = "DIR")]
    pub plots: Option<PathBuf>,
}

/// Arguments of `bench service`.
#[derive(Debug, Args)]
pub struct ServiceArguments {
    /// Clients at the same time, each a process.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1000))]
    pub clients: usize,
    /// Rows of the table that each of them uploads.
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = value_parser!(u64).range(100..=1_000_000))]
    pub rows: u64,
    /// Columns of that table.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1000))]
    pub columns: usize,
    /// Write the figures as JSON.
    #[arg(long, value_name = "FILE.json")]
    pub json: Option<PathBuf>,
}

/// Widths of all layers, at least two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Widths(pub Vec<usize>);

impl FromStr for Widths {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let width = |part: &str| part.trim().parse().ok().filter(|width| *width > 0);
        let widths: Option<Vec<usize>> = text.split(',').map(width).collect();
        widths
            .filter(|widths| widths.len() >= 2)
            .map(Self)
            .ok_or_else(|| "give the widths of at least two layers, such as 784,128,10".to_owned())
    }
}

/// A network to imitate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Profile {
    /// This machine as it is.
    Loopback,
    /// A local network: 0.1 ms one way, 10 Gbit/s.
    Lan,
    /// A city: 2 ms one way, 1 Gbit/s.
    Metro,
    /// A wide area: 20 ms one way, 100 Mbit/s.
    Wan,
}

impl Profile {
    /// All of them, the fastest first.
    pub const ALL: [Self; 4] = [Self::Loopback, Self::Lan, Self::Metro, Self::Wan];

    /// One-way latency in milliseconds and bandwidth in Mbit/s of each link and direction, where they are imitated.
    pub(crate) fn limits(self) -> (Option<f64>, Option<f64>) {
        match self {
            Self::Loopback => (None, None),
            Self::Lan => (Some(LAN.latency_ms), Some(LAN.bandwidth_mbit)),
            Self::Metro => (Some(2.0), Some(1_000.0)),
            Self::Wan => (Some(WAN.latency_ms), Some(WAN.bandwidth_mbit)),
        }
    }
}

impl std::fmt::Display for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Loopback => "loopback",
            Self::Lan => "lan",
            Self::Metro => "metro",
            Self::Wan => "wan",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_a_list_of_at_least_two() {
        assert_eq!("784, 128,10".parse(), Ok(Widths(vec![784, 128, 10])));
        for wrong in ["", "784", "784,0", "784,x"] {
            assert!(wrong.parse::<Widths>().is_err(), "{wrong}");
        }
    }
}
