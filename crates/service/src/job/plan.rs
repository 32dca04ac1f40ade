//! What the three parties compute for a setting of a job: follows from the document and from what is public about the data.

use core::num::NonZeroU8;

use shamisen_data::table::TargetKind;
use shamisen_nn::formats::{self, FEATURE_BITS, activation_frac};
use shamisen_nn::plan::{Plan, Task};
use shamisen_party::assignment::{Assignment, Schedule, Score, Work as PartyWork};
use shamisen_party::checkpoint::rounded;

use crate::job::{JobTable, Setting, Signed, Work};

/// The plan of a setting, if it can be carried out on this table.
pub(crate) fn plan(setting: &Setting, table: &JobTable) -> Result<Plan, String> {
    let data = &table.description;
    let mut layers = vec![data.features];
    layers.extend(&setting.hidden);
    layers.push(data.outputs);
    let plan = Plan {
        task: match table.task {
            TargetKind::Classes => Task::Classification,
            TargetKind::Number => Task::Regression,
        },
        layers,
        optimizer: setting.optimizer,
        learning_rate: setting.learning_rate,
        weight_decay: setting.weight_decay,
        batch_size: setting.batch_size.min(data.rows),
        epochs: setting.epochs,
        seed: setting.seed,
        feature_bits: FEATURE_BITS,
        target_bits: data.target_bits,
    };
    formats::check(&plan).map_err(|error| error.to_string())?;
    if activation_frac(&plan) != data.feature_frac {
        let widest = plan.layers.iter().max().copied().unwrap_or_default();
        return Err(format!(
            "the data set is shared for narrower networks than one with a layer of {widest} units: its owner has to share it anew"
        ));
    }
    Ok(plan)
}

/// The job of the parties for the training of this number, the same at all three servers.
pub(crate) fn training(
    job: &Signed,
    number: usize,
    table: &JobTable,
    threads: NonZeroU8,
) -> Result<Assignment, String> {
    let Work::Train { settings, checkpoint_every } = &job.document.work else {
        return Err("the job is no training".to_owned());
    };
    let setting = settings.get(number).ok_or_else(|| format!("the job has no setting {number}"))?;
    let data = &table.description;
    let score = if data.test_rows.is_some() { Score::TestRows } else { Score::TrainingRows };
    let model = job.document.keeps_model().then(|| job.document.id.clone());
    // The hash of the document is in the name of the run, and so in what the parties compare when they meet.
    let schedule = Schedule { run: format!("{}-{number}", job.digest), every: rounded(*checkpoint_every) };
    let work = PartyWork::Train { score, model, start: None, checkpoints: Some(schedule) };
    Ok(Assignment::new(plan(setting, table)?, data.id.clone(), work, threads).on(table.tables.clone()))
}

/// The job of the parties for predictions by a model with this plan, for rows that are shared under the job's id.
pub(crate) fn prediction(job: &Signed, plan: Plan) -> Assignment {
    Assignment::new(plan, job.document.id.clone(), PartyWork::Predict, NonZeroU8::MIN)
}
