//! Ctrl-C, and requests to terminate.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) use shamisen_local::interrupt::{Protection, check, requests};
use shamisen_local::interrupt::{is_protected, request};

use crate::failure::Failure;

static IMPATIENT: AtomicBool = AtomicBool::new(false);

/// From now on, Ctrl-C ends the process with status 130: at once, or through [`check`] while something must be
/// cleaned up first.
pub(crate) fn install() {
    let handler = || {
        let again = request() > 0 && IMPATIENT.load(Ordering::SeqCst);
        if again || !is_protected() {
            Failure::from(shamisen_local::Failure::Interrupted).print();
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
