//! The terms on which an owner gives data: who may train on them, on what, how often, and what may come out.
//!
//! ```toml
//! # terms.toml
//! trainers = ["…64 hexadecimal digits…"]    # fingerprints of the analysts who may train
//! max_epochs = 50                           # of one training
//! max_jobs = 20                             # in all; each setting of a grid search is one
//! expires = 2027-12-31                      # the last day, UTC
//!
//! # What follows may be left out.
//! columns = ["age", "weight"]               # features that may be used; all without it
//! tasks = ["classification"]                # also "regression"; both without it
//! outputs = ["metrics", "loss"]             # also "predictions", "model"; this is the default
//! predictions_to = ["…"]                    # who gets predictions, if they are an output; the trainers without it
//! model_to = ["…"]                          # who gets a model, if it is an output; the trainers without it
//! least_rows = 100                          # rows that a training has at least; this is the default
//! ```
//!
//! Each server checks each job against the terms of all its data by itself; what is not within them is refused with the name of
//! the rule.

use core::fmt;
use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use shamisen_net::tls::Fingerprint;
use utoipa::ToSchema;

use crate::document::Document;
use crate::{KeyId, Result};

/// Most fingerprints in a list, and columns.
const MOST: usize = 1 << 15;

/// What may come out of a job.
///
/// This enum is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// Scores on held-out rows.
    Metrics,
    /// The loss while it trains.
    Loss,
    /// Predictions of the model.
    Predictions,
    /// The model in the clear.
    Model,
}

/// What is learnt.
///
/// This enum is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Classes.
    Classification,
    /// Numbers.
    Regression,
}

/// On what terms data are given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Terms {
    /// Who may train.
    #[schema(value_type = Vec<String>)]
    pub trainers: Vec<KeyId>,
    /// Features that may be used; all if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// What may be learnt.
    #[serde(default = "all_tasks")]
    pub tasks: Vec<Task>,
    /// Most epochs of a training.
    pub max_epochs: u32,
    /// Most trainings in all.
    pub max_jobs: u32,
    /// What may come out.
    #[serde(default = "figures_alone")]
    pub outputs: Vec<Output>,
    /// Who gets predictions; the trainers if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub predictions_to: Option<Vec<KeyId>>,
    /// Who gets a model in the clear; the trainers if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub model_to: Option<Vec<KeyId>>,
    /// Rows that a training has at least.
    #[serde(default = "least_rows")]
    pub least_rows: u64,
    /// The last day, UTC, such as `2027-12-31`.
    #[serde(with = "day")]
    #[schema(value_type = String)]
    pub expires: Date,
}

fn all_tasks() -> Vec<Task> {
    vec![Task::Classification, Task::Regression]
}

fn figures_alone() -> Vec<Output> {
    vec![Output::Metrics, Output::Loss]
}

fn least_rows() -> u64 {
    100
}

/// A day as `2027-12-31`, in TOML without quotes as well.
mod day {
    use jiff::civil::Date;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Day {
        Toml(toml::value::Datetime),
        Text(String),
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
    pub(super) fn serialize<S: Serializer>(date: &Date, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(date)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Date, D::Error> {
        let text = match Day::deserialize(deserializer) {
            Ok(Day::Toml(day)) => day.to_string(),
            Ok(Day::Text(text)) => text,
            Err(_) => return Err(D::Error::custom("give a day such as 2027-12-31")),
        };
        let day = if text.len() == 10 { text.parse().ok() } else { None };
        day.ok_or_else(|| D::Error::custom(format_args!("{text:?} is no day: give one such as 2027-12-31")))
    }
}

/// A rule that a job is against.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rule `{rule}` forbids it: {reason}")]
#[non_exhaustive]
pub struct Breach {
    /// The rule, by its name in the terms.
    pub rule: &'static str,
    /// Why.
    pub reason: String,
}

/// What a job wants of a data set.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "whoever checks a job has to say all of it")]
pub struct Use<'a> {
    /// Who asks.
    pub analyst: Fingerprint,
    /// What is learnt.
    pub task: Task,
    /// Features of this data set that are used.
    pub columns: &'a [String],
    /// Epochs of a training.
    pub epochs: u64,
    /// Trainings: more than one if a grid is searched.
    pub trainings: u64,
    /// Training rows, of all data sets together that are trained on as one.
    pub rows: u64,
    /// What comes out.
    pub outputs: &'a [Output],
    /// Who gets predictions.
    pub predictions_to: &'a [Fingerprint],
    /// Who gets the model.
    pub model_to: &'a [Fingerprint],
}

impl Terms {
    /// Reads an owner's file.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or makes no sense.
    pub fn read(path: &Path) -> Result<Self> {
        let document = Document::read(path)?;
        let terms: Self = document.parse()?;
        match terms.problem() {
            None => Ok(terms),
            Some(problem) => Err(document.wrong(problem)),
        }
    }

    /// What makes no sense about them, if anything does not.
    pub fn problem(&self) -> Option<String> {
        if self.trainers.is_empty() {
            return Some("trainers is empty: name the fingerprint of at least one analyst".into());
        }
        for (name, keys) in [
            ("trainers", Some(&self.trainers)),
            ("predictions_to", self.predictions_to.as_ref()),
            ("model_to", self.model_to.as_ref()),
        ] {
            let Some(keys) = keys else { continue };
            if keys.len() > MOST {
                return Some(format!("{name} has more than {MOST} fingerprints"));
            }
            if has_twice(keys) {
                return Some(format!("{name} names a fingerprint twice"));
            }
        }
        if let Some(columns) = &self.columns {
            if columns.is_empty() {
                return Some("columns is empty: leave it out to allow all, or name some".into());
            }
            if columns.len() > MOST || has_twice(columns) {
                return Some("columns has too many names, or one twice".into());
            }
        }
        if self.tasks.is_empty() || has_twice(&self.tasks) {
            return Some(
                "tasks is empty or names one twice: give \"classification\", \"regression\" or both".into(),
            );
        }
        if has_twice(&self.outputs) {
            return Some("outputs names one twice".into());
        }
        for (name, number) in [("max_epochs", self.max_epochs), ("max_jobs", self.max_jobs)] {
            if number == 0 {
                return Some(format!("{name} is 0, which allows no training: give at least 1"));
            }
        }
        for (name, given, output) in [
            ("predictions_to", self.predictions_to.is_some(), Output::Predictions),
            ("model_to", self.model_to.is_some(), Output::Model),
        ] {
            if given && !self.outputs.contains(&output) {
                let word = if output == Output::Model { "model" } else { "predictions" };
                return Some(format!(
                    "{name} is given, but outputs does not have \"{word}\": add it, or leave {name} out"
                ));
            }
        }
        None
    }

    /// Whether this person may get something out of the data: an analyst who may train, or who may have predictions or models.
    pub fn concern(&self, person: Fingerprint) -> bool {
        let among = |keys: &[KeyId]| keys.contains(&KeyId(person));
        among(&self.trainers)
            || among(self.receivers(Output::Predictions))
            || among(self.receivers(Output::Model))
    }

    /// Who gets predictions or models; nobody if they are no output.
    pub fn receivers(&self, output: Output) -> &[KeyId] {
        if !self.outputs.contains(&output) {
            return &[];
        }
        match output {
            Output::Predictions => self.predictions_to.as_ref().unwrap_or(&self.trainers),
            Output::Model => self.model_to.as_ref().unwrap_or(&self.trainers),
            Output::Metrics | Output::Loss => &self.trainers,
        }
    }

    /// Whether the last day is over.
    pub fn have_expired(&self, now: Timestamp) -> bool {
        let today = now.to_zoned(TimeZone::UTC).date();
        today > self.expires
    }

    /// Checks a job against all rules; `before` is the number of trainings that were admitted before it.
    ///
    /// # Errors
    ///
    /// The first rule that forbids it, in the order of their names in the documentation.
    pub fn check(&self, job: &Use<'_>, before: u64, now: Timestamp) -> core::result::Result<(), Breach> {
        let breach = |rule, reason: String| Err(Breach { rule, reason });
        if !self.trainers.contains(&KeyId(job.analyst)) {
            return breach("trainers", format!("{} is not among those who may train", job.analyst));
        }
        if job.epochs > u64::from(self.max_epochs) {
            return breach(
                "max_epochs",
                format!("{} epochs are asked for, at most {}", job.epochs, self.max_epochs),
            );
        }
        let most = u64::from(self.max_jobs);
        if before.saturating_add(job.trainings) > most {
            let reason = format!(
                "{before} trainings of {most} have been admitted, and {} are asked for",
                job.trainings
            );
            return breach("max_jobs", reason);
        }
        if self.have_expired(now) {
            return breach("expires", format!("the last day was {}", self.expires));
        }
        if let Some(allowed) = &self.columns {
            let allowed: BTreeSet<&String> = allowed.iter().collect();
            if let Some(column) = job.columns.iter().find(|column| !allowed.contains(column)) {
                return breach(
                    "columns",
                    format!("the column {column:?} is not among those that may be used"),
                );
            }
        }
        if !self.tasks.contains(&job.task) {
            let task = if job.task == Task::Regression { "regression" } else { "classification" };
            return breach("tasks", format!("{task} is not among what may be learnt"));
        }
        if let Some(output) = job.outputs.iter().find(|output| !self.outputs.contains(output)) {
            return breach("outputs", format!("{output} must not come out"));
        }
        for (rule, receivers, output) in [
            ("predictions_to", job.predictions_to, Output::Predictions),
            ("model_to", job.model_to, Output::Model),
        ] {
            let allowed = self.receivers(output);
            if let Some(receiver) = receivers.iter().find(|receiver| !allowed.contains(&KeyId(**receiver))) {
                return breach(rule, format!("{receiver} is not among those who may have it"));
            }
        }
        if job.rows < self.least_rows {
            let reason =
                format!("the training has {} rows, and {} is the least number", job.rows, self.least_rows);
            return breach("least_rows", reason);
        }
        Ok(())
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Metrics => "metrics",
            Self::Loss => "loss",
            Self::Predictions => "predictions",
            Self::Model => "model",
        })
    }
}

fn has_twice<T: Ord>(items: &[T]) -> bool {
    items.iter().collect::<BTreeSet<_>>().len() < items.len()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn key(digit: u8) -> Fingerprint {
        Fingerprint::from_bytes([digit; 32])
    }

    fn parse(text: &str) -> Result<Terms> {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("terms.toml");
        fs::write(&path, text).unwrap();
        Terms::read(&path)
    }

    fn text() -> String {
        let (one, two) = (key(1), key(2));
        format!(
            "trainers = [\"{one}\"]\ncolumns = [\"age\", \"weight\"]\ntasks = [\"classification\"]\nmax_epochs = 5\n\
             max_jobs = 3\noutputs = [\"metrics\", \"loss\", \"predictions\"]\npredictions_to = [\"{two}\"]\n\
             least_rows = 50\nexpires = 2027-12-31\n"
        )
    }

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn terms_have_careful_defaults() {
        let least =
            format!("trainers = [\"{}\"]\nmax_epochs = 1\nmax_jobs = 1\nexpires = 2027-01-01\n", key(1));
        let terms = parse(&least).unwrap();
        assert_eq!(terms.outputs, [Output::Metrics, Output::Loss]);
        assert_eq!(terms.least_rows, 100);
        assert!(terms.receivers(Output::Predictions).is_empty() && terms.receivers(Output::Model).is_empty());
        let json = serde_json::to_string(&terms).unwrap();
        assert_eq!(serde_json::from_str::<Terms>(&json).unwrap(), terms);
        assert!(json.contains("\"expires\":\"2027-01-01\""), "{json}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (from, to, part) in [
            (format!("[\"{}\"]\ncolumns", key(1)), "[]\ncolumns".to_owned(), "trainers is empty"),
            (key(1).to_string(), "12".to_owned(), "line 1: \"12\" is no fingerprint"),
            ("\"age\", \"weight\"".into(), String::new(), "columns is empty"),
            ("\"weight\"".into(), "\"age\"".into(), "one twice"),
            ("\"classification\"".into(), "\"clustering\"".into(), "unknown variant `clustering`"),
            ("max_epochs = 5".into(), "max_epochs = 0".into(), "max_epochs is 0"),
            ("max_epochs = 5\n".into(), String::new(), "missing field `max_epochs`"),
            ("max_jobs".into(), "max_job".into(), "unknown field `max_job`"),
            (", \"predictions\"".into(), String::new(), "predictions_to is given, but outputs does not have"),
            ("2027-12-31".into(), "2027-12-31T10:00:00Z".into(), "give one such as 2027-12-31"),
            ("2027-12-31".into(), "\"soon\"".into(), "\"soon\" is no day"),
            ("2027-12-31".into(), "7".into(), "give a day such as"),
        ] {
            assert!(text().contains(&from), "{from}");
            let message = parse(&text().replacen(&from, &to, 1)).unwrap_err().to_string();
            assert!(message.contains(part) && message.contains("terms.toml"), "{message}\n{part}");
        }
    }

    #[test]
    fn each_rule_is_enforced_and_named() {
        let terms = parse(&text()).unwrap();
        let columns = ["age".to_owned(), "weight".to_owned()];
        let odd = ["age".to_owned(), "income".to_owned()];
        let others = [key(1)];
        let receivers = [key(2)];
        let good = Use {
            analyst: key(1),
            task: Task::Classification,
            columns: &columns,
            epochs: 5,
            trainings: 1,
            rows: 50,
            outputs: &[Output::Metrics, Output::Predictions],
            predictions_to: &receivers,
            model_to: &[],
        };
        let now = at("2027-12-31T23:59:59Z");
        terms.check(&good, 2, now).unwrap();
        let job = |change: &dyn Fn(&mut Use<'_>)| {
            let mut job = good.clone();
            change(&mut job);
            terms.check(&job, 2, now).unwrap_err().rule
        };
        assert_eq!(job(&|job| job.analyst = key(2)), "trainers");
        assert_eq!(job(&|job| job.epochs = 6), "max_epochs");
        assert_eq!(job(&|job| job.trainings = 2), "max_jobs");
        assert_eq!(job(&|job| job.trainings = u64::MAX), "max_jobs");
        assert_eq!(job(&|job| job.task = Task::Regression), "tasks");
        assert_eq!(job(&|job| job.outputs = &[Output::Model]), "outputs");
        assert_eq!(job(&|job| job.rows = 49), "least_rows");
        assert_eq!(terms.check(&Use { columns: &odd, ..good.clone() }, 0, now).unwrap_err().rule, "columns");
        let job = Use { predictions_to: &others, ..good.clone() };
        assert_eq!(terms.check(&job, 0, now).unwrap_err().rule, "predictions_to");
        let job = Use { model_to: &others, ..good.clone() };
        assert_eq!(terms.check(&job, 0, now).unwrap_err().rule, "model_to");
        assert_eq!(terms.check(&good, 3, now).unwrap_err().rule, "max_jobs");
        let breach = terms.check(&good, 0, at("2028-01-01T00:00:00Z")).unwrap_err();
        assert_eq!(breach.to_string(), "the rule `expires` forbids it: the last day was 2027-12-31");
    }

    #[test]
    fn those_who_get_something_may_see_the_data_set() {
        let terms = parse(&text()).unwrap();
        assert!(terms.concern(key(1)) && terms.concern(key(2)) && !terms.concern(key(3)));
    }
}
