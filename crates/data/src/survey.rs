//! From files to scaled rows in two passes, with bounded memory.
//!
//! The first pass ([`Survey::new`]) finds the classes and the statistics by which all rows are scaled; the second one
//! ([`Survey::each`]) hands out the scaled rows, block by block. In a CSV file rows are counted before, so that exactly the
//! fraction that was asked for is held out.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::classes::{Classes, SeenClass};
use crate::columns::{ColumnRules, Encoder};
use crate::error::{DataError, Place, Result};
use crate::found::{Found, MISSING};
use crate::idx::open_mnist;
use crate::images::{self, ImageForm, LABEL};
use crate::prepare::{Examples, Part, PrepareOptions, Prepared, Source, TestSource};
use crate::scaling::{Affine, Fitted, FittedTarget, Preprocessing};
use crate::source::{self, Block, RAW_LIMIT, TableFile, Tables, Values};
use crate::split::HoldOut;
use crate::sql;
use crate::statistics::Statistics;
use crate::table::{Matrix, Schema, TargetKind};

/// What is known of a data set after the first pass.
pub struct Survey {
    train: Tables,
    test: Option<Tables>,
    hold_out: Option<HoldOut>,
    rows: usize,
    test_rows: Option<usize>,
    preprocessing: Preprocessing,
    encoder: Encoder,
    classes: HashMap<String, u32>,
    target_bits: u32,
    feature_limit: f64,
    target_limit: f64,
}

impl Survey {
    /// Reads all rows once.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or is not of its format; if columns have no name or one name twice, are missing, or
    /// differ between files; if a feature or a regression target is not a finite number; if there is one class only, or
    /// there are too many; if a column is not what the rules say of it; if the training or the test part would be empty, or the training part shows one class, one
    /// target or constant features only.
    pub fn new(options: &PrepareOptions) -> Result<Self> {
        let Opened { train, test, images } = open(options)?;
        let all = train.rows();
        let chosen = match options.test {
            TestSource::Fraction(fraction) => Some(hold_out(all, fraction, options.seed)),
            _ => None,
        };
        // That a part would be empty is said when nothing is wrong with the rows.
        let (chosen, refused) = match chosen.transpose() {
            Ok(chosen) => (chosen, None),
            Err(error @ DataError::EmptyPart { .. }) => (None, Some(error)),
            Err(error) => return Err(error),
        };
        let (hold_out, held_out) = chosen.unzip();
        let rows = all - held_out.unwrap_or(0);
        let test_rows = test.as_ref().map(Tables::rows).or(held_out);
        for rows in [Some(rows), test_rows].into_iter().flatten() {
            if u32::try_from(rows).is_err() {
                return Err(DataError::ShareSize { rows: rows as usize, cols: train.feature_names().len() });
            }
        }

        let mut seen = Seen::new(&train, &options.columns);
        train.blocks(
            |first, block| Ok(SeenBlock::new(block, marks(hold_out.as_ref(), first), &train)),
            |block| seen.take_in(block),
        )?;
        if let Some(test) = test.as_ref().filter(|_| train.kind() == Some(TargetKind::Number)) {
            let mut targets = Statistics::empty(1);
            test.blocks(
                |_, block| Ok(SeenBlock::new(block, |_| Some(true), test).targets),
                |found| {
                    targets.merge(&found);
                    Ok::<_, DataError>(())
                },
            )?;
            seen.targets.merge(&targets);
        }
        let (path, target_name) = (train.first().path(), train.target_name());
        if train.kind() == Some(TargetKind::Classes) {
            seen.classes.require_two(path, target_name)?;
        }
        if let Some(error) = refused {
            return Err(error);
        }
        let preprocessing = match &options.known {
            Some(known) => Preprocessing { target_name: target_name.to_owned(), ..known.clone() },
            None => Preprocessing { images, ..seen.fit(&train, options)? },
        };
        let largest = preprocessing.target.map_or(1.0, |map| {
            let (least, greatest) = seen.targets.range(0);
            // The map never falls, so that the largest magnitude is at one of the ends.
            map.apply(least).abs().max(map.apply(greatest).abs())
        });
        Ok(Self {
            encoder: preprocessing.encoder(),
            classes: preprocessing.classes.iter().cloned().zip(0..).collect(),
            target_bits: bits(largest),
            rows: rows as usize,
            test_rows: test_rows.map(|rows| rows as usize),
            feature_limit: options.feature_limit,
            target_limit: options.target_limit,
            train,
            test,
            hold_out,
            preprocessing,
        })
    }

    /// The number of training rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of test rows, if there are any.
    pub fn test_rows(&self) -> Option<usize> {
        self.test_rows
    }

    /// The number of columns of the targets: one for each class, 1 for a number, 0 without a target.
    pub fn outputs(&self) -> usize {
        self.preprocessing.outputs()
    }

    /// Statistics of the training part, by which both parts are scaled.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// As [`Prepared::target_bits`].
    pub fn target_bits(&self) -> u32 {
        self.target_bits
    }

    /// Reads all rows once more, and hands out those of both parts, scaled, in blocks in their order.
    ///
    /// The rows of a block, about a megabyte of the file, are in memory, and a few blocks that are under way.
    ///
    /// # Errors
    ///
    /// If a scaled value exceeds its limit, or a class of a test file is unknown; if a file cannot be read or changed since
    /// the first pass; and those of `sink`.
    pub fn each<E: From<DataError>>(
        &self,
        mut sink: impl FnMut(Part, Examples) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let work = |first, block| self.examples(block, marks(self.hold_out.as_ref(), first));
        self.train.blocks(work, |parts| parts.into_iter().try_for_each(|(part, rows)| sink(part, rows)))?;
        let Some(test) = &self.test else { return Ok(()) };
        let work = |_, block| self.examples(block, |_| Some(true));
        test.blocks(work, |parts| parts.into_iter().try_for_each(|(part, rows)| sink(part, rows)))
    }

    /// All rows in memory.
    ///
    /// # Errors
    ///
    /// As [`Self::each`].
    pub fn collect(&self) -> Result<Prepared> {
        let mut parts = [const { (Vec::new(), Vec::new()) }; 2];
        self.each(|part, examples| {
            let (features, targets) = &mut parts[part as usize];
            features.extend_from_slice(examples.features.values());
            targets.extend_from_slice(examples.targets.values());
            Ok::<_, DataError>(())
        })?;
        let matrix = |rows: usize, cols: usize, values: Vec<f64>| {
            let (expected, found) = (rows * cols, values.len());
            Matrix::new(rows, cols, values).ok_or(DataError::Length {
                operation: "reading rows",
                expected,
                found,
            })
        };
        let examples = |rows: usize, (features, targets)| -> Result<Examples> {
            let cols = self.preprocessing.feature_names.len();
            let (features, targets) = (matrix(rows, cols, features)?, matrix(rows, self.outputs(), targets)?);
            Ok(Examples { features, targets })
        };
        let [train, test] = parts;
        Ok(Prepared {
            train: examples(self.rows, train)?,
            test: self.test_rows.map(|rows| examples(rows, test)).transpose()?,
            preprocessing: self.preprocessing.clone(),
            target_bits: self.target_bits,
        })
    }

    /// The scaled rows of both parts in a block, of which `is_test` says where a row belongs.
    fn examples(
        &self,
        block: Block,
        is_test: impl Fn(usize) -> Option<bool>,
    ) -> Result<Vec<(Part, Examples)>> {
        let Block { features, categories, target } = block;
        let mut features = self.encoder.encode(features, &categories)?;
        self.preprocessing.apply(&mut features, self.feature_limit)?;
        let targets = match target {
            Values::None => features.beside(vec![], vec![]),
            Values::Classes(found) => {
                let labels = self.labels(&found, &features)?;
                let classes = self.classes.len();
                let mut values = vec![0.0; found.labels.len() * classes];
                for (row, &label) in values.chunks_exact_mut(classes).zip(&found.labels) {
                    row[labels[label as usize]] = 1.0;
                }
                features.beside(self.preprocessing.classes.clone(), values)
            }
            Values::Numbers(mut values) => {
                let map = self.preprocessing.target.unwrap_or(Affine::IDENTITY);
                let limit = self.target_limit;
                for (row, value) in values.iter_mut().enumerate() {
                    let scaled = map.apply(*value);
                    if scaled.is_nan() || scaled.abs() > limit {
                        let place = features.place_in(row, self.preprocessing.target_name.clone());
                        return Err(DataError::TargetOutOfRange { place, value: *value, scaled, limit });
                    }
                    *value = scaled;
                }
                features.beside(vec![self.preprocessing.target_name.clone()], values)
            }
        };
        let Some(marks) = (0..features.rows()).map(is_test).collect::<Option<Vec<bool>>>() else {
            return Ok(vec![(Part::Train, Examples { features, targets })]);
        };
        let (train_features, test_features) = features.split(&marks);
        let (train_targets, test_targets) = targets.split(&marks);
        let train = Examples { features: train_features, targets: train_targets };
        let test = Examples { features: test_features, targets: test_targets };
        let parts = [(Part::Train, train), (Part::Test, test)];
        Ok(parts.into_iter().filter(|(_, examples)| examples.features.rows() > 0).collect())
    }

    /// The numbers of classes that were found.
    fn labels(&self, found: &Found, features: &Matrix) -> Result<Vec<usize>> {
        let label = |(name, &first): (&String, &usize)| {
            self.classes.get(name).map(|&label| label as usize).ok_or_else(|| DataError::UnknownClass {
                place: features.place_in(first, self.preprocessing.target_name.clone()),
                class: name.clone(),
                known: self.preprocessing.classes.clone(),
            })
        };
        found.names.iter().zip(&found.first).map(label).collect()
    }
}

/// Where the rows of a block belong whose first one has the number `first`; nowhere, if none is held out.
fn marks(hold_out: Option<&HoldOut>, first: u64) -> impl Fn(usize) -> Option<bool> {
    move |row| hold_out.map(|hold_out| hold_out.contains(first + row as u64))
}

/// What a survey is of.
struct Opened {
    train: Tables,
    test: Option<Tables>,
    /// The form of the images, if the rows are images.
    images: Option<ImageForm>,
}

/// Opens the training files, and those to test on.
fn open(options: &PrepareOptions) -> Result<Opened> {
    let open_all =
        |paths: &[PathBuf]| paths.iter().map(|path| source::open(path)).collect::<Result<Vec<_>>>();
    let with_target = |files, target: Option<&str>, kind| match &options.known {
        None => Tables::with_target(files, target, kind, &options.columns, RAW_LIMIT),
        Some(known) => {
            let target_name = target.unwrap_or(&known.target_name).to_owned();
            Tables::by_schema(files, &Schema { target_name, ..known.schema() }, true, RAW_LIMIT)
        }
    };
    let (train, tests, images) = match (&options.source, &options.test) {
        (Source::Files { .. } | Source::Images { .. } | Source::Query { .. }, TestSource::Included) => {
            return Err(DataError::TestSource {
                problem: "these data include no test part: name test files, or hold out a fraction",
            });
        }
        (Source::Files { files, target, kind }, test) => {
            let train = with_target(open_all(files)?, target.as_deref(), *kind)?;
            let TestSource::Files(files) = test else {
                return Ok(Opened { train, test: None, images: None });
            };
            (train, open_all(files)?, None)
        }
        (Source::Query { query, database, target, kind }, test) => {
            let train = with_target(vec![sql::open(query, database)?], target.as_deref(), *kind)?;
            let TestSource::Files(files) = test else {
                return Ok(Opened { train, test: None, images: None });
            };
            (train, open_all(files)?, None)
        }
        (Source::Images { dir, size }, test) => {
            let (file, form) = match options.known.as_ref().and_then(|known| known.images) {
                Some(form) => (images::open_as(dir, form)?, form),
                None => images::open(dir, *size)?,
            };
            let train = with_target(vec![file], Some(LABEL), Some(TargetKind::Classes))?;
            let images = Some(form);
            let TestSource::Files(dirs) = test else { return Ok(Opened { train, test: None, images }) };
            (train, dirs.iter().map(|dir| images::open_as(dir, form)).collect::<Result<_>>()?, images)
        }
        (Source::Mnist { .. }, TestSource::Files(_)) => {
            return Err(DataError::TestSource {
                problem: "MNIST is tested with its own test files or a fraction held out: name no test files",
            });
        }
        (Source::Mnist { dir }, test) => {
            let [train, included] = open_mnist(dir)?.map(|part| {
                let file: Box<dyn TableFile> = Box::new(part);
                with_target(vec![file], Some("label"), Some(TargetKind::Classes))
            });
            let test = if matches!(test, TestSource::Included) { Some(included?) } else { None };
            return Ok(Opened { train: train?, test, images: None });
        }
    };
    let schema = Schema {
        columns: train.columns_to_read(),
        target_name: train.target_name().to_owned(),
        // Their names are not known yet, and not needed to read the columns.
        classes: (train.kind() == Some(TargetKind::Classes)).then(Vec::new),
    };
    let test = Tables::by_schema(tests, &schema, train.kind().is_some(), RAW_LIMIT)?;
    Ok(Opened { train, test: Some(test), images })
}

/// Chooses a fraction of the rows; their number as well.
fn hold_out(rows: u64, fraction: f64, seed: u64) -> Result<(HoldOut, u64)> {
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(DataError::BadFraction { fraction });
    }
    let count = (rows as f64 * fraction).round() as u64;
    if count == 0 || count >= rows {
        let empty = if count == 0 { "test" } else { "training" };
        return Err(DataError::EmptyPart { fraction, rows: rows as usize, empty });
    }
    Ok((HoldOut::new(rows, count, seed), count))
}

/// What the first pass gathers.
struct Seen {
    /// Of the training rows.
    features: Statistics,
    /// Of each column of categories.
    categories: Vec<SeenCategories>,
    /// Of the training rows of a regression.
    train_targets: Statistics,
    /// Of all rows of a regression.
    targets: Statistics,
    classes: Classes,
}

/// The categories of a column.
struct SeenCategories {
    classes: Classes,
    /// Those that there may be, if they are known.
    listed: Option<Vec<String>>,
}

impl Seen {
    fn new(train: &Tables, rules: &ColumnRules) -> Self {
        let listed = |name: &str| rules.categorical.get(name).cloned().flatten();
        let categories = train.category_names().into_iter();
        Self {
            features: Statistics::empty(train.feature_names().len()),
            categories: categories
                .map(|name| SeenCategories { classes: Classes::default(), listed: listed(name) })
                .collect(),
            train_targets: Statistics::empty(1),
            targets: Statistics::empty(1),
            classes: Classes::default(),
        }
    }

    fn take_in(&mut self, block: SeenBlock) -> Result<()> {
        self.features.merge(&block.features);
        self.train_targets.merge(&block.train_targets);
        self.targets.merge(&block.targets);
        for (own, categories) in self.categories.iter_mut().zip(block.categories) {
            categories.into_iter().try_for_each(|category| own.take_in(category))?;
        }
        let too_many = |place, limit| DataError::TooManyClasses { place, limit };
        block.classes.into_iter().try_for_each(|class| self.classes.take_in(class, too_many))
    }

    /// The columns and maps of a table that was seen.
    fn fit(&mut self, train: &Tables, options: &PrepareOptions) -> Result<Preprocessing> {
        let (path, target_name) = (train.first().path(), train.target_name());
        let classes = self.classes.sorted();
        let found = self.categories.iter().map(|found| found.classes.sorted());
        let columns = options.columns.columns(path, train.feature_names(), &mut self.features, found)?;
        let fitted = Fitted {
            path,
            columns,
            target_name,
            features: &self.features,
            categories_vary: self.categories.iter().any(|found| found.classes.vary()),
            target: match train.kind() {
                None => FittedTarget::None,
                Some(TargetKind::Classes) => FittedTarget::Classes(&classes),
                Some(TargetKind::Number) => FittedTarget::Numbers(&self.train_targets),
            },
        };
        Preprocessing::fit(fitted, options.scaling, options.target_scaling)
    }
}

impl SeenCategories {
    fn take_in(&mut self, category: SeenClass) -> Result<()> {
        if let Some(known) = self.listed.as_ref().filter(|listed| !listed.contains(&category.name)) {
            let SeenClass { place, name, .. } = category;
            return Err(DataError::UnknownCategory { place, category: name, known: known.clone() });
        }
        self.classes.take_in(category, |place, limit| DataError::TooManyCategories { place, limit })
    }
}

/// What the first pass finds in a block.
struct SeenBlock {
    features: Statistics,
    categories: Vec<Vec<SeenClass>>,
    train_targets: Statistics,
    targets: Statistics,
    classes: Vec<SeenClass>,
}

impl SeenBlock {
    /// Takes a look at a block of a table, of which `is_test` says where a row belongs.
    fn new(block: Block, is_test: impl Fn(usize) -> Option<bool>, table: &Tables) -> Self {
        let Block { features, categories, target } = block;
        let marks: Vec<bool> = (0..features.rows()).map(|row| is_test(row).unwrap_or(false)).collect();
        let seen = |found: Found, column: &str| {
            seen_classes(found, &marks, |row| features.place_in(row, column.to_owned()))
        };
        let names = table.category_names();
        let categories = categories.into_iter().zip(names).map(|(found, name)| seen(found, name)).collect();
        let (mut train_targets, mut targets, mut classes) =
            (Statistics::empty(1), Statistics::empty(1), Vec::new());
        match target {
            Values::None => {}
            Values::Numbers(numbers) => {
                targets = Statistics::of(&numbers, 1);
                let train =
                    numbers.iter().zip(&marks).filter_map(|(number, &test)| (!test).then_some(*number));
                train_targets = Statistics::of(&train.collect::<Vec<_>>(), 1);
            }
            Values::Classes(found) => classes = seen(found, table.target_name()),
        }
        let cols = features.cols();
        let train = if marks.contains(&true) { features.split(&marks).0 } else { features };
        Self { features: Statistics::of(train.values(), cols), categories, train_targets, targets, classes }
    }
}

/// The classes that were found in rows, of which those of the test part are marked.
fn seen_classes(found: Found, marks: &[bool], place: impl Fn(usize) -> Place) -> Vec<SeenClass> {
    let mut trained = vec![false; found.names.len() + 1];
    for (&label, &test) in found.labels.iter().zip(marks).filter(|(label, _)| **label != MISSING) {
        trained[(label as usize).min(found.names.len())] |= !test;
    }
    let all = found.names.into_iter().zip(found.first).zip(trained);
    all.map(|((name, first), trained)| SeenClass { name, place: place(first), trained }).collect()
}

/// The least k ≥ 0 with `magnitude` ≤ 2^k.
pub(crate) fn bits(magnitude: f64) -> u32 {
    let mut bits = 0;
    let mut power = 1.0;
    while power < magnitude {
        power *= 2.0;
        bits += 1;
    }
    bits
}
