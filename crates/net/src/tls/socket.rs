//! Sockets between parties: TCP, or Unix sockets within one machine.

use core::time::Duration;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::net::sockopt;

use crate::tls::{Address, loopback};

/// Longest attempt to open a TCP connection.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Time without traffic after which the operating system looks whether the other end is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Bytes that a Unix socket may hold for its receiver, as far as the system permits.
///
/// With the usual 208 kB messages of 1 MB take a sixth more processor time; 208 kB, which the system doubles, to 4 MB are
/// nearly alike (2026-11-26, Intel Xeon).
const SEND_BUFFER: usize = 1 << 20;

/// A connection, before anything is encrypted.
pub(super) enum Socket {
    /// Between any two machines.
    Tcp(TcpStream),
    /// Within one machine.
    Unix(UnixStream),
}

impl Socket {
    /// Calls whoever listens at the address.
    pub(super) fn connect(address: &Address, until: Instant) -> io::Result<Self> {
        match address {
            Address::Unix(path) => with_short_path(path, |path| UnixStream::connect(path)).map(Self::Unix),
            Address::Tcp(place) => {
                // The first of the addresses of a name that answers.
                let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                for address in place.to_socket_addrs()? {
                    let rest = until.saturating_duration_since(Instant::now());
                    match loopback::connect(&address, rest.clamp(Duration::from_millis(1), CALL_TIMEOUT)) {
                        Ok(socket) => return Ok(Self::Tcp(socket)),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    /// Makes it ready for messages: from now on it never blocks.
    pub(super) fn prepare(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                socket.set_nodelay(true)?;
                // A party may compute for minutes without a word; the routers on the way have to remember the
                // connection.
                sockopt::set_socket_keepalive(socket, true)?;
                sockopt::set_tcp_keepidle(socket, KEEP_ALIVE)?;
                sockopt::set_tcp_keepintvl(socket, KEEP_ALIVE)?;
            }
            Self::Unix(socket) => {
                socket.set_nonblocking(true)?;
                // With less everything works as well, only slower.
                let _ = sockopt::set_socket_send_buffer_size(socket, SEND_BUFFER);
            }
        }
        Ok(())
    }

    /// Says that nothing more will be sent.
    pub(super) fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.shutdown(Shutdown::Write),
            Self::Unix(socket) => socket.shutdown(Shutdown::Write),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(buffer),
            Self::Unix(socket) => socket.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.write(bytes),
            Self::Unix(socket) => socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

/// A socket that is called. It never blocks, and its file, if it has one, disappears with it.
pub(super) enum Listener {
    /// By parties of any machine.
    Tcp(TcpListener),
    /// By parties of this machine.
    Unix(UnixListener, SocketFile),
}

impl Listener {
    /// Begins to listen.
    pub(super) fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(place) => {
                let socket = TcpListener::bind(place)?;
                socket.set_nonblocking(true)?;
                loopback::prepare(&socket);
                Ok(Self::Tcp(socket))
            }
            Address::Unix(path) => {
                let (socket, file) = bind_unix(path)?;
                socket.set_nonblocking(true)?;
                Ok(Self::Unix(socket, file))
            }
        }
    }

    /// The next call, and where it comes from.
    pub(super) fn accept(&self) -> io::Result<(Socket, String)> {
        match self {
            Self::Tcp(listener) => {
                listener.accept().map(|(socket, from)| (Socket::Tcp(socket), from.to_string()))
            }
            Self::Unix(listener, file) => {
                // Callers have no address of their own.
                let from = Address::Unix(file.path.clone()).to_string();
                listener.accept().map(|(socket, _)| (Socket::Unix(socket), from))
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener, _) => listener.as_fd(),
        }
    }
}

/// The file by which a listening Unix socket is found; removed when dropped.
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and number, by which it is known again.
    id: (u64, u64),
}

impl SocketFile {
    fn id(path: &Path) -> io::Result<(u64, u64)> {
        path.symlink_metadata().map(|file| (file.dev(), file.ino()))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody may have removed it and made another one in its place.
        if Self::id(&self.path).is_ok_and(|id| id == self.id) {
            // If that fails, the next party that listens here removes it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens at a path. A socket that a killed party has left there is replaced, anything else is not.
fn bind_unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    with_short_path(path, |short| {
        let listener = match UnixListener::bind(short) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_abandoned(short) => {
                fs::remove_file(short)?;
                UnixListener::bind(short)?
            }
            result => result?,
        };
        let id = SocketFile::id(short)?;
        Ok((listener, SocketFile { path: path.to_owned(), id }))
    })
}

/// Whether the file is a socket on which nobody listens.
fn is_abandoned(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|file| file.file_type().is_socket())
        && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Most bytes of a path in the address of a Unix socket on Linux.
#[cfg(target_os = "linux")]
const LONGEST_PATH: usize = 107;

/// Calls `use_path` with a path of the same file that fits into the address of a socket.
fn with_short_path<T>(path: &Path, use_path: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    #[cfg(target_os = "linux")]
    if path.as_os_str().len() > LONGEST_PATH
        && let (Some(dir), Some(name)) = (path.parent(), path.file_name())
    {
        use std::os::fd::AsRawFd;

        // The system knows an open directory by a short name.
        let dir = fs::File::open(dir)?;
        return use_path(&Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name));
    }
    use_path(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> usize {
        fs::read_dir(dir).expect("a directory").count()
    }

    /// Whether bytes go through a listener and what calls it.
    fn check(address: &Address) {
        let listener = Listener::bind(address).expect("a listener");
        let until = Instant::now() + Duration::from_secs(30);
        let mut caller = Socket::connect(address, until).expect("connected");
        let (mut called, _) = listener.accept().expect("a call");
        caller.write_all(b"hello").expect("sent");
        caller.shutdown_write().expect("shut down");
        let mut received = Vec::new();
        called.read_to_end(&mut received).expect("received");
        assert_eq!(received, b"hello");
    }

    #[test]
    fn the_file_of_a_socket_disappears_with_it_however_long_its_path_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let deep = dir.path().join("a".repeat(200)).join("b".repeat(200));
        fs::create_dir_all(&deep).expect("directories");
        for dir in [dir.path(), &deep] {
            let before = names(dir);
            check(&Address::Unix(dir.join("socket")));
            check(&Address::Unix(dir.join("c".repeat(80))));
            assert_eq!(names(dir), before);
        }
    }

    #[test]
    fn only_an_abandoned_socket_is_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("socket");
        let address = Address::Unix(path.clone());
        drop(UnixListener::bind(&path).expect("a listener"));
        assert!(path.exists());
        check(&address);

        let refused = || Listener::bind(&address).err().expect("in use").kind();
        let other = UnixListener::bind(&path).expect("a listener");
        assert_eq!(refused(), io::ErrorKind::AddrInUse);
        other.accept().expect("the call that looked whether anybody listens");
        fs::remove_file(&path).expect("removed");
        fs::write(&path, "precious").expect("written");
        assert_eq!(refused(), io::ErrorKind::AddrInUse);
        assert_eq!(fs::read(&path).expect("still there"), b"precious");
    }

    #[test]
    fn the_file_of_another_socket_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("socket");
        let first = Listener::bind(&Address::Unix(path.clone())).expect("a listener");
        // As long as the first file has another name, the second one is a file of its own.
        fs::rename(&path, dir.path().join("old")).expect("renamed");
        let second = UnixListener::bind(&path).expect("a listener");
        drop(first);
        assert!(path.exists());
        drop(second);
    }
}
