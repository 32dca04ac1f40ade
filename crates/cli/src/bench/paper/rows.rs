//! The rows in memory that the trainings of the paper's tables take.

use std::path::Path;

use shamisen_data::columns::ColumnRules;
use shamisen_data::prepare::{Examples, PrepareOptions, Prepared, Source, TestSource, prepare};
use shamisen_data::scaling::{Scaling, TargetScaling};
use shamisen_data::table::TargetKind;
use shamisen_local::job::LIMIT;
use shamisen_nn::formats::FEATURE_BITS;

use crate::bench::case::{MNIST_ROWS, SEED, head, mnist, synthetic};
use crate::failure::Result;

/// Test rows of a quick run.
const QUICK_TEST_ROWS: usize = 1000;

/// The target of the Boston housing table.
const BOSTON_TARGET: &str = "MEDV";

/// Rows to train on, and what is publicly known of them.
pub(super) struct Rows {
    pub(super) train: Examples,
    pub(super) scored: Scored,
    /// Rows of an epoch; there may be fewer to train on.
    pub(super) epoch: usize,
    /// As in a plan.
    pub(super) feature_bits: u32,
    pub(super) target_bits: u32,
}

/// The rows that a network is scored on.
pub(super) enum Scored {
    /// Rows that were held out.
    Test(Examples),
    /// Those that it was trained on.
    Training,
    /// One of those, for form's sake: what it scores says nothing.
    Nothing(Examples),
}

impl Rows {
    /// MNIST, or without a directory synthetic rows of the same shape; the first `most` of them if there is such a number.
    ///
    /// Fails if MNIST cannot be read.
    pub(super) fn mnist(dir: Option<&Path>, most: Option<usize>) -> Result<Self> {
        let Some(dir) = dir else {
            let train = synthetic(most.unwrap_or(MNIST_ROWS).min(MNIST_ROWS), 784, 10);
            let scored = Scored::Nothing(head(&train, 1)?);
            return Ok(Self { train, scored, epoch: MNIST_ROWS, feature_bits: FEATURE_BITS, target_bits: 0 });
        };
        let Prepared { mut train, mut test, .. } = mnist(dir)?;
        let epoch = train.features.rows();
        if let Some(most) = most {
            train = head(&train, most.min(epoch))?;
            test = test.map(|test| head(&test, QUICK_TEST_ROWS.min(test.features.rows()))).transpose()?;
        }
        let scored = test.map_or(Scored::Training, Scored::Test);
        let feature_bits = Scaling::Standard.feature_bits(FEATURE_BITS);
        Ok(Self { train, scored, epoch, feature_bits, target_bits: 0 })
    }

    /// The Boston housing table, features and target standardised.
    ///
    /// Fails if it cannot be read.
    pub(super) fn boston(file: &Path) -> Result<Self> {
        let prepared = prepare(&PrepareOptions {
            source: Source::Files {
                files: vec![file.to_owned()],
                target: Some(BOSTON_TARGET.to_owned()),
                kind: Some(TargetKind::Number),
            },
            test: TestSource::None,
            known: None,
            columns: ColumnRules::default(),
            scaling: Scaling::Standard,
            target_scaling: TargetScaling::Standard,
            seed: SEED,
            feature_limit: LIMIT,
            target_limit: LIMIT,
        })?;
        Ok(Self {
            epoch: prepared.train.features.rows(),
            train: prepared.train,
            scored: Scored::Training,
            feature_bits: Scaling::Standard.feature_bits(FEATURE_BITS),
            target_bits: prepared.target_bits,
        })
    }
}
