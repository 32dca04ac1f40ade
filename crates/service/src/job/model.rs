//! What a server tells about the models that it has a share of.

use serde::{Deserialize, Serialize};
use shamisen_data::model::{ModelDescription, SHARE_FILES, VERSION};
use shamisen_data::scaling::Scaling;
use shamisen_data::table::TargetKind;
use shamisen_nn::formats::WEIGHT_FRAC;
use shamisen_nn::plan::{Plan, Task};
use utoipa::ToSchema;

use crate::KeyId;
use crate::job::TrainingResult;
use crate::manifest::Schema;

/// A model that the three servers keep, shared among them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct ModelInfo {
    /// Its id, which is that of the job that trained it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Name of the analyst who had it trained.
    pub analyst: String,
    /// The data sets that it was trained on.
    pub datasets: Vec<String>,
    /// The names of the columns that it takes, and of its classes.
    pub schema: Schema,
    /// How the columns are scaled.
    #[schema(value_type = String)]
    pub scaling: Scaling,
    /// Whether that is by the statistics of the rows of several owners together.
    pub pooled: bool,
    /// How it was trained.
    #[schema(value_type = Object)]
    pub plan: Plan,
    /// Training rows.
    pub rows: usize,
    /// Test rows, if there were any.
    pub test_rows: Option<usize>,
    /// What came out of the training.
    pub result: TrainingResult,
    /// Who gets predictions.
    #[schema(value_type = Vec<String>)]
    pub predictions_to: Vec<KeyId>,
    /// Who gets it in the clear.
    #[schema(value_type = Vec<String>)]
    pub model_to: Vec<KeyId>,
    /// Bytes of this server's share.
    pub share_bytes: u64,
    /// Bytes of this server's share of the statistics.
    pub statistics_bytes: u64,
}

impl ModelInfo {
    /// The model in the words of model directories, with a summary of its training.
    ///
    /// # Errors
    ///
    /// If the layers have no JSON form.
    pub fn description(&self, training: serde_json::Value) -> Result<ModelDescription, serde_json::Error> {
        Ok(ModelDescription {
            id: self.id.clone(),
            version: VERSION,
            task: match self.plan.task {
                Task::Classification => TargetKind::Classes,
                Task::Regression => TargetKind::Number,
            },
            layers: serde_json::to_value(&self.plan.layers)?,
            frac: WEIGHT_FRAC,
            parameters: self.plan.parameters() as u64,
            feature_names: self.schema.features.clone(),
            target_name: self.schema.target.clone(),
            classes: self.schema.classes.clone(),
            training,
            share_files: SHARE_FILES.map(str::to_owned),
        })
    }
}
