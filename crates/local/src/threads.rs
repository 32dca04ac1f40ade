//! Three parties as three threads of this process, joined in memory.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::channel;
use std::thread;

use shamisen_net::throttled::Throttled;
use shamisen_net::{Party, Transport, memory};
use shamisen_party::assignment::Assignment;
use shamisen_party::event::{Cause, Event, Failed, Outcome, Step};

use crate::failure::Result;
use crate::interrupt;
use crate::link::Link;
use crate::supervise::{Control, News, Note, watch};
use crate::workdir::WorkDir;

/// Runs the three parties of a work directory in threads and returns what each found out.
///
/// # Errors
///
/// With the most telling reason if a party fails. After Ctrl-C the threads still run: the process has to end.
pub(crate) fn run(work: &WorkDir, link: &Link, observe: &mut dyn FnMut(usize, Step)) -> Result<[Outcome; 3]> {
    let (sender, notes) = channel();
    let (assignment, _) = Assignment::read(work.party(0))?;
    let mut lanes = [const { Vec::new() }; 3];
    for _ in 0..assignment.lanes().get() {
        for (lanes, end) in lanes.iter_mut().zip(memory::mesh()) {
            lanes.push(end);
        }
    }
    for (me, lanes) in Party::ALL.into_iter().zip(lanes) {
        let mut lanes = if link.is_throttled() {
            shamisen_party::boxed(Throttled::lanes(lanes, link.latency, link.bandwidth))
        } else {
            shamisen_party::boxed(lanes)
        };
        for lane in &mut lanes {
            lane.set_deadline(link.deadline);
        }
        let party = me.index();
        let dir = work.party(party).to_owned();
        let sender = sender.clone();
        thread::spawn(move || {
            // The launcher may have made up its mind and not listen any more.
            let send = |news| drop(sender.send(Note { party, news }));
            let mut emit = |event| send(News::Event(event));
            // A panic was reported by the panic hook; what this party held is not used any more.
            let stop = || interrupt::requests() > 0;
            let work = || shamisen_party::work(&dir, me, lanes, &stop, &mut emit);
            let result = catch_unwind(AssertUnwindSafe(work));
            send(match result {
                Ok(Ok(_)) => News::Ended(None),
                Ok(Err(failed)) => News::Event(Event::Failed(failed)),
                Err(_) => News::Event(Event::Failed(Failed::new(
                    Cause::Died,
                    format!("party {party} panicked, which is a bug of shamisen: please report it"),
                ))),
            });
            send(News::Ended(None));
        });
    }
    drop(sender);
    // Threads cannot be stopped from outside; when one fails, the others lose it and end. Those that keep checkpoints look for Ctrl-C
    // themselves.
    let mut pause = || ();
    let pause: Option<&mut dyn FnMut()> = if work.is_kept() { Some(&mut pause) } else { None };
    Ok(watch(&notes, Control { stop: &mut || (), pause }, observe)?)
}
