//! The command line.

use std::path::PathBuf;

use clap::builder::styling::Styles;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand};
use shamisen_data::sql::Database;
use shamisen_local::transport::{Ports, TransportName};
use shamisen_service::Role;

use crate::bench::args::BenchArguments;
use crate::choices::{ImageSize, ScalingName, TargetScalingName, TaskName, transport_parser};
use crate::columns::{CategoricalColumn, DateColumn, MissingChoice};
use crate::data_sets::args::{
    AuditArguments, ClusterArguments, DataSetArguments, ListArguments, ModelServers, PutArguments,
    TermsArguments,
};
use crate::job::JobFields;
use crate::submit::SubmitFields;

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
    /// Share a table of any size among three directories, one for each server, to train on with `train --shares`.
    Share(ShareArguments),
    /// Predict with a shared model; features, predictions and weights stay shared.
    Predict(PredictArguments),
    /// Show what is known of a model, of a shared table, or of a training that keeps checkpoints, and check its files.
    Inspect(InspectArguments),
    /// Write a synthetic table of any size, with something to learn.
    Generate(GenerateArguments),
    /// Measure speed: a mini-batch, the kernels, the protocols, slower networks, scikit-learn.
    Bench(Box<BenchArguments>),
    /// Run one of the three parties from its directory (`train` and `predict` do this for all three).
    ///
    /// The directory holds party.toml (addresses and pinned keys), job.json (the public job, the same at all three),
    /// the party's key and certificate, and its share files. Events go to the standard output, one JSON object a line;
    /// logs go to the standard error.
    Party(PartyArguments),
    /// Make a key for a server, a data owner, an analyst or an operator, and show the fingerprint by which others know it.
    Keygen(KeygenArguments),
    /// Run one of the three servers as a service, until Ctrl-C or SIGTERM.
    ///
    /// Its file names its key, its two peers and the people it knows. Logs go to the standard error.
    Serve(ServeArguments),
    /// Look at three servers and say what is wrong, and what to do.
    ///
    /// With --cluster and --key, as one of the people whom the servers know; with --config, as the operator of a server, on its
    /// machine. Looks at addresses in both directions, keys, versions, clocks, the network and disks. Exit status 2 if something is wrong.
    Doctor(DoctorArguments),
    /// Show the page of a server in a browser on this machine: jobs, data sets, the servers, the audit log. It only reads.
    ///
    /// With --cluster and --key, as one of the people whom the servers know; with --config, as the operator of a server, on its
    /// machine. It prints an address to open, and passes on what the page asks for until Ctrl-C.
    Page(PageArguments),
    /// Share a table here and upload the shares to the three servers, as a data set on your terms.
    ///
    /// The data set exists when all three have it. After an interruption, the same command goes on.
    Put(Box<PutArguments>),
    /// List the data sets at the three servers that you may know of, and your uploads.
    List(ListArguments),
    /// Show a data set and the terms on which it is given; or, as its owner, set new ones.
    Terms(TermsArguments),
    /// Take a data set of yours back, or give an upload up: its shares are deleted at all three servers.
    Revoke(DataSetArguments),
    /// Look after the servers' audit logs.
    Audit(AuditArguments),
    /// Sign a job and hand it in to three servers. Several values of a hyper-parameter are a grid to search.
    Submit(Box<SubmitArguments>),
    /// List your jobs at three servers.
    Jobs(JobsArguments),
    /// Show how far a job is until it is over, and what came out.
    Watch(JobArguments),
    /// End a job that is not wanted any more.
    Cancel(JobArguments),
    /// Show what happened to a job at each server.
    Logs(JobArguments),
    /// List the models at three servers of which you may have something.
    Models(JobsArguments),
    /// Open a model, so that others can read it: ONNX or safetensors; or take one out of three servers, if its job lets you have it.
    ///
    /// Of a model at servers, each sends its share to you alone. A directory is as `train --model` writes it: the shares, not yet
    /// put together, so that `predict` and `inspect` take it. ONNX and safetensors have the weights in the clear.
    Export(ExportArguments),
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// How the three parties are joined.
    #[arg(long, value_parser = transport_parser(), default_value = "tls")]
    pub transport: TransportName,
}

/// Arguments of `train`.
#[derive(Debug, Args)]
pub struct TrainArguments {
    /// Read the job from a TOML file with the same names (`batch_size` for `--batch-size`); flags override it.
    #[arg(long, value_name = "FILE.toml")]
    pub job: Option<PathBuf>,
    /// Go on with a training that was interrupted, from the directory that --checkpoint named. Besides, only --model, --report,
    /// --deadline and what joins the parties may be given.
    #[arg(long, value_name = "DIR")]
    pub resume: Option<PathBuf>,
    /// Only tell what the training will cost: rounds, bytes, memory, and time here and over other networks. Nothing is shared.
    #[arg(long, conflicts_with = "resume")]
    pub estimate: bool,
    /// The job.
    #[command(flatten)]
    pub fields: JobFields,
}

/// Arguments of `predict`.
#[derive(Debug, Args)]
pub struct PredictArguments {
    /// Directory of the model, as `train --model` wrote it, or a network in ONNX or safetensors, whose weights are shared first; with
    /// --cluster the name or id of a model at three servers.
    #[arg(long, value_name = "DIR|FILE|MODEL")]
    pub model: PathBuf,
    /// File with the feature columns of the training data, in any order (the target column is ignored), or directory of images.
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Where the predictions go, CSV or Parquet by its name; the standard output, as CSV, without it.
    #[arg(long, value_name = "FILE.csv|FILE.parquet")]
    pub output: Option<PathBuf>,
    /// How the three parties are joined; by TCP with --ports.
    #[arg(long, value_parser = transport_parser(), default_value = "tls")]
    pub transport: TransportName,
    /// Fixed local ports of the three parties, which are then joined by TCP.
    #[arg(long, value_name = "A,B,C", conflicts_with = "cluster")]
    pub ports: Option<Ports>,
    /// Longest wait of a party for another one.
    #[arg(long, value_name = "SECONDS", conflicts_with = "cluster")]
    pub deadline: Option<f64>,
    /// The servers that keep the model, if any do.
    #[command(flatten)]
    pub servers: ModelServers,
}

/// Arguments of `share`.
#[derive(Debug, Args)]
pub struct ShareArguments {
    /// CSV, NPY, NPZ, Parquet or Arrow files, as from several owners with the same columns.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// Directory with the four IDX files of MNIST, or of a data set in its format such as EMNIST, gzipped or not.
    #[arg(long, value_name = "DIR")]
    pub mnist: Option<PathBuf>,
    /// New directory for the shares: `party0`, `party1` and `party2` for the servers, and `preprocessing.json`, which stays.
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
    /// How it is shared.
    #[command(flatten)]
    pub sharing: SharingFlags,
}

impl ShareArguments {
    /// The same choices as those of a training.
    pub(crate) fn fields(&self) -> JobFields {
        JobFields { mnist: self.mnist.clone(), ..self.sharing.fields(&self.data) }
    }
}

/// How a table is shared, on the disk or to three servers.
#[derive(Debug, Args)]
pub struct SharingFlags {
    /// Directory with a sub-directory of PNG or JPEG images for each class.
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Resize all images to so many pixels; without it, they have to have one size.
    #[arg(long, value_name = "WxH")]
    pub image_size: Option<ImageSize>,
    /// Take the rows that this query gives on --database.
    #[arg(long, value_name = "QUERY", requires = "database")]
    pub sql: Option<String>,
    /// Database for --sql: a SQLite file, or `postgres://USER@localhost/NAME`. A password may be in the variable PGPASSWORD.
    #[arg(long, value_name = "FILE|URL")]
    pub database: Option<Database>,
    /// Column to predict: its name, or for NPY and NPZ its number from 0. [default for these: the last one, or the labels]
    #[arg(long, value_name = "COLUMN")]
    pub target: Option<String>,
    /// Predict classes or numbers.
    #[arg(long, value_enum)]
    pub task: Option<TaskName>,
    /// Files to test on, of the formats of --data; for --images, directories.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub test: Vec<PathBuf>,
    /// Fraction of the rows held out for the test; 0 shares all rows to train on. [default: 0.2]
    #[arg(long, value_name = "FRACTION", allow_negative_numbers = true)]
    pub test_fraction: Option<f64>,
    /// Column of categories, each of which becomes an input; with the list of them, or those that are found. Repeat for more columns.
    #[arg(long, value_name = "COLUMN[=A,B,...]")]
    pub categorical: Vec<CategoricalColumn>,
    /// Column of dates, which become days since 1970-01-01: of ISO 8601, or of a format such as %d.%m.%Y. Repeat for more columns.
    #[arg(long, value_name = "COLUMN[=FORMAT]")]
    pub date: Vec<DateColumn>,
    /// What stands in for missing values of features, which are errors without it: mean (of the training part), constant=NUMBER, or
    /// for one column COLUMN=mean or COLUMN=constant=NUMBER. Repeat for more columns.
    #[arg(long, value_name = "RULE")]
    pub missing: Vec<MissingChoice>,
    /// How features are scaled, by statistics of the training part. [default: standard]
    #[arg(long, value_enum)]
    pub scaling: Option<ScalingName>,
    /// How a regression target is scaled; metrics stay in its own unit. [default: none]
    #[arg(long, value_enum)]
    pub target_scaling: Option<TargetScalingName>,
    /// Public seed of the hold-out. [default: 1]
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,
    /// Widest layer of the networks to be trained; beyond 2048 units, features keep a bit less for every doubling.
    #[arg(long, value_name = "UNITS", default_value_t = 2048)]
    pub widest_layer: usize,
}

impl SharingFlags {
    /// The same choices as those of a training on these files.
    pub(crate) fn fields(&self, data: &[PathBuf]) -> JobFields {
        JobFields {
            data: data.to_vec(),
            images: self.images.clone(),
            image_size: self.image_size,
            sql: self.sql.clone(),
            database: self.database.clone(),
            target: self.target.clone(),
            task: self.task,
            test: self.test.clone(),
            test_fraction: self.test_fraction,
            categorical: self.categorical.clone(),
            date: self.date.clone(),
            missing: self.missing.clone(),
            scaling: self.scaling,
            target_scaling: self.target_scaling,
            seed: self.seed,
            ..JobFields::default()
        }
    }
}

/// Arguments of `inspect`.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct InspectArguments {
    /// Directory of the model.
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Directory that `share` wrote.
    #[arg(long, value_name = "DIR")]
    pub shares: Option<PathBuf>,
    /// Directory of a training that keeps checkpoints.
    #[arg(long, value_name = "DIR")]
    pub checkpoint: Option<PathBuf>,
}

/// Arguments of `generate`.
#[derive(Debug, Args)]
pub struct GenerateArguments {
    /// Rows.
    #[arg(long, value_name = "N")]
    pub rows: u64,
    /// Columns of features; the target is one more, the last one.
    #[arg(long, value_name = "N")]
    pub columns: usize,
    /// Classes or numbers as the target.
    #[arg(long, value_enum, default_value = "classification")]
    pub task: TaskName,
    /// Classes of a classification.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub classes: usize,
    /// Seed of the rows and of the teacher that decides the target.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub seed: u64,
    /// Where the table goes: CSV with the columns `x0`, `x1`, ... and `y`, or NPY of float32.
    #[arg(long, value_name = "FILE.csv|FILE.npy")]
    pub output: PathBuf,
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

/// Arguments of `keygen`.
#[derive(Debug, Args)]
pub struct KeygenArguments {
    /// Who uses the key.
    #[arg(long, value_name = "ROLE", value_parser = PossibleValuesParser::new(Role::ALL.map(Role::name)).try_map(|name| name.parse::<Role>()))]
    pub role: Role,
    /// Name of the server or person, for those who look at the certificate.
    #[arg(long)]
    pub name: String,
    /// Directory for the private key and the certificate; a key in it is never overwritten.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Configuration of the server.
    #[arg(long, value_name = "FILE.toml")]
    pub config: PathBuf,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// File with the addresses and fingerprints of the three servers.
    #[arg(long, value_name = "cluster.toml", required_unless_present = "config", requires = "key")]
    pub cluster: Option<PathBuf>,
    /// Directory of the own key, as `keygen` made it.
    #[arg(long, value_name = "DIR", requires = "cluster")]
    pub key: Option<PathBuf>,
    /// Configuration of a server, on its own machine.
    #[arg(long, value_name = "FILE.toml", conflicts_with_all = ["cluster", "key"])]
    pub config: Option<PathBuf>,
}

/// Arguments of `page`.
#[derive(Debug, Args)]
pub struct PageArguments {
    /// File with the addresses and fingerprints of the three servers.
    #[arg(long, value_name = "cluster.toml", required_unless_present = "config", requires = "key")]
    pub cluster: Option<PathBuf>,
    /// Directory of the own key, as `keygen` made it.
    #[arg(long, value_name = "DIR", requires = "cluster")]
    pub key: Option<PathBuf>,
    /// The server whose page it is.
    #[arg(long, value_name = "0|1|2", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2), conflicts_with = "config")]
    pub server: u8,
    /// Configuration of a server, on its own machine.
    #[arg(long, value_name = "FILE.toml", conflicts_with_all = ["cluster", "key"])]
    pub config: Option<PathBuf>,
    /// Port of this machine. [default: one that is free]
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    pub port: u16,
}

/// Arguments of `submit`.
#[derive(Debug, Args)]
pub struct SubmitArguments {
    /// The servers.
    #[command(flatten)]
    pub servers: ClusterArguments,
    /// Read the job from a TOML file with the same names (`batch_size` for `--batch-size`); flags override it.
    #[arg(long, value_name = "FILE.toml")]
    pub job: Option<PathBuf>,
    /// Show how far the job is until it is over, as `watch` does.
    #[arg(long)]
    pub watch: bool,
    /// The job.
    #[command(flatten)]
    pub fields: SubmitFields,
}

/// Arguments of `jobs`.
#[derive(Debug, Args)]
pub struct JobsArguments {
    /// The servers.
    #[command(flatten)]
    pub servers: ClusterArguments,
}

/// Arguments of `watch`, `cancel` and `logs`.
#[derive(Debug, Args)]
pub struct JobArguments {
    /// The job: its id, the beginning of its id, or its name.
    #[arg(value_name = "JOB")]
    pub job: String,
    /// The servers.
    #[command(flatten)]
    pub servers: ClusterArguments,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// Directory of the model, as `train --model` wrote it, or a file of ONNX or safetensors; with --cluster the name or id of a model at
    /// three servers, or the beginning of its id.
    #[arg(long, value_name = "DIR|FILE|MODEL")]
    pub model: PathBuf,
    /// Where it goes: a file whose name ends with .onnx or .safetensors; with --cluster also a new directory.
    #[arg(long, value_name = "FILE.onnx|FILE.safetensors|DIR")]
    pub to: PathBuf,
    /// The servers that keep the model, if any do.
    #[command(flatten)]
    pub servers: ModelServers,
}
