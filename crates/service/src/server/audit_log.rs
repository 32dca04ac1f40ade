//! The audit log of this server: a file with an entry a line, to which is only ever added.

use core::time::Duration;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use serde_json::value::RawValue;

use crate::audit::{Chain, Decision, Entry, Text, Who, Witness, hash, text_hash};
use crate::server::caller::{Caller, Visitor};
use crate::{Result, ServiceError};

/// Name of the log in the data directory.
const FILE: &str = "audit.log";

/// Longest line in bytes.
const LONGEST_LINE: u64 = 1 << 16;

/// Longest reason in an entry.
const LONGEST_REASON: usize = 1000;

/// The place of every so many entries is remembered.
const STRIDE: usize = 64;

/// Most entries and bytes that are read at once.
const PAGE: (usize, usize) = (1000, 1 << 20);

/// Refusals that are written at once, and the time after which one more is: of strangers, and of people.
const REFUSALS: [(u32, Duration); 2] = [(60, Duration::from_secs(5)), (600, Duration::from_millis(500))];

/// What is to be written.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    pub(crate) who: Option<Who>,
    pub(crate) what: &'a str,
    pub(crate) subject: Option<&'a str>,
    pub(crate) digest: Option<&'a str>,
    pub(crate) decision: Decision,
    pub(crate) reason: Option<String>,
    pub(crate) peer: Option<Witness>,
}

impl<'a> Event<'a> {
    /// Something that happened, about a subject.
    pub(crate) fn new(what: &'a str, subject: &'a str, decision: Decision) -> Self {
        Self { who: None, what, subject: Some(subject), digest: None, decision, reason: None, peer: None }
    }

    /// The same, asked for by somebody.
    pub(crate) fn by(self, caller: &Caller) -> Self {
        Self { who: Some(Who::from(caller)), ..self }
    }

    /// The same, with the hash of what was asked for.
    pub(crate) fn with_digest(self, digest: &'a str) -> Self {
        Self { digest: Some(digest), ..self }
    }

    /// The same, for a reason.
    pub(crate) fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }
}

impl From<&Caller> for Who {
    fn from(caller: &Caller) -> Self {
        Self {
            name: Some(caller.name.to_string()),
            role: Some(caller.role),
            fingerprint: Some(caller.fingerprint.to_string()),
        }
    }
}

impl From<&Visitor> for Who {
    fn from(visitor: &Visitor) -> Self {
        match &visitor.caller {
            Some(caller) => caller.into(),
            None => Self { name: None, role: None, fingerprint: visitor.key.map(|key| key.to_string()) },
        }
    }
}

/// The log.
#[derive(Debug)]
pub(crate) struct AuditLog {
    path: PathBuf,
    party: u8,
    end: Mutex<End>,
}

#[derive(Debug)]
struct End {
    file: File,
    chain: Chain,
    /// Length of the file, up to the last whole entry.
    length: u64,
    /// Where the entries 1, 65, 129, ... begin.
    places: Vec<u64>,
    refusals: [Budget; 2],
}

impl AuditLog {
    /// Opens the log in a directory, or makes it, and follows its chain.
    ///
    /// An entry that is not whole, which a crash can leave at the end, is cut off: nothing was done because of it.
    pub(crate) fn open(dir: &Path, party: u8) -> Result<Self> {
        let path = dir.join(FILE);
        let io = |error| ServiceError::io("use", &path, error);
        let file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path).map_err(io)?;
        let mut end = End {
            file,
            chain: Chain::new(),
            length: 0,
            places: Vec::new(),
            refusals: REFUSALS.map(|(most, each)| Budget::new(most, each)),
        };
        let mut reader = BufReader::new(File::open(&path).map_err(io)?);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).map_err(io)?;
            let damaged = |problem: String| ServiceError::Audit { path: path.clone(), problem };
            if line.pop() != Some(b'\n') {
                if read as u64 == LONGEST_LINE {
                    return Err(damaged(format!("entry {} is too long", end.chain.seq() + 1)));
                }
                if read > 0 {
                    tracing::warn!(path = %path.display(), "the last entry of the audit log was not whole");
                }
                break;
            }
            let entry: Entry = serde_json::from_slice(&line)
                .map_err(|error| damaged(format!("entry {} cannot be read: {error}", end.chain.seq() + 1)))?;
            end.chain.follow(&entry).map_err(|fault| damaged(fault.to_string()))?;
            end.note(read as u64);
        }
        end.file.set_len(end.length).and_then(|()| end.file.sync_all()).map_err(io)?;
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)?;
        Ok(Self { path, party, end: Mutex::new(end) })
    }

    /// Writes an entry; when this returns, the disk has it.
    pub(crate) fn append(&self, event: Event<'_>) -> Result<()> {
        self.append_to(&mut self.end(), event)
    }

    /// Writes that something was refused, if not too much was lately; how many entries were left out is written later.
    pub(crate) fn refuse(&self, is_stranger: bool, mut event: Event<'_>) -> Result<()> {
        let mut end = self.end();
        let Some(missed) = end.refusals[usize::from(!is_stranger)].take(Instant::now()) else {
            return Ok(());
        };
        if missed > 0 {
            let reason = event.reason.unwrap_or_default();
            event.reason = Some(format!("{reason} (and {missed} refusals before, which are not listed)"));
        }
        self.append_to(&mut end, event)
    }

    /// Number and hash of the last entry, to tell others.
    pub(crate) fn head(&self) -> Witness {
        let end = self.end();
        Witness { party: self.party, seq: end.chain.seq(), hash: end.chain.head().to_hex().to_string() }
    }

    /// Some entries from this number on; of those that the reader may not see, the hashes alone.
    pub(crate) fn page(&self, from: u64, may_see: impl Fn(&Text) -> bool) -> Result<(Vec<Entry>, u64)> {
        let (start, first, length, last) = {
            let end = self.end();
            let block = (from.max(1) - 1) / STRIDE as u64;
            let start = usize::try_from(block).ok().and_then(|at| end.places.get(at)).copied();
            (start.unwrap_or(end.length), block * STRIDE as u64 + 1, end.length, end.chain.seq())
        };
        let io = |error| ServiceError::io("read", &self.path, error);
        let mut file = File::open(&self.path).map_err(io)?;
        file.seek(SeekFrom::Start(start)).map_err(io)?;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for (seq, line) in (first..).zip(BufReader::new(file.take(length - start)).lines()) {
            let line = line.map_err(io)?;
            if seq < from {
                continue;
            }
            bytes += line.len();
            if entries.len() == PAGE.0 || (bytes > PAGE.1 && !entries.is_empty()) {
                break;
            }
            let unreadable = |error: serde_json::Error| io(error.into());
            let mut entry: Entry = serde_json::from_str(&line).map_err(unreadable)?;
            let hidden = match &entry.text {
                Some(raw) => !may_see(&serde_json::from_str(raw.get()).map_err(unreadable)?),
                None => false,
            };
            if hidden && let Some(raw) = entry.text.take() {
                entry.text_hash = Some(text_hash(raw.get()).to_hex().to_string());
            }
            entries.push(entry);
        }
        Ok((entries, last))
    }

    fn append_to(&self, end: &mut End, event: Event<'_>) -> Result<()> {
        let Event { who, what, subject, digest, decision, reason, peer } = event;
        let text = Text {
            time: Timestamp::now().to_string(),
            who,
            what: what.to_owned(),
            subject: subject.map(str::to_owned),
            digest: digest.map(str::to_owned),
            decision,
            reason: reason.map(|reason| reason.chars().take(LONGEST_REASON).collect()),
            peer,
            salt: shamisen_data::shares::random_id().map_err(|_| ServiceError::Randomness)?,
        };
        let io = |error| ServiceError::io("write", &self.path, error);
        let json = serde_json::to_string(&text).map_err(|error| io(error.into()))?;
        let (seq, prev) = (end.chain.seq() + 1, *end.chain.head());
        let entry = Entry {
            seq,
            prev: prev.to_hex().to_string(),
            hash: hash(seq, &prev, &text_hash(&json)).to_hex().to_string(),
            text: Some(RawValue::from_string(json).map_err(|error| io(error.into()))?),
            text_hash: None,
        };
        let mut line = serde_json::to_vec(&entry).map_err(|error| io(error.into()))?;
        line.push(b'\n');
        if line.len() as u64 >= LONGEST_LINE {
            return Err(io(io::Error::other("an entry would be too long")));
        }
        if let Err(error) = end.file.write_all(&line).and_then(|()| end.file.sync_data()) {
            // What is there in part must not stand before the next entry.
            end.file.set_len(end.length).map_err(io)?;
            return Err(io(error));
        }
        end.chain.follow(&entry).map_err(|fault| io(io::Error::other(fault)))?;
        end.note(line.len() as u64);
        Ok(())
    }

    fn end(&self) -> std::sync::MutexGuard<'_, End> {
        // Whoever panicked did so before the chain went on.
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl End {
    /// One more entry, a line of so many bytes, is in the file.
    fn note(&mut self, bytes: u64) {
        if (self.chain.seq() - 1).is_multiple_of(STRIDE as u64) {
            self.places.push(self.length);
        }
        self.length += bytes;
    }
}

/// How many refusals may be written.
#[derive(Debug)]
struct Budget {
    most: u32,
    each: Duration,
    left: u32,
    filled: Instant,
    missed: u64,
}

impl Budget {
    fn new(most: u32, each: Duration) -> Self {
        Self { most, each, left: most, filled: Instant::now(), missed: 0 }
    }

    /// Takes one out, and says how many could not be taken before; none if there is none left.
    fn take(&mut self, now: Instant) -> Option<u64> {
        let passed = now.saturating_duration_since(self.filled).as_nanos() / self.each.as_nanos();
        let more = u32::try_from(passed).unwrap_or(u32::MAX);
        if more > 0 {
            self.left = self.left.saturating_add(more).min(self.most);
            self.filled = now;
        }
        let Some(left) = self.left.checked_sub(1) else {
            self.missed += 1;
            return None;
        };
        self.left = left;
        Some(std::mem::take(&mut self.missed))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn note(log: &AuditLog, subject: &str) {
        log.append(Event::new("test", subject, Decision::Noted).because("none")).unwrap();
    }

    #[test]
    fn a_log_goes_on_after_a_new_start_and_after_a_crash() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let log = AuditLog::open(dir.path(), 1).unwrap();
        assert_eq!(log.head().seq, 0);
        (0..150).for_each(|at| note(&log, &at.to_string()));
        let head = log.head();
        drop(log);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [&whole[..], b"{\"seq\":151,\"pre"].concat()).unwrap();
        let log = AuditLog::open(dir.path(), 1).unwrap();
        assert_eq!((log.head(), fs::read(&path).unwrap()), (head, whole));
        note(&log, "150");
        for from in [1, 2, 64, 65, 66, 129, 151] {
            let (entries, last) = log.page(from, |_| true).unwrap();
            assert_eq!((entries[0].seq, entries.len() as u64, last), (from, 152 - from, 151));
            assert!(
                entries[0].text.as_ref().unwrap().get().contains(&format!("\"subject\":\"{}\"", from - 1))
            );
        }
        assert!(log.page(152, |_| true).unwrap().0.is_empty());
        assert!(log.page(u64::MAX, |_| true).unwrap().0.is_empty());
    }

    #[test]
    fn an_entry_that_is_too_long_is_neither_written_nor_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let log = AuditLog::open(dir.path(), 1).unwrap();
        note(&log, "a");
        let long = "x".repeat(LONGEST_LINE as usize);
        let event = Event::new("test", "b", Decision::Noted).with_digest(&long);
        assert!(log.append(event).unwrap_err().to_string().contains("too long"));
        note(&log, "c");
        let head = log.head();
        assert_eq!(head.seq, 2);
        drop(log);
        assert_eq!(AuditLog::open(dir.path(), 1).unwrap().head(), head);
        // Whatever wrote such a line, what follows it is not thrown away.
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{long}\n{whole}")).unwrap();
        let message = AuditLog::open(dir.path(), 1).unwrap_err().to_string();
        assert!(message.contains("entry 1 is too long"), "{message}");
        assert!(fs::read_to_string(&path).unwrap().ends_with(&whole));
    }

    #[test]
    fn what_others_may_not_see_is_a_hash() {
        let dir = tempfile::tempdir().unwrap();
        let log = AuditLog::open(dir.path(), 0).unwrap();
        for subject in ["a", "b", "a"] {
            note(&log, subject);
        }
        let (entries, _) = log.page(0, |text| text.subject.as_deref() == Some("b")).unwrap();
        assert_eq!(
            entries.iter().map(|entry| entry.text.is_some()).collect::<Vec<_>>(),
            [false, true, false]
        );
        let mut chain = Chain::new();
        for entry in &entries {
            chain.follow(entry).unwrap();
        }
        assert_eq!(chain.head().to_hex().as_str(), log.head().hash);
    }

    #[test]
    fn a_log_that_was_changed_is_not_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let log = AuditLog::open(dir.path(), 0).unwrap();
        for subject in ["a", "b"] {
            note(&log, subject);
        }
        drop(log);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\"a\"", "\"c\"")).unwrap();
        let message = AuditLog::open(dir.path(), 0).unwrap_err().to_string();
        assert!(message.contains("entry 1 was changed") && message.contains("hint: "), "{message}");
    }

    #[test]
    fn refusals_are_counted_when_there_are_too_many() {
        let mut budget = Budget::new(2, Duration::from_secs(1));
        let start = Instant::now();
        assert_eq!([(); 4].map(|()| budget.take(start)), [Some(0), Some(0), None, None]);
        assert_eq!(budget.take(start + Duration::from_secs(1)), Some(2));
        assert_eq!(budget.take(start + Duration::from_secs(1)), None);
        let later = start + Duration::from_secs(100);
        assert_eq!([(); 3].map(|()| budget.take(later)), [Some(1), Some(0), None]);
    }
}
