//! The command line.

use std::path::PathBuf;

use clap::builder::styling::Styles;
use clap::{ArgAction, Args, Parser, Subcommand};

use crate::bench::args::BenchArguments;
use crate::choices::{Ports, TransportName};
use crate::job::JobFields;

/// Train and use neural networks on data that none of three servers sees.
#[derive(Debug, Parser)]
#[command(name = "shamisen", version, arg_required_else_help = true, styles = Styles::styled())]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Log more to the standard error (repeat for more; `RUST_LOG` overrides it).
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum Command {
    /// Train on two bundled real data sets, three local processes over TLS, in less than a minute.
    Demo(DemoArguments),
    /// Share a table among three local parties and train a network on the shares.
    Train(Box<TrainArguments>),
    /// Predict with a shared model; features, predictions and weights stay shared.
    Predict(PredictArguments),
    /// Show what is publicly known of a model.
    Inspect(InspectArguments),
    /// Measure speed: a mini-batch, the kernels, the protocols, slower networks, scikit-learn.
    Bench(Box<BenchArguments>),
    /// Run one of the three parties from its directory (`train` and `predict` do this for all three).
    ///
    /// The directory holds party.toml (addresses and pinned keys), job.json (the public job, the same at all three),
    /// the party's key and certificate, and its share files. Events go to the standard output, one JSON object a line;
    /// logs go to the standard error.
    Party(PartyArguments),
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// How the three parties are joined.
    #[arg(long, value_enum, default_value = "tls")]
    pub transport: TransportName,
}

/// Arguments of `train`.
#[derive(Debug, Args)]
pub struct TrainArguments {
    /// Read the job from a TOML file with the same names (`batch_size` for `--batch-size`); flags override it.
    #[arg(long, value_name = "FILE.toml")]
    pub job: Option<PathBuf>,
    /// The job.
    #[command(flatten)]
    pub fields: JobFields,
}

/// Arguments of `predict`.
#[derive(Debug, Args)]
pub struct PredictArguments {
    /// Directory of the model, as `train --model` wrote it.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// CSV file with the feature columns of the training data, in any order; the target column is ignored.
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Where the predictions go; the standard output without it.
    #[arg(long, value_name = "FILE.csv")]
    pub output: Option<PathBuf>,
    /// How the three parties are joined; by TCP with --ports.
    #[arg(long, value_enum, default_value = "tls")]
    pub transport: TransportName,
    /// Fixed local ports of the three parties, which are then joined by TCP.
    #[arg(long, value_name = "A,B,C")]
    pub ports: Option<Ports>,
    /// Longest wait of a party for another one.
    #[arg(long, value_name = "SECONDS")]
    pub deadline: Option<f64>,
}

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub struct InspectArguments {
    /// Directory of the model.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
}

/// Arguments of `party`.
#[derive(Debug, Args)]
pub struct PartyArguments {
    /// Directory of the party.
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// A launcher reads the events and tells the user about errors.
    #[arg(long, hide = true)]
    pub launched: bool,
}
