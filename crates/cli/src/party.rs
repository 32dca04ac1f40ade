//! `party`: one party, whose events are JSON lines on the standard output.

use std::io::{self, Write};
use std::path::Path;
use std::{process, thread};

use shamisen_local::Failure as Stopped;
use shamisen_party::event::{Event, Failed};
use shamisen_party::{End, PartyDir};

use crate::args::PartyArguments;
use crate::failure::{Failure, Result};
use crate::interrupt::{self, Protection};

/// Carries out `party`.
///
/// If the job keeps checkpoints, Ctrl-C makes all three keep one and stop, and ends the process at once when it comes again, or
/// before the peers are there.
pub(crate) fn run(arguments: &PartyArguments) -> Result<()> {
    let launched = arguments.launched;
    if launched {
        thread::spawn(end_with_launcher);
    }
    let ended = run_dir(&arguments.dir).map_err(|failed| {
        write(&Event::Failed(failed.clone()));
        let failure = Failure::from(failed);
        // The launcher read the event, and tells the user.
        if launched { failure.reported() } else { failure }
    })?;
    match ended {
        End::Finished => Ok(()),
        End::Stopped { .. } if launched => Err(Failure::Reported { status: 130 }),
        End::Stopped { epoch, batch } => Err(Stopped::Paused(format!(
            "interrupted after epoch {epoch}, mini-batch {batch}; start all three parties again to go on"
        ))
        .into()),
    }
}

fn run_dir(dir: &Path) -> std::result::Result<End, Failed> {
    let party = PartyDir::open(dir)?;
    let keeps = party.assignment().checkpoints().is_some();
    if keeps {
        interrupt::install_impatiently();
    }
    let mut protection = None;
    party.run(&|| interrupt::requests() > 0, &mut |event| {
        if keeps && matches!(event, Event::Connected) {
            protection = Some(Protection::new());
        }
        write(&event);
    })
}

/// Ends the process when its standard input does: whoever started this party is gone.
fn end_with_launcher() {
    // Nothing is ever sent.
    drop(io::copy(&mut io::stdin(), &mut io::sink()));
    process::exit(1);
}

fn write(event: &Event) {
    let Ok(mut line) = serde_json::to_string(event) else {
        process::exit(1);
    };
    line.push('\n');
    let mut out = io::stdout().lock();
    if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
        // Whoever started this party is gone, so that nobody wants the result.
        process::exit(1);
    }
}
