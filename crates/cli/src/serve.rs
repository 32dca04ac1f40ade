//! `serve`: one of the three servers as a service.

use shamisen_service::config::ServerConfig;
use shamisen_service::server;

use crate::args::ServeArguments;
use crate::failure::Result;

/// Carries out `serve`.
pub(crate) fn run(arguments: &ServeArguments) -> Result<()> {
    let config = ServerConfig::read(&arguments.config)?;
    let line = format!("server {} listens at {}\n", config.party.index(), config.listen);
    server::serve(config, || {
        // Without a standard output there is nobody to tell; the log says it, too.
        drop(crate::print(&line));
    })?;
    Ok(())
}
