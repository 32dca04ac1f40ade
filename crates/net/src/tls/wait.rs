//! Waiting for sockets.

use core::time::Duration;
use std::io;
use std::time::Instant;

use rustix::event::{PollFd, Timespec, poll};
use rustix::io::Errno;

/// Longer waits are as good as endless, and would overflow the clock.
pub(super) const LONGEST: Duration = Duration::from_hours(24 * 365);

/// Waits until one of the sockets is ready; false if none is by then.
pub(super) fn wait(sockets: &mut [PollFd<'_>], until: Instant) -> io::Result<bool> {
    loop {
        let rest = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(rest).map_err(io::Error::other)?;
        match poll(sockets, Some(&timeout)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
