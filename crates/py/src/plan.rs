//! The public plan, as Python describes it.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use shamisen_nn::formats::{FEATURE_BITS, check};
use shamisen_nn::plan::{Optimizer, Plan as NnPlan, Task};

use crate::error::of_learning;

/// The public plan of a training: network, optimiser and formats of the numbers.
#[pyclass(frozen, module = "shamisen._core")]
pub(crate) struct Plan(pub(crate) NnPlan);

#[pymethods]
impl Plan {
    /// Checks the plan, and fails with a sentence that says what to change.
    #[new]
    #[pyo3(signature = (
        task, layers, *, optimizer="adam", learning_rate=0.001, weight_decay=0.0, momentum=0.0, beta_1=0.9, beta_2=0.999,
        refresh=1, batch_size=128, epochs=1, seed=1, feature_bits=FEATURE_BITS, target_bits=0
    ))]
    fn new(
        task: &str,
        layers: Vec<usize>,
        optimizer: &str,
        learning_rate: f64,
        weight_decay: f64,
        momentum: f64,
        beta_1: f64,
        beta_2: f64,
        refresh: u32,
        batch_size: usize,
        epochs: usize,
        seed: u64,
        feature_bits: u32,
        target_bits: u32,
    ) -> PyResult<Self> {
        let task = match task {
            "classification" => Task::Classification,
            "regression" => Task::Regression,
            _ => return Err(PyValueError::new_err(format!("there is no task {task:?}"))),
        };
        let optimizer = match optimizer {
            "adam" => Optimizer::Adam { beta1: beta_1, beta2: beta_2, refresh },
            "sgd" => Optimizer::Sgd { momentum },
            _ => return Err(PyValueError::new_err(format!("there is no optimizer {optimizer:?}"))),
        };
        let plan = NnPlan {
            task,
            layers,
            optimizer,
            learning_rate,
            weight_decay,
            batch_size,
            epochs,
            seed,
            feature_bits,
            target_bits,
        };
        check(&plan).map_err(|error| of_learning(&error))?;
        Ok(Self(plan))
    }

    /// Widths of all layers, the input's first.
    #[getter]
    fn layers(&self) -> Vec<usize> {
        self.0.layers.clone()
    }

    /// Rows of a mini-batch.
    #[getter]
    fn batch_size(&self) -> usize {
        self.0.batch_size
    }

    /// Number of weights and biases.
    #[getter]
    fn parameters(&self) -> usize {
        self.0.parameters()
    }
}
