//! Ranges, means and deviations of columns, from blocks of rows one after the other.
//!
//! A block's own come in two passes over it; blocks are put together by the formulas of Chan, Golub and LeVeque ("Updating
//! formulae and a pairwise algorithm for computing sample variances", 1979), which lose no digits. Means and deviations
//! are kept relative to the largest magnitude of the column, so that no square overflows.

/// Statistics of the columns of some rows.
#[derive(Clone, Debug)]
pub(crate) struct Statistics {
    rows: u64,
    least: Vec<f64>,
    greatest: Vec<f64>,
    /// Largest magnitude, or 1 if that is 0.
    unit: Vec<f64>,
    /// In units.
    mean: Vec<f64>,
    /// Sum of the squared deviations from the mean, in squared units.
    squares: Vec<f64>,
}

impl Statistics {
    /// Of so many columns without rows.
    pub(crate) fn empty(cols: usize) -> Self {
        Self {
            rows: 0,
            least: vec![f64::INFINITY; cols],
            greatest: vec![f64::NEG_INFINITY; cols],
            unit: vec![1.0; cols],
            mean: vec![0.0; cols],
            squares: vec![0.0; cols],
        }
    }

    /// Of finite values, row after row.
    pub(crate) fn of(values: &[f64], cols: usize) -> Self {
        let mut all = Self::empty(cols);
        all.rows = (values.len() / cols.max(1)) as u64;
        if all.rows == 0 {
            return all;
        }
        let count = all.rows as f64;
        let rows = || values.chunks_exact(cols);
        for row in rows() {
            for ((least, greatest), &value) in all.least.iter_mut().zip(&mut all.greatest).zip(row) {
                *least = least.min(value);
                *greatest = greatest.max(value);
            }
        }
        for (unit, (least, greatest)) in all.unit.iter_mut().zip(all.least.iter().zip(&all.greatest)) {
            let largest = least.abs().max(greatest.abs());
            *unit = if largest > 0.0 { largest } else { 1.0 };
        }
        for row in rows() {
            for ((sum, unit), value) in all.mean.iter_mut().zip(&all.unit).zip(row) {
                *sum += value / unit;
            }
        }
        for mean in &mut all.mean {
            *mean /= count;
        }
        for row in rows() {
            let columns = all.squares.iter_mut().zip(all.unit.iter().zip(&all.mean));
            for ((sum, (unit, mean)), value) in columns.zip(row) {
                *sum += (value / unit - mean).powi(2);
            }
        }
        all
    }

    /// Takes in the statistics of other rows of the same columns.
    pub(crate) fn merge(&mut self, other: &Self) {
        if other.rows == 0 {
            return;
        }
        if self.rows == 0 {
            self.clone_from(other);
            return;
        }
        let (own, others) = (self.rows as f64, other.rows as f64);
        let all = own + others;
        for col in 0..self.mean.len() {
            let unit = self.unit[col].max(other.unit[col]);
            let (down, other_down) = (self.unit[col] / unit, other.unit[col] / unit);
            let (mean, other_mean) = (self.mean[col] * down, other.mean[col] * other_down);
            let difference = other_mean - mean;
            self.mean[col] = mean + difference * (others / all);
            self.squares[col] = self.squares[col] * down.powi(2)
                + other.squares[col] * other_down.powi(2)
                + difference.powi(2) * (own * (others / all));
            self.unit[col] = unit;
            self.least[col] = self.least[col].min(other.least[col]);
            self.greatest[col] = self.greatest[col].max(other.greatest[col]);
        }
        self.rows += other.rows;
    }

    /// Number of columns.
    pub(crate) fn cols(&self) -> usize {
        self.mean.len()
    }

    /// The least and the greatest value of a column.
    pub(crate) fn range(&self, col: usize) -> (f64, f64) {
        (self.least[col], self.greatest[col])
    }

    /// The mean and the (population) standard deviation of a column.
    pub(crate) fn mean_and_deviation(&self, col: usize) -> (f64, f64) {
        let unit = self.unit[col];
        (self.mean[col] * unit, (self.squares[col] / self.rows as f64).sqrt() * unit)
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
            prop_assert_eq!(merged.rows, whole.rows);
            for col in 0..2 {
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
