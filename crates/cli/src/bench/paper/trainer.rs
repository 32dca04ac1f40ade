//! Trainings on rows in memory, each carried out once for all tables that have it.

use std::num::NonZeroU8;

use shamisen_data::prepare::Examples;
use shamisen_local::job::default_threads;
use shamisen_local::link::Link;
use shamisen_nn::formats::{self, CHECK_EVERY};
use shamisen_nn::plan::{Optimizer, Plan, Task};
use shamisen_nn::twin::{self, PlainExamples};

use crate::bench::args::PaperArguments;
use crate::bench::case::{SEED, head, train_on};
use crate::bench::paper::measured::{Measured, score};
use crate::bench::paper::rows::{Rows, Scored};
use crate::bench::paper::tables::{Data, Output, Shape};
use crate::failure::{Failure, Result};
use crate::progress::Display;

/// The paper's optimiser, which it gives in full: exact Adam.
const OPTIMIZER: Optimizer = Optimizer::adam(1);

/// Adam's published step size.
const LEARNING_RATE: f64 = 0.001;

/// Largest mini-batch of the tables on MNIST.
const LARGEST_BATCH: usize = 512;

/// How trainings are carried out.
pub(super) struct Setting {
    pub(super) link: Link,
    pub(super) threads: NonZeroU8,
    pub(super) verbose: u8,
    /// With `--quick`, the mini-batches that are measured.
    pub(super) quick: Option<usize>,
}

impl Setting {
    /// Fails if no mini-batches are to be measured.
    pub(super) fn new(arguments: &PaperArguments, verbose: u8) -> Result<Self> {
        if arguments.batches == 0 {
            return Err(Failure::input("no mini-batches are to be measured: give --batches at least 1"));
        }
        Ok(Self {
            link: Link::new(arguments.transport, None, None, None, None)?,
            threads: arguments.threads.unwrap_or_else(|| default_threads(OPTIMIZER)),
            verbose,
            quick: arguments.quick.then_some(arguments.batches),
        })
    }
}

/// The plan of a training, with so many features, and outputs if they are classes.
pub(super) fn plan(shape: Shape, (features, outputs): (usize, usize), bits: (u32, u32)) -> Result<Plan> {
    let mut layers = vec![features];
    layers.extend(vec![shape.units; shape.hidden]);
    layers.push(outputs);
    let plan = Plan {
        task: match shape.output {
            Output::SoftMax => Task::Classification,
            Output::Identity => Task::Regression,
        },
        layers,
        optimizer: OPTIMIZER,
        learning_rate: LEARNING_RATE,
        weight_decay: 0.0,
        batch_size: shape.batch_size,
        epochs: shape.data.epochs(),
        seed: SEED,
        feature_bits: bits.0,
        target_bits: bits.1,
    };
    formats::check(&plan).map_err(|error| Failure::input(error.to_string()))?;
    Ok(plan)
}

/// Trains on MNIST, or what stands for it, and on the Boston housing table.
pub(super) struct Trainer<'a> {
    arguments: &'a PaperArguments,
    setting: &'a Setting,
    mnist: Option<Rows>,
    boston: Option<Rows>,
    done: Vec<(Shape, Measured)>,
}

impl<'a> Trainer<'a> {
    /// One that has read nothing yet.
    pub(super) fn new(arguments: &'a PaperArguments, setting: &'a Setting) -> Self {
        Self { arguments, setting, mnist: None, boston: None, done: Vec::new() }
    }

    /// What a training gives; `with_twin` says that the float twin is trained as well.
    ///
    /// Fails if rows cannot be read, or as `train` does.
    pub(super) fn measure(&mut self, shape: Shape, with_twin: bool) -> Result<Measured> {
        let enough = |measured: &Measured| measured.twin_score.is_some() || !with_twin;
        let known = self.done.iter().find(|(known, measured)| *known == shape && enough(measured));
        if let Some((_, measured)) = known {
            return Ok(measured.clone());
        }
        let setting = self.setting;
        let rows = self.rows(shape.data)?;
        let measured = train(shape, rows, with_twin, setting)?;
        self.done.push((shape, measured.clone()));
        Ok(measured)
    }

    /// Frees the memory of the rows, which are read again if they are needed.
    pub(super) fn forget(&mut self) {
        (self.mnist, self.boston) = (None, None);
    }

    fn rows(&mut self, data: Data) -> Result<&Rows> {
        let arguments = self.arguments;
        let most = self.setting.quick.map(|batches| (CHECK_EVERY + batches).saturating_mul(LARGEST_BATCH));
        let (place, read): (_, &dyn Fn() -> Result<Rows>) = match data {
            Data::Mnist => (&mut self.mnist, &|| Rows::mnist(arguments.mnist.as_deref(), most)),
            Data::Boston => (&mut self.boston, &|| match &arguments.boston {
                Some(file) => Rows::boston(file),
                None => Err(Failure::input("the Boston housing table is not named: give --boston FILE.csv")),
            }),
            Data::Large => {
                return Err(Failure::run("10 million rows are not kept in memory: a bug of shamisen"));
            }
        };
        match place {
            Some(rows) => Ok(rows),
            empty => Ok(empty.insert(read()?)),
        }
    }
}

/// Trains, or measures some mini-batches if it has to be quick.
fn train(shape: Shape, rows: &Rows, with_twin: bool, setting: &Setting) -> Result<Measured> {
    let Rows { train, scored, epoch: all, .. } = rows;
    let widths = (train.features.cols(), train.targets.cols());
    let mut plan = plan(shape, widths, (rows.feature_bits, rows.target_bits))?;
    let epoch = all.div_ceil(plan.batch_size);
    let whole = plan.epochs * epoch;
    let shorter;
    let mut examples = train;
    if let Some(wanted) = setting.quick.map(|batches| CHECK_EVERY + batches).filter(|wanted| *wanted < whole)
    {
        plan.epochs = wanted.div_ceil(epoch);
        if plan.epochs == 1 {
            shorter = head(train, train.features.rows().min(wanted * plan.batch_size))?;
            examples = &shorter;
        }
    }
    if plan.batch_size > examples.features.rows() {
        return Err(Failure::input(format!(
            "mini-batches have {} rows, but there are only {}: give all rows of the table",
            plan.batch_size,
            examples.features.rows()
        )));
    }
    let test = match scored {
        Scored::Test(test) | Scored::Nothing(test) => Some(test),
        Scored::Training => None,
    };
    let mut display = Display::new(&plan, examples.features.rows());
    let outcomes = train_on(
        &plan,
        (examples, test),
        setting.threads,
        &setting.link,
        setting.verbose,
        &mut |party, step| display.show(party, step),
    )?;
    display.finish();
    let mut measured = Measured::new(&plan, examples.features.rows(), whole, &outcomes)?;
    if !matches!(scored, Scored::Nothing(_)) {
        measured.score = outcomes[0].metrics.and_then(score);
        if with_twin {
            measured.twin_score = twin_score(&plan, examples, test.unwrap_or(examples));
        }
    }
    Ok(measured)
}

/// The score of the same training in the clear.
fn twin_score(plan: &Plan, train: &Examples, scored: &Examples) -> Option<f64> {
    let examples = PlainExamples {
        features: train.features.values(),
        targets: train.targets.values(),
        rows: train.features.rows(),
    };
    let outputs = twin::train(plan, examples, |_, _, _| ()).outputs(scored.features.values());
    score(twin::evaluate(plan.task, plan.outputs(), &outputs, scored.targets.values()))
}
