//! `train`: reads the job, and prints what came of it.

use std::path::Path;

use shamisen_local::estimate::estimate;
use shamisen_local::job::Job;
use shamisen_local::report::Report;
use shamisen_local::train::{planned, resume, train};

use crate::args::TrainArguments;
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::job::JobFields;
use crate::progress::Screen;
use crate::summary;

/// Carries out `train`.
pub(crate) fn run(arguments: &TrainArguments, verbose: u8) -> Result<()> {
    let Some(dir) = &arguments.resume else {
        let file = arguments.job.as_deref().map(JobFields::read).transpose()?.unwrap_or_default();
        interrupt::install();
        let job = arguments.fields.clone().or(file).resolve()?;
        if arguments.estimate {
            return print_estimate(&job);
        }
        let report = train(&job, verbose, &mut Screen::default())?;
        return print(&report, job.checkpoints.as_ref().map(|(dir, _)| dir.as_path()));
    };
    if arguments.job.is_some() {
        return Err(Failure::input("--resume goes on with the job that was begun: leave --job out"));
    }
    interrupt::install();
    let changes = arguments.fields.clone().changes()?;
    let report = resume(dir, changes, verbose, &mut Screen::default())?;
    print(&report, Some(dir))
}

/// Tells what a job will cost.
fn print_estimate(job: &Job) -> Result<()> {
    let (plan, rows) = planned(job, &mut Screen::default())?;
    let estimate = estimate(&plan, rows, job.threads, job.link.transport)?;
    crate::print(&summary::estimate(&plan, rows, job.link.joined(), &estimate))
}

fn print(report: &Report, removed: Option<&Path>) -> Result<()> {
    let mut text = summary::text(report);
    if let Some(dir) = removed {
        text.push_str(&summary::line(
            "checkpoints",
            &format!("no longer needed: {} is removed", dir.display()),
        ));
    }
    crate::print(&text)
}
