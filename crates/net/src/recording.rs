//! A transport that keeps a copy of everything its party receives.
//!
//! For tests of secrecy: what a party receives must not depend on the inputs of the others.

use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{NetError, Party, Peers, Transport};

/// A transport that keeps a copy of everything its party receives.
#[derive(Debug)]
pub struct Recording<T> {
    inner: T,
    transcript: Transcript,
}

impl<T: Transport> Recording<T> {
    /// Wraps `inner` and begins an empty transcript.
    pub fn new(inner: T) -> Self {
        Self { inner, transcript: Transcript::default() }
    }

    /// The transcript; it stays readable after this transport is gone.
    pub fn transcript(&self) -> Transcript {
        self.transcript.clone()
    }
}

impl<T: Transport> Transport for Recording<T> {
    fn party(&self) -> Party {
        self.inner.party()
    }

    fn exchange(&mut self, send: Peers<&[u8]>, receive: Peers<&mut [u8]>) -> Result<(), NetError> {
        let Peers { next, prev } = receive;
        self.inner.exchange(send, Peers { next: &mut *next, prev: &mut *prev })?;
        let party = self.inner.party();
        self.transcript.add(party.next(), next);
        self.transcript.add(party.prev(), prev);
        Ok(())
    }

    fn post(&mut self, send: Peers<&[u8]>) -> Result<(), NetError> {
        self.inner.post(send)
    }

    fn flush(&mut self) -> Result<(), NetError> {
        self.inner.flush()
    }

    fn set_deadline(&mut self, deadline: Duration) {
        self.inner.set_deadline(deadline);
    }

    fn encryption(&self) -> Duration {
        self.inner.encryption()
    }
}

/// The messages a party has received; clones share their content.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    messages: Arc<Mutex<Vec<Received>>>,
}

impl Transcript {
    fn add(&self, from: Party, message: &[u8]) {
        if message.is_empty() {
            return;
        }
        let received = Received { from, message: message.to_vec() };
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).push(received);
    }

    /// Takes out all messages, in the order of the exchanges, and leaves the transcript empty.
    pub fn take(&self) -> Vec<Received> {
        core::mem::take(&mut *self.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One received message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its sender.
    pub from: Party,
    /// Its payload.
    pub message: Vec<u8>,
}
