//! The table of a job: where its rows come from, and how they are prepared.

use std::path::Path;

use shamisen_data::npy::{column_name, is_npy};
use shamisen_data::npz::is_npz;
use shamisen_data::prepare::{PrepareOptions, Source, TestSource};
use shamisen_data::scaling::{Scaling, TargetScaling};
use shamisen_data::table::TargetKind;
use shamisen_local::job::LIMIT;

use super::{DEFAULT_SEED, JobFields, refuse};
use crate::choices::{ImageSize, ScalingName, TargetScalingName, TaskName};
use crate::columns::rules;
use crate::failure::{Failure, Result};

/// Part of the rows that is held out unless the user says otherwise.
const DEFAULT_TEST_FRACTION: f64 = 0.2;

impl JobFields {
    /// The table, and how its rows are prepared.
    ///
    /// # Errors
    ///
    /// If fields are missing or contradict each other.
    pub fn table(&self) -> Result<PrepareOptions> {
        self.prepared(Some(self.kind()?))
    }

    /// The table, if it has features and no target.
    ///
    /// # Errors
    ///
    /// As [`Self::table`]; if something is said of a target.
    pub fn features(&self) -> Result<PrepareOptions> {
        let flags = [
            ("--target", self.target.is_some()),
            ("--task", self.task.is_some()),
            ("--target-scaling", self.target_scaling.is_some()),
        ];
        refuse(&flags, "is of a target, and --no-target says that there is none")?;
        if self.mnist.is_some() || self.images.is_some() {
            return Err(Failure::input("images have their classes: leave --no-target out"));
        }
        self.prepared(None)
    }

    /// What the target holds.
    fn kind(&self) -> Result<TargetKind> {
        Ok(match self.task {
            Some(TaskName::Classification) => TargetKind::Classes,
            Some(TaskName::Regression) => TargetKind::Number,
            None if self.mnist.is_some() || self.images.is_some() => TargetKind::Classes,
            None => {
                return Err(Failure::input(
                    "no task is named: give --task classification or --task regression",
                ));
            }
        })
    }

    /// How the rows are prepared, whose target holds this, if they have one.
    fn prepared(&self, kind: Option<TargetKind>) -> Result<PrepareOptions> {
        let target_scaling = match self.target_scaling {
            Some(TargetScalingName::Standard) if kind == Some(TargetKind::Classes) => {
                return Err(Failure::input(
                    "--target-scaling standard is for regression: classes are not scaled",
                ));
            }
            Some(TargetScalingName::Standard) => TargetScaling::Standard,
            _ => TargetScaling::None,
        };
        Ok(PrepareOptions {
            source: self.source(kind)?,
            test: self.test_source()?,
            known: None,
            columns: rules(&self.categorical, &self.date, &self.missing, self.are_arrays())?,
            scaling: match self.scaling.unwrap_or(ScalingName::Standard) {
                ScalingName::Standard => Scaling::Standard,
                ScalingName::MinMax => Scaling::MinMax,
                ScalingName::None => Scaling::None,
            },
            target_scaling,
            seed: self.seed.unwrap_or(DEFAULT_SEED),
            feature_limit: LIMIT,
            target_limit: LIMIT,
        })
    }

    fn source(&self, kind: Option<TargetKind>) -> Result<Source> {
        if let Some(dir) = &self.images {
            return self.images(dir, kind);
        }
        if self.image_size.is_some() {
            return Err(Failure::input("--image-size is for --images DIR: leave it out"));
        }
        if let Some(query) = &self.sql {
            return self.query(query, kind);
        }
        if self.database.is_some() {
            return Err(Failure::input("--database is for --sql QUERY: leave it out"));
        }
        match (self.data.is_empty(), &self.mnist) {
            (false, Some(_)) => {
                Err(Failure::input("--data and --mnist exclude each other: give one of them"))
            }
            (true, None) => Err(Failure::input(
                "no data are named: give --data FILE, --images DIR, --sql QUERY or --mnist DIR",
            )),
            (true, Some(_)) if kind == Some(TargetKind::Number) => {
                Err(Failure::input("MNIST has classes: leave --task out or give --task classification"))
            }
            (true, Some(_)) if self.target.as_deref().is_some_and(|target| target != "label") => {
                Err(Failure::input("the target of MNIST is its label: leave --target out"))
            }
            (true, Some(dir)) => Ok(Source::Mnist { dir: dir.clone() }),
            (false, None) => {
                let target = match &self.target {
                    None if kind.is_some() && !self.are_arrays() => {
                        return Err(Failure::input(
                            "no target is named: give --target COLUMN, the column to predict",
                        ));
                    }
                    Some(target) if self.are_arrays() => {
                        Some(target.parse().map_or_else(|_| target.clone(), column_name))
                    }
                    target => target.clone(),
                };
                Ok(Source::Files { files: self.data.clone(), target, kind })
            }
        }
    }

    fn images(&self, dir: &Path, kind: Option<TargetKind>) -> Result<Source> {
        if !self.data.is_empty() || self.mnist.is_some() || self.sql.is_some() {
            return Err(Failure::input("--images excludes --data, --sql and --mnist: give one of them"));
        }
        if kind == Some(TargetKind::Number) || self.target.as_deref().is_some_and(|target| target != "label")
        {
            return Err(Failure::input(
                "images are classified by the names of their directories: leave --task and --target out",
            ));
        }
        let size = self.image_size.map(|ImageSize { width, height }| (width, height));
        Ok(Source::Images { dir: dir.to_owned(), size })
    }

    fn query(&self, query: &str, kind: Option<TargetKind>) -> Result<Source> {
        if !self.data.is_empty() || self.mnist.is_some() {
            return Err(Failure::input("--sql excludes --data and --mnist: give one of them"));
        }
        let Some(database) = self.database.clone() else {
            return Err(Failure::input("--sql needs a database: give --database FILE or --database URL"));
        };
        let target = self.target.clone();
        if kind.is_some() && target.is_none() {
            return Err(Failure::input("no target is named: give --target COLUMN, the column to predict"));
        }
        Ok(Source::Query { query: query.to_owned(), database, target, kind })
    }

    /// Whether the columns of all files have numbers.
    fn are_arrays(&self) -> bool {
        !self.data.is_empty() && self.data.iter().all(|path| is_npy(path) || is_npz(path))
    }

    fn test_source(&self) -> Result<TestSource> {
        match (self.test.is_empty(), self.test_fraction) {
            (false, Some(_)) => {
                Err(Failure::input("--test and --test-fraction exclude each other: give one of them"))
            }
            (false, None) => Ok(TestSource::Files(self.test.clone())),
            (true, Some(0.0)) => Ok(TestSource::None),
            (true, Some(fraction)) => Ok(TestSource::Fraction(fraction)),
            (true, None) if self.mnist.is_some() => Ok(TestSource::Included),
            (true, None) => Ok(TestSource::Fraction(DEFAULT_TEST_FRACTION)),
        }
    }
}
