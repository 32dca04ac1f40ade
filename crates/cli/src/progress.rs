//! The progress bars.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use shamisen_local::Progress;
use shamisen_nn::plan::Plan;
use shamisen_party::event::Step;

use crate::summary::bytes;

/// Shows how far the work is, if the standard error is a terminal.
#[derive(Default)]
pub(crate) enum Screen {
    /// Nothing is shown.
    #[default]
    Empty,
    Reading(Reading),
    Training(Display),
}

impl Progress for Screen {
    fn reading(&mut self) {
        *self = Self::Reading(Reading::first_pass());
    }

    fn sharing(&mut self, rows: usize, all: usize) {
        match self {
            Self::Reading(display) => display.show(rows),
            _ => *self = Self::Reading(Reading::sharing(all)),
        }
    }

    fn training(&mut self, plan: &Plan, rows: usize) {
        *self = Self::Training(Display::new(plan, rows));
    }

    fn step(&mut self, party: usize, step: Step) {
        if let Self::Training(display) = self {
            display.show(party, step);
        }
    }

    fn done(&mut self) {
        *self = Self::Empty;
    }
}

/// When the first report came, from which on rates count: the connections stand then.
#[derive(Clone, Copy)]
struct Start {
    at: Instant,
    /// Rows that were seen by then; many if the training went on from a checkpoint.
    seen: usize,
    bytes_sent: u64,
}

/// Shows how far a training is, if the standard error is a terminal.
pub(crate) struct Display {
    bar: Option<ProgressBar>,
    rows: usize,
    epochs: usize,
    batch_size: usize,
    started: Option<Start>,
    loss: Option<f64>,
}

impl Display {
    /// A display for a training by `plan` on so many rows.
    pub(crate) fn new(plan: &Plan, rows: usize) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let total = plan.epochs * rows.div_ceil(plan.batch_size);
            let style = ProgressStyle::with_template("{bar:24} {msg}, {eta} left");
            let bar = ProgressBar::new(total as u64);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message("the parties meet");
            bar
        });
        Self { bar, rows, epochs: plan.epochs, batch_size: plan.batch_size, started: None, loss: None }
    }

    /// Shows a step of party 0; the others are at most a round away.
    pub(crate) fn show(&mut self, party: usize, step: Step) {
        if party != 0 {
            return;
        }
        self.loss = step.loss.or(self.loss);
        let loss = self.loss.map_or("-".to_owned(), |loss| format!("{loss:.4}"));
        if step.batch == step.batches {
            tracing::info!("epoch {}/{} is done, loss {loss}", step.epoch, self.epochs);
        }
        let Some(bar) = &self.bar else { return };
        let seen = (step.epoch - 1) * self.rows + (step.batch * self.batch_size).min(self.rows);
        bar.set_position(((step.epoch - 1) * step.batches + step.batch) as u64);
        let start = *self.started.get_or_insert_with(|| {
            bar.reset_eta();
            Start { at: Instant::now(), seen, bytes_sent: step.bytes_sent }
        });
        let seconds = start.at.elapsed().as_secs_f64().max(1e-3);
        let samples = seen.saturating_sub(start.seen) as f64 / seconds;
        let sent = step.bytes_sent.saturating_sub(start.bytes_sent) as f64 / seconds;
        bar.set_message(format!(
            "epoch {}/{}, batch {}/{}, loss {loss}, {samples:.0} samples/s, {}/s sent per party",
            step.epoch,
            self.epochs,
            step.batch,
            step.batches,
            bytes(sent),
        ));
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Shows how far an upload is, if the standard error is a terminal.
pub(crate) struct Sending {
    bar: Option<ProgressBar>,
}

impl Sending {
    pub(crate) fn new() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let template = "{bar:24} {binary_bytes} of {binary_total_bytes} uploaded, {binary_bytes_per_sec}, {eta} left";
            let style = ProgressStyle::with_template(template);
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar }
    }

    /// The servers have so many of all bytes.
    pub(crate) fn show(&mut self, sent: u64, all: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(all);
            bar.set_position(sent);
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Shows how far a table is read and shared, if the standard error is a terminal.
pub(crate) struct Reading {
    bar: Option<ProgressBar>,
}

impl Reading {
    /// A display for the first pass, of which no end is known.
    pub(crate) fn first_pass() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner().with_message("the table is read for its statistics");
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { bar }
    }

    /// A display for sharing so many rows.
    pub(crate) fn sharing(rows: usize) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let template = "{bar:24} {human_pos} of {human_len} rows shared, {eta} left";
            let style = ProgressStyle::with_template(template);
            ProgressBar::new(rows as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar }
    }

    /// So many rows were shared.
    pub(crate) fn show(&self, rows: usize) {
        if let Some(bar) = &self.bar {
            bar.set_position(rows as u64);
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
