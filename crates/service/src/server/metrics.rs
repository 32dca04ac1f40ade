//! Figures about a server, in the text format of Prometheus.

use core::fmt;
use core::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// The media type of [`Metrics::text`].
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bounds of the times of requests, in seconds.
const SECONDS: [f64; 8] = [0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 100.0];

/// What a server counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Answer, Counter>,
    seconds: Histogram,
    /// Open connections.
    pub(crate) connections: Gauge,
    /// Connections of which no request came, since their handshake failed or too many strangers were there.
    pub(crate) refused: Counter,
    free_disk: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    route: String,
    status: u16,
}

impl Metrics {
    /// Nothing counted yet.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("shamisen");
        let requests = Family::<Answer, Counter>::default();
        let seconds = Histogram::new(SECONDS);
        let (connections, refused, free_disk) = (Gauge::default(), Counter::default(), Gauge::default());
        registry.register("requests", "Requests answered", requests.clone());
        registry.register_with_unit("request", "Time of requests", Unit::Seconds, seconds.clone());
        registry.register("connections", "Open connections", connections.clone());
        registry.register("refused_connections", "Connections without a request", refused.clone());
        registry.register_with_unit("free_disk", "Free disk space", Unit::Bytes, free_disk.clone());
        Self { registry, requests, seconds, connections, refused, free_disk }
    }

    /// Counts a request.
    pub(crate) fn answered(&self, route: &str, status: u16, time: Duration) {
        self.requests.get_or_create(&Answer { route: route.to_owned(), status }).inc();
        self.seconds.observe(time.as_secs_f64());
    }

    /// All figures; the free disk space is that of this moment.
    pub(crate) fn text(&self, free_disk: Option<u64>) -> Result<String, fmt::Error> {
        self.free_disk.set(free_disk.map_or(-1, |bytes| bytes.min(i64::MAX as u64) as i64));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
