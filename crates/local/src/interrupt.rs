//! Requests to stop, of this process as a whole: Ctrl-C, as a rule.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::failure::{Failure, Result};

static REQUESTS: AtomicUsize = AtomicUsize::new(0);
static PROTECTED: AtomicUsize = AtomicUsize::new(0);

/// Asks what this process does to stop, and returns how often it was asked before.
///
/// After the first request, trainings that keep checkpoints keep one and stop; after the second, they stop at once.
pub fn request() -> usize {
    REQUESTS.fetch_add(1, Ordering::SeqCst)
}

/// How often this process was asked to stop.
pub fn requests() -> usize {
    REQUESTS.load(Ordering::SeqCst)
}

/// Fails if this process was asked to stop.
///
/// # Errors
///
/// [`Failure::Interrupted`].
pub fn check() -> Result<()> {
    if requests() > 0 { Err(Failure::Interrupted) } else { Ok(()) }
}

/// Whether there is something to clean up, so that the process must not end by itself.
pub fn is_protected() -> bool {
    PROTECTED.load(Ordering::SeqCst) > 0
}

/// While it lives, there is something to clean up: whoever ends the process on a request waits until it is gone.
#[derive(Debug)]
pub struct Protection(());

impl Protection {
    /// From now on there is something to clean up.
    #[expect(clippy::new_without_default, reason = "it does something")]
    pub fn new() -> Self {
        PROTECTED.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Protection {
    fn drop(&mut self) {
        PROTECTED.fetch_sub(1, Ordering::SeqCst);
    }
}
