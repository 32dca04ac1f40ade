//! Three parties in three threads of this process, to measure what they do together.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU8;
use std::thread;
use std::time::Duration;

use shamisen_net::tls::{Address, Identity, PeerAddress, TlsConfig, TlsTransport};
use shamisen_net::{Party, Peers, Transport, memory};
use shamisen_party::event::Failed;

use crate::failure::{Failure, Result};
use crate::interrupt::{self, Protection};
use crate::launch;
use crate::transport::TransportName;

/// Longest wait of a party for another one: a protocol with a million elements takes seconds.
const DEADLINE: Duration = Duration::from_mins(5);

/// Runs `party` at three parties that are joined by the transport, with so many lanes each, and returns what they return.
///
/// # Errors
///
/// If they cannot be joined, or a party fails.
pub fn run<T: Send>(
    transport: TransportName,
    lanes: NonZeroU8,
    party: impl Fn(Vec<Box<dyn Transport>>) -> std::result::Result<T, Failed> + Sync,
) -> Result<[T; 3]> {
    let party = &party;
    in_threads(ends(transport, lanes)?.map(|ends| move || party(ends)))
}

/// The ends of three parties that are joined by the transport.
fn ends(transport: TransportName, lanes: NonZeroU8) -> Result<[Vec<Box<dyn Transport>>; 3]> {
    match transport {
        TransportName::Memory => {
            let mut ends = [const { Vec::new() }; 3];
            for _ in 0..lanes.get() {
                for (ends, mut end) in ends.iter_mut().zip(memory::mesh()) {
                    end.set_deadline(DEADLINE);
                    ends.push(Box::new(end) as Box<dyn Transport>);
                }
            }
            Ok(ends)
        }
        TransportName::Tls => {
            // The files of the sockets are gone once the parties have met.
            let _protection = Protection::new();
            let dir = tempfile::Builder::new()
                .prefix("shamisen-")
                .tempdir()
                .map_err(|error| Failure::file("create a directory in", &std::env::temp_dir(), &error))?;
            let path = |party: Party| dir.path().join(format!("party{}.socket", party.index()));
            let ends = over_tls(&Party::ALL.map(|party| Address::Unix(path(party))), lanes);
            drop(dir);
            interrupt::check()?;
            ends
        }
        TransportName::Tcp => {
            let address = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string();
            over_tls(&launch::free_ports()?.map(|port| Address::Tcp(address(port))), lanes)
        }
    }
}

/// The ends of three parties that have met at these addresses.
fn over_tls(addresses: &[Address; 3], lanes: NonZeroU8) -> Result<[Vec<Box<dyn Transport>>; 3]> {
    in_threads(
        tls_configs(addresses, lanes)?
            .map(|config| move || Ok(shamisen_party::boxed(TlsTransport::connect(&config)?))),
    )
}

/// Runs three tasks at the same time.
fn in_threads<T: Send, F: FnOnce() -> std::result::Result<T, Failed> + Send>(
    tasks: [F; 3],
) -> Result<[T; 3]> {
    let ends = thread::scope(|scope| {
        tasks
            .map(|task| scope.spawn(task))
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    // When one fails, the others lose it: the most telling reason is the first cause.
    let mut results = Vec::with_capacity(3);
    let mut failures = Vec::new();
    for end in ends {
        match end {
            Ok(result) => results.push(result),
            Err(failed) => failures.push(failed),
        }
    }
    if let Some(failed) = failures.into_iter().min_by_key(|failed| failed.cause) {
        return Err(failed.into());
    }
    results.try_into().map_err(|_| Failure::run("a party is missing, which is a bug of shamisen"))
}

/// Settings of three parties on this machine that know each other.
fn tls_configs(addresses: &[Address; 3], lanes: NonZeroU8) -> Result<[TlsConfig; 3]> {
    let identity = |party: Party| {
        Identity::generate(&party.to_string()).map_err(|error| Failure::run(error.to_string()))
    };
    let [first, second, third] = Party::ALL;
    let identities = [identity(first)?, identity(second)?, identity(third)?];
    let address = |party: Party| addresses[party.index()].clone();
    let place = |peer: Party| PeerAddress {
        address: address(peer),
        fingerprint: identities[peer.index()].fingerprint(),
    };
    Ok(Party::ALL.map(|party| TlsConfig {
        party,
        identity: identities[party.index()].clone(),
        peers: Peers { next: place(party.next()), prev: place(party.prev()) },
        listen: address(party),
        lanes,
        job: [0; 32],
        connect_timeout: Duration::from_secs(30),
        deadline: DEADLINE,
    }))
}
