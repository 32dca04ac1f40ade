//! The measured tables: the paper's figures, ours, and how they compare.

use serde::Serialize;

use crate::bench::paper::measured::Measured;
use crate::bench::paper::tables::{Line, Output, Part, Published, Score, Table, Time};

/// The figures of `bench paper`.
#[derive(Serialize)]
pub(super) struct Figures {
    /// `MNIST`, or the synthetic rows that stand for it.
    pub(super) data: &'static str,
    /// With `--quick`, the mini-batches that were to be measured of each training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) quick_batches: Option<usize>,
    pub(super) tables: Vec<Measurements>,
    pub(super) left_out: Vec<LeftOut>,
}

/// A table that was not measured.
#[derive(Serialize)]
pub(super) struct LeftOut {
    pub(super) table: u8,
    pub(super) why: String,
}

/// A table that was.
#[derive(Serialize)]
pub(super) struct Measurements {
    pub(super) table: u8,
    pub(super) title: &'static str,
    /// What times are of.
    pub(super) time: Time,
    /// What scores are.
    pub(super) score: Score,
    pub(super) rows: Vec<Row>,
}

/// A line of a table.
#[derive(Serialize)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// Widths of all layers.
    layers: Vec<usize>,
    output: Output,
    batch_size: usize,
    epochs: usize,
    pub(super) paper: Published,
    pub(super) ours: Ours,
    /// The paper's time divided by ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) times_as_fast: Option<f64>,
    /// Our score minus the paper's, after a whole training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) score_difference: Option<f64>,
}

/// Our figures.
#[derive(Serialize)]
pub(super) struct Ours {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) score: Option<f64>,
    /// Of the float twin, where the line is of a training on shares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) twin_score: Option<f64>,
    /// Whether the time is extrapolated.
    pub(super) extrapolated: bool,
    /// Rows that were trained on, and mini-batches whose time counts.
    pub(super) rows: usize,
    pub(super) batches: usize,
    pub(super) peak_rss_bytes: [u64; 3],
}

impl Row {
    /// A line of a table, with what its training gave.
    pub(super) fn new(table: &Table, line: &Line, measured: &Measured) -> Self {
        let Published { seconds, score, .. } = line.paper;
        // Times are compared where the paper has one, and scores of the same kind.
        let ours = seconds.map(|_| measured.seconds);
        let same_kind = (table.score == Score::R2) == (line.shape.output == Output::Identity);
        let twin = measured.twin_score.filter(|_| table.twin);
        let scores = if same_kind { (measured.score, twin) } else { (None, None) };
        let both_parts = table.lines.iter().any(|line| line.part == Part::Plain);
        let (own_score, twin_score) = match line.part {
            Part::Plain => (scores.1, None),
            Part::Shares if both_parts => (scores.0, None),
            Part::Shares => scores,
        };
        Self {
            name: line.name,
            layers: measured.layers.clone(),
            output: line.shape.output,
            batch_size: line.shape.batch_size,
            epochs: line.shape.data.epochs(),
            paper: line.paper,
            times_as_fast: seconds.zip(ours).map(|(paper, ours)| paper / ours),
            score_difference: own_score
                .filter(|_| !measured.extrapolated)
                .zip(score)
                .map(|(ours, paper)| ours - paper),
            ours: Ours {
                seconds: ours,
                score: own_score,
                twin_score,
                extrapolated: measured.extrapolated,
                rows: measured.rows,
                batches: measured.batches,
                peak_rss_bytes: measured.peak_rss_bytes,
            },
        }
    }
}
