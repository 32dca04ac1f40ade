//! Arguments of the commands about data sets.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use shamisen_service::analyst::Analyst;
use shamisen_service::cluster::Cluster;
use shamisen_service::keys;

use crate::args::SharingFlags;
use crate::failure::Result;
use crate::interrupt;

/// Where the three servers are, and who asks.
#[derive(Debug, Args)]
pub struct ClusterArguments {
    /// File with the addresses and fingerprints of the three servers.
    #[arg(long, value_name = "cluster.toml")]
    pub cluster: PathBuf,
    /// Directory of the own key, as `keygen` made it.
    #[arg(long, value_name = "DIR")]
    pub key: PathBuf,
}

impl ClusterArguments {
    /// Reads both.
    pub(crate) fn analyst(&self) -> Result<Analyst> {
        Ok(Analyst::new(Cluster::read(&self.cluster)?, keys::read(&self.key)?)?)
    }
}

/// Three servers that keep a model, and who asks; neither, if the model is here.
#[derive(Debug, Args)]
pub struct ModelServers {
    /// File with the addresses and fingerprints of three servers that keep the model.
    #[arg(long, value_name = "cluster.toml", requires = "key")]
    pub cluster: Option<PathBuf>,
    /// Directory of the own key, as `keygen` made it.
    #[arg(long, value_name = "DIR", requires = "cluster")]
    pub key: Option<PathBuf>,
}

impl ModelServers {
    /// Reads both, if they are named. Ctrl-C ends what is asked for.
    pub(crate) fn analyst(&self) -> Result<Option<Analyst>> {
        let (Some(cluster), Some(key)) = (&self.cluster, &self.key) else { return Ok(None) };
        let analyst = Analyst::new(Cluster::read(cluster)?, keys::read(key)?)?;
        Ok(Some(analyst.with_patience(|| interrupt::check().map_err(Into::into))))
    }
}

/// Arguments of `put`.
#[derive(Debug, Args)]
pub struct PutArguments {
    /// CSV, NPY, NPZ, Parquet or Arrow files with the same columns.
    #[arg(value_name = "FILE", required_unless_present_any = ["images", "sql"], num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// Name of the data set: letters, digits, `-`, `_` and `.`, at most 64.
    #[arg(long)]
    pub name: String,
    /// On what terms the data are given.
    #[arg(long, value_name = "terms.toml")]
    pub terms: PathBuf,
    /// Where the servers are, and who uploads.
    #[command(flatten)]
    pub servers: ClusterArguments,
    /// How the table is shared.
    #[command(flatten)]
    pub sharing: SharingFlags,
    /// There is no target: all columns are features, for trainings with the target of another owner (`submit --join columns`).
    #[arg(long)]
    pub no_target: bool,
    /// Directory for the shares of all three servers until they have them. [default: `.shamisen-put-NAME` beside the first FILE
    /// or the images; with --sql in the present directory]
    #[arg(long, value_name = "DIR")]
    pub staging: Option<PathBuf>,
    /// How long a server may be unreachable, or wait for another one, before the upload stops; the same command goes on.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub patience: u64,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// Where the servers are, and who asks.
    #[command(flatten)]
    pub servers: ClusterArguments,
}

/// Arguments of `terms`.
#[derive(Debug, Args)]
pub struct TermsArguments {
    /// The data set.
    #[command(flatten)]
    pub data_set: DataSetArguments,
    /// New terms in place of those before, at all three servers: for the owner. Jobs that were accepted go on.
    #[arg(long, value_name = "terms.toml")]
    pub set: Option<PathBuf>,
}

/// Arguments of `revoke`, and of `terms`.
#[derive(Debug, Args)]
pub struct DataSetArguments {
    /// Name or id of the data set.
    #[arg(value_name = "NAME")]
    pub data_set: String,
    /// Where the servers are, and who asks.
    #[command(flatten)]
    pub servers: ClusterArguments,
}

/// Arguments of `audit`.
#[derive(Debug, Args)]
pub struct AuditArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: AuditCommand,
}

/// What can be done with audit logs.
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum AuditCommand {
    /// Check the chains of the three servers' logs and compare them; or check one file. Exit status 2 if something is wrong.
    Verify(VerifyArguments),
}

/// Arguments of `audit verify`.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// File with the addresses and fingerprints of the three servers.
    #[arg(long, value_name = "cluster.toml", required_unless_present = "log", requires = "key")]
    pub cluster: Option<PathBuf>,
    /// Directory of the own key, as `keygen` made it.
    #[arg(long, value_name = "DIR", requires = "cluster")]
    pub key: Option<PathBuf>,
    /// A log on this machine: `audit.log` in the data directory of a server.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["cluster", "key"])]
    pub log: Option<PathBuf>,
}
