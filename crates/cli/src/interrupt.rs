//! Ctrl-C, and requests to terminate.

use std::process;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::failure::{Failure, Result};

static REQUESTS: AtomicUsize = AtomicUsize::new(0);
static IMPATIENT: AtomicBool = AtomicBool::new(false);
static PROTECTED: AtomicUsize = AtomicUsize::new(0);

/// From now on, Ctrl-C ends the process with status 130: at once, or through [`check`] while something must be
/// cleaned up first.
pub(crate) fn install() {
    let handler = || {
        let again = REQUESTS.fetch_add(1, Ordering::SeqCst) > 0 && IMPATIENT.load(Ordering::SeqCst);
        if again || PROTECTED.load(Ordering::SeqCst) == 0 {
            Failure::Interrupted.print();
            process::exit(130);
        }
    };
    // It fails when it is already installed, which is as well.
    drop(ctrlc::set_handler(handler));
}

/// As [`install`], for a process that looks at [`requests`] now and then: the second Ctrl-C ends it at once.
pub(crate) fn install_impatiently() {
    IMPATIENT.store(true, Ordering::SeqCst);
    install();
}

/// Fails after Ctrl-C.
pub(crate) fn check() -> Result<()> {
    if requests() > 0 { Err(Failure::Interrupted) } else { Ok(()) }
}

/// How often Ctrl-C was pressed.
pub(crate) fn requests() -> usize {
    REQUESTS.load(Ordering::SeqCst)
}

/// While it lives, there is something to clean up, and Ctrl-C does not end the process by itself.
pub(crate) struct Protection(());

impl Protection {
    pub(crate) fn new() -> Self {
        PROTECTED.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Protection {
    fn drop(&mut self) {
        PROTECTED.fetch_sub(1, Ordering::SeqCst);
    }
}
