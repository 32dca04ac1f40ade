//! A transport that tells another thread, or an observer, how much it has sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shamisen_net::{NetError, Party, Peers, Transport};

/// Counts the bytes that a transport sends.
pub(crate) struct Metered {
    inner: Box<dyn Transport>,
    sent: Arc<AtomicU64>,
}

impl Metered {
    /// Wraps a transport; the counter grows with every exchange.
    pub(crate) fn new(inner: Box<dyn Transport>, sent: &Arc<AtomicU64>) -> Self {
        Self { inner, sent: Arc::clone(sent) }
    }
}

impl Transport for Metered {
    fn party(&self) -> Party {
        self.inner.party()
    }

    fn exchange(&mut self, send: Peers<&[u8]>, receive: Peers<&mut [u8]>) -> Result<(), NetError> {
        let bytes = send.next.len() + send.prev.len();
        self.inner.exchange(send, receive)?;
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(())
    }

    fn post(&mut self, send: Peers<&[u8]>) -> Result<(), NetError> {
        self.inner.post(send)?;
        self.sent.fetch_add((send.next.len() + send.prev.len()) as u64, Ordering::Relaxed);
        Ok(())
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
