//! One TLS connection over a socket that never blocks.
//!
//! The handshake is done by rustls, through its unbuffered interface; what follows by [`Records`], with the keys from
//! the handshake.

use core::time::Duration;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};

use crate::tls::Fingerprint;
use crate::tls::buffer::Buffer;
use crate::tls::failure::Failure;
use crate::tls::records::{OVERHEAD, Opened, RECORD, Records};
use crate::tls::socket::Socket;
use crate::tls::target::Target;
use crate::tls::wait::wait;

/// Most plain text that a transfer encrypts at a time.
///
/// Half of it and twice as much are 3 to 8 % slower (2026-11-23, the messages of a training).
pub(super) const PIECE: usize = 8 * RECORD;

/// Room for received ciphertext, and so the most that is read at once.
const INCOMING: usize = 1 << 18;

/// Room for ciphertext to send: a piece with the overhead of its records, and what TLS itself may have to
/// say.
const OUTGOING: usize = PIECE + (PIECE / RECORD + 1) * OVERHEAD + 1024;

/// One TLS connection over a socket that never blocks.
pub(super) struct Connection {
    socket: Socket,
    state: State,
    /// Certificate of the other end, once the handshake is complete.
    peer_fingerprint: Option<Fingerprint>,
    incoming: Buffer,
    outgoing: Buffer,
    /// Decrypted, but not yet asked for.
    plaintext: Buffer,
    /// The peer has said that it will send no more.
    finished: bool,
    /// Bytes that have gone through the socket in either direction.
    moved: u64,
    /// Time that TLS took to encrypt and decrypt.
    encryption: Duration,
}

/// How far a connection is.
enum State {
    /// In the handshake.
    Handshake(Box<Tls>),
    /// Ready for messages.
    Open(Box<Records>),
    /// TLS has failed, and must not be asked again.
    Broken,
}

/// The part of this end in the handshake.
pub(super) enum Tls {
    /// It called.
    Client(UnbufferedClientConnection),
    /// It was called.
    Server(UnbufferedServerConnection),
}

impl Connection {
    /// A connection over a connected socket, before the handshake.
    pub(super) fn new(socket: Socket, tls: Tls) -> io::Result<Self> {
        socket.prepare()?;
        Ok(Self {
            socket,
            state: State::Handshake(Box::new(tls)),
            peer_fingerprint: None,
            incoming: Buffer::new(INCOMING),
            outgoing: Buffer::new(OUTGOING),
            plaintext: Buffer::new(0),
            finished: false,
            moved: 0,
            encryption: Duration::ZERO,
        })
    }

    /// Completes the TLS handshake.
    ///
    /// If this end refuses the other one, it tells it so.
    pub(super) fn handshake(&mut self, until: Instant) -> Result<(), Failure> {
        let result = self.try_handshake(until);
        if let Err(Failure::Tls(rustls::Error::InvalidCertificate(_))) = result {
            self.send_refusal(until);
        }
        if result.is_err() {
            self.state = State::Broken;
        }
        result
    }

    fn try_handshake(&mut self, until: Instant) -> Result<(), Failure> {
        loop {
            if let Event::Progress = self.process()? {
                continue;
            }
            self.flush_all(until)?;
            if !self.is_handshaking() {
                return self.open();
            }
            while !self.read_socket()? {
                self.wait(PollFlags::IN, until)?;
            }
        }
    }

    /// Takes over from the handshake.
    fn open(&mut self) -> Result<(), Failure> {
        let State::Handshake(tls) = core::mem::replace(&mut self.state, State::Broken) else {
            return Err(Failure::Closed);
        };
        let certificates = match &*tls {
            Tls::Client(tls) => tls.peer_certificates(),
            Tls::Server(tls) => tls.peer_certificates(),
        };
        self.peer_fingerprint = certificates.and_then(<[_]>::first).map(|first| Fingerprint::of(first));
        let records = match *tls {
            Tls::Client(tls) => Records::of_caller(tls)?,
            Tls::Server(tls) => Records::of_called(tls)?,
        };
        self.state = State::Open(Box::new(records));
        Ok(())
    }

    /// Sends all of `data`, waiting if necessary.
    pub(super) fn send_all(&mut self, data: &[u8], until: Instant) -> Result<(), Failure> {
        self.flush_all(until)?;
        self.encrypt(data)?;
        self.flush_all(until)
    }

    /// Fills `buffer`, waiting if necessary.
    pub(super) fn receive_all(&mut self, buffer: &mut [u8], until: Instant) -> Result<(), Failure> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.receive(&mut Target::new(rest, &mut []))? {
                0 => self.wait(PollFlags::IN, until)?,
                count => filled += count,
            }
        }
        Ok(())
    }

    /// Encrypts `data` behind what has not left yet. There is room for a [`PIECE`]; for more it is made.
    pub(super) fn encrypt(&mut self, data: &[u8]) -> Result<(), Failure> {
        let start = Instant::now();
        let State::Open(records) = &mut self.state else { return Err(Failure::Closed) };
        let result = records.seal(data, &mut self.outgoing);
        if result.is_err() {
            self.state = State::Broken;
        }
        self.encryption += start.elapsed();
        Ok(result?)
    }

    /// Hands to the socket what it takes, and returns whether that was everything.
    pub(super) fn flush(&mut self) -> Result<bool, Failure> {
        while !self.outgoing.filled().is_empty() {
            match self.socket.write(self.outgoing.filled()) {
                Ok(count) => {
                    self.outgoing.consume(count);
                    self.moved += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Whether all that was encrypted has left.
    pub(super) fn is_flushed(&self) -> bool {
        self.outgoing.filled().is_empty()
    }

    /// Puts what has arrived into `target` and returns its length; 0 if nothing more can be had without
    /// waiting.
    pub(super) fn receive(&mut self, target: &mut Target<'_>) -> Result<usize, Failure> {
        let waiting = target.put(self.plaintext.filled());
        self.plaintext.consume(waiting);
        loop {
            self.decrypt(target)?;
            if target.filled() > 0 || target.is_full() || !self.read_socket()? {
                return Ok(target.filled());
            }
        }
    }

    /// Decrypts what has arrived until `target` is full.
    fn decrypt(&mut self, target: &mut Target<'_>) -> Result<(), Failure> {
        let start = Instant::now();
        let Self { state, incoming, plaintext, finished, .. } = self;
        let State::Open(records) = state else { return Err(Failure::Closed) };
        while !target.is_full() && !*finished {
            match records.open(incoming, target, plaintext) {
                Ok(Some(Opened::Record)) => {}
                Ok(Some(Opened::Goodbye)) => *finished = true,
                Ok(None) => break,
                Err(error) => {
                    self.state = State::Broken;
                    return Err(error.into());
                }
            }
        }
        self.encryption += start.elapsed();
        Ok(())
    }

    /// Says goodbye, as far as that is possible without waiting.
    pub(super) fn close(&mut self) {
        if let State::Open(records) = &mut self.state {
            let _ = records.seal_goodbye(&mut self.outgoing);
        }
        let _ = self.flush();
        let _ = self.socket.shutdown_write();
        // Closing a socket with unread data resets the connection, and the goodbye may be lost with it.
        let mut ignored = [0; 4096];
        for _ in 0..256 {
            if !self.socket.read(&mut ignored).is_ok_and(|count| count > 0) {
                break;
            }
        }
    }

    /// Whether the other end has said that it will send no more.
    pub(super) fn said_goodbye(&self) -> bool {
        self.finished
    }

    /// Whether the other end is gone, or goes until then. What it sent before is thrown away.
    pub(super) fn is_gone(&mut self, until: Instant) -> bool {
        let mut ignored = vec![0; RECORD];
        loop {
            match self.receive(&mut Target::new(&mut ignored, &mut [])) {
                Ok(0) if self.wait(PollFlags::IN, until).is_err() => return false,
                Ok(_) => {}
                Err(_) => return true,
            }
        }
    }

    /// The certificate of the other end, once the handshake is complete.
    pub(super) fn peer_fingerprint(&self) -> Option<Fingerprint> {
        self.peer_fingerprint
    }

    /// Bytes that have gone through the socket in either direction.
    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    /// Time that TLS took to encrypt and decrypt, the copies into its buffers and the receiver's included.
    pub(super) fn encryption(&self) -> Duration {
        self.encryption
    }

    fn is_handshaking(&self) -> bool {
        let State::Handshake(tls) = &self.state else { return false };
        match &**tls {
            Tls::Client(tls) => tls.is_handshaking(),
            Tls::Server(tls) => tls.is_handshaking(),
        }
    }

    /// Lets the handshake take one step with what has arrived.
    fn process(&mut self) -> Result<Event, Failure> {
        let Self { state, incoming, outgoing, plaintext, finished, .. } = self;
        let State::Handshake(tls) = state else { return Err(Failure::Closed) };
        let (discard, event) = match &mut **tls {
            Tls::Client(tls) => {
                step(tls.process_tls_records(incoming.filled_mut()), outgoing, plaintext, finished)
            }
            Tls::Server(tls) => {
                step(tls.process_tls_records(incoming.filled_mut()), outgoing, plaintext, finished)
            }
        };
        incoming.consume(discard);
        event
    }

    /// Reads once from the socket; false if there is nothing.
    fn read_socket(&mut self) -> Result<bool, Failure> {
        if self.finished {
            return Err(Failure::Closed);
        }
        let room = self.incoming.room();
        if room.is_empty() {
            let reason = "the peer sent a TLS record that does not end";
            return Err(Failure::Io(io::Error::new(io::ErrorKind::InvalidData, reason)));
        }
        loop {
            match self.socket.read(room) {
                Ok(0) => return Err(Failure::Closed),
                Ok(count) => {
                    self.incoming.add(count);
                    self.moved += count as u64;
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn flush_all(&mut self, until: Instant) -> Result<(), Failure> {
        while !self.flush()? {
            self.wait(PollFlags::OUT, until)?;
        }
        Ok(())
    }

    /// Tells the other end that its certificate is refused.
    fn send_refusal(&mut self, until: Instant) {
        // With this error exactly one alert is waiting to be encoded, before anything else is looked at.
        let _ = self.process();
        let _ = self.flush_all(until);
        let _ = self.socket.shutdown_write();
        // Closing a socket with unread data resets the connection, and the alert may be lost with it.
        let mut ignored = [0; 1024];
        while self.wait(PollFlags::IN, until).is_ok()
            && self.socket.read(&mut ignored).is_ok_and(|count| count > 0)
        {}
    }

    fn wait(&self, events: PollFlags, until: Instant) -> Result<(), Failure> {
        if wait(&mut [PollFd::new(&self.socket, events)], until)? { Ok(()) } else { Err(Failure::TimedOut) }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

/// What a step of the handshake has brought.
enum Event {
    /// There may be more to do.
    Progress,
    /// Nothing more can be done before something arrives.
    Idle,
}

/// Handles one state of the handshake, and returns how much of the input is used up.
fn step<Side>(
    status: UnbufferedStatus<'_, '_, Side>,
    outgoing: &mut Buffer,
    plaintext: &mut Buffer,
    finished: &mut bool,
) -> (usize, Result<Event, Failure>) {
    let UnbufferedStatus { mut discard, state, .. } = status;
    let event = match state {
        Err(error) => Err(error.into()),
        // The other end may have sent more after its part of the handshake.
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                None => break Ok(Event::Progress),
                Some(Err(error)) => break Err(error.into()),
                Some(Ok(record)) => {
                    discard += record.discard;
                    plaintext.append(record.payload);
                }
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut message)) => loop {
            match message.encode(outgoing.room()) {
                Ok(count) => {
                    outgoing.add(count);
                    break Ok(Event::Progress);
                }
                Err(EncodeError::InsufficientSize(size)) => outgoing.grow(size.required_size),
                Err(error) => break Err(Failure::Io(io::Error::other(error))),
            }
        },
        Ok(ConnectionState::TransmitTlsData(transmit)) => {
            // It is in `outgoing`, from where it leaves before anything else.
            transmit.done();
            Ok(Event::Progress)
        }
        Ok(ConnectionState::PeerClosed) => {
            *finished = true;
            Ok(Event::Progress)
        }
        Ok(ConnectionState::WriteTraffic(_) | ConnectionState::BlockedHandshake) => Ok(Event::Idle),
        Ok(ConnectionState::Closed) => Err(Failure::Closed),
        Ok(other) => Err(Failure::Tls(rustls::Error::General(format!("unexpected state {other:?}")))),
    };
    (discard, event)
}
