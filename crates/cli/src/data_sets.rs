//! Data sets at the three servers: `put`, `list`, `terms`, `revoke`, and the servers' audit logs.

pub mod args;
mod audit;
mod list;
mod put;
mod revoke;
mod staged;
mod terms;

use shamisen_net::tls::Identity;
use shamisen_service::api::data::{DataSetInfo, UploadStatus};
use shamisen_service::cluster::Cluster;
use shamisen_service::consult::{self, Answers};
use shamisen_service::keys;

use crate::data_sets::args::ClusterArguments;
use crate::failure::{Failure, Result};

pub(crate) use audit::run as audit;
pub(crate) use list::run as list;
pub(crate) use put::run as put;
pub(crate) use revoke::run as revoke;
pub(crate) use terms::run as terms;

/// The three servers, and with whose key they are asked.
struct Asker {
    cluster: Cluster,
    identity: Identity,
}

impl Asker {
    fn read(arguments: &ClusterArguments) -> Result<Self> {
        Ok(Self { cluster: Cluster::read(&arguments.cluster)?, identity: keys::read(&arguments.key)? })
    }

    /// What all three servers answer; fails with the first that does not.
    fn all<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<[T; 3]> {
        unanimous(consult::get(&self.cluster, &self.identity, path)?)
    }

    /// The data set with a name or id, and the digests of its description at the three servers.
    fn data_set(&self, reference: &str) -> Result<DataSetInfo> {
        let [first, second, third] = self.at_all(reference)?;
        if [&second, &third].iter().any(|other| other.terms_digest != first.terms_digest) {
            let names = [0, 1, 2].map(|party| format!("server {party}"));
            let changes = [&first, &second, &third].map(|set| set.revision);
            let list = names.iter().zip(changes).map(|(name, change)| format!("{name} has change {change}"));
            return Err(Failure::run(format!(
                "the servers have different terms of {reference}: {}\nhint: its owner sets them once more, with `shamisen terms --set`",
                list.collect::<Vec<_>>().join(", ")
            )));
        }
        Ok(first)
    }

    /// What each server says of the data set with a name or id, which has to have the same description at all three.
    fn at_all(&self, reference: &str) -> Result<[DataSetInfo; 3]> {
        let sets = self.all::<DataSetInfo>(&format!("/v1/datasets/{}", encoded(reference)?))?;
        if sets.iter().any(|set| set.digest != sets[0].digest) {
            return Err(Failure::run(format!(
                "the servers tell different things about {reference}: ask their operators to compare their audit logs"
            )));
        }
        Ok(sets)
    }

    /// The uploads that are under way at any of the servers.
    fn under_way(&self) -> Result<[Vec<UploadStatus>; 3]> {
        self.all("/v1/uploads")
    }
}

/// The answers of all three; fails with the first that is none.
fn unanimous<T>(answers: Answers<T>) -> Result<[T; 3]> {
    let [first, second, third] = answers;
    let good = |party, answer: core::result::Result<T, _>| {
        answer.map_err(|error| Failure::run(consult::explained(party, &error)))
    };
    Ok([good(0, first)?, good(1, second)?, good(2, third)?])
}

/// A name or id in a path.
fn encoded(reference: &str) -> Result<&str> {
    if !shamisen_service::manifest::is_id(reference) {
        shamisen_service::manifest::check_name(reference)?;
    }
    Ok(reference)
}

/// A server's words, without what a terminal would take for a command.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
