//! What every way of moving messages between the parties has in common.

use core::time::Duration;

use crate::{NetError, Party, Peers};

/// Moves messages between one party and its two peers.
///
/// Both ends of a message know its length beforehand: the sender passes a slice of that length to
/// [`exchange`](Self::exchange) and the receiver a buffer of the same length. Messages between two parties
/// arrive in the order in which they were sent; a message that is not of the expected length, or not the next
/// one, is an error.
///
/// After an error the transport is of no further use: the session has to be started again.
pub trait Transport: Send {
    /// The party at this end.
    fn party(&self) -> Party;

    /// One round: sends both messages and fills both buffers; an empty slice means no message that way.
    ///
    /// Returns once both buffers are full and both messages are on their way, which does not mean that they
    /// have arrived. A party that neither sends nor receives in a round need not call this.
    ///
    /// # Errors
    ///
    /// An error that names the peer when that peer is silent for longer than the deadline, has closed the
    /// connection, or sent something else than the expected message.
    fn exchange(&mut self, send: Peers<&[u8]>, receive: Peers<&mut [u8]>) -> Result<(), NetError>;

    /// Sends both messages without waiting for anything; an empty slice means no message.
    ///
    /// The peers receive them as any other. What does not leave at once leaves with later calls. An
    /// [`exchange`](Self::exchange) that sends nothing does not wait for it: all parties may post more than fits between them and
    /// then receive it. Whoever posts must call [`flush`](Self::flush) when it has received what belongs to it.
    ///
    /// # Errors
    ///
    /// As for [`exchange`](Self::exchange).
    fn post(&mut self, send: Peers<&[u8]>) -> Result<(), NetError>;

    /// Waits until all posted messages are on their way.
    ///
    /// # Errors
    ///
    /// As for [`exchange`](Self::exchange).
    fn flush(&mut self) -> Result<(), NetError> {
        Ok(())
    }

    /// Longest wait for a peer in one exchange.
    ///
    /// The time starts with the exchange, and anew whenever some bytes arrive from that peer or leave towards
    /// it.
    fn set_deadline(&mut self, deadline: Duration);

    /// Time spent encrypting and decrypting so far; none where nothing is encrypted.
    fn encryption(&self) -> Duration {
        Duration::ZERO
    }
}

impl<T: Transport + ?Sized> Transport for Box<T> {
    fn party(&self) -> Party {
        (**self).party()
    }

    fn exchange(&mut self, send: Peers<&[u8]>, receive: Peers<&mut [u8]>) -> Result<(), NetError> {
        (**self).exchange(send, receive)
    }

    fn post(&mut self, send: Peers<&[u8]>) -> Result<(), NetError> {
        (**self).post(send)
    }

    fn flush(&mut self) -> Result<(), NetError> {
        (**self).flush()
    }

    fn set_deadline(&mut self, deadline: Duration) {
        (**self).set_deadline(deadline);
    }

    fn encryption(&self) -> Duration {
        (**self).encryption()
    }
}

/// Deadline of a transport until [`Transport::set_deadline`] is called.
pub(crate) const DEFAULT_DEADLINE: Duration = Duration::from_mins(1);
