//! What is said about uploads, data sets and the audit log.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::audit::{Entry, Witness};
use crate::manifest::{Preparation, Schema};
use crate::terms::{Task, Terms};

/// How far an upload is at one server.
///
/// This enum is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum UploadState {
    /// Share files are on their way, or may be.
    Receiving,
    /// All share files are there, and are being checked.
    Checking,
    /// All is well here; the two other servers have not both said so yet.
    Ready,
    /// All three servers have it: it is a data set.
    Complete,
    /// It will never be a data set.
    Aborted,
    /// It was a data set, and its owner has taken it back.
    Revoked,
    /// The server has never heard of it.
    Unknown,
}

/// An upload at one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct UploadStatus {
    /// Its id.
    pub id: String,
    /// The name of the data set that it is to be.
    pub name: String,
    /// How far it is.
    pub state: UploadState,
    /// The share files of this server.
    pub files: Vec<FileStatus>,
    /// The other servers that have said that they have it.
    pub confirmed: Vec<u8>,
    /// What went wrong, if anything did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A share file on its way to a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct FileStatus {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Bytes that are there.
    pub received: u64,
}

/// A data set, as whoever may know of it sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct DataSetInfo {
    /// Its id.
    pub id: String,
    /// The owner's name for it.
    pub name: String,
    /// The owner's name, if the server knows one.
    pub owner: String,
    /// The owner's fingerprint.
    pub owner_fingerprint: String,
    /// What can be learnt from it; nothing by itself, if it has no target.
    pub task: Option<Task>,
    /// Training rows.
    pub rows: u64,
    /// Test rows.
    pub test_rows: u64,
    /// Names of columns and classes.
    pub schema: Schema,
    /// How its owner has scaled it and held out rows.
    pub preparation: Preparation,
    /// On what terms it is given.
    pub terms: Terms,
    /// How often the owner has changed them.
    #[serde(default)]
    pub revision: u64,
    /// Hash of the owner's last change of them, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms_digest: Option<String>,
    /// Trainings that were admitted so far.
    pub trainings: u64,
    /// Whether the terms allow nothing more, since their last day is over.
    pub expired: bool,
    /// Hash of the owner's description, the same at all three servers.
    pub digest: String,
}

/// Entries of a server's audit log.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct AuditPage {
    /// Some entries, one after the other.
    pub entries: Vec<Entry>,
    /// Number of the log's last entry, 0 if there is none.
    pub last: u64,
}

/// What a server that has an upload asks another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "a message between servers of one version")]
pub struct PeerAsks {
    /// The upload.
    pub id: String,
    /// Hash of the owner's description.
    pub digest: String,
    /// Whether the asker has waited so long that it gives up, if the other has not heard of the upload.
    pub expired: bool,
    /// The end of the asker's audit log.
    pub head: Witness,
}

/// What the other server answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "a message between servers of one version")]
pub struct PeerAnswers {
    /// How far the upload is there; `ready` and `complete` are a promise to keep it.
    pub state: UploadState,
    /// Hash of the owner's description there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The end of the answering server's audit log.
    pub head: Witness,
}
