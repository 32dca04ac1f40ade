//! The extension module `shamisen._core` of the Python package `shamisen`.
//!
//! It takes and gives arrays of numbers. What scikit-learn's conventions ask for (names and defaults of parameters, classes,
//! checks of what a user passes) is in the Python files beside it.
#![cfg(feature = "python")]
#![expect(clippy::needless_pass_by_value, reason = "arguments come from Python")]
#![expect(clippy::too_many_arguments, reason = "they have names in Python")]

mod cluster;
mod error;
mod model;
mod open_model;
mod parties;
mod plan;
mod rows;
mod training;

use pyo3::prelude::pymodule;

/// What the package is made of.
#[pymodule]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::cluster::Cluster;
    #[pymodule_export]
    use crate::model::SharedModel;
    #[pymodule_export]
    use crate::open_model::{read_open_model, write_open_model};
    #[pymodule_export]
    use crate::plan::Plan;
    #[pymodule_export]
    use crate::training::{estimate, plain_outputs, train, train_plain};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        use shamisen_nn::formats::{FEATURE_BITS, MAX_BATCH};

        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("MAX_BATCH", MAX_BATCH)?;
        module.add("LIMIT", f64::from(1_u32 << FEATURE_BITS))
    }
}
