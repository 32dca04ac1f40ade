//! Finding the two peers and making sure that they are the right ones.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use rustls::server::UnbufferedServerConnection;
use rustls::{AlertDescription, ClientConfig, ServerConfig};

use crate::tls::connection::{Connection, Tls};
use crate::tls::failure::Failure;
use crate::tls::hello::{Hello, Objection};
use crate::tls::pinning::{client, client_config, provider, refused_fingerprint, server_config};
use crate::tls::socket::{Listener, Socket};
use crate::tls::wait::{LONGEST, wait};
use crate::tls::{Fingerprint, PeerAddress, TlsConfig};
use crate::{NetError, Party, Peers};

/// Connects to both peers, once for each lane.
pub(super) fn connect(config: &TlsConfig) -> Result<Vec<Peers<Connection>>, NetError> {
    check_pins(config)?;
    let setup = Arc::new(Setup {
        config: config.clone(),
        start: Instant::now(),
        timeout: config.connect_timeout.min(LONGEST),
        abandoned: AtomicBool::new(false),
    });
    let result = Meeting::new(Arc::clone(&setup)).and_then(Meeting::run);
    setup.abandoned.store(true, Ordering::Relaxed);
    result
}

/// Three different certificates tell three parties apart.
fn check_pins(config: &TlsConfig) -> Result<(), NetError> {
    let (next, prev) = (config.peers.next.fingerprint, config.peers.prev.fingerprint);
    let own = config.identity.fingerprint();
    let twice = if next == prev {
        (config.party.next(), config.party.prev())
    } else if next == own {
        (config.party, config.party.next())
    } else if prev == own {
        (config.party, config.party.prev())
    } else {
        return Ok(());
    };
    let (one, other) = twice;
    let reason = format!("{one} and {other} have the same fingerprint: every party needs a key of its own");
    Err(NetError::Identity { reason })
}

/// What all threads of a setup have to know.
struct Setup {
    config: TlsConfig,
    start: Instant,
    timeout: Duration,
    /// Nobody waits for the outcome any more.
    abandoned: AtomicBool,
}

impl Setup {
    fn until(&self) -> Instant {
        self.start + self.timeout
    }

    /// By when a handshake has to be complete that begins now.
    fn handshake_until(&self) -> Instant {
        self.until().min(Instant::now() + HANDSHAKE_TIMEOUT)
    }

    fn peers(&self) -> [Party; 2] {
        [self.config.party.next(), self.config.party.prev()]
    }

    /// Whether `peer` calls this party, or the other way round.
    fn is_called_by(&self, peer: Party) -> bool {
        self.config.party < peer
    }

    fn place(&self, peer: Party) -> &PeerAddress {
        if peer == self.config.party.next() { &self.config.peers.next } else { &self.config.peers.prev }
    }

    fn pinned(&self, peer: Party) -> Fingerprint {
        self.place(peer).fingerprint
    }

    /// Agrees with a peer whose certificate has been checked. `lane` is the connection that this party asks for when it
    /// calls, and 0 when it was called; returned is the one that the peer asks for.
    fn greet(
        &self,
        peer: Party,
        lane: u8,
        connection: &mut Connection,
        until: Instant,
    ) -> Result<u8, GreetError> {
        let own = Hello::new(self.config.party, peer, self.config.lanes, self.config.job).on_lane(lane);
        connection.send_all(&own.to_bytes(), until)?;
        let mut answer = [0; Hello::LEN];
        connection.receive_all(&mut answer, until)?;
        let answer = Hello::from_bytes(&answer);
        let objection = own.objection(&answer);
        connection.send_all(&[Objection::to_verdict(objection)], until)?;
        // Read in any case: a connection closed with something unread may take back what was sent before.
        let mut verdict = [0];
        let received = connection.receive_all(&mut verdict, until);
        if let Some(objection) = objection {
            return Err(GreetError::Disagreed(objection.error(peer, &own, &answer)));
        }
        received?;
        match Objection::error_of_verdict(verdict[0], peer) {
            None => Ok(answer.lane()),
            Some(error) => Err(GreetError::Disagreed(error)),
        }
    }

    /// The error of a party whose own certificate was refused.
    fn refused(&self, peer: Party) -> NetError {
        NetError::Handshake {
            peer,
            reason: format!(
                "it refused the certificate of this party, which has fingerprint {}: ask {peer} to pin this fingerprint for {}",
                self.config.identity.fingerprint(),
                self.config.party
            ),
        }
    }
}

/// Why two parties that know each other do not work together.
enum GreetError {
    Disagreed(NetError),
    Failed(Failure),
}

impl From<Failure> for GreetError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Longest handshake: a stranger who connects and says nothing is forgotten after this time.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause before something that failed is tried again.
const CALL_AGAIN: Duration = Duration::from_millis(100);

/// How long a thread that calls a peer may be late with its explanation.
const CALL_GRACE: Duration = Duration::from_secs(1);

/// Calls whose handshake is not complete at the same time, on top of those that are expected; more are turned away.
const MOST_CALLERS: usize = 32;

/// The thread that waits for both peers to be there.
struct Meeting {
    setup: Arc<Setup>,
    listener: Option<(Listener, Arc<ServerConfig>)>,
    wake: PipeReader,
    reports: mpsc::Receiver<Report>,
    reporter: Reporter,
    /// Calls whose handshake is not complete.
    callers: usize,
    /// By lane.
    found: Vec<Peers<Option<Connection>>>,
    /// The last caller that was turned away, which may explain why a peer does not come.
    turned_away: Option<TurnedAway>,
}

/// Sends reports to the [`Meeting`] and wakes it.
#[derive(Clone)]
struct Reporter {
    reports: mpsc::Sender<Report>,
    wake: Arc<PipeWriter>,
}

impl Reporter {
    fn send(&self, report: Report) {
        // If nobody listens any more, the connection in the report is dropped and so closed.
        if self.reports.send(report).is_ok() {
            let _ = (&*self.wake).write(&[0]);
        }
    }
}

/// What has become of one connection.
enum Report {
    /// A peer called, or was called, for the lane of this number, and all is well.
    Found(Party, u8, Box<Connection>),
    /// The session cannot be.
    Failed(NetError),
    /// A caller turned out not to be a peer.
    Stranger(TurnedAway),
}

/// Why a caller was turned away.
struct TurnedAway {
    address: String,
    reason: Failure,
}

impl Meeting {
    /// Begins to listen, and to call.
    fn new(setup: Arc<Setup>) -> Result<Self, NetError> {
        let config = &setup.config;
        let own = |source| NetError::Listen { address: config.listen.to_string(), source };
        let (wake, writer) = io::pipe().map_err(own)?;
        let (sender, reports) = mpsc::channel();
        let reporter = Reporter { reports: sender, wake: Arc::new(writer) };
        let (callers, called): (Vec<_>, Vec<_>) =
            setup.peers().into_iter().partition(|peer| setup.is_called_by(*peer));
        let mut listener = None;
        if !callers.is_empty() {
            let pins = callers.into_iter().map(|peer| setup.pinned(peer)).collect();
            let tls = Arc::new(server_config(&config.identity, pins, provider())?);
            listener = Some((Listener::bind(&config.listen).map_err(own)?, tls));
        }
        for peer in called {
            let tls = Arc::new(client_config(&config.identity, setup.pinned(peer), provider())?);
            for lane in 0..config.lanes.get() {
                let (setup, tls, reporter) = (Arc::clone(&setup), Arc::clone(&tls), reporter.clone());
                thread::spawn(move || {
                    reporter.send(match call(&setup, peer, lane, &tls) {
                        Ok(connection) => Report::Found(peer, lane, Box::new(connection)),
                        Err(error) => Report::Failed(error),
                    });
                });
            }
        }
        let found = (0..config.lanes.get()).map(|_| Peers::default()).collect();
        Ok(Self { setup, listener, wake, reports, reporter, callers: 0, found, turned_away: None })
    }

    /// Waits for all lanes of both peers.
    fn run(mut self) -> Result<Vec<Peers<Connection>>, NetError> {
        loop {
            while let Ok(report) = self.reports.try_recv() {
                self.take(report)?;
            }
            if self.found.iter().all(|lane| lane.next.is_some() && lane.prev.is_some()) {
                let complete = |lane: Peers<Option<_>>| Some(Peers { next: lane.next?, prev: lane.prev? });
                return Ok(self.found.into_iter().filter_map(complete).collect());
            }
            self.wait()?;
            self.answer_callers();
        }
    }

    fn take(&mut self, report: Report) -> Result<(), NetError> {
        match report {
            Report::Failed(error) => return Err(error),
            Report::Found(peer, lane, connection) => {
                self.callers -= usize::from(self.setup.is_called_by(peer));
                let is_next = peer == self.setup.config.party.next();
                let lane = &mut self.found[usize::from(lane)];
                let place = if is_next { &mut lane.next } else { &mut lane.prev };
                // A peer that has called before was restarted in the meantime: the new connection is the good
                // one.
                *place = Some(*connection);
            }
            Report::Stranger(stranger) => {
                self.callers -= 1;
                let TurnedAway { address, reason } = &stranger;
                tracing::warn!("turned away a caller from {address}: {reason}");
                if matches!(reason, Failure::Tls(_)) || self.turned_away.is_none() {
                    self.turned_away = Some(stranger);
                }
            }
        }
        Ok(())
    }

    /// Waits for a call or a report.
    fn wait(&mut self) -> Result<(), NetError> {
        let [next, prev] = self.setup.peers();
        let missing =
            self.found.iter().flat_map(|lane| [(next, lane.next.is_none()), (prev, lane.prev.is_none())]);
        let missing = missing.filter_map(|(peer, is_missing)| is_missing.then_some(peer));
        let Some(peer) = missing.min_by_key(|peer| self.setup.is_called_by(*peer)) else {
            return Ok(());
        };
        let mut sockets = vec![PollFd::new(&self.wake, PollFlags::IN)];
        if let Some((listener, _)) = &self.listener {
            sockets.push(PollFd::new(listener, PollFlags::IN));
        }
        // A thread that calls a peer ends by itself when the time is over, with a better explanation.
        let grace = if self.setup.is_called_by(peer) { Duration::ZERO } else { CALL_GRACE };
        let own = |source| NetError::Listen { address: self.setup.config.listen.to_string(), source };
        if !wait(&mut sockets, self.setup.until() + grace).map_err(own)? {
            return Err(self.absence_of(peer));
        }
        if sockets[0].revents().contains(PollFlags::IN) {
            self.wake.read(&mut [0; 64]).map_err(own)?;
        }
        Ok(())
    }

    /// Begins a handshake with everyone who has called.
    fn answer_callers(&mut self) {
        let Some((listener, tls)) = &self.listener else { return };
        loop {
            let (socket, address) = match listener.accept() {
                Ok(call) => call,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    tracing::warn!("a call could not be taken: {error}");
                    // If this machine lacks something, it will lack it for a while.
                    thread::sleep(CALL_AGAIN);
                    return;
                }
            };
            if self.callers >= MOST_CALLERS + 2 * self.found.len() {
                tracing::warn!("turned away a caller from {address}: too many calls at once");
                continue;
            }
            self.callers += 1;
            let (setup, tls, reporter) = (Arc::clone(&self.setup), Arc::clone(tls), self.reporter.clone());
            thread::spawn(move || reporter.send(answer(&setup, socket, address, tls)));
        }
    }

    /// The best explanation for the absence of a peer.
    fn absence_of(&self, peer: Party) -> NetError {
        let setup = &self.setup;
        let waited = setup.start.elapsed();
        if !setup.is_called_by(peer) {
            let address = setup.place(peer).address.to_string();
            return NetError::Connect { peer, address, waited, source: io::ErrorKind::TimedOut.into() };
        }
        if let Some(TurnedAway { address, reason: Failure::Tls(error) }) = &self.turned_away {
            if let Some(shown) = refused_fingerprint(error) {
                return NetError::WrongKey {
                    peer,
                    address: address.clone(),
                    shown,
                    pinned: setup.pinned(peer),
                };
            }
            if is_refusal(error) {
                return setup.refused(peer);
            }
        }
        NetError::NoCall { peer, address: setup.config.listen.to_string(), waited }
    }
}

/// Completes the handshake with a caller.
fn answer(setup: &Setup, socket: Socket, address: String, tls: Arc<ServerConfig>) -> Report {
    let until = setup.handshake_until();
    let handshake = || {
        let tls = Tls::Server(UnbufferedServerConnection::new(tls)?);
        let mut connection = Connection::new(socket, tls)?;
        connection.handshake(until)?;
        Ok(connection)
    };
    let mut connection = match handshake() {
        Ok(connection) => connection,
        Err(reason) => return Report::Stranger(TurnedAway { address, reason }),
    };
    let shown = connection.peer_fingerprint();
    let Some(peer) = setup.peers().into_iter().find(|peer| Some(setup.pinned(*peer)) == shown) else {
        return Report::Stranger(TurnedAway { address, reason: Failure::Closed });
    };
    match setup.greet(peer, 0, &mut connection, until) {
        Ok(lane) => Report::Found(peer, lane, Box::new(connection)),
        Err(GreetError::Disagreed(error)) => Report::Failed(error),
        // It may call again.
        Err(GreetError::Failed(reason)) => Report::Stranger(TurnedAway { address, reason }),
    }
}

/// Calls a peer for a lane until it answers.
fn call(setup: &Setup, peer: Party, lane: u8, tls: &Arc<ClientConfig>) -> Result<Connection, NetError> {
    loop {
        let failure = match call_once(setup, peer, lane, tls) {
            Ok(connection) => return Ok(connection),
            Err(GreetError::Disagreed(error)) => return Err(error),
            Err(GreetError::Failed(failure)) => failure,
        };
        let waited = setup.start.elapsed();
        if waited + CALL_AGAIN >= setup.timeout || setup.abandoned.load(Ordering::Relaxed) {
            let source = match failure {
                Failure::Io(source) => source,
                other => io::Error::other(other.to_string()),
            };
            return Err(NetError::Connect {
                peer,
                address: setup.place(peer).address.to_string(),
                waited,
                source,
            });
        }
        thread::sleep(CALL_AGAIN);
    }
}

/// Calls a peer and completes the handshake.
fn call_once(
    setup: &Setup,
    peer: Party,
    lane: u8,
    tls: &Arc<ClientConfig>,
) -> Result<Connection, GreetError> {
    let PeerAddress { address, fingerprint } = setup.place(peer);
    let socket = Socket::connect(address, setup.until()).map_err(Failure::Io)?;
    let until = setup.handshake_until();
    let tls = Tls::Client(client(Arc::clone(tls)).map_err(Failure::Tls)?);
    let mut connection = Connection::new(socket, tls).map_err(Failure::Io)?;
    let result = connection.handshake(until).map_err(GreetError::from);
    match result.and_then(|()| setup.greet(peer, lane, &mut connection, until)) {
        Ok(_) => Ok(connection),
        Err(GreetError::Failed(Failure::Tls(error))) => {
            Err(GreetError::Disagreed(if let Some(shown) = refused_fingerprint(&error) {
                NetError::WrongKey { peer, address: address.to_string(), shown, pinned: *fingerprint }
            } else if is_refusal(&error) {
                setup.refused(peer)
            } else {
                let reason = format!("what answers at {address} is no party of Shamisen ({error})");
                NetError::Handshake { peer, reason }
            }))
        }
        Err(other) => Err(other),
    }
}

/// Whether the other end says that it does not accept this party's certificate.
fn is_refusal(error: &rustls::Error) -> bool {
    matches!(
        error,
        rustls::Error::AlertReceived(
            AlertDescription::CertificateUnknown
                | AlertDescription::BadCertificate
                | AlertDescription::AccessDenied
                | AlertDescription::UnknownCA
        )
    )
}
