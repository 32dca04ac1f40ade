//! Three servers as a service, for the tests of what they do together.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use shamisen_net::tls::{Fingerprint, Identity};
use shamisen_service::client::{CallError, Client};
use shamisen_service::keys;

use crate::support::{LIMIT, Place, free_ports, output, shamisen, signal, text, wait, wait_for_line};

/// Three servers on free ports of this machine, which know an owner, an analyst and an operator.
pub(crate) struct Three {
    pub(crate) place: Place,
    pub(crate) ports: [u16; 6],
    pub(crate) identities: [Identity; 3],
    pub(crate) running: [Option<Child>; 3],
}

impl Three {
    /// Their keys and configurations; none is started.
    pub(crate) fn new() -> Self {
        let place = Place::new();
        let ports = free_ports();
        let key = |name: &str| keys::create(&place.path(name), name).unwrap();
        let identities = [key("server0"), key("server1"), key("server2")];
        let mut people = String::new();
        for role in ["owner", "analyst", "operator"] {
            let fingerprint = key(role).fingerprint();
            writeln!(people, "[[person]]\nname = \"the {role}\"\nrole = \"{role}\"").unwrap();
            writeln!(people, "fingerprint = \"{fingerprint}\"").unwrap();
        }
        let three = Self { place, ports, identities, running: [None, None, None] };
        for party in 0..3 {
            let [port, data_port] = [ports[party], ports[3 + party]];
            let mut text = format!(
                "party = {party}\nlisten = \"127.0.0.1:{port}\"\ndata_listen = \"127.0.0.1:{data_port}\"\n\
                 key = \"server{party}\"\ndata = \"data{party}\"\n{people}"
            );
            for peer in (0..3).filter(|peer| *peer != party) {
                writeln!(
                    text,
                    "[[peer]]\nparty = {peer}\naddress = \"127.0.0.1:{}\"\ndata_address = \"127.0.0.1:{}\"\nfingerprint = \"{}\"",
                    ports[peer],
                    ports[3 + peer],
                    three.identities[peer].fingerprint()
                )
                .unwrap();
            }
            text.push_str("[limits]\nlanes = 1\nfree_disk_bytes = 0\n");
            three.place.write(&format!("party{party}.toml"), text);
        }
        three
    }

    /// All three, running.
    pub(crate) fn started() -> Self {
        let mut three = Self::new();
        (0..3).for_each(|party| three.start(party));
        three
    }

    pub(crate) fn config(&self, party: usize) -> PathBuf {
        self.place.path(&format!("party{party}.toml"))
    }

    /// Starts a server and waits until it listens.
    pub(crate) fn start(&mut self, party: usize) {
        self.start_with(party, |_| {});
    }

    /// The same, with a change of the command.
    pub(crate) fn start_with(&mut self, party: usize, change: impl FnOnce(&mut Command)) {
        let log = self.place.path(&format!("log{party}"));
        let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut command = shamisen();
        command.args(["serve", "--config"]).arg(self.config(party)).stdout(Stdio::piped()).stderr(log);
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        self.running[party] = Some(child);
        wait_for_line(stdout, &format!("server {party} listens at 127.0.0.1:{}", self.ports[party]));
    }

    /// Asks a server to end, and waits until it has.
    pub(crate) fn stop(&mut self, party: usize) {
        let mut child = self.running[party].take().unwrap();
        signal("TERM", child.id());
        assert_eq!(wait(&mut child).code(), Some(0), "{}", self.log(party));
    }

    /// Kills a server as the system would.
    pub(crate) fn kill(&mut self, party: usize) {
        let mut child = self.running[party].take().unwrap();
        child.kill().unwrap();
        wait(&mut child);
    }

    /// A command with the key of this name.
    pub(crate) fn client_command(&self, command: &str, key: &str) -> Command {
        let mut shamisen = shamisen();
        shamisen.args(command.split(' ')).arg("--cluster").arg(self.cluster(None));
        shamisen.arg("--key").arg(self.place.path(key));
        shamisen
    }

    /// A command of the analyst.
    pub(crate) fn analyst(&self, command: &str) -> Command {
        self.client_command(command, "analyst")
    }

    pub(crate) fn log(&self, party: usize) -> String {
        fs::read_to_string(self.place.path(&format!("log{party}"))).unwrap()
    }

    /// The clients' file, with the fingerprint of one server replaced if one is given.
    pub(crate) fn cluster(&self, replaced: Option<(usize, Fingerprint)>) -> PathBuf {
        let mut text = String::new();
        for (party, identity) in self.identities.iter().enumerate() {
            let fingerprint = match replaced {
                Some((odd, fingerprint)) if odd == party => fingerprint,
                _ => identity.fingerprint(),
            };
            writeln!(text, "[[server]]\nparty = {party}\naddress = \"127.0.0.1:{}\"", self.ports[party])
                .unwrap();
            writeln!(text, "fingerprint = \"{fingerprint}\"").unwrap();
        }
        self.place.write("cluster.toml", text)
    }

    /// What the doctor finds for a client, which must end with this status.
    pub(crate) fn doctor(&self, cluster: &Path, key: &str, status: i32) -> String {
        let mut command = shamisen();
        command.args(["doctor", "--cluster"]).arg(cluster).arg("--key").arg(self.place.path(key));
        found(&mut command, status)
    }

    /// What the doctor finds for the operator of a server.
    pub(crate) fn doctor_at(&self, party: usize, status: i32) -> String {
        found(shamisen().args(["doctor", "--config"]).arg(self.config(party)), status)
    }

    /// A connection with a key of this name, or none.
    pub(crate) async fn client(&self, party: usize, key: Option<&str>) -> Client {
        let identity = key.map(|name| keys::read(&self.place.path(name)).unwrap());
        let pinned = self.identities[party].fingerprint();
        self.connect(party, identity.as_ref(), pinned).await.unwrap()
    }

    pub(crate) async fn connect(
        &self,
        party: usize,
        identity: Option<&Identity>,
        pinned: Fingerprint,
    ) -> Result<Client, CallError> {
        let address = format!("127.0.0.1:{}", self.ports[party]).parse().unwrap();
        Client::connect(identity, &address, pinned, LIMIT).await
    }
}

impl Drop for Three {
    fn drop(&mut self) {
        for child in self.running.iter_mut().flatten() {
            // It may be gone already.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Runs the doctor, which must end with this status.
pub(crate) fn found(doctor: &mut Command, status: i32) -> String {
    let output = output(doctor);
    let found = text(&output.stdout);
    assert_eq!(output.status.code(), Some(status), "{found}\n{}", text(&output.stderr));
    found
}
