//! The audit log of a server: a chain of entries, each of which holds the hash of the one before.
//!
//! An entry says who asked for what, about which upload or job, and what was decided; it never holds data. Its hash covers its
//! number, the hash of the entry before, and the hash of its text: whoever may not read a text can check the chain with
//! its hash. Texts hold a random salt, so that nobody finds out by trial what a hash stands for.
//!
//! Servers ask each other every hour for the end of their logs, follow the chain from the end that they were told before, and
//! write down what they find. A server that changed its log later would contradict what the two others have.

use std::collections::{BTreeMap, BTreeSet};

use blake3::{Hash, Hasher};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::Role;
use crate::job::JobState;

/// What the entries of a log begin with: the hash before the first entry.
pub const START: Hash = Hash::from_bytes([0; 32]);

/// An event in which the end of another server's log is written down.
pub const WITNESS: &str = "audit.peer";

/// An event in which is written down that another server's log is not what it was.
pub const CONTRADICTION: &str = "audit.contradiction";

/// Events that all three servers have to have, about the same subjects and with the same hashes; those of jobs, if the job was done: one
/// that came to nothing may have been at some of them alone.
pub const COMMON: [&str; 4] = ["dataset.created", "dataset.revoked", JOB_ACCEPTED, JOB_ENDED];

/// A server has taken a job.
pub const JOB_ACCEPTED: &str = "job.accepted";

/// A job is over at a server; the reason is its state.
pub const JOB_ENDED: &str = "job.ended";

/// An entry of a log.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct Entry {
    /// Its number, from 1.
    pub seq: u64,
    /// Hash of the entry before.
    pub prev: String,
    /// Its text, if the reader may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Text>)]
    pub text: Option<Box<RawValue>>,
    /// Hash of its text, if the reader may not see that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_hash: Option<String>,
    /// Hash of this entry.
    pub hash: String,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct Text {
    /// When, UTC.
    pub time: String,
    /// Who asked; none for the server itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<Who>,
    /// What happened, such as `upload.begin`.
    pub what: String,
    /// Of which upload, data set or job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Hash of what was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What was decided.
    pub decision: Decision,
    /// Why, such as the name of a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The end of another server's log, of an entry [`WITNESS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Witness>,
    /// Random, so that the text cannot be guessed from its hash.
    pub salt: String,
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct Who {
    /// The name in the server's configuration; none for a stranger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// As what the server knows the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Fingerprint of the key that was shown; none if none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// What was decided.
///
/// This enum is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It is done.
    Accepted,
    /// It is not done.
    Refused,
    /// It happened.
    Noted,
}

/// The end of another server's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(clippy::exhaustive_structs, reason = "a party and a place in its log")]
pub struct Witness {
    /// Whose log.
    pub party: u8,
    /// Number of its last entry, 0 if there is none.
    pub seq: u64,
    /// Hash of its last entry.
    pub hash: String,
}

/// The hash of an entry.
pub fn hash(seq: u64, prev: &Hash, text_hash: &Hash) -> Hash {
    let mut hasher = Hasher::new_derive_key("shamisen 2026-11-27 audit log, entry");
    hasher.update(&seq.to_le_bytes());
    hasher.update(prev.as_bytes());
    hasher.update(text_hash.as_bytes());
    hasher.finalize()
}

/// The hash of a text.
pub fn text_hash(text: &str) -> Hash {
    blake3::hash(text.as_bytes())
}

/// What is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {seq} {problem}")]
#[non_exhaustive]
pub struct Fault {
    /// The number that the entry should have.
    pub seq: u64,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Follows a chain from its beginning.
#[derive(Clone, Debug)]
pub struct Chain {
    seq: u64,
    head: Hash,
}

impl Chain {
    /// Before the first entry.
    pub fn new() -> Self {
        Self { seq: 0, head: START }
    }

    /// After an entry of which number and hash are known.
    pub fn after(seq: u64, head: Hash) -> Self {
        Self { seq, head }
    }

    /// Number of the last entry.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Hash of the last entry.
    pub fn head(&self) -> &Hash {
        &self.head
    }

    /// Takes the next entry, and hands out its text if it has one.
    ///
    /// # Errors
    ///
    /// If it does not follow the one before, or is not what it should be.
    pub fn follow(&mut self, entry: &Entry) -> Result<Option<Text>, Fault> {
        let seq = self.seq + 1;
        let fault = |problem| Fault { seq, problem };
        if entry.seq != seq {
            return Err(fault("is missing or has another number"));
        }
        if entry.prev != self.head.to_hex().as_str() {
            return Err(fault("does not follow the one before: its `prev` is not that one's hash"));
        }
        let own = match (&entry.text, &entry.text_hash) {
            (Some(text), _) => text_hash(text.get()),
            (None, Some(hash)) => Hash::from_hex(hash).map_err(|_| fault("has a hash that is none"))?,
            (None, None) => return Err(fault("has neither text nor hash")),
        };
        let head = hash(seq, &self.head, &own);
        if entry.hash != head.to_hex().as_str() {
            return Err(fault("was changed: its hash is another one"));
        }
        let text = entry.text.as_ref().map(|text| serde_json::from_str(text.get()));
        let text = text.transpose().map_err(|_| fault("has a text that cannot be read"))?;
        self.seq = seq;
        self.head = head;
        Ok(text)
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}

/// What the log of one server says, as far as the others can confirm or deny it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Account {
    /// The hash of each entry.
    hashes: Vec<Hash>,
    /// What it was told about the others' logs.
    witnesses: Vec<Witness>,
    /// Common events: what and about what, with the hash of what was asked for, and whether the others have to have them.
    events: BTreeMap<(String, String), (String, bool)>,
    /// Whether some texts were not to be seen.
    partial: bool,
}

impl Account {
    /// Takes in an entry that the chain has accepted; `is_due` says that the others were read later, and have to confirm it.
    pub fn take(&mut self, chain: &Chain, text: Option<Text>, is_due: bool) {
        self.hashes.push(*chain.head());
        let Some(text) = text else {
            self.partial = true;
            return;
        };
        if text.what == WITNESS {
            self.witnesses.extend(text.peer.filter(|_| is_due));
        } else if COMMON.contains(&text.what.as_str())
            && (text.what != JOB_ENDED || text.reason.as_deref() == Some(JobState::Done.name()))
        {
            let key = (text.what, text.subject.unwrap_or_default());
            self.events.insert(key, (text.digest.unwrap_or_default(), is_due));
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Whether some texts were not to be seen.
    pub fn is_partial(&self) -> bool {
        self.partial
    }

    /// The last entry of another server's log that was written down here, and its number.
    pub fn witness_of(&self, party: usize) -> Option<u64> {
        self.witnesses
            .iter()
            .filter(|witness| usize::from(witness.party) == party)
            .map(|witness| witness.seq)
            .max()
    }
}

/// Compares the logs of parties 0, 1 and 2, and says what does not agree.
///
/// An event that only some servers have may be one that is under way.
pub fn compare(accounts: &[Account; 3]) -> Vec<String> {
    let mut found = Vec::new();
    for (party, account) in accounts.iter().enumerate() {
        for Witness { party: other, seq, hash } in &account.witnesses {
            let Some(log) = accounts.get(usize::from(*other)) else {
                found.push(format!(
                    "server {party} wrote down the log of a server {other}, which there is not"
                ));
                continue;
            };
            let known = match seq.checked_sub(1) {
                None => Some(START),
                Some(at) => usize::try_from(at).ok().and_then(|at| log.hashes.get(at)).copied(),
            };
            match known {
                Some(known) if known.to_hex().as_str() == hash => {}
                Some(_) => found.push(format!(
                    "server {other} has changed its log: its entry {seq} is not the one that server {party} was told"
                )),
                None => found.push(format!(
                    "server {other} has cut its log: server {party} was told of an entry {seq}, and it has {}",
                    log.hashes.len()
                )),
            }
        }
    }
    let is_done = |job: &str| {
        let ended = (JOB_ENDED.to_owned(), job.to_owned());
        accounts.iter().any(|account| account.events.contains_key(&ended))
    };
    let keys: BTreeSet<_> = accounts.iter().flat_map(|account| account.events.keys()).collect();
    for key in keys {
        let (what, subject) = key;
        let events = accounts.each_ref().map(|account| account.events.get(key));
        let present: BTreeSet<_> = events.iter().flatten().map(|(digest, _)| digest).collect();
        let is_due =
            events.iter().flatten().any(|(_, is_due)| *is_due) && (what != JOB_ACCEPTED || is_done(subject));
        if present.len() > 1 {
            found.push(format!(
                "the servers disagree about {what} of {subject}: its hash is not the same at all"
            ));
        }
        for (party, event) in events.iter().enumerate() {
            if event.is_none() && is_due && !accounts[party].partial {
                found.push(format!("server {party} has no {what} of {subject}, which another server has"));
            }
        }
    }
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(what: &str, subject: &str, digest: &str, peer: Option<Witness>) -> Text {
        Text {
            time: "2026-11-27T10:00:00Z".into(),
            who: None,
            what: what.into(),
            subject: Some(subject.into()),
            digest: Some(digest.into()),
            decision: Decision::Noted,
            reason: None,
            peer,
            salt: "00".into(),
        }
    }

    /// A log of these texts.
    fn log(texts: &[Text]) -> Vec<Entry> {
        let mut prev = START;
        let mut entries = Vec::new();
        for (seq, text) in (1..).zip(texts) {
            let json = serde_json::to_string(text).unwrap();
            let hash = hash(seq, &prev, &text_hash(&json));
            let text = Some(RawValue::from_string(json).unwrap());
            let (hex, prev_hex) = (hash.to_hex().to_string(), prev.to_hex().to_string());
            entries.push(Entry { seq, prev: prev_hex, text, text_hash: None, hash: hex });
            prev = hash;
        }
        entries
    }

    fn follow(entries: &[Entry]) -> Result<Account, Fault> {
        let (mut chain, mut account) = (Chain::new(), Account::default());
        for entry in entries {
            // As they come over the network.
            let entry: Entry = serde_json::from_str(&serde_json::to_string(entry).unwrap()).unwrap();
            let text = chain.follow(&entry)?;
            account.take(&chain, text, true);
        }
        Ok(account)
    }

    fn texts() -> Vec<Text> {
        ["a", "b", "c"].map(|subject| text("dataset.created", subject, "d", None)).to_vec()
    }

    #[test]
    fn a_chain_is_followed_with_and_without_its_texts() {
        let mut entries = log(&texts());
        assert_eq!(follow(&entries).unwrap().len(), 3);
        let hidden = entries[1].text.take().unwrap();
        entries[1].text_hash = Some(text_hash(hidden.get()).to_hex().to_string());
        assert!(follow(&entries).unwrap().is_partial());
    }

    #[test]
    fn every_change_breaks_the_chain() {
        let good = log(&texts());
        let mut cut = good.clone();
        cut.remove(1);
        let mut swapped = good.clone();
        swapped.swap(0, 1);
        let mut changed = good.clone();
        let other = good[1].text.as_ref().unwrap().get().replace("noted", "accepted");
        changed[1].text = Some(RawValue::from_string(other).unwrap());
        let mut renumbered = good.clone();
        renumbered[2].seq = 4;
        let mut headless = good.clone();
        headless[0].prev = "11".repeat(32);
        for (entries, seq) in [(cut, 2), (swapped, 1), (changed, 2), (renumbered, 3), (headless, 1)] {
            assert_eq!(follow(&entries).unwrap_err().seq, seq);
        }
    }

    #[test]
    fn logs_of_three_servers_are_compared() {
        let account = |texts: &[Text]| follow(&log(texts)).unwrap();
        let told = |party: u8, entries: &[Entry], seq: usize| {
            let witness = Witness { party, seq: seq as u64, hash: entries[seq - 1].hash.clone() };
            text(WITNESS, "", "", Some(witness))
        };
        let first = log(&texts());
        let mut second = texts();
        second.push(told(0, &first, 2));
        let accounts = [account(&texts()), account(&second), account(&texts())];
        assert_eq!(compare(&accounts), Vec::<String>::new());

        // Server 0 writes its log anew, with another second entry.
        let mut other = texts();
        other[1].decision = Decision::Refused;
        let found = compare(&[account(&other), account(&second), account(&texts())]);
        assert_eq!(
            found,
            ["server 0 has changed its log: its entry 2 is not the one that server 1 was told"]
        );
        // Or leaves the end away.
        let found = compare(&[account(&texts()[..1]), account(&second), account(&texts())]);
        assert!(found[0].contains("server 0 has cut its log"), "{found:?}");
        assert!(found[1].contains("server 0 has no dataset.created of b"), "{found:?}");
        // Or says something else about a data set.
        let mut odd = texts();
        odd[2].digest = Some("e".into());
        let found = compare(&[account(&texts()), account(&odd), account(&texts())]);
        assert_eq!(
            found,
            ["the servers disagree about dataset.created of c: its hash is not the same at all"]
        );
    }

    #[test]
    fn a_job_that_came_to_nothing_may_have_been_at_some_of_the_three() {
        let account = |state: Option<&str>| {
            let ended =
                state.map(|state| Text { reason: Some(state.to_owned()), ..text(JOB_ENDED, "a", "d", None) });
            let texts: Vec<Text> = [text(JOB_ACCEPTED, "a", "d", None)].into_iter().chain(ended).collect();
            follow(&log(&texts)).unwrap()
        };
        let none = || follow(&[]).unwrap();
        let [cancelled, waits] = [account(Some("cancelled")), account(None)];
        assert_eq!(compare(&[cancelled, waits, none()]), Vec::<String>::new());
        let done = || account(Some("done"));
        let found = compare(&[done(), account(None), none()]);
        assert_eq!(
            found,
            [
                "server 2 has no job.accepted of a, which another server has",
                "server 1 has no job.ended of a, which another server has",
                "server 2 has no job.ended of a, which another server has"
            ]
        );
        assert_eq!(compare(&[done(), done(), done()]), Vec::<String>::new());
    }
}
