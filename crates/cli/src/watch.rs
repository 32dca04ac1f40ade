//! `jobs`, `watch`, `cancel` and `logs`: how far the jobs at three servers are.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};

use indicatif::{ProgressBar, ProgressStyle};
use shamisen_service::analyst::Analyst;
use shamisen_service::job::{JobState, JobStatus, TrainingResult};

use crate::args::{JobArguments, JobsArguments};
use crate::data_sets::printable;
use crate::failure::{Failure, Result};
use crate::interrupt;

/// Carries out `jobs`.
pub(crate) fn list(arguments: &JobsArguments) -> Result<()> {
    interrupt::install();
    let jobs = arguments.servers.analyst()?.jobs()?;
    if jobs.is_empty() {
        return crate::print("there are no jobs\n");
    }
    let mut text = format!("{:<32}  {:<11}  {:<20}  name\n", "id", "state", "analyst");
    for job in jobs {
        // Writing to a string does not fail.
        let (analyst, name) = (printable(&job.analyst), printable(&job.name));
        let _ = writeln!(text, "{:<32}  {:<11}  {analyst:<20}  {name}", job.id, job.state.name());
    }
    crate::print(&text)
}

/// Carries out `watch`.
pub(crate) fn run(arguments: &JobArguments) -> Result<()> {
    interrupt::install();
    let analyst = arguments.servers.analyst()?;
    let job = analyst.find(&arguments.job)?;
    watch(&analyst, &job)
}

/// Carries out `cancel`.
pub(crate) fn cancel(arguments: &JobArguments) -> Result<()> {
    interrupt::install();
    let analyst = arguments.servers.analyst()?;
    let job = analyst.find(&arguments.job)?;
    let status = analyst.cancel(&job.id)?;
    crate::print(&format!(
        "job     {} ({})\nstate   {}\n",
        status.id,
        printable(&status.name),
        status.state.name()
    ))
}

/// Carries out `logs`.
pub(crate) fn logs(arguments: &JobArguments) -> Result<()> {
    interrupt::install();
    let analyst = arguments.servers.analyst()?;
    let job = analyst.find(&arguments.job)?;
    let mut text = String::new();
    for (server, entry) in analyst.log(&job.id)? {
        let seconds = entry.time - job.accepted;
        let _ = writeln!(text, "{seconds:>10.3} s  server {server}  {}", printable(&entry.text));
    }
    crate::print(&text)
}

/// Shows a job until it is over, and what came out; fails if the job does.
pub(crate) fn watch(analyst: &Analyst, job: &JobStatus) -> Result<()> {
    let mut display = Display::new();
    let status = analyst.watch(&job.id, |status| {
        display.show(status);
        Ok(())
    })?;
    display.bar.finish_and_clear();
    crate::print(&text(&status))?;
    let reason = || printable(status.reason.as_deref().unwrap_or("no reason is given"));
    match status.state {
        JobState::Done => Ok(()),
        JobState::Cancelled => Err(Failure::run(format!("the job was cancelled: {}", reason()))),
        _ => Err(Failure::run(format!("the job failed: {}", reason()))),
    }
}

/// A job on the screen: a bar on a terminal, lines elsewhere.
struct Display {
    bar: ProgressBar,
    is_terminal: bool,
    told: String,
}

impl Display {
    fn new() -> Self {
        let is_terminal = io::stderr().is_terminal();
        let bar = if is_terminal { ProgressBar::new(1) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{bar:24} {msg}");
        Self {
            bar: bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())),
            is_terminal,
            told: String::new(),
        }
    }

    fn show(&mut self, status: &JobStatus) {
        let mut message = status.state.name().to_owned();
        if let Some(progress) = &status.progress {
            let all = (progress.epochs * progress.batches) as u64;
            self.bar.set_length(all);
            self.bar.set_position(((progress.epoch - 1) * progress.batches + progress.batch) as u64);
            if status.trainings > 1 {
                let _ = write!(message, ", training {}/{}", progress.training + 1, status.trainings);
            }
            let _ = write!(message, ", epoch {}/{}", progress.epoch, progress.epochs);
            if self.is_terminal {
                let _ = write!(message, ", batch {}/{}", progress.batch, progress.batches);
            }
            if let Some(loss) = progress.loss.filter(|_| self.is_terminal) {
                let _ = write!(message, ", loss {loss:.4}");
            }
        }
        if let Some(part) = status.rescaled {
            self.bar.set_length(100);
            self.bar.set_position((100.0 * part) as u64);
            let _ = write!(message, ", rows of all owners rescaled: {:.0} %", 100.0 * part);
        }
        if let (JobState::Interrupted, Some(reason)) = (status.state, &status.reason) {
            let _ = write!(message, ": {}", printable(reason));
        }
        if !self.is_terminal && message != self.told {
            // Without a standard error there is nobody to tell.
            drop(writeln!(io::stderr(), "{message}"));
            self.told.clone_from(&message);
        }
        self.bar.set_message(message);
    }
}

/// What is known of a job that is over.
fn text(status: &JobStatus) -> String {
    let mut text = format!("job            {} ({})\n", status.id, printable(&status.name));
    let _ = writeln!(text, "state          {}", status.state.name());
    for (number, result) in status.results.iter().enumerate() {
        if status.results.len() > 1 {
            let _ = writeln!(text, "training {:<5} {}", number + 1, figures(result));
        } else {
            let _ = writeln!(text, "result         {}", figures(result));
        }
    }
    text
}

fn figures(result: &TrainingResult) -> String {
    let mut figures = Vec::new();
    if let Some(accuracy) = result.accuracy {
        figures.push(format!("accuracy {:.2} %", 100.0 * accuracy));
    }
    if let Some(cross_entropy) = result.cross_entropy {
        figures.push(format!("cross-entropy {cross_entropy:.4}"));
    }
    if let Some(r2) = result.r2 {
        figures.push(format!("R2 {r2:.4}"));
    }
    if let Some(mse) = result.mse {
        figures.push(format!("mean squared error {mse:.4}, as the target is scaled"));
    }
    if let Some(loss) = result.loss.last() {
        figures.push(format!("last loss {loss:.4}"));
    }
    figures.push(crate::summary::seconds(result.seconds));
    figures.join(", ")
}
