//! What happened to a job, line by line in a file.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::job::{LogEntry, LogPage};
use crate::server::jobs::directory;
use crate::server::now;
use crate::server::state::Shared;

/// Most lines that are told at once.
const PAGE: usize = 1000;

/// Adds a sentence to the log of a job. One that cannot be written is lost: the job is worth more than its log.
pub(super) async fn add(shared: &Arc<Shared>, job: &str, text: &str) {
    let (path, text) = (directory::log(shared, job), text.to_owned());
    drop(spawn_blocking(move || append(&path, &text)).await);
}

fn append(path: &Path, text: &str) {
    let entry = LogEntry { time: now(), text: text.to_owned() };
    let Ok(mut line) = serde_json::to_string(&entry) else { return };
    line.push('\n');
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
        tracing::warn!(%error, "the log of a job cannot be written");
    }
}

/// What was added from this byte on; behind the end it is nothing.
pub(super) fn page(path: &Path, from: u64) -> io::Result<LogPage> {
    let mut page = LogPage { entries: Vec::new(), next: from };
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(page),
        file => file?,
    };
    if from > file.metadata()?.len() {
        return Ok(page);
    }
    file.seek(SeekFrom::Start(from))?;
    let mut lines = BufReader::new(file);
    let mut line = Vec::new();
    while page.entries.len() < PAGE {
        line.clear();
        // The last line may be one that is being written.
        if lines.read_until(b'\n', &mut line)? == 0 || line.last() != Some(&b'\n') {
            break;
        }
        page.next += line.len() as u64;
        page.entries.extend(serde_json::from_slice::<LogEntry>(&line));
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        assert_eq!(page(&path, 0).unwrap().entries, []);
        append(&path, "first");
        let first = page(&path, 0).unwrap();
        append(&path, "second\nline");
        let second = page(&path, first.next).unwrap();
        let texts = |page: &LogPage| page.entries.iter().map(|entry| entry.text.clone()).collect::<Vec<_>>();
        assert_eq!(
            (texts(&first), texts(&second)),
            (vec!["first".to_owned()], vec!["second\nline".to_owned()])
        );
        let beyond = page(&path, u64::MAX).unwrap();
        assert!(beyond.entries.is_empty() && beyond.next == u64::MAX);
        // What a crash left in the middle of a line is not told.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"ti").unwrap();
        assert_eq!(page(&path, second.next).unwrap().next, second.next);
    }
}
