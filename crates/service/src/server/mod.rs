//! The control plane of a server: HTTPS for those whom the server knows.

mod audit_log;
mod caller;
mod contacts;
mod data;
mod data_port;
mod jobs;
mod layers;
mod metrics;
mod peers;
mod position;
mod problem;
mod reload;
mod routes;
mod state;
mod store;

use core::convert::Infallible;
use core::pin::pin;
use core::time::Duration;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use shamisen_net::tls::Fingerprint;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::select;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

pub(crate) use routes::now;

use crate::config::ServerConfig;
use crate::server::caller::Visitor;
use crate::server::state::Shared;
use crate::{Result, ServiceError};

/// Longest time of a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Longest time until the head of the next request is there.
const HEAD: Duration = Duration::from_mins(1);

/// Longest head of a request in bytes.
const HEAD_BYTES: usize = 1 << 14;

/// Longest time of a connection of somebody known, and of a stranger.
const LIFE: [Duration; 2] = [Duration::from_hours(1), Duration::from_secs(30)];

/// Time for requests to end when the server is asked to stop.
const FAREWELL: Duration = Duration::from_secs(10);

/// Pause after a connection could not be taken, as when files run out.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs a server until the process is asked to end (SIGINT or SIGTERM); `ready` is called once it listens.
///
/// On SIGHUP it reads its configuration again, and takes up who its people and peers are.
///
/// # Errors
///
/// If the data directory or the address cannot be used.
pub fn serve(config: ServerConfig, ready: impl FnOnce()) -> Result<()> {
    let start = |source| ServiceError::Start { source };
    let runtime = Runtime::new().map_err(start)?;
    let served = runtime.block_on(async {
        let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
        let (interrupt, terminate) = (signals.0.map_err(start)?, signals.1.map_err(start)?);
        let hangup = signal(SignalKind::hangup()).map_err(start)?;
        let address = config.listen;
        let (router, shared) = routes::router(config)?;
        jobs::begin(&shared)?;
        let listener =
            TcpListener::bind(address).await.map_err(|source| ServiceError::Listen { address, source })?;
        tracing::info!(%address, party = shared.config().party.index(), "listening");
        ready();
        let agreeing = tokio::spawn(data::agree::keep_agreeing(Arc::clone(&shared)));
        let calling = tokio::spawn(contacts::keep_calling(Arc::clone(&shared)));
        let reloading = tokio::spawn(reload::on_request(Arc::clone(&shared), hangup));
        let tidying = tokio::spawn(jobs::keep_tidy(Arc::clone(&shared)));
        let (stop, stopped) = watch::channel(());
        let server = Server {
            router,
            stop: stopped,
            tls: TlsAcceptor::from(Arc::clone(&shared.tls)),
            strangers: Arc::new(Semaphore::new(shared.config().limits.connections / 4)),
            shared: Arc::clone(&shared),
        };
        let conductor =
            (shared.config().party.index() == 0).then(|| tokio::spawn(jobs::conduct(Arc::clone(&shared))));
        run(&server, &listener, stop, interrupt, terminate).await;
        agreeing.abort();
        calling.abort();
        reloading.abort();
        tidying.abort();
        if let Some(conductor) = conductor {
            conductor.abort();
        }
        if timeout(2 * FAREWELL, shared.jobs.shut_down()).await.is_err() {
            tracing::warn!("the party did not end in time, and is killed");
        }
        Ok(())
    });
    // Work on the disk, such as the check of a large upload, is done again after the next start.
    runtime.shutdown_timeout(FAREWELL);
    served
}

/// What a connection needs.
#[derive(Clone)]
struct Server {
    router: Router,
    tls: TlsAcceptor,
    shared: Arc<Shared>,
    /// Places for connections of strangers, a part of all.
    strangers: Arc<Semaphore>,
    /// Closed when the server is asked to stop.
    stop: watch::Receiver<()>,
}

/// Takes connections until a signal comes, and then lets requests end.
async fn run(
    server: &Server,
    listener: &TcpListener,
    stop: watch::Sender<()>,
    mut interrupt: Signal,
    mut terminate: Signal,
) {
    let places = Arc::new(Semaphore::new(server.shared.config().limits.connections));
    let open = GracefulShutdown::new();
    let mut asked = pin!(async {
        select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    });
    loop {
        let next = async {
            // Whoever comes when all places are taken waits in the queue of the system.
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, stream) = select! {
            () = &mut asked => break,
            (place, accepted) = next => match accepted {
                Ok((stream, _)) => (place, stream),
                Err(error) => {
                    tracing::warn!(%error, "cannot take a connection");
                    sleep(PAUSE).await;
                    continue;
                }
            },
        };
        let (server, watcher) = (server.clone(), open.watcher());
        tokio::spawn(async move {
            let connections = server.shared.metrics.connections.clone();
            connections.inc();
            if !connection(server.clone(), stream, watcher).await {
                server.shared.metrics.refused.inc();
            }
            connections.dec();
            drop(place);
        });
    }
    tracing::info!("asked to stop");
    drop(stop);
    if timeout(FAREWELL, open.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
}

/// Serves one connection; false if it does not come to a request.
async fn connection(server: Server, stream: TcpStream, watcher: Watcher) -> bool {
    // Without it, short answers would wait for an acknowledgement.
    drop(stream.set_nodelay(true));
    let mut stop = server.stop;
    let stream = select! {
        accepted = timeout(HANDSHAKE, server.tls.accept(stream)) => match accepted {
            Ok(Ok(stream)) => stream,
            _ => return false,
        },
        _ = stop.changed() => return false,
    };
    let key = key_of(&stream);
    let shared = server.shared;
    let is_stranger = shared.visitor(key).caller.is_none();
    let _place = match is_stranger.then(|| server.strangers.try_acquire_owned()) {
        None => None,
        Some(Ok(place)) => Some(place),
        Some(Err(_)) => return false,
    };
    let router = server.router;
    // Whom the server knows may change while the connection lasts.
    let service = service_fn(|request| answer(router.clone(), shared.visitor(key), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    // A caller that goes away is no error, and one that stays too long has to call again.
    drop(timeout(LIFE[usize::from(is_stranger)], watcher.watch(connection)).await);
    true
}

/// The fingerprint of the certificate that the other end of a connection has shown.
fn key_of(stream: &TlsStream<TcpStream>) -> Option<Fingerprint> {
    let certificates = stream.get_ref().1.peer_certificates();
    certificates.and_then(<[_]>::first).map(|certificate| Fingerprint::of(certificate))
}

/// Answers a request of this visitor.
async fn answer(
    router: Router,
    visitor: Visitor,
    request: Request<Incoming>,
) -> core::result::Result<Response, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(visitor);
    router.oneshot(request).await
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use shamisen_net::tls::Identity;
    use tempfile::TempDir;
    use tokio::io::AsyncWriteExt;
    use tokio::{join, spawn};

    use super::*;
    use crate::api::Health;
    use crate::client::Client;
    use crate::{Place, keys};

    const LONG: Duration = Duration::from_mins(1);

    /// What server 2 answers and has, and its directory; its peers are nowhere.
    pub(crate) fn router() -> (Router, Arc<Shared>, TempDir) {
        let dir = tempfile::tempdir().unwrap();
        keys::create(&dir.path().join("key"), "server 2").unwrap();
        let mut text =
            String::from("party = 2\nlisten = \"127.0.0.1:7443\"\nkey = \"key\"\ndata = \"data\"\n");
        for party in [0, 1] {
            let fingerprint = party.to_string().repeat(64);
            text.push_str(&["[[peer]]\nparty = ", &party.to_string(), "\naddress = \"s"].concat());
            text.push_str(&[&party.to_string(), ":1\"\nfingerprint = \"", &fingerprint, "\"\n"].concat());
        }
        let path = dir.path().join("party2.toml");
        fs::write(&path, text).unwrap();
        let (router, shared) = routes::router(ServerConfig::read(&path).unwrap()).unwrap();
        (router, shared, dir)
    }

    /// A server with so many places for strangers, and what has to live as long as it.
    fn server(strangers: usize) -> (Server, (watch::Sender<()>, TempDir)) {
        let (router, shared, dir) = router();
        let (stop, stopped) = watch::channel(());
        let server = Server {
            router,
            tls: TlsAcceptor::from(Arc::clone(&shared.tls)),
            shared,
            strangers: Arc::new(Semaphore::new(strangers)),
            stop: stopped,
        };
        (server, (stop, dir))
    }

    /// Serves one connection, on which somebody asks for health; whether either of them was content.
    async fn meet(server: &Server, identity: Option<&Identity>) -> (bool, bool) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = async {
            let (stream, _) = listener.accept().await.unwrap();
            connection(server.clone(), stream, GracefulShutdown::new().watcher()).await
        };
        let asked = async {
            let place = Place { host: "127.0.0.1".into(), port };
            let pinned = server.shared.config().identity.fingerprint();
            let mut client = Client::connect(identity, &place, pinned, LONG).await?;
            client.get::<Health>("/health").await
        };
        let (served, asked) = join!(served, asked);
        (served, asked.is_ok())
    }

    #[tokio::test]
    async fn strangers_cannot_take_the_places_of_others() {
        let (server, _alive) = server(1);
        assert_eq!(meet(&server, None).await, (true, true));
        let place = server.strangers.acquire().await.unwrap();
        assert_eq!(meet(&server, None).await, (false, false));
        let stranger = Identity::generate("stranger").unwrap();
        assert_eq!(meet(&server, Some(&stranger)).await, (false, false));
        let own = server.shared.config().identity.clone();
        assert_eq!(meet(&server, Some(&own)).await, (true, true));
        drop(place);
        assert_eq!(meet(&server, Some(&stranger)).await, (true, true));
    }

    #[tokio::test]
    async fn what_is_no_handshake_ends_the_connection() {
        let (server, (stop, _dir)) = server(1);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut plain = TcpStream::connect(address).await.unwrap();
        plain.write_all(b"GET /health HTTP/1.1\r\n\r\n").await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        assert!(!connection(server.clone(), stream, GracefulShutdown::new().watcher()).await);
        // Somebody who says nothing is sent away when the server stops.
        let _silent = TcpStream::connect(address).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let served = spawn(connection(server.clone(), stream, GracefulShutdown::new().watcher()));
        drop(stop);
        assert!(!served.await.unwrap());
    }
}
