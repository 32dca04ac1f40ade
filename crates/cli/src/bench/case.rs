//! The case that is trained: MNIST, or synthetic rows of the same shape.

use std::num::NonZeroU8;
use std::path::Path;

use shamisen_data::columns::ColumnRules;
use shamisen_data::prepare::{Examples, PrepareOptions, Prepared, Source, TestSource, prepare};
use shamisen_data::scaling::{Scaling, TargetScaling};
use shamisen_data::shares::random_id;
use shamisen_data::table::Matrix;
use shamisen_local::job::LIMIT;
use shamisen_local::job::default_threads;
use shamisen_local::launch;
use shamisen_local::link::Link;
use shamisen_local::workdir::WorkDir;
use shamisen_nn::formats::{self, FEATURE_BITS};
use shamisen_nn::plan::{Optimizer, Plan, Task};
use shamisen_nn::train::useful_lanes;
use shamisen_party::assignment::{Assignment, Score, Work};
use shamisen_party::event::{Outcome, Step};

use crate::bench::args::CaseArguments;
use crate::choices::OptimizerName;
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::summary::{counted, layers};

/// The public seed of weights, order and synthetic rows.
pub(crate) const SEED: u64 = 1;

/// A network to train, and rows to train it on.
pub(crate) struct Case {
    pub(crate) plan: Plan,
    pub(crate) rows: Examples,
    /// Threads of each party.
    threads: NonZeroU8,
    /// `MNIST` or `synthetic`.
    pub(crate) data: &'static str,
}

impl Case {
    /// A case with so many rows; all of MNIST, or as many synthetic ones, if no number is given.
    ///
    /// Fails if the arguments make no sense together, or MNIST cannot be read.
    pub(crate) fn new(arguments: &CaseArguments, rows: Option<usize>) -> Result<Self> {
        let plan = Plan {
            task: Task::Classification,
            layers: arguments.layers.0.clone(),
            optimizer: match arguments.optimizer {
                OptimizerName::Adam => Optimizer::adam(arguments.refresh),
                OptimizerName::Sgd => Optimizer::Sgd { momentum: 0.0 },
            },
            learning_rate: arguments.learning_rate,
            weight_decay: 0.0,
            batch_size: arguments.batch_size,
            epochs: 1,
            seed: SEED,
            feature_bits: if arguments.mnist.is_some() {
                Scaling::Standard.feature_bits(FEATURE_BITS)
            } else {
                FEATURE_BITS
            },
            target_bits: 0,
        };
        formats::check(&plan).map_err(|error| Failure::input(error.to_string()))?;
        let (features, classes) = (plan.features(), plan.outputs());
        let (rows, data) = match &arguments.mnist {
            None => (synthetic(rows.unwrap_or(MNIST_ROWS), features, classes), "synthetic"),
            Some(dir) => (first(mnist(dir)?.train, rows, features, classes)?, "MNIST"),
        };
        if plan.batch_size > rows.features.rows() {
            return Err(Failure::input(format!(
                "the batch size is {}, but there are only {} rows: choose at most as many",
                plan.batch_size,
                rows.features.rows()
            )));
        }
        let threads = arguments.threads.unwrap_or_else(|| default_threads(plan.optimizer));
        Ok(Self { plan, rows, threads, data })
    }

    /// Shares the rows anew and trains on them for one epoch; one row is scored.
    ///
    /// Fails as `train` does.
    pub(crate) fn train(&self, link: &Link, verbose: u8) -> Result<[Outcome; 3]> {
        let scored = head(&self.rows, 1)?;
        train_on(&self.plan, (&self.rows, Some(&scored)), self.threads, link, verbose, &mut |_, _| ())
    }

    /// Threads of each party that work at the same time.
    pub(crate) fn lanes(&self) -> usize {
        useful_lanes(&self.plan, usize::from(self.threads.get()))
    }

    /// What is trained on what, in a line without an end.
    pub(crate) fn line(&self) -> String {
        let optimizer = match self.plan.optimizer {
            Optimizer::Adam { refresh: 1, .. } => "adam".to_owned(),
            Optimizer::Adam { refresh, .. } => format!("adam (preconditioner every {refresh} steps)"),
            _ => "sgd".to_owned(),
        };
        format!(
            "{}, batch {}, {optimizer}, {} rows, {} a party",
            layers(&self.plan.layers),
            self.plan.batch_size,
            self.data,
            counted(self.lanes(), "lane")
        )
    }
}

/// Shares rows, trains on them by a plan, and scores the second part, or the rows themselves if there is none.
///
/// `observe` sees the progress of all three parties. Fails as `train` does.
pub(crate) fn train_on(
    plan: &Plan,
    (rows, scored): (&Examples, Option<&Examples>),
    threads: NonZeroU8,
    link: &Link,
    verbose: u8,
    observe: &mut dyn FnMut(usize, Step),
) -> Result<[Outcome; 3]> {
    let work = WorkDir::new()?;
    let score = if scored.is_some() { Score::TestRows } else { Score::TrainingRows };
    let assignment = Assignment::new(
        plan.clone(),
        random_id()?,
        Work::Train { score, model: None, start: None, checkpoints: None },
        threads,
    );
    work.write_assignment(&assignment)?;
    work.deal(plan, &assignment.dataset, rows, scored)?;
    let outcomes = launch::run(&work, link, verbose, observe)?;
    interrupt::check()?;
    Ok(outcomes)
}

/// MNIST as all benchmarks take it: standardised, with its own test rows.
///
/// Fails if it cannot be read.
pub(crate) fn mnist(dir: &Path) -> Result<Prepared> {
    Ok(prepare(&PrepareOptions {
        source: Source::Mnist { dir: dir.to_owned() },
        test: TestSource::Included,
        known: None,
        columns: ColumnRules::default(),
        scaling: Scaling::Standard,
        target_scaling: TargetScaling::None,
        seed: SEED,
        feature_limit: LIMIT,
        target_limit: LIMIT,
    })?)
}

/// Training rows of MNIST.
pub(crate) const MNIST_ROWS: usize = 60_000;

/// The first rows of MNIST.
fn first(all: Examples, rows: Option<usize>, features: usize, classes: usize) -> Result<Examples> {
    let (found, given) = ((all.features.cols(), all.targets.cols()), (features, classes));
    if found != given {
        return Err(Failure::input(format!(
            "the data have {} features and {} classes, but the layers {features} and {classes}: \
             leave --mnist out for synthetic rows of this shape",
            found.0, found.1
        )));
    }
    let Some(rows) = rows else { return Ok(all) };
    if rows > all.features.rows() {
        return Err(Failure::input(format!(
            "{rows} rows are wanted, but there are only {}: choose fewer mini-batches or rows",
            all.features.rows()
        )));
    }
    head(&all, rows)
}

/// The first rows, which there must be.
pub(crate) fn head(all: &Examples, rows: usize) -> Result<Examples> {
    let head = |matrix: &Matrix| {
        let values = matrix.values().get(..rows * matrix.cols()).unwrap_or_default().to_vec();
        Matrix::new(rows, matrix.cols(), values).ok_or_else(|| {
            Failure::run("there are fewer rows than a benchmark wants, which is a bug of shamisen")
        })
    };
    Ok(Examples { features: head(&all.features)?, targets: head(&all.targets)? })
}

/// Rows with a class each, in turn, and features that tell it.
///
/// Feature `j` of a row of class `c` is `u_cj + e`, with `u_cj` uniform in `[-1, 1)` and the same for all rows of the
/// class, and `e` uniform in `[-1.5, 1.5)`: mean 0 and variance 1.08. All come from one `SplitMix64`.
pub(crate) fn synthetic(rows: usize, features: usize, classes: usize) -> Examples {
    let mut generator = SplitMix64(SEED);
    let centres: Vec<f64> = (0..classes * features).map(|_| generator.uniform()).collect();
    let mut values = Vec::with_capacity(rows * features);
    let mut targets = vec![0.0; rows * classes];
    for row in 0..rows {
        let class = row % classes;
        targets[row * classes + class] = 1.0;
        values.extend(
            centres[class * features..][..features].iter().map(|centre| centre + 1.5 * generator.uniform()),
        );
    }
    let matrix = |cols, values| Matrix::new(rows, cols, values).expect("rows times columns values");
    Examples { features: matrix(features, values), targets: matrix(classes, targets) }
}

/// The generator of Steele, Lea and Flood (OOPSLA 2014): for synthetic rows, not for secrets.
pub(crate) struct SplitMix64(pub(crate) u64);

impl SplitMix64 {
    /// The next word.
    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// So many words.
    pub(crate) fn words(&mut self, len: usize) -> Vec<u64> {
        (0..len).map(|_| self.word()).collect()
    }

    /// A number in `[-1, 1)`.
    fn uniform(&mut self) -> f64 {
        (self.word() as i64 >> 11) as f64 / (1_u64 << 52) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_published_one() {
        let mut generator = SplitMix64(1_234_567);
        assert_eq!(generator.words(2), [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn synthetic_rows_are_standardised_and_tell_their_class() {
        let examples = synthetic(1000, 50, 4);
        let values = examples.features.values();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|value| value * value).sum::<f64>() / count;
        assert!(mean.abs() < 0.15 && (variance - 1.08).abs() < 0.15, "{mean} and {variance}");
        let targets = examples.targets.values();
        assert_eq!(targets.iter().sum::<f64>() as usize, 1000);
        assert!(targets.chunks_exact(4).enumerate().all(|(row, target)| target[row % 4] > 0.0));
    }
}
