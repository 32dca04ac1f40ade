//! Classes and categories as they are found in rows.

use std::collections::HashMap;

/// The most different classes that are told apart: one more than there may be.
pub(crate) const DISTINCT: usize = crate::csv::MAX_CLASSES + 1;

/// The label of a row whose category is missing.
pub(crate) const MISSING: u32 = u32::MAX;

/// Classes or categories as they were found in some rows.
#[derive(Clone, Default)]
pub(crate) struct Found {
    /// The names in the order of their first rows, up to [`DISTINCT`].
    pub(crate) names: Vec<String>,
    /// The first row of each.
    pub(crate) first: Vec<usize>,
    /// Of every row, the index of its class in `names`, or the number of names if there are too many, or [`MISSING`].
    pub(crate) labels: Vec<u32>,
}

/// Finds classes or categories in text, row after row.
pub(crate) struct Finder {
    found: Found,
    index: HashMap<Vec<u8>, u32>,
    /// The most that are told apart.
    most: usize,
}

impl Default for Finder {
    fn default() -> Self {
        Self { found: Found::default(), index: HashMap::new(), most: DISTINCT }
    }
}

/// A text is not UTF-8.
pub(crate) struct NotUtf8;

impl Finder {
    /// One that tells all texts apart.
    #[cfg(feature = "_columnar")]
    pub(crate) fn of_all() -> Self {
        Self { most: usize::MAX, ..Self::default() }
    }

    /// Takes in the class of the next row.
    pub(crate) fn push(&mut self, class: &[u8]) -> Result<(), NotUtf8> {
        let Found { names, first, labels } = &mut self.found;
        let label = match self.index.get(class) {
            Some(&label) => label,
            None if names.len() == self.most => self.most as u32,
            None => {
                let name = std::str::from_utf8(class).map_err(|_| NotUtf8)?;
                let label = names.len() as u32;
                names.push(name.to_owned());
                first.push(labels.len());
                self.index.insert(class.to_owned(), label);
                label
            }
        };
        labels.push(label);
        Ok(())
    }

    /// Takes in a row that has none.
    pub(crate) fn push_missing(&mut self) {
        self.found.labels.push(MISSING);
    }

    /// Forgets all rows but the first ones.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.found.labels.truncate(rows);
    }

    /// What was found.
    pub(crate) fn finish(self) -> Found {
        self.found
    }
}

/// Numbers as names of classes: `3` for 3.0. NaN is a row that has none.
pub(crate) fn classes(numbers: impl IntoIterator<Item = f64>) -> Found {
    let mut found = Found::default();
    let mut index: HashMap<u64, u32> = HashMap::new();
    for (row, number) in numbers.into_iter().enumerate() {
        if number.is_nan() {
            found.labels.push(MISSING);
            continue;
        }
        // Minus zero is zero.
        let number = number + 0.0;
        let label = match index.get(&number.to_bits()) {
            Some(&label) => label,
            None if found.names.len() == DISTINCT => DISTINCT as u32,
            None => {
                let label = found.names.len() as u32;
                found.names.push(number.to_string());
                found.first.push(row);
                index.insert(number.to_bits(), label);
                label
            }
        };
        found.labels.push(label);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_classes_by_value() {
        let found = classes([3.0, -0.0, 3.0, 0.0, f64::NAN, 2.5]);
        assert_eq!(found.names, ["3", "0", "2.5"]);
        assert_eq!((found.first, found.labels), (vec![0, 1, 5], vec![0, 1, 0, 1, MISSING, 2]));
    }

    #[test]
    fn texts_are_told_apart_up_to_a_number() {
        let mut finder = Finder::default();
        for row in 0..DISTINCT + 2 {
            assert!(finder.push(row.to_string().as_bytes()).is_ok());
        }
        finder.push_missing();
        assert!(finder.push(b"7").is_ok() && finder.push(b"\xff").is_ok());
        let found = finder.finish();
        assert_eq!(found.names.len(), DISTINCT);
        assert_eq!(found.labels[DISTINCT - 1..], [1000, 1001, 1001, MISSING, 7, 1001]);
        assert!(Finder::default().push(b"\xff").is_err());
    }
}
