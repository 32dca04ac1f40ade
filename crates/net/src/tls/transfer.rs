//! One link's part in an exchange.

use core::time::Duration;
use std::os::fd::AsFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};

use crate::NetError;
use crate::frame::Header;
use crate::tls::Link;
use crate::tls::connection::PIECE;
use crate::tls::failure::Failure;
use crate::tls::records::RECORD;
use crate::tls::target::Target;
use crate::tls::wait::{LONGEST, wait};

/// One link's part in an exchange: at most one message each way.
pub(super) struct Transfer<'a> {
    link: &'a mut Link,
    /// Header of the outgoing message, until it is encrypted.
    head: Option<Header>,
    /// The part of the outgoing message that is not yet encrypted.
    send: &'a [u8],
    /// Whether the outgoing message has left.
    sent: bool,
    /// Header of the incoming message.
    header: [u8; Header::LEN],
    /// Place for the incoming message.
    receive: &'a mut [u8],
    /// How much of header and message has come in.
    filled: usize,
    /// There may be something to read.
    readable: bool,
    /// When bytes last arrived from the peer or left towards it.
    last_moved: Instant,
}

impl<'a> Transfer<'a> {
    /// Prepares to send and receive these messages; an empty one is none.
    pub(super) fn new(
        link: &'a mut Link,
        send: &'a [u8],
        receive: &'a mut [u8],
        now: Instant,
    ) -> Result<Self, NetError> {
        Ok(Self {
            head: if send.is_empty() { None } else { Some(Header::new(link.peer, send.len(), link.sent)?) },
            send,
            sent: send.is_empty(),
            header: [0; Header::LEN],
            receive,
            filled: 0,
            readable: true,
            last_moved: now,
            link,
        })
    }

    /// Encrypts the whole message and sends what can be sent without waiting; the rest stays with the connection.
    pub(super) fn post(mut self) -> Result<(), NetError> {
        let peer = self.link.peer;
        while self.head.is_some() || !self.send.is_empty() {
            self.encrypt_piece()
                .and_then(|()| self.link.connection.flush())
                .map_err(|failure| failure.with(peer))?;
        }
        Ok(())
    }

    /// Sends what can be sent without waiting, at most one piece.
    ///
    /// Returns how many bytes that has moved; 0 if nothing can be done.
    pub(super) fn advance_send(&mut self) -> Result<u64, NetError> {
        let before = self.link.connection.moved();
        let peer = self.link.peer;
        self.try_send().map_err(|failure| failure.with(peer))?;
        Ok(self.moved_since(before))
    }

    /// Receives what can be received without waiting, at most as much as one read brings.
    ///
    /// Returns how many bytes that has moved; 0 if nothing can be done.
    pub(super) fn advance_receive(&mut self) -> Result<u64, NetError> {
        let before = self.link.connection.moved();
        let received = self.try_receive()?;
        Ok(self.moved_since(before) + received)
    }

    /// Whether both messages are through.
    pub(super) fn is_done(&self) -> bool {
        self.sent && self.is_received()
    }

    /// Whether there is nothing left to do at all: what was posted before has left, too.
    pub(super) fn is_idle(&self) -> bool {
        self.is_done() && self.link.connection.is_flushed()
    }

    /// Looks for something to read even if there was nothing the last time.
    pub(super) fn look_again(&mut self) {
        self.readable = true;
    }

    fn is_received(&self) -> bool {
        self.receive.is_empty() || self.filled == Header::LEN + self.receive.len()
    }

    /// How many bytes have gone through the socket since the connection had moved so many.
    fn moved_since(&mut self, before: u64) -> u64 {
        let moved = self.link.connection.moved() - before;
        if moved > 0 {
            self.last_moved = Instant::now();
        }
        moved
    }

    fn try_send(&mut self) -> Result<(), Failure> {
        if !self.link.connection.flush()? || self.sent {
            return Ok(());
        }
        self.encrypt_piece()?;
        self.sent = self.link.connection.flush()? && self.send.is_empty();
        Ok(())
    }

    fn encrypt_piece(&mut self) -> Result<(), Failure> {
        let Link { connection, stage, sent, .. } = &mut *self.link;
        let mut room = PIECE;
        if let Some(header) = self.head.take() {
            // The header shares a record with the start of the message: a short one is a single record.
            let (first, rest) = self.send.split_at(self.send.len().min(RECORD - Header::LEN));
            stage.clear();
            stage.extend_from_slice(&header.to_bytes());
            stage.extend_from_slice(first);
            connection.encrypt(stage)?;
            self.send = rest;
            room -= RECORD;
            *sent = sent.wrapping_add(1);
        }
        if !self.send.is_empty() {
            let (piece, rest) = self.send.split_at(self.send.len().min(room));
            connection.encrypt(piece)?;
            self.send = rest;
        }
        Ok(())
    }

    /// Returns how many bytes have arrived in their place.
    fn try_receive(&mut self) -> Result<u64, NetError> {
        if !self.readable || self.is_received() {
            return Ok(0);
        }
        let Link { peer, connection, received: number, .. } = &mut *self.link;
        // The header and what follows it in the same record are put in their places in one go.
        let mut target = match self.filled.checked_sub(Header::LEN) {
            None => Target::new(&mut self.header[self.filled..], self.receive),
            Some(filled) => Target::new(&mut [], &mut self.receive[filled..]),
        };
        let count = connection.receive(&mut target).map_err(|failure| failure.with(*peer))?;
        let header_was_missing = self.filled < Header::LEN;
        self.filled += count;
        self.readable = count > 0;
        if header_was_missing && self.filled >= Header::LEN {
            Header::from_bytes(self.header).check(*peer, self.receive.len(), *number)?;
            *number = number.wrapping_add(1);
        }
        Ok(count as u64)
    }

    /// What this link waits for.
    fn events(&self) -> PollFlags {
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, !self.is_received());
        events.set(PollFlags::OUT, !self.sent || !self.link.connection.is_flushed());
        events
    }
}

/// Waits until one of the links can go on.
///
/// # Errors
///
/// [`NetError::Timeout`] about the peer that has been silent for the length of the deadline.
pub(super) fn wait_for_any(transfers: &mut [Transfer<'_>; 2], deadline: Duration) -> Result<(), NetError> {
    let waiting = transfers.iter().filter(|transfer| !transfer.is_idle());
    let Some((since, peer)) = waiting.map(|transfer| (transfer.last_moved, transfer.link.peer)).min() else {
        return Ok(());
    };
    // A link without anything left to do is left out: if its peer has closed it, it would be ready forever.
    let awaited = match transfers.each_ref().map(Transfer::is_idle) {
        [true, _] => 1..2,
        [_, true] => 0..1,
        _ => 0..2,
    };
    let mut sockets = transfers
        .each_ref()
        .map(|transfer| PollFd::from_borrowed_fd(transfer.link.connection.as_fd(), transfer.events()));
    let ready = wait(&mut sockets[awaited], since + deadline.min(LONGEST))
        .map_err(|source| NetError::Io { peer, source })?;
    if !ready {
        return Err(NetError::Timeout { peer, waited: since.elapsed() });
    }
    let readable = sockets.map(|socket| socket.revents().intersects(!PollFlags::OUT));
    for (transfer, readable) in transfers.iter_mut().zip(readable) {
        transfer.readable = readable;
    }
    Ok(())
}
