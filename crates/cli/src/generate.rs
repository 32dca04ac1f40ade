//! `generate`: a synthetic table of any size.

use std::fs;

use shamisen_data::generate::Synthetic;
use shamisen_local::store::check_writable;

use crate::args::GenerateArguments;
use crate::choices::TaskName;
use crate::failure::{Failure, Result};
use crate::interrupt::{self, Protection};
use crate::summary::{bytes, grouped};

/// Carries out `generate`.
pub(crate) fn run(arguments: &GenerateArguments) -> Result<()> {
    interrupt::install();
    let output = &arguments.output;
    check_writable(output)?;
    let synthetic = Synthetic {
        rows: arguments.rows,
        columns: arguments.columns,
        classes: (arguments.task == TaskName::Classification).then_some(arguments.classes),
        seed: arguments.seed,
    };
    let protection = Protection::new();
    synthetic.write(output, interrupt::check)?;
    drop(protection);
    let size = fs::metadata(output).map_err(|error| Failure::file("read", output, &error))?.len();
    crate::print(&format!(
        "{}: {} rows of {} features and a target, {}\n",
        output.display(),
        grouped(arguments.rows),
        grouped(arguments.columns as u64),
        bytes(size as f64)
    ))
}
