//! The classes of a target, as they are found.

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
    /// Takes in a class; fails if there are too many.
    pub(crate) fn take_in(&mut self, class: SeenClass) -> Result<()> {
        if let Some(trained) = self.trained.get_mut(&class.name) {
            *trained |= class.trained;
            return Ok(());
        }
        if self.trained.len() == MAX_CLASSES {
            return Err(DataError::TooManyClasses { place: class.place, limit: MAX_CLASSES });
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

    /// The names: sorted as numbers if all are numbers, else as text.
    pub(crate) fn sorted(&self) -> Vec<String> {
        let mut names: Vec<String> = self.trained.keys().cloned().collect();
        let number = |name: &String| name.parse().ok().filter(|number: &f64| number.is_finite());
        if let Some(numbers) = names.iter().map(number).collect::<Option<Vec<f64>>>() {
            let mut pairs: Vec<(f64, String)> = numbers.into_iter().zip(names).collect();
            pairs.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            names = pairs.into_iter().map(|(_, name)| name).collect();
        }
        names
    }
}
