//! Table 15: trainings on more rows than fit into memory, generated and shared as they come.

use std::path::PathBuf;

use shamisen_data::generate::Synthetic;
use shamisen_data::prepare::{Examples, Part};
use shamisen_data::scaling::Scaling;
use shamisen_data::shares::{Dealer, random_id, share_path};
use shamisen_data::table::Matrix;
use shamisen_local::launch;
use shamisen_local::share::Stop;
use shamisen_local::workdir::WorkDir;
use shamisen_nn::formats::{CHECK_EVERY, FEATURE_BITS, activation_frac, target_frac};
use shamisen_nn::plan::Plan;
use shamisen_party::assignment::{Assignment, Score, Work};

use crate::bench::case::SEED;
use crate::bench::paper::measured::{Measured, score};
use crate::bench::paper::tables::{Output, Shape};
use crate::bench::paper::trainer::{Setting, plan};
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::progress::{Display, Reading};
use crate::summary::grouped;

/// Rows of the paper's table, its columns, and classes for which the generator has a teacher.
pub(super) const ROWS: usize = 10_000_000;
const COLUMNS: usize = 100;
const CLASSES: usize = 10;

/// Further rows, to score on: of a long training and of a short one.
const TEST_ROWS: usize = 10_000;
const FEW_TEST_ROWS: usize = 1000;

/// Mini-batches from which the time of an epoch is estimated beforehand.
const PROBE: usize = 64;

/// Bytes that the shares of a number take: 8 at each of two parties.
const SHARED: u64 = 16;

/// What came of table 15.
pub(super) enum Large {
    /// A training for each shape.
    Measured(Vec<Measured>),
    /// Nothing, for this reason.
    LeftOut(String),
}

/// Measures the shapes: some mini-batches of each, or an epoch of at most so many minutes.
///
/// Fails if shares cannot be written, or as `train` does.
pub(super) fn measure(shapes: &[Shape], minutes: f64, setting: &Setting) -> Result<Large> {
    let [first, ..] = shapes else { return Ok(Large::Measured(Vec::new())) };
    let largest = shapes.iter().map(|shape| shape.batch_size).max().unwrap_or_default();
    let batches = setting.quick.unwrap_or(PROBE);
    let few = (CHECK_EVERY + batches).saturating_mul(largest).min(ROWS);
    if let Some(why) = lacking_space(few + FEW_TEST_ROWS)? {
        return Ok(Large::LeftOut(why));
    }
    let probed = Store::new(*first, few, FEW_TEST_ROWS)?.train(shapes, setting)?;
    if setting.quick.is_some() {
        return Ok(Large::Measured(probed));
    }
    let slowest = probed.iter().map(|measured| measured.seconds).fold(0.0, f64::max);
    let rows = rows_within(minutes, slowest).max(few);
    if let Some(why) = lacking_space(rows + TEST_ROWS)? {
        return Ok(Large::LeftOut(why));
    }
    Ok(Large::Measured(Store::new(*first, rows, TEST_ROWS)?.train(shapes, setting)?))
}

/// Rows that are trained on in so many minutes, if all of them take so many seconds.
fn rows_within(minutes: f64, seconds: f64) -> usize {
    (60.0 * minutes / seconds * ROWS as f64).min(ROWS as f64) as usize
}

/// Why so many rows cannot be shared, if there is too little space for temporary files.
fn lacking_space(rows: usize) -> Result<Option<String>> {
    let dir = std::env::temp_dir();
    let status = rustix::fs::statvfs(&dir)
        .map_err(|error| Failure::file("ask how much is free in", &dir, &error.into()))?;
    let (needed, free) = (bytes(rows), status.f_bavail.saturating_mul(status.f_frsize));
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    Ok((needed > free).then(|| {
        format!(
            "{} has {:.2} GB free, and the shares of {} rows take {:.2} GB: set TMPDIR to a directory with more, or give \
             fewer --minutes",
            dir.display(),
            gigabytes(free),
            grouped(rows as u64),
            gigabytes(needed)
        )
    }))
}

/// What the shares of so many rows take: features, and targets in two number formats.
fn bytes(rows: usize) -> u64 {
    rows as u64 * (COLUMNS + 2 * CLASSES) as u64 * SHARED
}

/// Share files of one table: its features, and its targets in the number format of each output function.
struct Store {
    dir: WorkDir,
    dataset: String,
    rows: usize,
}

impl Store {
    /// Generates so many rows to train on, and further ones to score on, and shares them for networks of this width.
    fn new(shape: Shape, rows: usize, test_rows: usize) -> Result<Self> {
        let (dir, dataset) = (WorkDir::new()?, random_id()?);
        let parties = [0, 1, 2].map(|party| dir.party(party));
        let mut dealers = Vec::new();
        for (part, rows) in [(Part::Train, rows), (Part::Test, test_rows)] {
            let begin = |name: &str, cols: usize, frac: u32| {
                Dealer::create(parties, name, &dataset, (rows, cols), frac)
            };
            let targets = |output: Output| -> Result<Dealer> {
                let plan = large_plan(Shape { output, ..shape })?;
                Ok(begin(&targets_name(part, output), CLASSES, target_frac(&plan))?)
            };
            let features = begin(part.features(), COLUMNS, activation_frac(&large_plan(shape)?))?;
            let targets = [targets(Output::SoftMax)?, targets(Output::Identity)?];
            dealers.push(Matrices { missing: rows, features, targets });
        }
        let all = rows + test_rows;
        let synthetic = Synthetic { rows: all as u64, columns: COLUMNS, classes: Some(CLASSES), seed: SEED };
        let display = Reading::sharing(all);
        let mut dealt = 0;
        synthetic.each(|mut examples| -> std::result::Result<(), Stop> {
            interrupt::check().map_err(Stop::Failure)?;
            display.show(dealt);
            dealt += examples.features.rows();
            for matrices in &mut dealers {
                examples = matrices.push(&examples)?;
            }
            Ok(())
        })?;
        dealers.into_iter().try_for_each(Matrices::finish)?;
        Ok(Self { dir, dataset, rows })
    }

    /// Trains for an epoch by each shape.
    fn train(&self, shapes: &[Shape], setting: &Setting) -> Result<Vec<Measured>> {
        shapes.iter().map(|shape| self.train_one(*shape, setting)).collect()
    }

    fn train_one(&self, shape: Shape, setting: &Setting) -> Result<Measured> {
        let plan = large_plan(shape)?;
        let work = WorkDir::new()?;
        let train = Work::Train { score: Score::TestRows, model: None, start: None, checkpoints: None };
        work.write_assignment(&Assignment::new(plan.clone(), self.dataset.clone(), train, setting.threads))?;
        for part in [Part::Train, Part::Test] {
            work.link(part.features(), &self.files(part.features()))?;
            work.link(part.targets(), &self.files(&targets_name(part, shape.output)))?;
        }
        let mut display = Display::new(&plan, self.rows);
        let outcomes = launch::run(&work, &setting.link, setting.verbose, &mut |party, step| {
            display.show(party, step);
        })?;
        display.finish();
        interrupt::check()?;
        let whole = ROWS.div_ceil(plan.batch_size);
        let mut measured = Measured::new(&plan, self.rows, whole, &outcomes)?;
        measured.score = outcomes[0].metrics.and_then(score);
        Ok(measured)
    }

    fn files(&self, name: &str) -> [PathBuf; 3] {
        [0, 1, 2].map(|party| share_path(self.dir.party(party), name))
    }
}

/// Share files that are being written, of rows to train on or to score on.
struct Matrices {
    /// Rows that are still to come.
    missing: usize,
    features: Dealer,
    /// The same in two number formats.
    targets: [Dealer; 2],
}

impl Matrices {
    /// Shares as many of the rows as are missing, and returns the others.
    fn push(&mut self, rows: &Examples) -> shamisen_data::Result<Examples> {
        let now = self.missing.min(rows.features.rows());
        let (features, more_features) = cut(&rows.features, now);
        let (targets, more_targets) = cut(&rows.targets, now);
        self.missing -= now;
        self.features.push(&features)?;
        self.targets.iter_mut().try_for_each(|dealer| dealer.push(&targets))?;
        Ok(Examples { features: more_features, targets: more_targets })
    }

    fn finish(self) -> shamisen_data::Result<()> {
        self.features.finish()?;
        self.targets.into_iter().try_for_each(Dealer::finish)
    }
}

/// The first rows of a matrix, and the others.
fn cut(matrix: &Matrix, rows: usize) -> (Matrix, Matrix) {
    let (first, second) = matrix.values().split_at(rows * matrix.cols());
    let part = |rows: usize, values: &[f64]| {
        Matrix::new(rows, matrix.cols(), values.to_vec()).expect("as many values as rows and columns say")
    };
    (part(rows, first), part(matrix.rows() - rows, second))
}

/// The plan of a training, whose rows are those of the generator.
fn large_plan(shape: Shape) -> Result<Plan> {
    // All features are below 4; this is what is known of standardised ones, as if the table had been read.
    plan(shape, (COLUMNS, CLASSES), (Scaling::Standard.feature_bits(FEATURE_BITS), 0))
}

/// Name of the share files of the targets for an output function.
fn targets_name(part: Part, output: Output) -> String {
    let output = match output {
        Output::SoftMax => "soft-max",
        Output::Identity => "identity",
    };
    format!("{}-{output}", part.targets())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_rows_are_taken_as_the_time_allows() {
        assert_eq!(rows_within(10.0, 300.0), ROWS);
        assert_eq!(rows_within(10.0, 1200.0), ROWS / 2);
        assert_eq!(rows_within(0.0, 1200.0), 0);
    }

    #[test]
    fn a_matrix_is_cut_between_rows() {
        let matrix = Matrix::new(3, 2, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        for rows in 0..=3 {
            let (first, second) = cut(&matrix, rows);
            assert_eq!((first.rows(), second.rows()), (rows, 3 - rows));
            assert_eq!([first.values(), second.values()].concat(), matrix.values());
        }
    }
}
