//! Queries on PostgreSQL.
//!
//! The server writes CSV itself. Connections are not encrypted, and therefore go to this machine alone: a tunnel leads to others.

use std::io::{self, Write};
use std::time::Duration;

use postgres::config::Host;
use postgres::{Config, IsolationLevel, NoTls};

use crate::error::{DataError, Result};
use crate::sql::{Database, refused};

/// Longest wait for the server to take a connection.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes the rows of a query as CSV, with the names of the columns.
///
/// `rest` is what follows the scheme of the URL.
pub(crate) fn write(query: &str, database: &Database, rest: &str, writer: &mut dyn Write) -> Result<()> {
    // What is wrong with an URL may quote its password.
    let mut config: Config = format!("postgres://{rest}").parse().map_err(|_| {
        refused(database, "its URL cannot be read: give one such as postgres://USER@localhost/NAME")
    })?;
    if config.get_hosts().is_empty() {
        config.host("localhost");
    }
    let are_here = config.get_hostaddrs().iter().all(std::net::IpAddr::is_loopback);
    if !are_here || !config.get_hosts().iter().all(is_here) {
        return Err(refused(
            database,
            "it is on another machine, to which the rows would come without encryption: make a tunnel, such as \
             ssh -L 5433:localhost:5432 HOST, and give localhost:5433",
        ));
    }
    if config.get_password().is_none()
        && let Ok(password) = std::env::var("PGPASSWORD")
    {
        config.password(password);
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(PATIENCE);
    }
    let failed = |error: postgres::Error| refused(database, told(&error));
    let mut client = config.connect(NoTls).map_err(failed)?;
    let transaction =
        client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let mut transaction = transaction.start().map_err(failed)?;
    // Dates as ISO 8601, whatever the server's settings are, and numbers with all digits.
    transaction
        .batch_execute("SET LOCAL datestyle = 'ISO'; SET LOCAL extra_float_digits = 1")
        .map_err(failed)?;
    let copy = format!("COPY ({query}\n) TO STDOUT WITH (FORMAT csv, HEADER true)");
    let mut rows = transaction.copy_out(&copy).map_err(failed)?;
    let copied = io::copy(&mut rows, writer);
    copied.map(drop).map_err(|error| {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<postgres::Error>()) {
            Some(error) => refused(database, told(error)),
            None => DataError::io("write", &std::env::temp_dir(), error),
        }
    })
}

/// Whether a server is on this machine.
fn is_here(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        }
    }
}

/// What the server says, or else why it says nothing.
fn told(error: &postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return error.message().to_owned();
    }
    let cause = std::error::Error::source(error).map(ToString::to_string);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}
