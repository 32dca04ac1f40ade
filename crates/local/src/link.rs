//! How the three local parties are joined.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};
use crate::transport::{Joined, Ports, TransportName};

/// Seconds that a party waits for another one unless the user says otherwise.
const DEFAULT_DEADLINE: f64 = 60.0;

/// How the three local parties are joined.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Processes over TLS, or threads in memory.
    ///
    /// [`TransportName::Tcp`] if there are fixed ports.
    pub transport: TransportName,
    /// Imitated one-way latency.
    pub latency: Duration,
    /// Imitated bandwidth in bits a second; 0 for no limit.
    pub bandwidth: f64,
    /// Fixed ports.
    pub ports: Option<Ports>,
    /// Longest wait of a party for another one.
    pub deadline: Duration,
}

impl Link {
    /// A link from what the user gave.
    ///
    /// # Errors
    ///
    /// If a number is out of range.
    pub fn new(
        transport: TransportName,
        latency: Option<f64>,
        bandwidth: Option<f64>,
        ports: Option<Ports>,
        deadline: Option<f64>,
    ) -> Result<Self> {
        let latency = latency.unwrap_or(0.0);
        if !(0.0..=10_000.0).contains(&latency) {
            return Err(Failure::input(format!("the latency is {latency} ms, it must be 0 to 10000")));
        }
        if let Some(mbit) = bandwidth.filter(|mbit| !(*mbit >= 0.001 && *mbit <= 1e6)) {
            return Err(Failure::input(format!(
                "the bandwidth is {mbit} Mbit/s, it must be 0.001 to 1000000"
            )));
        }
        let deadline = deadline.unwrap_or(DEFAULT_DEADLINE);
        if !(0.1..=86_400.0).contains(&deadline) {
            return Err(Failure::input(format!("the deadline is {deadline} s, it must be 0.1 to 86400")));
        }
        let transport = match (transport, ports) {
            (TransportName::Memory, Some(_)) => {
                return Err(Failure::input(
                    "--ports is for --transport tcp: threads in memory have no ports",
                ));
            }
            (_, Some(_)) => TransportName::Tcp,
            (transport, None) => transport,
        };
        Ok(Self {
            transport,
            latency: Duration::from_secs_f64(latency / 1e3),
            bandwidth: bandwidth.map_or(0.0, |mbit| mbit * 1e6),
            ports,
            deadline: Duration::from_secs_f64(deadline),
        })
    }

    /// The same link where nothing else is given.
    ///
    /// # Errors
    ///
    /// If a number is out of range.
    pub fn changed(
        &self,
        transport: Option<TransportName>,
        latency: Option<f64>,
        bandwidth: Option<f64>,
        ports: Option<Ports>,
        deadline: Option<f64>,
    ) -> Result<Self> {
        Self::new(
            transport.unwrap_or(self.transport),
            latency.or(Some(self.latency.as_secs_f64() * 1e3)),
            bandwidth.or((self.bandwidth > 0.0).then_some(self.bandwidth / 1e6)),
            // Ports go with TCP: who wants another transport wants none.
            ports.or(self.ports.filter(|_| transport.is_none())),
            deadline.or(Some(self.deadline.as_secs_f64())),
        )
    }

    /// How the parties are joined, in the words of reports.
    pub fn joined(&self) -> Joined {
        self.transport.into()
    }

    /// Whether a slower network is imitated.
    pub fn is_throttled(&self) -> bool {
        self.bandwidth > 0.0 || !self.latency.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_mean_tcp() {
        let ports = Some(Ports([7000, 7001, 7002]));
        for (transport, ports, expected) in [
            (TransportName::Tls, None, TransportName::Tls),
            (TransportName::Tcp, None, TransportName::Tcp),
            (TransportName::Tls, ports, TransportName::Tcp),
            (TransportName::Tcp, ports, TransportName::Tcp),
        ] {
            assert_eq!(Link::new(transport, None, None, ports, None).unwrap().transport, expected);
        }
        assert!(Link::new(TransportName::Memory, None, None, ports, None).is_err());
    }

    #[test]
    fn what_is_not_given_stays() {
        let ports = Some(Ports([7000, 7001, 7002]));
        let link = Link::new(TransportName::Tcp, Some(1.5), Some(100.0), ports, Some(5.0)).unwrap();
        assert_eq!(link.changed(None, None, None, None, None).unwrap(), link);
        let changed = link.changed(Some(TransportName::Memory), None, None, None, Some(7.0)).unwrap();
        assert_eq!((changed.transport, changed.ports), (TransportName::Memory, None));
        assert_eq!((changed.latency, changed.deadline), (link.latency, Duration::from_secs(7)));
    }
}
