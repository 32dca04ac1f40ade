//! The classes of a target, or the categories of a column, in all rows.

use std::collections::BTreeMap;
use std::path::Path;

use crate::csv::MAX_CLASSES;
use crate::error::{DataError, Place, Result};

/// A class in some rows.
pub(crate) struct SeenClass {
    pub(crate) name: String,
    /// Its first cell.
    pub(crate) place: Place,
    /// Whether a training row has it.
    pub(crate) trained: bool,
}

/// All classes that were found.
#[derive(Default)]
pub(crate) struct Classes {
    /// Whether a training row has the class.
    trained: BTreeMap<String, bool>,
}

impl Classes {
    /// Takes in a class; fails with what `too_many` says if there are more than so many.
    pub(crate) fn take_in(
        &mut self,
        class: SeenClass,
        too_many: impl Fn(Place, usize) -> DataError,
    ) -> Result<()> {
        if let Some(trained) = self.trained.get_mut(&class.name) {
            *trained |= class.trained;
            return Ok(());
        }
        if self.trained.len() == MAX_CLASSES {
            return Err(too_many(class.place, MAX_CLASSES));
        }
        self.trained.insert(class.name, class.trained);
        Ok(())
    }

    /// Fails if all training rows have one class.
    pub(crate) fn require_two(&self, path: &Path, target: &str) -> Result<()> {
        let mut trained = self.trained.iter().filter_map(|(name, &trained)| trained.then_some(name));
        match (trained.next(), trained.next()) {
            (Some(class), None) => {
                let (path, target) = (path.to_owned(), target.to_owned());
                Err(DataError::OneClass { path, target, class: class.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Whether training rows have at least two of them.
    pub(crate) fn vary(&self) -> bool {
        self.trained.values().filter(|&&trained| trained).count() > 1
    }

    /// The names, sorted as [`sorted`] does it.
    pub(crate) fn sorted(&self) -> Vec<String> {
        sorted(self.trained.keys())
    }
}

/// Names of classes that are in the order of their text: sorted as numbers if all are numbers, else as they are.
pub(crate) fn sorted<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut names: Vec<String> = names.cloned().collect();
    let number = |name: &String| name.parse().ok().filter(|number: &f64| number.is_finite());
    if let Some(numbers) = names.iter().map(number).collect::<Option<Vec<f64>>>() {
        let mut pairs: Vec<(f64, String)> = numbers.into_iter().zip(names).collect();
        pairs.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        names = pairs.into_iter().map(|(_, name)| name).collect();
    }
    names
}
