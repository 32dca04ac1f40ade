//! `page`: the page of a server, in a browser on this machine.

use shamisen_service::cluster::Cluster;
use shamisen_service::config::ServerConfig;
use shamisen_service::keys;
use shamisen_service::page::viewer;

use crate::args::PageArguments;
use crate::failure::{Failure, Result};

/// Carries out `page`.
pub(crate) fn run(arguments: &PageArguments) -> Result<()> {
    let (server, identity) = match (&arguments.config, &arguments.cluster, &arguments.key) {
        (Some(config), _, _) => {
            let config = ServerConfig::read(config)?;
            (config.own_server(), config.identity)
        }
        (None, Some(cluster), Some(key)) => {
            let [first, second, third] = Cluster::read(cluster)?.servers;
            let server = match arguments.server {
                0 => first,
                1 => second,
                _ => third,
            };
            (server, keys::read(key)?)
        }
        _ => return Err(Failure::input("give --config, or --cluster with --key: see shamisen page --help")),
    };
    let number = server.party.index();
    viewer::show(server, identity, arguments.port, |address| {
        // Without a standard output there is nobody to tell.
        drop(crate::print(&format!(
            "the page of server {number} is at\n\n    {address}\n\nThe address is good for once, in a browser on this machine. Ctrl-C ends it.\n"
        )));
    })?;
    Ok(())
}
