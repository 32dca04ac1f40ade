//! A network between servers that can be cut.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Traffic {
    /// It carries everything.
    Flows,
    /// It carries nothing, and says nothing of it.
    Stands,
    /// It ends all connections, and takes no new ones.
    Cut,
}

/// A network that carries bytes from ports of its own to others.
#[derive(Clone)]
pub(crate) struct Network(Arc<AtomicU8>);

impl Network {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU8::new(Traffic::Flows as u8)))
    }

    /// From now on it is so.
    pub(crate) fn set(&self, traffic: Traffic) {
        self.0.store(traffic as u8, Ordering::SeqCst);
    }

    fn is(&self, traffic: Traffic) -> bool {
        self.0.load(Ordering::SeqCst) == traffic as u8
    }

    /// A port at which this port can be reached through the network.
    pub(crate) fn to(&self, port: u16) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let network = self.clone();
        // It ends with the process.
        thread::spawn(move || {
            for caller in listener.incoming().flatten() {
                // What is not carried is closed at once.
                if !network.is(Traffic::Cut)
                    && let Ok(called) = TcpStream::connect(("127.0.0.1", port))
                {
                    network.join(&caller, &called);
                    network.join(&called, &caller);
                }
            }
        });
        own
    }

    /// Carries what comes from one end to the other.
    fn join(&self, from: &TcpStream, to: &TcpStream) {
        let (network, mut from, mut to) = (self.clone(), from.try_clone().unwrap(), to.try_clone().unwrap());
        drop(from.set_nodelay(true));
        from.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            loop {
                if network.is(Traffic::Cut) {
                    break;
                }
                if network.is(Traffic::Stands) {
                    thread::sleep(Duration::from_millis(5));
                    continue;
                }
                match from.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(read) if to.write_all(&buffer[..read]).is_ok() => {}
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                    _ => break,
                }
            }
            drop((from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both)));
        });
    }
}
