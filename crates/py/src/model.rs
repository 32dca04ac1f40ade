//! A trained model, whose parameters stay shared.

use std::path::{Path, PathBuf};

use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use serde_json::json;
use shamisen_data::model::{
    PREPROCESSING_FILE, SHARE_FILES, read_party_share, write_description, write_party_share,
};
use shamisen_data::scaling::{Affine, Preprocessing, Scaling};
use shamisen_data::shares::random_id;
use shamisen_local::open::{described, encode};
use shamisen_local::predict::{SharedModel as ModelDirectory, TrainingSummary};
use shamisen_local::report::Scores;
use shamisen_mpc::Rep;
use shamisen_net::Party;
use shamisen_nn::evaluate::{predict, prediction_frac};
use shamisen_nn::formats::{WEIGHT_FRAC, activation_frac};
use shamisen_nn::perceptron::Perceptron;
use shamisen_nn::plan::Plan as NnPlan;
use shamisen_ring::fixed;

use crate::error::{of_data, of_running};
use crate::parties::run;
use crate::plan::Plan;
use crate::rows::{Dealt, Examples};

/// A network, its parameters shared among three parties.
#[pyclass(frozen, module = "shamisen._core")]
pub(crate) struct SharedModel {
    pub(crate) plan: NnPlan,
    pub(crate) shares: [Rep; 3],
}

/// What leads from columns to inputs and from outputs back.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Columns {
    feature_names: Vec<String>,
    target_name: String,
    /// `standard`, `min-max` or `none`.
    scaling: String,
    offset: Vec<f64>,
    factor: Vec<f64>,
    /// Offset and factor of the target of a regression.
    target: Option<(f64, f64)>,
    classes: Vec<String>,
    /// The [`Preprocessing`] that they were read from, in JSON.
    whole: Option<String>,
}

#[pymethods]
impl SharedModel {
    /// Shares open parameters: layer by layer the weights, row-major with a row for each input, then the biases.
    #[staticmethod]
    fn share(plan: &Plan, parameters: PyReadonlyArray1<'_, f64>) -> PyResult<Self> {
        let plan = &plan.0;
        let values = parameters.as_slice()?;
        if values.len() != plan.parameters() {
            let (found, wanted) = (values.len(), plan.parameters());
            return Err(PyValueError::new_err(format!(
                "there are {found} parameters where the layers have {wanted}"
            )));
        }
        let dealt = Dealt::deal(encode(values).map_err(|failure| of_running(&failure))?, 1)?;
        Ok(Self { plan: plan.clone(), shares: Party::ALL.map(|party| dealt.share(party)) })
    }

    /// Widths of all layers, the input's first.
    #[getter]
    fn layers(&self) -> Vec<usize> {
        self.plan.layers.clone()
    }

    /// The seed of the plan.
    #[getter]
    fn seed(&self) -> u64 {
        self.plan.seed
    }

    /// Predicts under sharing: a row of probabilities, or of numbers, for each row of features. These are opened, and nothing else.
    fn predict<'py>(
        &self,
        py: Python<'py>,
        features: PyReadonlyArray2<'py, f64>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let plan = &self.plan;
        let (rows, columns) = features.as_array().dim();
        if columns != plan.features() {
            let wanted = plan.features();
            return Err(PyValueError::new_err(format!(
                "there are {columns} features where the model has {wanted}"
            )));
        }
        let examples = Examples { features: Dealt::new(&features, activation_frac(plan))?, targets: None };
        let shares = run(py, 1, None, |party, mut lanes, _| {
            predict(plan, &self.perceptron(party), &mut examples.of(party), lanes.main())
        })?;
        let frac = prediction_frac(plan);
        let values = opened(&shares)?.into_iter().map(|word| fixed::decode(word, frac)).collect();
        PyArray1::from_vec(py, values).reshape([rows, plan.outputs()])
    }

    /// Opens the parameters, in the order of [`share`](Self::share).
    fn reveal<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let words = opened(&self.shares)?;
        Ok(PyArray1::from_iter(py, words.into_iter().map(|word| fixed::decode(word, WEIGHT_FRAC))))
    }

    /// Writes the files of a model directory, as `shamisen train --model` does; each party's share in a file of its own.
    ///
    /// Told is of the training: its rows, its seconds, and its last loss. Returns the id of the model.
    fn save(
        &self,
        directory: PathBuf,
        columns: Columns,
        rows: usize,
        seconds: f64,
        loss: Option<f64>,
    ) -> PyResult<String> {
        let training = TrainingSummary {
            plan: self.plan.clone(),
            rows,
            seconds,
            loss,
            scores: Scores::default(),
            scored_on: "training rows".to_owned(),
        };
        self.write(&directory, &columns, &training)
    }

    /// Reads a model directory: the model, and as a dictionary in JSON its columns.
    #[staticmethod]
    fn load(directory: PathBuf) -> PyResult<(Self, String)> {
        let model = ModelDirectory::read(&directory).map_err(|failure| of_running(&failure))?;
        let ModelDirectory { description, training, preprocessing, .. } = &model;
        let share = |party: usize| {
            let path = directory.join(&description.share_files[party]);
            let (mine, next) =
                read_party_share(&path, description, party, None).map_err(|error| of_data(&error))?;
            Ok::<_, PyErr>(Rep::from_components(mine, next))
        };
        let mut columns = columns_of(preprocessing);
        columns["id"] = json!(description.id);
        columns["rows"] = json!(training.rows);
        columns["seconds"] = json!(training.seconds);
        columns["loss"] = json!(training.loss);
        let shares = [share(0)?, share(1)?, share(2)?];
        Ok((Self { plan: training.plan.clone(), shares }, columns.to_string()))
    }
}

impl Columns {
    /// The same for the files of the crates, with what the file said besides that they were read from, if they are still those.
    pub(crate) fn preprocessing(&self) -> Preprocessing {
        let own = Preprocessing {
            feature_names: self.feature_names.clone(),
            columns: vec![],
            images: None,
            target_name: self.target_name.clone(),
            scaling: match self.scaling.as_str() {
                "standard" => Scaling::Standard,
                "min-max" => Scaling::MinMax,
                _ => Scaling::None,
            },
            offset: self.offset.clone(),
            factor: self.factor.clone(),
            target: self.target.map(|(offset, factor)| Affine { offset, factor }),
            classes: self.classes.clone(),
        };
        let whole = self.whole.as_deref().and_then(|json| serde_json::from_str::<Preprocessing>(json).ok());
        let is_own = |whole: &Preprocessing| {
            let (columns, target_name) = (whole.columns.clone(), whole.target_name.clone());
            *whole == Preprocessing { columns, images: whole.images, target_name, ..own.clone() }
        };
        whole.filter(is_own).unwrap_or(own)
    }
}

/// The columns of a file of the crates, for JSON.
pub(crate) fn columns_of(preprocessing: &Preprocessing) -> serde_json::Value {
    json!({
        "feature_names": preprocessing.feature_names,
        "target_name": preprocessing.target_name,
        "scaling": preprocessing.scaling,
        "offset": preprocessing.offset,
        "factor": preprocessing.factor,
        "target": preprocessing.target.map(|map| (map.offset, map.factor)),
        "classes": preprocessing.classes,
        "whole": serde_json::to_string(preprocessing).ok(),
    })
}

impl SharedModel {
    /// A party's network.
    pub(crate) fn perceptron(&self, party: Party) -> Perceptron {
        Perceptron::from_parameters(&self.plan, self.shares[party.index()].clone())
    }

    fn write(&self, directory: &Path, columns: &Columns, training: &TrainingSummary) -> PyResult<String> {
        let id = random_id().map_err(|error| of_data(&error))?;
        let preprocessing = columns.preprocessing();
        let description = described(&id, &preprocessing, training).map_err(|failure| of_running(&failure))?;
        let written = write_description(directory, &description)
            .and_then(|()| preprocessing.write(&directory.join(PREPROCESSING_FILE)))
            .and_then(|()| {
                self.shares.iter().zip(SHARE_FILES).enumerate().try_for_each(|(party, (share, name))| {
                    let (mine, next) = share.components();
                    write_party_share(&directory.join(name), &id, party, [mine, next], None)
                })
            });
        written.map_err(|error| of_data(&error))?;
        Ok(id)
    }
}

/// Puts three shares together.
fn opened(shares: &[Rep; 3]) -> PyResult<Vec<u64>> {
    let components = shares.each_ref().map(Rep::components);
    for party in 0..3 {
        if components[party].1 != components[(party + 1) % 3].0 {
            return Err(PyRuntimeError::new_err(format!(
                "the shares of parties {party} and {} contradict each other",
                (party + 1) % 3
            )));
        }
    }
    let [(x0, x1), (_, x2), _] = components;
    Ok(x0.iter().zip(x1).zip(x2).map(|((a, b), c)| a.wrapping_add(*b).wrapping_add(*c)).collect())
}
