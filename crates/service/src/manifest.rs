//! What an owner says about the data of an upload: the same to all three servers, which compare its hash.

use core::fmt;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use shamisen_data::dataset::{DatasetDescription, MatrixDescription};
use shamisen_data::scaling::{Scaling, TargetScaling};
use shamisen_data::table::TargetKind;
use utoipa::ToSchema;

use crate::terms::Terms;
use crate::{KeyId, Result, ServiceError};

/// Longest name of a data set or column in bytes.
const LONGEST_NAME: usize = 64;

/// Longest name of a column or class in bytes.
const LONGEST_COLUMN: usize = 256;

/// What a share file has at most besides its words: its head, seeds and hash.
const FRAME: u64 = 4096;

/// An upload, as its owner describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "the owner says all of it")]
pub struct Manifest {
    /// The id of upload and data set, 32 hexadecimal digits; it can be used once.
    pub id: String,
    /// The owner's name for the data set.
    pub name: String,
    /// Fingerprint of the owner's key.
    #[schema(value_type = String)]
    pub owner: KeyId,
    /// Numbers of rows and columns, and number formats.
    #[schema(value_type = Object)]
    pub description: DatasetDescription,
    /// Names of columns and classes.
    pub schema: Schema,
    /// How the owner has scaled the data and held out rows.
    pub preparation: Preparation,
    /// On what terms the data are given.
    pub terms: Terms,
    /// The share files of each party.
    pub files: [Vec<FileSum>; 3],
}

/// Names of columns and classes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "the owner says all of it")]
pub struct Schema {
    /// The features, in their order.
    pub features: Vec<String>,
    /// The target; empty if there is none.
    pub target: String,
    /// The classes of a classification, in their order; none for a regression and without a target.
    pub classes: Vec<String>,
}

/// What an owner has done with a table before sharing it; the statistics of the scaling are shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "the owner says all of it")]
pub struct Preparation {
    /// How the features are scaled: `standard`, `min-max` or `none`.
    #[schema(value_type = String)]
    pub scaling: Scaling,
    /// How the target of a regression is scaled: `standard` or `none`.
    #[schema(value_type = String)]
    pub target_scaling: TargetScaling,
    /// The public seed that has picked the rows to test on; none if there are none, or they were given.
    pub seed: Option<u64>,
}

/// A share file of one party.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "the owner says all of it")]
pub struct FileSum {
    /// Its name, without `.share`.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its BLAKE3 hash, 64 hexadecimal digits.
    pub blake3: String,
}

impl Manifest {
    /// The hash by which the three servers compare what they were told.
    ///
    /// # Errors
    ///
    /// If it has no JSON form.
    pub fn digest(&self) -> Result<String> {
        let json = serde_json::to_vec(self).map_err(|error| ServiceError::Start { source: error.into() })?;
        Ok(blake3::hash(&json).to_hex().to_string())
    }

    /// Bytes that a party has to send or to keep.
    pub fn bytes(&self, party: usize) -> u64 {
        self.files[party].iter().map(|file| file.bytes).fold(0, u64::saturating_add)
    }

    /// The names of the share files that a data set of this description has.
    pub fn file_names(description: &DatasetDescription) -> Vec<&'static str> {
        matrices(description).iter().map(|matrix| matrix.name).collect()
    }

    /// What the share files are of.
    pub fn matrices(&self) -> Vec<MatrixDescription> {
        matrices(&self.description)
    }

    /// What makes no sense about it, if anything does not.
    pub fn problem(&self) -> Option<String> {
        if !is_id(&self.id) {
            return Some("the id has to be 32 hexadecimal digits in lower case".into());
        }
        if self.description.id != self.id {
            return Some("the description is of another data set".into());
        }
        if let Err(error) = check_name(&self.name) {
            return Some(error.to_string());
        }
        if let Some(problem) = self.description.problem() {
            return Some(format!("the description makes no sense: {problem}"));
        }
        self.schema
            .problem(&self.description)
            .or_else(|| self.terms_problem())
            .or_else(|| self.files_problem())
    }

    fn terms_problem(&self) -> Option<String> {
        if let Some(problem) = self.terms.problem() {
            return Some(format!("the terms make no sense: {problem}"));
        }
        unknown_column(&self.terms, &self.schema)
    }

    fn files_problem(&self) -> Option<String> {
        let matrices = self.matrices();
        let expected: Vec<&str> = matrices.iter().map(|matrix| matrix.name).collect();
        for (party, files) in self.files.iter().enumerate() {
            if files.iter().map(|file| file.name.as_str()).ne(expected.iter().copied()) {
                return Some(format!("the share files of party {party} have to be {}", expected.join(", ")));
            }
            for file in files {
                let matrix = matrices.iter().find(|matrix| matrix.name == file.name);
                if file.bytes == 0 || file.bytes > matrix.map_or(0, longest) {
                    return Some(format!("the share file {} cannot have {} bytes", file.name, file.bytes));
                }
                if file.blake3.len() != 64 || !file.blake3.bytes().all(is_hex) {
                    return Some(format!("the hash of the share file {} is none", file.name));
                }
            }
        }
        None
    }
}

impl Schema {
    fn problem(&self, description: &DatasetDescription) -> Option<String> {
        let classes = match description.task {
            Some(TargetKind::Classes) => description.outputs,
            Some(TargetKind::Number) | None => 0,
        };
        if self.features.len() != description.features || self.classes.len() != classes {
            return Some("the names of columns and classes are more or less than the description has".into());
        }
        if description.task.is_none() != self.target.is_empty() {
            return Some("there is a target without a name, or the name of none".into());
        }
        for names in [&self.features, &self.classes] {
            if names.iter().collect::<BTreeSet<_>>().len() < names.len() {
                return Some("a column or class has the name of another one".into());
            }
        }
        let long = self
            .features
            .iter()
            .chain(&self.classes)
            .chain([&self.target])
            .find(|name| name.len() > LONGEST_COLUMN);
        long.map(|name| {
            let start: String = name.chars().take(32).collect();
            format!("the name {start:?}... of a column or class has more than {LONGEST_COLUMN} bytes")
        })
    }
}

/// What is wrong about the columns that terms allow, if one of them is no feature.
pub(crate) fn unknown_column(terms: &Terms, schema: &Schema) -> Option<String> {
    let known: BTreeSet<&String> = schema.features.iter().collect();
    let unknown = terms.columns.iter().flatten().find(|column| !known.contains(column))?;
    Some(format!("the terms allow the column {unknown:?}, which is no feature of the table: check its name"))
}

/// Features, targets, and the scaling of both.
fn matrices(description: &DatasetDescription) -> Vec<MatrixDescription> {
    let scaled = description.features + usize::from(description.task == Some(TargetKind::Number));
    let mut matrices = description.matrices();
    matrices.push(MatrixDescription::scaling(scaled));
    matrices
}

/// Most bytes of the share file of a matrix.
fn longest(matrix: &MatrixDescription) -> u64 {
    let words = matrix.rows.checked_mul(matrix.cols);
    words.map_or(0, |words| (words as u64).saturating_mul(8).saturating_add(FRAME))
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

/// Whether a text is the id of an upload or job: 32 hexadecimal digits in lower case.
pub fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(is_hex)
}

/// Refuses what is no name of a data set.
///
/// # Errors
///
/// If it is empty, longer than 64 bytes, or has other characters than letters, digits, `-`, `_` and `.`, or does not begin with
/// a letter or digit.
pub fn check_name(name: &str) -> Result<()> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.len() > LONGEST_NAME {
        "it has more than 64 characters"
    } else if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        "it has to begin with a letter or digit"
    } else if !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        "it has other characters than letters, digits, `-`, `_` and `.`"
    } else if is_id(name) {
        "it looks like an id"
    } else {
        return Ok(());
    };
    Err(ServiceError::Name { name: name.chars().take(80).collect(), reason })
}

/// What a target holds, in the words of terms.
impl From<TargetKind> for crate::terms::Task {
    fn from(kind: TargetKind) -> Self {
        match kind {
            TargetKind::Classes => Self::Classification,
            TargetKind::Number => Self::Regression,
        }
    }
}

impl fmt::Display for crate::terms::Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Classification => "classification",
            Self::Regression => "regression",
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use shamisen_net::tls::Fingerprint;

    use super::*;

    /// An upload of two features and two classes by the owner with the fingerprint of this digit.
    pub(crate) fn example(owner: u8, trainer: u8) -> Manifest {
        let id = "0123456789abcdef0123456789abcdef";
        let description = serde_json::json!({
            "id": id, "version": 1, "task": "classification", "rows": 40, "test_rows": 10, "features": 2, "outputs": 2,
            "feature_frac": 14, "target_frac": 0, "target_bits": 0
        });
        let description: DatasetDescription = serde_json::from_value(description).unwrap();
        let key = |digit: u8| KeyId(Fingerprint::from_bytes([digit; 32]));
        let terms = serde_json::json!({
            "trainers": [key(trainer)], "max_epochs": 3, "max_jobs": 2, "expires": "2100-01-01", "least_rows": 10
        });
        let sum = |name: &str| FileSum { name: name.into(), bytes: 100, blake3: "ab".repeat(32) };
        let files: Vec<FileSum> = Manifest::file_names(&description).into_iter().map(sum).collect();
        Manifest {
            id: id.into(),
            name: "hospital-a".into(),
            owner: key(owner),
            schema: Schema {
                features: vec!["age".into(), "weight".into()],
                target: "readmitted".into(),
                classes: vec!["no".into(), "yes".into()],
            },
            preparation: Preparation {
                scaling: Scaling::Standard,
                target_scaling: TargetScaling::Standard,
                seed: Some(1),
            },
            terms: serde_json::from_value(terms).unwrap(),
            files: [files.clone(), files.clone(), files],
            description,
        }
    }

    #[test]
    fn a_good_manifest_has_no_problem_and_one_hash() {
        let manifest = example(3, 5);
        assert_eq!(manifest.problem(), None);
        let json = serde_json::to_vec(&manifest).unwrap();
        let again: Manifest = serde_json::from_slice(&json).unwrap();
        assert_eq!(again.digest().unwrap(), manifest.digest().unwrap());
        let mut other = manifest.clone();
        other.terms.max_epochs += 1;
        assert_ne!(other.digest().unwrap(), manifest.digest().unwrap());
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        type Change = fn(&mut Manifest);
        let changes: [(Change, &str); 18] = [
            (|m| m.id = "../../etc/passwd".into(), "32 hexadecimal digits"),
            (|m| m.id = m.id.to_uppercase(), "32 hexadecimal digits"),
            (|m| m.id = "f".repeat(32), "another data set"),
            (|m| m.name = "a/b".into(), "other characters"),
            (|m| m.name = ".hidden".into(), "begin with a letter"),
            (|m| m.name = "x".repeat(65), "more than 64"),
            (|m| m.name = "a".repeat(32), "looks like an id"),
            (|m| m.description.rows = 0, "a number of rows or columns is 0"),
            (|m| m.schema.features.push("height".into()), "more or less"),
            (|m| m.schema.classes[1] = "no".into(), "the name of another one"),
            (|m| m.schema.target = "t".repeat(300), "more than 256 bytes"),
            (|m| m.schema.target.clear(), "a target without a name"),
            (|m| m.description.task = None, "a classification has at least two classes"),
            (|m| m.terms.columns = Some(vec!["income".into()]), "\"income\", which is no feature"),
            (|m| m.terms.max_jobs = 0, "max_jobs is 0"),
            (|m| m.files[2][0].name = "../x".into(), "share files of party 2 have to be train-features"),
            (|m| m.files[1][0].bytes = 1 << 40, "cannot have"),
            (|m| m.files[0][0].blake3 = "xy".into(), "the hash"),
        ];
        for (change, part) in changes {
            let mut manifest = example(3, 5);
            change(&mut manifest);
            let problem = manifest.problem().unwrap_or_default();
            assert!(problem.contains(part), "{problem:?} has no {part:?}");
        }
    }
}
