//! How good a network is, computed under sharing and in the clear alike.

use serde::{Deserialize, Serialize};

/// How well outputs fit their targets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "one kind for each of the two tasks")]
pub enum Metrics {
    /// Of a classification.
    Classification {
        /// Share of the rows whose largest logit (the first of equals) is that of the target class, in `[0, 1]`.
        accuracy: f64,
        /// Mean cross-entropy of the soft-max, in nats.
        cross_entropy: f64,
    },
    /// Of a regression.
    Regression {
        /// Mean squared error over all rows and columns, in the units of the targets as they were trained on.
        mse: f64,
        /// Coefficient of determination, averaged over the target columns. A column without variance counts 1
        /// when met exactly and 0 otherwise.
        r2: f64,
    },
}
