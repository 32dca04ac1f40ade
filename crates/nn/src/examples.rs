//! Rows of shared data, wherever they lie.

use shamisen_mpc::Rep;

use crate::error::Result;

/// Shared rows of features and targets that a party reads mini-batch by mini-batch.
pub trait SharedRows {
    /// Number of rows.
    fn rows(&self) -> usize;

    /// Says which rows will be asked for next, features and then targets, so that they may be read in the meantime.
    fn prefetch(&mut self, rows: &[u32]) {
        let _ = rows;
    }

    /// The features of the given rows, row-major, as many columns as the plan has features.
    ///
    /// # Errors
    ///
    /// [`NnError::Rows`](crate::NnError::Rows) when they cannot be read.
    fn features(&mut self, rows: &[u32]) -> Result<Rep>;

    /// The targets of the given rows, row-major, as many columns as the plan has outputs.
    ///
    /// # Errors
    ///
    /// As for [`Self::features`].
    fn targets(&mut self, rows: &[u32]) -> Result<Rep>;
}
