//! Three servers, as an analyst asks them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray2};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use serde::Serialize;
use shamisen_data::model::{SHARE_FILES, read_party_share};
use shamisen_data::shares::random_id;
use shamisen_data::table::Matrix;
use shamisen_mpc::Rep;
use shamisen_nn::evaluate::prediction_frac;
use shamisen_nn::plan::Optimizer;
use shamisen_party::checkpoint::DEFAULT_EVERY;
use shamisen_party::tables::Join;
use shamisen_ring::fixed;
use shamisen_service::analyst::Analyst;
use shamisen_service::cluster::Cluster as Servers;
use shamisen_service::job::{JobDocument, JobStatus, ModelInfo, Setting, Work};
use shamisen_service::terms::Output;
use shamisen_service::{ServiceError, Stop, keys};
use tempfile::TempDir;

use crate::error::{of_data, of_service};
use crate::model::{SharedModel, columns_of};

/// The three servers, and with whose key they are asked.
#[pyclass(frozen, module = "shamisen._core")]
pub(crate) struct Cluster(Analyst);

/// What a training is on: data sets that are put together, and their columns that are used.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Table {
    /// Ids.
    datasets: Vec<String>,
    /// `rows` or `columns`.
    join: String,
    /// All if there is none.
    columns: Vec<String>,
}

/// A training, in the words of estimators.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Training {
    hidden: Vec<usize>,
    epochs: usize,
    batch_size: usize,
    optimizer: String,
    learning_rate: f64,
    weight_decay: f64,
    momentum: f64,
    beta_1: f64,
    beta_2: f64,
    refresh: u32,
    seed: u64,
}

#[pymethods]
impl Cluster {
    /// Reads the file of the servers and the key; nothing is called yet. Each answer is waited for for so many seconds at most.
    #[new]
    fn new(file: PathBuf, key: PathBuf, timeout: f64) -> PyResult<Self> {
        let deadline = Duration::try_from_secs_f64(timeout).ok().filter(|deadline| !deadline.is_zero());
        let deadline = deadline.ok_or_else(|| {
            PyValueError::new_err(format!(
                "timeout has to be a number of seconds above 0. Got {timeout} instead."
            ))
        })?;
        let analyst =
            Analyst::new(Servers::read(&file).map_err(of_service)?, keys::read(&key).map_err(of_service)?);
        Ok(Self(analyst.map_err(of_service)?.with_deadline(deadline).with_patience(|| Python::attach(look))))
    }

    /// The own fingerprint.
    #[getter]
    fn fingerprint(&self) -> String {
        self.0.key().to_string()
    }

    /// As whom the servers know the key.
    fn who_am_i(&self, py: Python<'_>) -> PyResult<String> {
        json(&py.detach(|| self.0.who_am_i()).map_err(of_service)?)
    }

    /// The data sets that the servers show.
    fn datasets(&self, py: Python<'_>) -> PyResult<String> {
        json(&py.detach(|| self.0.data_sets()).map_err(of_service)?)
    }

    /// The data set with a name or id.
    fn dataset(&self, py: Python<'_>, reference: &str) -> PyResult<String> {
        json(&py.detach(|| self.0.data_set(reference)).map_err(of_service)?)
    }

    /// The models that the servers show.
    fn models(&self, py: Python<'_>) -> PyResult<String> {
        json(&py.detach(|| self.0.models()).map_err(of_service)?)
    }

    /// The model with an id, the beginning of an id, or a name.
    fn model(&self, py: Python<'_>, reference: &str) -> PyResult<String> {
        json(&py.detach(|| self.0.model(reference)).map_err(of_service)?)
    }

    /// The own jobs, the latest first.
    fn jobs(&self, py: Python<'_>) -> PyResult<String> {
        json(&py.detach(|| self.0.jobs()).map_err(of_service)?)
    }

    /// Cancels the job with an id, the beginning of an id, or a name.
    fn cancel(&self, py: Python<'_>, reference: &str) -> PyResult<String> {
        let cancelled = py.detach(|| self.0.cancel(&self.0.find(reference)?.id));
        json(&cancelled.map_err(of_service)?)
    }

    /// Has a network trained on a table. `progress` gets every change of the job's status, and the last status is returned. If it raises
    /// an exception, or Ctrl-C was pressed, the job is cancelled.
    fn train(
        &self,
        py: Python<'_>,
        name: String,
        table: Table,
        training: Training,
        outputs: Vec<String>,
        progress: &Bound<'_, PyAny>,
    ) -> PyResult<String> {
        let document = self.document(name, table, training, outputs)?;
        let progress = progress.clone().unbind();
        let told = |status: &JobStatus| {
            let tell = |py: Python<'_>| progress.call1(py, (json(status)?,)).map(drop);
            Python::attach(tell).map_err(Stop::from)
        };
        let end = py.detach(|| {
            self.0.submit(&document)?;
            let end = self.0.watch(&document.id, told);
            if matches!(end, Err(ServiceError::Stopped(_))) {
                self.0.give_up(&document.id);
            }
            end
        });
        json(&end.map_err(of_service)?)
    }

    /// Predicts for rows of scaled features: a row of probabilities, or of numbers, for each. These are opened to the caller alone.
    fn predict<'py>(
        &self,
        py: Python<'py>,
        model: &str,
        features: PyReadonlyArray2<'py, f64>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let (rows, cols) = features.as_array().dim();
        let matrix = Matrix::new(rows, cols, features.as_slice()?.to_vec())
            .ok_or_else(|| PyValueError::new_err("there are no rows to predict for"))?;
        let place = scratch()?;
        let (plan, words) = py
            .detach(|| {
                let model = self.0.model(model)?;
                let words = self.0.predict(&model, &matrix, place.path())?;
                Ok((model.plan, words))
            })
            .map_err(of_service)?;
        let frac = prediction_frac(&plan);
        let values = words.into_iter().map(|word| fixed::decode(word, frac)).collect();
        PyArray1::from_vec(py, values).reshape([rows, plan.outputs()])
    }

    /// The columns that a model takes: their statistics, for those who get its predictions or the model.
    fn columns(&self, py: Python<'_>, model: &str) -> PyResult<String> {
        let fetch = || self.0.model(model).and_then(|model| self.0.preprocessing(&model));
        Ok(columns_of(&py.detach(fetch).map_err(of_service)?).to_string())
    }

    /// Fetches the three shares of a model, which is no secret to the caller from then on.
    fn fetch(&self, py: Python<'_>, model: &str) -> PyResult<SharedModel> {
        let place = scratch()?;
        let files = SHARE_FILES.map(|name| place.path().join(name));
        let fetch = || {
            let model = self.0.model(model)?;
            self.0.fetch_model(&model, &files)?;
            Ok(model)
        };
        let model = py.detach(fetch).map_err(of_service)?;
        read_shares(model, &files)
    }
}

impl Cluster {
    /// The job that is handed in.
    fn document(
        &self,
        name: String,
        table: Table,
        training: Training,
        outputs: Vec<String>,
    ) -> PyResult<JobDocument> {
        let id = random_id().map_err(|error| of_data(&error))?;
        let setting = training.setting()?;
        let work = Work::Train { settings: vec![setting], checkpoint_every: DEFAULT_EVERY };
        let own = self.0.key();
        let mut document = JobDocument::new(id, name, self.0.servers(), own, table.datasets, work);
        (document.join, document.columns) = (join(&table.join)?, table.columns);
        document.outputs = outputs.iter().map(|name| output(name)).collect::<PyResult<_>>()?;
        document.outputs.sort_unstable();
        document.outputs.dedup();
        let receivers = |output| if document.outputs.contains(&output) { vec![own] } else { Vec::new() };
        let (predictions_to, model_to) = (receivers(Output::Predictions), receivers(Output::Model));
        (document.predictions_to, document.model_to) = (predictions_to, model_to);
        Ok(document)
    }
}

impl Training {
    fn setting(self) -> PyResult<Setting> {
        let optimizer = match self.optimizer.as_str() {
            "adam" => Optimizer::Adam { beta1: self.beta_1, beta2: self.beta_2, refresh: self.refresh },
            "sgd" => Optimizer::Sgd { momentum: self.momentum },
            other => return Err(PyValueError::new_err(format!("there is no optimizer {other:?}"))),
        };
        Ok(Setting {
            hidden: self.hidden,
            epochs: self.epochs,
            batch_size: self.batch_size,
            optimizer,
            learning_rate: self.learning_rate,
            weight_decay: self.weight_decay,
            seed: self.seed,
        })
    }
}

/// An output by its name.
fn output(name: &str) -> PyResult<Output> {
    serde_json::from_value(name.into()).map_err(|_| {
        PyValueError::new_err(format!(
            "{name:?} is no output: the outputs are 'metrics', 'loss', 'predictions' and 'model'"
        ))
    })
}

/// A way to put data sets together, by its name.
fn join(name: &str) -> PyResult<Join> {
    serde_json::from_value(name.into()).map_err(|_| {
        PyValueError::new_err(format!(
            "join={name:?} is no way to put data sets together: use 'rows' or 'columns'"
        ))
    })
}

/// Looks whether Ctrl-C was pressed.
fn look(py: Python<'_>) -> Result<(), Stop> {
    Ok(py.check_signals()?)
}

/// A directory for the shares of one call, which only this user may read.
fn scratch() -> PyResult<TempDir> {
    tempfile::Builder::new().prefix("shamisen-").tempdir().map_err(|error| {
        PyOSError::new_err(format!(
            "cannot create a directory in {}: {error}",
            std::env::temp_dir().display()
        ))
    })
}

/// A model from the files of its three shares.
fn read_shares(model: ModelInfo, files: &[PathBuf; 3]) -> PyResult<SharedModel> {
    let description = model
        .description(serde_json::Value::Null)
        .map_err(|error| PyRuntimeError::new_err(format!("the model cannot be described: {error}")))?;
    let share = |party: usize, file: &Path| {
        let (mine, next) =
            read_party_share(file, &description, party, None).map_err(|error| of_data(&error))?;
        Ok::<_, PyErr>(Rep::from_components(mine, next))
    };
    let [first, second, third] = files;
    let shares = [share(0, first)?, share(1, second)?, share(2, third)?];
    Ok(SharedModel { plan: model.plan, shares })
}

fn json(value: &impl Serialize) -> PyResult<String> {
    serde_json::to_string(value)
        .map_err(|error| PyRuntimeError::new_err(format!("an answer has no JSON form: {error}")))
}
