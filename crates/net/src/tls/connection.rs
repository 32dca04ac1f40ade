//! One TLS connection over a socket that never blocks.
//!
//! TLS reads its records where the socket has put them and writes them where the socket takes them, through
//! the unbuffered interface of rustls. Through the buffered one, which reads at most 4 kB at a time,
//! encrypting and decrypting on one core runs at 1.5 to 3.3 GB/s instead of 2.9 to 3.9 GB/s (2026-11-23, AMD
//! EPYC, 64 to 256 kB).

use core::time::Duration;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};

use crate::tls::Fingerprint;
use crate::tls::buffer::Buffer;
use crate::tls::failure::Failure;
use crate::tls::socket::Socket;
use crate::tls::wait::wait;

/// Most plain text that a transfer encrypts at a time.
///
/// Half of it and twice as much are 3 to 8 % slower (2026-11-23, the messages of a training).
pub(super) const PIECE: usize = 8 * RECORD;

/// Most plain text in one TLS record.
pub(super) const RECORD: usize = 1 << 14;

/// Room for received ciphertext, and so the most that is read at once.
const INCOMING: usize = 1 << 18;

/// Room for ciphertext to send: a piece with the overhead of its records, and what TLS itself may have to
/// say.
const OUTGOING: usize = PIECE + PIECE / RECORD * 32 + 1024;

/// One TLS connection over a socket that never blocks.
pub(super) struct Connection {
    socket: Socket,
    tls: Tls,
    incoming: Buffer,
    outgoing: Buffer,
    /// Decrypted, but not yet asked for.
    plaintext: Buffer,
    /// The peer has said that it will send no more.
    finished: bool,
    /// TLS has reported an error, after which it must not be asked again.
    broken: bool,
    /// Bytes that have gone through the socket in either direction.
    moved: u64,
    /// Time that TLS took to encrypt and decrypt.
    encryption: Duration,
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
            tls,
            incoming: Buffer::new(INCOMING),
            outgoing: Buffer::new(OUTGOING),
            plaintext: Buffer::new(0),
            finished: false,
            broken: false,
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
        result
    }

    fn try_handshake(&mut self, until: Instant) -> Result<(), Failure> {
        loop {
            match self.process(&mut Target::none(), Outgoing::Nothing)? {
                Event::Progress | Event::Encrypted => continue,
                Event::Idle => {}
            }
            self.flush_all(until)?;
            if !self.is_handshaking() {
                return Ok(());
            }
            while !self.read_socket()? {
                self.wait(PollFlags::IN, until)?;
            }
        }
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

    /// Encrypts `data`, for which there is room if it is at most a [`PIECE`], together with what has been
    /// encrypted since the last complete [`flush`](Self::flush).
    pub(super) fn encrypt(&mut self, data: &[u8]) -> Result<(), Failure> {
        loop {
            match self.process(&mut Target::none(), Outgoing::Data(data))? {
                Event::Progress => {}
                Event::Encrypted => return Ok(()),
                Event::Idle => return Err(Failure::Tls(rustls::Error::HandshakeNotComplete)),
            }
        }
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

    /// Puts what has arrived into `target` and returns its length; 0 if nothing more can be had without
    /// waiting.
    pub(super) fn receive(&mut self, target: &mut Target<'_>) -> Result<usize, Failure> {
        let waiting = target.put(self.plaintext.filled());
        self.plaintext.consume(waiting);
        loop {
            while !target.is_full() {
                match self.process(target, Outgoing::Nothing)? {
                    Event::Progress => {}
                    Event::Encrypted | Event::Idle => break,
                }
            }
            if target.filled > 0 || target.is_full() || !self.read_socket()? {
                return Ok(target.filled);
            }
        }
    }

    /// Says goodbye, as far as that is possible without waiting.
    pub(super) fn close(&mut self) {
        while let Ok(Event::Progress) = self.process(&mut Target::none(), Outgoing::Close) {}
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
        let certificates = match &self.tls {
            Tls::Client(tls) => tls.peer_certificates(),
            Tls::Server(tls) => tls.peer_certificates(),
        };
        Some(Fingerprint::of(certificates?.first()?))
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
        match &self.tls {
            Tls::Client(tls) => tls.is_handshaking(),
            Tls::Server(tls) => tls.is_handshaking(),
        }
    }

    /// Lets TLS take one step with what has arrived.
    fn process(&mut self, target: &mut Target<'_>, send: Outgoing<'_>) -> Result<Event, Failure> {
        if self.broken {
            return Err(Failure::Closed);
        }
        let start = Instant::now();
        let event = self.process_even_if_broken(target, send);
        self.encryption += start.elapsed();
        self.broken = event.is_err();
        event
    }

    fn process_even_if_broken(
        &mut self,
        target: &mut Target<'_>,
        send: Outgoing<'_>,
    ) -> Result<Event, Failure> {
        let Self { tls, incoming, outgoing, plaintext, finished, .. } = self;
        let mut sink = Sink { target, rest: plaintext, finished };
        // TLS always gets to see all that has arrived, also for sending: it may hold on to half a message
        // there, and does not expect it to vanish.
        let (discard, event) = match tls {
            Tls::Client(tls) => {
                step(tls.process_tls_records(incoming.filled_mut()), outgoing, &mut sink, send)
            }
            Tls::Server(tls) => {
                step(tls.process_tls_records(incoming.filled_mut()), outgoing, &mut sink, send)
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
        let _ = self.process_even_if_broken(&mut Target::none(), Outgoing::Nothing);
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

/// Where received bytes go: into two places, one after the other.
pub(super) struct Target<'a> {
    /// What is still free of them.
    places: [&'a mut [u8]; 2],
    /// How many bytes have come.
    filled: usize,
}

impl<'a> Target<'a> {
    /// Two empty places.
    pub(super) fn new(first: &'a mut [u8], second: &'a mut [u8]) -> Self {
        Self { places: [first, second], filled: 0 }
    }

    /// Room for nothing.
    fn none() -> Self {
        Self::new(&mut [], &mut [])
    }

    /// Puts in as many of the bytes as fit, and returns their number.
    fn put(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        for place in &mut self.places {
            let (now, later) = rest.split_at(rest.len().min(place.len()));
            let (filled, free) = core::mem::take(place).split_at_mut(now.len());
            filled.copy_from_slice(now);
            (rest, *place) = (later, free);
        }
        let count = bytes.len() - rest.len();
        self.filled += count;
        count
    }

    fn is_full(&self) -> bool {
        self.places.iter().all(|place| place.is_empty())
    }
}

/// What to do once TLS is ready to send.
#[derive(Clone, Copy)]
enum Outgoing<'a> {
    Nothing,
    Data(&'a [u8]),
    Close,
}

/// What a step of TLS has brought.
enum Event {
    /// There may be more to do.
    Progress,
    /// The data to send are encrypted.
    Encrypted,
    /// Nothing more can be done before something arrives.
    Idle,
}

/// Where decrypted data go.
struct Sink<'a, 'b> {
    /// The receiver's places.
    target: &'a mut Target<'b>,
    /// What does not fit into them.
    rest: &'a mut Buffer,
    /// Set when the peer has announced the end.
    finished: &'a mut bool,
}

/// Handles one state of TLS, and returns how much of the input is used up.
fn step<Side>(
    status: UnbufferedStatus<'_, '_, Side>,
    outgoing: &mut Buffer,
    sink: &mut Sink<'_, '_>,
    send: Outgoing<'_>,
) -> (usize, Result<Event, Failure>) {
    let UnbufferedStatus { mut discard, state, .. } = status;
    let event = match state {
        Err(error) => Err(error.into()),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                None => break Ok(Event::Progress),
                Some(Err(error)) => break Err(error.into()),
                Some(Ok(record)) => {
                    discard += record.discard;
                    let count = sink.target.put(record.payload);
                    sink.rest.append(&record.payload[count..]);
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
        Ok(ConnectionState::WriteTraffic(mut traffic)) => match send {
            Outgoing::Nothing => Ok(Event::Idle),
            Outgoing::Data(data) => write(outgoing, |room| traffic.encrypt(data, room)),
            Outgoing::Close => write(outgoing, |room| traffic.queue_close_notify(room)),
        },
        Ok(ConnectionState::PeerClosed) => {
            *sink.finished = true;
            Ok(Event::Progress)
        }
        Ok(ConnectionState::BlockedHandshake) => Ok(Event::Idle),
        Ok(ConnectionState::Closed) => Err(Failure::Closed),
        Ok(other) => Err(Failure::Tls(rustls::Error::General(format!("unexpected state {other:?}")))),
    };
    (discard, event)
}

/// Lets `encrypt` write into the free room of `outgoing`, making more if necessary.
fn write(
    outgoing: &mut Buffer,
    mut encrypt: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> Result<Event, Failure> {
    loop {
        match encrypt(outgoing.room()) {
            Ok(count) => {
                outgoing.add(count);
                return Ok(Event::Encrypted);
            }
            Err(EncryptError::InsufficientSize(size)) => outgoing.grow(size.required_size),
            Err(error) => return Err(Failure::Io(io::Error::other(error))),
        }
    }
}
