//! The port of the data plane, when it is tried out.

use core::time::Duration;
use std::io;
use std::sync::Arc;

use axum::http::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::server::key_of;
use crate::server::problem::Refusal;
use crate::server::state::Shared;

/// How long the port is open for a call.
const OPEN: Duration = Duration::from_secs(10);

/// Longest time of a handshake: somebody who says nothing must not keep the one who is expected from coming.
const HANDSHAKE: Duration = Duration::from_secs(2);

/// Listens at the port of the data plane until one caller whom the server knows has come, or for some seconds.
///
/// The caller gets one byte. Only one listens at a time; others wait for it.
pub(crate) async fn listen(shared: &Arc<Shared>) -> Result<(), Refusal> {
    let address = shared.config().data_listen;
    let turn = Arc::clone(&shared.data_port).lock_owned().await;
    let listener = TcpListener::bind(address).await.map_err(|error| {
        let text = format!("this server cannot listen for the data plane at {address}: {error}");
        Refusal::new(StatusCode::CONFLICT, text)
            .with_hint("end the program that listens there, or give another data_listen in its configuration")
    })?;
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        // If nobody comes, the caller says why.
        drop(timeout(OPEN, meet(&shared, &listener)).await);
        // In this order: whoever is next wants to listen at the same port.
        drop(listener);
        drop(turn);
    });
    Ok(())
}

/// Waits for a caller whom the server knows, and greets it.
async fn meet(shared: &Shared, listener: &TcpListener) -> io::Result<()> {
    let tls = TlsAcceptor::from(Arc::clone(&shared.tls));
    loop {
        let (stream, _) = listener.accept().await?;
        let Ok(Ok(mut stream)) = timeout(HANDSHAKE, tls.accept(stream)).await else { continue };
        if shared.visitor(key_of(&stream)).caller.is_none() {
            continue;
        }
        stream.write_u8(0).await?;
        return stream.shutdown().await;
    }
}
