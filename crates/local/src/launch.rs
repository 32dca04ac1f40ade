//! Three parties as three processes of this machine, joined by TLS.

use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, ExitStatus};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use shamisen_party::event::{Cause, Outcome, Step};
use shamisen_party::process;

use crate::failure::{Failure, Result};
use crate::link::Link;
use crate::supervise::{Control, News, Note, Stopped, watch};
use crate::threads;
use crate::transport::{Ports, TransportName};
use crate::workdir::WorkDir;

/// How often other ports are tried when somebody else takes a free one first.
const ATTEMPTS: usize = 3;

/// Runs the three parties of a work directory, over TLS or in memory, and returns what each found out.
///
/// `observe` sees the progress of all three.
///
/// # Errors
///
/// With the most telling reason if a party fails; no party runs any more then.
pub fn run(
    work: &WorkDir,
    link: &Link,
    verbose: u8,
    observe: &mut dyn FnMut(usize, Step),
) -> Result<[Outcome; 3]> {
    match link.transport {
        TransportName::Memory => return threads::run(work, link, observe),
        TransportName::Tls => {
            work.write_configs(link, None)?;
            return Ok(run_once(work, verbose, observe)??);
        }
        TransportName::Tcp => {}
    }
    for attempt in 1.. {
        let ports = reserve(link.ports)?;
        work.write_configs(link, Some(ports.numbers()?))?;
        drop(ports);
        match run_once(work, verbose, observe)? {
            Err(Stopped::Failed { failed, .. })
                if failed.cause == Cause::PortInUse && link.ports.is_none() && attempt < ATTEMPTS =>
            {
                tracing::info!("a port was taken in the meantime: trying others");
            }
            Ok(outcomes) => return Ok(outcomes),
            Err(stopped) => return Err(stopped.into()),
        }
    }
    unreachable!("the loop ends by returning")
}

/// Fails if one of the fixed ports is in use.
///
/// # Errors
///
/// With the port, and what to do.
pub fn check_ports(link: &Link) -> Result<()> {
    if link.ports.is_some() { reserve(link.ports).map(drop) } else { Ok(()) }
}

/// Three ports that are free now.
///
/// # Errors
///
/// If there are none.
pub fn free_ports() -> Result<[u16; 3]> {
    reserve(None)?.numbers()
}

/// Three ports that nobody else gets while this lives.
struct Reserved([TcpListener; 3]);

impl Reserved {
    fn numbers(&self) -> Result<[u16; 3]> {
        let number = |at: usize| {
            let address = self.0[at].local_addr();
            address
                .map(|address| address.port())
                .map_err(|error| Failure::run(format!("no free port: {error}")))
        };
        Ok([number(0)?, number(1)?, number(2)?])
    }
}

fn reserve(ports: Option<Ports>) -> Result<Reserved> {
    let bind = |at: usize| {
        let port = ports.map_or(0, |ports| ports.0[at]);
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => Failure::input(format!(
                "port {port} of party {at} is in use: choose another one with --ports"
            )),
            _ => Failure::input(format!("party {at} cannot listen on 127.0.0.1, port {port}: {error}")),
        })
    };
    Ok(Reserved([bind(0)?, bind(1)?, bind(2)?]))
}

fn run_once(
    work: &WorkDir,
    verbose: u8,
    observe: &mut dyn FnMut(usize, Step),
) -> Result<std::result::Result<[Outcome; 3], Stopped>> {
    let program = process::own_program()
        .map_err(|error| Failure::run(format!("cannot find the own program file: {error}")))?;
    let (sender, notes) = channel();
    let mut children = Children(Vec::with_capacity(3));
    for party in 0..3 {
        // Ctrl-C is for this process, which then ends the parties.
        let mut child = process::command(&program, work.party(party))
            .args((0..verbose).map(|_| "--verbose"))
            .spawn()
            .map_err(|error| Failure::run(format!("cannot start party {party}: {error}")))?;
        let events = child.stdout.take();
        let child = Arc::new(Mutex::new(child));
        children.0.push(Arc::clone(&child));
        let sender = sender.clone();
        thread::spawn(move || follow(party, events, &child, &sender));
    }
    drop(sender);
    let mut pause = || children.interrupt();
    let pause: Option<&mut dyn FnMut()> = if work.is_kept() { Some(&mut pause) } else { None };
    let result = watch(&notes, Control { stop: &mut || children.kill(), pause }, observe);
    drop(children);
    Ok(result)
}

/// The processes of the parties; killed and waited for when dropped.
struct Children(Vec<Arc<Mutex<Child>>>);

impl Children {
    /// Sends each what Ctrl-C would send it.
    fn interrupt(&self) {
        for child in &self.0 {
            let mut child = lock(child);
            // The number of a process that was waited for may be that of another one.
            if matches!(child.try_wait(), Ok(None)) {
                // It fails if the process has ended in this moment.
                let _ = kill_process(Pid::from_child(&child), Signal::INT);
            }
        }
    }

    fn kill(&self) {
        for child in &self.0 {
            // It fails if the process has ended already.
            drop(lock(child).kill());
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.kill();
        for child in &self.0 {
            drop(lock(child).wait());
        }
    }
}

fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Passes on what a party tells until it ends.
fn follow(party: usize, events: Option<ChildStdout>, child: &Mutex<Child>, notes: &Sender<Note>) {
    // Nobody listens any more when the launcher has made up its mind.
    let send = |news| drop(notes.send(Note { party, news }));
    for line in events.into_iter().flat_map(|events| BufReader::new(events).lines()) {
        let Ok(line) = line else { break };
        send(News::Event(process::event(party, &line)));
    }
    let status = loop {
        // Not `wait`, which would keep the lock.
        match lock(child).try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => {}
            Err(_) => break ExitStatus::from_raw(0),
        }
        thread::sleep(Duration::from_millis(5));
    };
    send(News::Ended(process::end(party, status)));
}
