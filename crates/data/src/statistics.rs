//! Ranges, means and deviations of columns, from blocks of rows one after the other.
//!
//! A block's own come in two passes over it; blocks are put together by the formulas of Chan, Golub and LeVeque ("Updating
//! formulae and a pairwise algorithm for computing sample variances", 1979), which lose no digits. Means and deviations
//! are kept relative to the largest magnitude of the column, so that no square overflows.

/// Statistics of the columns of some rows, without values that are missing.
#[derive(Clone, Debug)]
pub(crate) struct Statistics {
    columns: Vec<ColumnStatistics>,
}

/// Statistics of some numbers.
#[derive(Clone, Copy, Debug)]
struct ColumnStatistics {
    /// How many there are.
    count: u64,
    /// How many are missing besides.
    missing: u64,
    least: f64,
    greatest: f64,
    /// Largest magnitude, or 1 if that is 0.
    unit: f64,
    /// In units.
    mean: f64,
    /// Sum of the squared deviations from the mean, in squared units.
    squares: f64,
}

impl ColumnStatistics {
    const EMPTY: Self = Self {
        count: 0,
        missing: 0,
        least: f64::INFINITY,
        greatest: f64::NEG_INFINITY,
        unit: 1.0,
        mean: 0.0,
        squares: 0.0,
    };

    /// Of one number so many times.
    fn repeated(value: f64, count: u64) -> Self {
        let unit = if value == 0.0 { 1.0 } else { value.abs() };
        Self { count, least: value, greatest: value, unit, mean: value / unit, ..Self::EMPTY }
    }

    /// Takes in those of other numbers.
    fn merge(&mut self, other: &Self) {
        let missing = self.missing + other.missing;
        if self.count == 0 {
            *self = *other;
        } else if other.count > 0 {
            let (own, others) = (self.count as f64, other.count as f64);
            let all = own + others;
            let unit = self.unit.max(other.unit);
            let (down, other_down) = (self.unit / unit, other.unit / unit);
            let (mean, other_mean) = (self.mean * down, other.mean * other_down);
            let difference = other_mean - mean;
            self.mean = mean + difference * (others / all);
            self.squares = self.squares * down.powi(2)
                + other.squares * other_down.powi(2)
                + difference.powi(2) * (own * (others / all));
            self.unit = unit;
            self.least = self.least.min(other.least);
            self.greatest = self.greatest.max(other.greatest);
            self.count += other.count;
        }
        self.missing = missing;
    }
}

impl Statistics {
    /// Of so many columns without rows.
    pub(crate) fn empty(cols: usize) -> Self {
        Self { columns: vec![ColumnStatistics::EMPTY; cols] }
    }

    /// Of values, row after row, which are finite, or NaN if they are missing.
    pub(crate) fn of(values: &[f64], cols: usize) -> Self {
        let mut all = Self::empty(cols);
        let columns = &mut all.columns;
        let rows = || values.chunks_exact(cols.max(1));
        let any_missing = values.iter().any(|value| value.is_nan());
        for row in rows() {
            for (column, &value) in columns.iter_mut().zip(row) {
                // Of a number and NaN, the number is the least and the greatest.
                column.least = column.least.min(value);
                column.greatest = column.greatest.max(value);
                column.missing += u64::from(any_missing && value.is_nan());
            }
        }
        let count = rows().len() as u64;
        for column in columns.iter_mut() {
            column.count = count - column.missing;
            let largest = column.least.abs().max(column.greatest.abs());
            column.unit = if largest > 0.0 && column.count > 0 { largest } else { 1.0 };
        }
        let present = |value: f64| !any_missing || !value.is_nan();
        for row in rows() {
            for (column, &value) in columns.iter_mut().zip(row).filter(|(_, value)| present(**value)) {
                column.mean += value / column.unit;
            }
        }
        for column in columns.iter_mut().filter(|column| column.count > 0) {
            column.mean /= column.count as f64;
        }
        for row in rows() {
            for (column, &value) in columns.iter_mut().zip(row).filter(|(_, value)| present(**value)) {
                column.squares += (value / column.unit - column.mean).powi(2);
            }
        }
        all
    }

    /// Takes in the statistics of other rows of the same columns.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (own, other) in self.columns.iter_mut().zip(&other.columns) {
            own.merge(other);
        }
    }

    /// Whether a column has values at all.
    pub(crate) fn has_values(&self, col: usize) -> bool {
        self.columns[col].count > 0
    }

    /// Puts a value in place of those that are missing.
    pub(crate) fn fill(&mut self, col: usize, value: f64) {
        let column = &mut self.columns[col];
        let count = std::mem::take(&mut column.missing);
        if count > 0 {
            column.merge(&ColumnStatistics::repeated(value, count));
        }
    }

    /// The least and the greatest value of a column.
    pub(crate) fn range(&self, col: usize) -> (f64, f64) {
        (self.columns[col].least, self.columns[col].greatest)
    }

    /// The mean and the (population) standard deviation of a column.
    pub(crate) fn mean_and_deviation(&self, col: usize) -> (f64, f64) {
        let ColumnStatistics { count, unit, mean, squares, .. } = self.columns[col];
        (mean * unit, (squares / count as f64).sqrt() * unit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(found: f64, expected: f64, scale: f64) -> bool {
        (found - expected).abs() <= 1e-12 * scale
    }

    proptest! {
        #[test]
        fn blocks_together_have_the_statistics_of_all_rows(
            values in prop::collection::vec(prop_oneof![-1e3..1e3f64, -1e300..1e300f64, Just(0.0)], 2..60),
            cuts in prop::collection::vec(0usize..30, 0..4),
        ) {
            let values = &values[..values.len() / 2 * 2];
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| 2 * cut.min(values.len() / 2)).collect();
            cuts.extend([0, values.len()]);
            cuts.sort_unstable();
            let mut merged = Statistics::empty(2);
            for pair in cuts.windows(2) {
                merged.merge(&Statistics::of(&values[pair[0]..pair[1]], 2));
            }
            let whole = Statistics::of(values, 2);
            for col in 0..2 {
                prop_assert_eq!(merged.columns[col].count, whole.columns[col].count);
                let (least, greatest) = whole.range(col);
                prop_assert_eq!(merged.range(col), (least, greatest));
                let scale = least.abs().max(greatest.abs());
                let (mean, deviation) = merged.mean_and_deviation(col);
                let (expected_mean, expected) = whole.mean_and_deviation(col);
                prop_assert!(close(mean, expected_mean, scale), "{} {}", mean, expected_mean);
                prop_assert!(close(deviation, expected, scale), "{} {}", deviation, expected);
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_filled_in_counts_as_if_it_had_been_there(
            values in prop::collection::vec(prop::option::weighted(0.7, -1e3..1e3f64), 1..60),
            cut in 0usize..60,
            constant in prop_oneof![Just(0.0), -1e4..1e4f64],
        ) {
            let with_gaps: Vec<f64> = values.iter().map(|value| value.unwrap_or(f64::NAN)).collect();
            let (first, second) = with_gaps.split_at(cut.min(with_gaps.len()));
            let mut found = Statistics::of(first, 1);
            found.merge(&Statistics::of(second, 1));
            let present: Vec<f64> = values.iter().flatten().copied().collect();
            prop_assert_eq!(found.has_values(0), !present.is_empty());
            if !present.is_empty() {
                let mean = present.iter().sum::<f64>() / present.len() as f64;
                prop_assert!(close(found.mean_and_deviation(0).0, mean, 1e3));
            }
            let filled: Vec<f64> = values.iter().map(|value| value.unwrap_or(constant)).collect();
            found.fill(0, constant);
            let whole = Statistics::of(&filled, 1);
            prop_assert_eq!(found.range(0), whole.range(0));
            let ((mean, deviation), (expected_mean, expected)) =
                (found.mean_and_deviation(0), whole.mean_and_deviation(0));
            prop_assert!(close(mean, expected_mean, 1e4), "{} {}", mean, expected_mean);
            // A deviation of nothing is the root of rounding errors.
            prop_assert!((deviation - expected).abs() <= 1e-7 * 1e4, "{} {}", deviation, expected);
        }
    }

    #[test]
    fn small_deviations_of_large_numbers_are_not_lost() {
        let mut all = Statistics::empty(1);
        for block in 0..100 {
            let values: Vec<f64> = (0..100).map(|row| 1e9 + f64::from((block + row) % 2)).collect();
            all.merge(&Statistics::of(&values, 1));
        }
        let (mean, deviation) = all.mean_and_deviation(0);
        assert!((mean - 1e9 - 0.5).abs() < 1e-5 && (deviation - 0.5).abs() < 1e-6, "{mean} {deviation}");
    }
}
