//! What all benchmarks write: where they ran, and their figures.

use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

use serde::Serialize;
use shamisen_local::store::write_atomically;
use shamisen_local::transport::{Joined, TransportName};
use shamisen_ring::level::level;

use crate::failure::{Failure, Result};

/// The JSON of a benchmark: what all have in common, and beside it the fields of its own.
#[derive(Serialize)]
pub(crate) struct Document<'a, T> {
    /// Name of the sub-command.
    benchmark: &'static str,
    #[serde(flatten)]
    machine: Machine,
    #[serde(flatten)]
    figures: &'a T,
}

/// Where a benchmark ran.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// Version of Shamisen.
    version: &'static str,
    /// Model of the processor, as the system names it.
    cpu: String,
    /// Processors that this process may use.
    cores: usize,
    /// Instruction set of the kernels.
    level: &'static str,
    /// Processes that wanted a processor before the benchmark began, mean of a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    load_average: Option<f64>,
    /// How the parties were joined, if there were any.
    #[serde(flatten)]
    joined: Option<Joined>,
}

impl Machine {
    /// This machine, before a benchmark begins.
    pub(crate) fn new(transport: Option<TransportName>) -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Self {
            version: env!("CARGO_PKG_VERSION"),
            cpu: model.map_or("unknown processor", |(_, name)| name.trim()).to_owned(),
            cores: available_parallelism().map_or(1, usize::from),
            level: level().name(),
            load_average: load.split_whitespace().next().and_then(|minute| minute.parse().ok()),
            joined: transport.map(Joined::from),
        }
    }

    /// The same in a line.
    pub(crate) fn line(&self, joined: &str) -> String {
        let Self { version, cpu, cores, level, .. } = self;
        let load = self.load_average.map(|load| format!(", load before: {load}")).unwrap_or_default();
        let separator = if joined.is_empty() { "" } else { "; " };
        format!("{cpu}, cores: {cores}{load}, kernels: {level}{separator}{joined}; shamisen {version}\n")
    }
}

/// Prints the text, and writes the JSON of the same figures if there is a place for it.
pub(crate) fn publish<T: Serialize>(
    benchmark: &'static str,
    machine: Machine,
    figures: &T,
    text: &str,
    json: Option<&Path>,
) -> Result<()> {
    write_json(benchmark, machine, figures, json)?;
    crate::print(text)
}

/// Writes the JSON of figures if there is a place for it.
pub(crate) fn write_json<T: Serialize>(
    benchmark: &'static str,
    machine: Machine,
    figures: &T,
    json: Option<&Path>,
) -> Result<()> {
    let Some(path) = json else { return Ok(()) };
    let document = Document { benchmark, machine, figures };
    let mut text = serde_json::to_string_pretty(&document)
        .map_err(|error| Failure::run(format!("the figures cannot be written as JSON: {error}")))?;
    text.push('\n');
    Ok(write_atomically(path, text.as_bytes())?)
}
