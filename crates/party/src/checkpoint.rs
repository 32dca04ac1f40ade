//! A party's checkpoints: those that it finds, the one that the three agree on, and those that it keeps.

use std::fs::{File, OpenOptions, TryLockError};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, io, thread};

use shamisen_data::checkpoint::{
    self, KEPT, Label, Stored, checkpoint_path, numbers, read, remove_all, remove_unfinished,
};
use shamisen_data::encrypted::StorageKey;
use shamisen_mpc::protocol::tell::tell;
use shamisen_mpc::{Lanes, SessionKeys};
use shamisen_net::Party;
use shamisen_nn::NnError;
use shamisen_nn::checkpoint::{Checkpoint, Checkpoints, Snapshot, State};
use shamisen_nn::formats::CHECK_EVERY;
use zeroize::Zeroizing;

use crate::assignment::Assignment;
use crate::event::{Cause, Event, Failed};
use crate::process::own_program;

/// Mini-batches between two checkpoints unless the user says otherwise: ten seconds of the standard case.
pub const DEFAULT_EVERY: NonZeroUsize = NonZeroUsize::new(480).expect("it is not 0");

/// Name of the file that a process locks while it works in a directory.
const LOCK_FILE: &str = "lock";

/// How long a party waits for one that was left over from a killed run: it ends as soon as it has something to tell.
const LEFT_OVER: Duration = Duration::from_secs(10);

/// Words of a party's keys of a lane.
const KEY_WORDS: usize = 6;

/// So many mini-batches, or the next number after which something is reported.
pub fn rounded(every: NonZeroUsize) -> NonZeroUsize {
    NonZeroUsize::new(every.get().next_multiple_of(CHECK_EVERY)).unwrap_or(every)
}

/// Locks a directory for this process, for as long as the file is open; `None` if another one has it.
///
/// # Errors
///
/// If the directory does not let it.
pub fn lock(dir: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(dir.join(LOCK_FILE))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The checkpoints in a party's directory, which nobody else uses while this lives.
pub(crate) struct Kept<'a> {
    dir: &'a Path,
    /// What the checkpoints of this run belong to, with the number 0.
    label: Label,
    every: NonZeroUsize,
    /// Under which they are encrypted, if they are.
    key: Option<&'a StorageKey>,
    /// Those that are whole, in ascending order, at most [`KEPT`].
    whole: Vec<u64>,
    stop: &'a dyn Fn() -> bool,
    _lock: File,
}

impl<'a> Kept<'a> {
    /// Looks for checkpoints in a party's directory, if the job keeps some. One that is damaged is passed over, with a warning.
    /// When `stop` says so, the three keep one and stop.
    ///
    /// Fails if none of those that are there is whole, or one is of another run or was written by another program; if another
    /// process works in the directory.
    pub(crate) fn open(
        dir: &'a Path,
        assignment: &Assignment,
        job: &[u8; 32],
        party: Party,
        key: Option<&'a StorageKey>,
        stop: &'a dyn Fn() -> bool,
        emit: &mut dyn FnMut(Event),
    ) -> Result<Option<Self>, Failed> {
        let Some(schedule) = assignment.checkpoints() else { return Ok(None) };
        let lock = wait_for_lock(dir)?;
        remove_unfinished(dir)?;
        let label = Label {
            number: 0,
            party: party.index(),
            job: blake3::Hash::from_bytes(*job).to_hex().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build: build()?,
        };
        let mut whole = Vec::new();
        let mut damaged = None;
        for number in numbers(dir)? {
            match read::<State>(dir, number, key) {
                Ok(stored) => {
                    check_label(dir, &label, &stored.label)?;
                    whole.push(number);
                }
                Err(error) => {
                    damaged = Some(error.to_string());
                    emit(Event::Warning { message: format!("a checkpoint is passed over, since {error}") });
                }
            }
        }
        if let (true, Some(error)) = (whole.is_empty(), damaged) {
            let text = format!("{} has no checkpoint that is whole: {error}", dir.display());
            return Err(Failed::new(Cause::Input, text));
        }
        whole.drain(..whole.len().saturating_sub(KEPT));
        Ok(Some(Self { dir, label, every: schedule.every, key, whole, stop, _lock: lock }))
    }

    /// Reads the last checkpoint that all three have; none if nobody has got beyond the beginning.
    ///
    /// One round, and one more if there is none.
    pub(crate) fn agree(&self, lanes: &mut Lanes) -> Result<Option<Checkpoint>, Failed> {
        let mut offer = [0; KEPT + 1];
        offer[0] = self.whole.len() as u64;
        offer[1..].iter_mut().zip(&self.whole).for_each(|(word, number)| *word = *number);
        let offers = tell(&offer, lanes.main())?;
        let offers = offers.each_ref().map(|offer| {
            let (count, numbers) = offer.split_first().map_or((0, &[][..]), |(count, rest)| (*count, rest));
            &numbers[..(count as usize).min(numbers.len())]
        });
        let Some(number) = last_common(offers)? else {
            tracing::info!("no checkpoint is left: the training begins");
            // Those of a beginning that did not get to all three must not meet those of this one.
            remove_all(self.dir)?;
            // Nobody keeps a first one of this beginning while another still has one of an earlier.
            tell(&[0], lanes.main())?;
            return Ok(None);
        };
        let Stored { state, vectors, .. } = read::<State>(self.dir, number, self.key)?;
        let mut vectors = vectors.into_iter();
        let (Some(keys), Some(loss)) = (vectors.next().map(Zeroizing::new), vectors.next()) else {
            let path = checkpoint_path(self.dir, number);
            let text = format!("{} has neither keys nor losses: use the file as it was kept", path.display());
            return Err(Failed::new(Cause::Input, text));
        };
        tracing::info!("the training goes on after {number} mini-batches");
        Ok(Some(Checkpoint {
            state,
            loss: loss.into_iter().map(f64::from_bits).collect(),
            shares: vectors.collect(),
            keys: keys.as_chunks::<KEY_WORDS>().0.iter().map(keys_of).collect(),
        }))
    }
}

impl Checkpoints for Kept<'_> {
    fn is_due(&self, done: usize, end_of_epoch: bool) -> bool {
        end_of_epoch || done.is_multiple_of(self.every.get())
    }

    fn save(&mut self, snapshot: &Snapshot<'_>) -> Result<(), NnError> {
        let label = Label { number: snapshot.state.done as u64, ..self.label.clone() };
        let keys = Zeroizing::new(snapshot.keys.iter().flat_map(words_of).collect::<Vec<u64>>());
        let loss: Vec<u64> = snapshot.loss.iter().map(|loss| loss.to_bits()).collect();
        let vectors = [&[&keys[..], &loss[..]], &snapshot.shares[..]].concat();
        checkpoint::write(self.dir, &label, snapshot.state, &vectors, self.key)
            .map_err(|error| NnError::Checkpoint(error.into()))
    }

    fn wants_to_stop(&self) -> bool {
        (self.stop)()
    }
}

/// The greatest number that all three offer; none if nobody offers more than the beginning.
fn last_common(offers: [&[u64]; 3]) -> Result<Option<u64>, Failed> {
    let [first, second, third] = offers;
    let common = first.iter().filter(|number| second.contains(number) && third.contains(number)).max();
    if common.is_some() || offers.concat().iter().all(|number| *number == 0) {
        return Ok(common.copied());
    }
    let lists = offers.iter().enumerate().map(|(party, numbers)| {
        let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        let numbers = if numbers.is_empty() { "none".to_owned() } else { numbers.join(", ") };
        format!("party {party} has {numbers}")
    });
    let lists = lists.collect::<Vec<_>>().join("; ");
    Err(Failed::new(
        Cause::Input,
        format!("the three parties have no checkpoint in common ({lists}): give each the files that it kept"),
    ))
}

fn wait_for_lock(dir: &Path) -> Result<File, Failed> {
    let start = Instant::now();
    loop {
        match lock(dir) {
            Ok(Some(file)) => return Ok(file),
            Ok(None) if start.elapsed() < LEFT_OVER => thread::sleep(Duration::from_millis(20)),
            Ok(None) => {
                let text = format!("another process works in {}: wait until it has ended", dir.display());
                return Err(Failed::new(Cause::Input, text));
            }
            Err(error) => {
                let text = format!("cannot lock {}: {error}", dir.join(LOCK_FILE).display());
                return Err(Failed::new(Cause::Input, text));
            }
        }
    }
}

/// Fails if a checkpoint is not one of this run, of this party and of this program.
pub(crate) fn check_label(dir: &Path, own: &Label, found: &Label) -> Result<(), Failed> {
    let problem = if found.party != own.party {
        format!("is one of party {}: give each party its own", found.party)
    } else if found.job != own.job {
        "is of another run: use those that this run kept".to_owned()
    } else if found.build != own.build {
        // Another program might send other messages under the same masks.
        format!("was written by another build of shamisen (version {}): go on with that one", found.version)
    } else {
        return Ok(());
    };
    let path = checkpoint_path(dir, found.number);
    Err(Failed::new(Cause::Input, format!("{} {problem}", path.display())))
}

/// Hash of the program file that runs.
fn build() -> Result<String, Failed> {
    let hash = || -> io::Result<String> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(own_program()?)?)?;
        Ok(hasher.finalize().to_hex().to_string())
    };
    hash().map_err(|error| Failed::new(Cause::System, format!("cannot read the own program file: {error}")))
}

fn words_of(keys: &SessionKeys) -> [u64; KEY_WORDS] {
    let half = |key: &[u8; 16], at: usize| u64::from_le_bytes(std::array::from_fn(|byte| key[at + byte]));
    let [own, next, private] = [&keys.own, &keys.next, &keys.private].map(|key| [half(key, 0), half(key, 8)]);
    [own[0], own[1], next[0], next[1], private[0], private[1]]
}

fn keys_of(words: &[u64; KEY_WORDS]) -> SessionKeys {
    let key = |at: usize| {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&words[at].to_le_bytes());
        key[8..].copy_from_slice(&words[at + 1].to_le_bytes());
        key
    };
    SessionKeys { own: key(0), next: key(2), private: key(4) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_common_number_is_taken() {
        let common = |offers: [&[u64]; 3]| last_common(offers).map_err(|failed| failed.message);
        assert_eq!(common([&[0, 16, 32], &[16, 32, 48], &[16, 32]]), Ok(Some(32)));
        assert_eq!(common([&[0], &[0, 16], &[0]]), Ok(Some(0)));
        // Killed before the first mini-batch, some before they had kept anything.
        assert_eq!(common([&[0], &[], &[0]]), Ok(None));
        assert_eq!(common([&[], &[], &[]]), Ok(None));
        let message = common([&[0, 16], &[], &[0, 16]]).unwrap_err();
        assert!(message.contains("(party 0 has 0, 16; party 1 has none; party 2 has 0, 16)"), "{message}");
        assert!(common([&[16], &[32], &[16, 32]]).is_err());
    }

    #[test]
    fn keys_come_back() {
        let key = |first: u8| std::array::from_fn(|at| first + at as u8);
        let keys = SessionKeys { own: key(1), next: key(50), private: key(100) };
        let back = keys_of(&words_of(&keys));
        assert!(back.own == keys.own && back.next == keys.next && back.private == keys.private);
    }

    #[test]
    fn numbers_are_rounded_up_to_reports() {
        let number = |every| rounded(NonZeroUsize::new(every).unwrap()).get();
        assert_eq!([1, 16, 17, 100].map(number), [16, 16, 32, 112]);
        assert_eq!(rounded(DEFAULT_EVERY), DEFAULT_EVERY);
    }

    #[test]
    fn a_directory_is_locked_once() {
        let dir = tempfile::tempdir().unwrap();
        let first = lock(dir.path()).unwrap();
        assert!(first.is_some() && lock(dir.path()).unwrap().is_none());
        drop(first);
        assert!(lock(dir.path()).unwrap().is_some());
    }
}
