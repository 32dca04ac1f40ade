//! `bench service`: many clients at three servers on this machine, all at the same time.
//!
//! Clients are processes of this program, as people run them: what is measured is how long their commands take.

use std::env;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Serialize;
use shamisen_data::generate::Synthetic;
use shamisen_local::store::check_writable;
use shamisen_net::tls::Fingerprint;
use shamisen_service::keys;

use crate::bench::args::ServiceArguments;
use crate::bench::document::{Machine, publish};
use crate::bench::table::table;
use crate::failure::{Failure, Result};
use crate::interrupt::{self, Protection};

/// Pause between two looks at the clients.
const LOOK: Duration = Duration::from_millis(5);

/// Longest time for all clients to do the same thing.
const PATIENCE: Duration = Duration::from_hours(1);

/// The figures of `bench service`.
#[derive(Serialize)]
struct Figures {
    clients: usize,
    rows: u64,
    columns: usize,
    /// What the clients did at the same time, one thing after the other.
    steps: Vec<Step>,
    /// Most memory of a server, in bytes.
    peak_rss_bytes: [u64; 3],
}

/// What all clients did once.
#[derive(Serialize)]
struct Step {
    /// `upload`, `list` or `predict`.
    name: &'static str,
    /// Clients whose command failed.
    failed: usize,
    /// Seconds of a command: the half, 90 and 99 of 100 were done by then, and the last one.
    p50_seconds: f64,
    p90_seconds: f64,
    p99_seconds: f64,
    longest_seconds: f64,
    /// Commands in a second, of all clients together.
    per_second: f64,
}

/// Carries out `bench service`.
pub(crate) fn run(arguments: &ServiceArguments) -> Result<()> {
    arguments.json.as_deref().map_or(Ok(()), check_writable)?;
    let machine = Machine::new(None);
    let _protection = Protection::new();
    let place = tempfile::Builder::new()
        .prefix("shamisen-bench-")
        .tempdir()
        .map_err(|error| Failure::file("create a directory in", &env::temp_dir(), &error))?;
    let mut cluster = Cluster::new(place.path(), arguments)?;
    cluster.start()?;
    cluster.train()?;
    let steps = ["upload", "list", "predict"].map(|name| cluster.all_at_once(name));
    let steps = steps.into_iter().collect::<Result<Vec<_>>>()?;
    let figures = Figures {
        clients: arguments.clients,
        rows: arguments.rows,
        columns: arguments.columns,
        steps,
        peak_rss_bytes: cluster.servers.each_ref().map(|server| peak_memory(server.as_ref())),
    };
    publish("service", machine.clone(), &figures, &text(&figures, &machine), arguments.json.as_deref())
}

fn text(figures: &Figures, machine: &Machine) -> String {
    let rows: Vec<_> = figures
        .steps
        .iter()
        .map(|step| {
            let seconds = |seconds: f64| format!("{seconds:.2}");
            [
                step.name.to_owned(),
                step.failed.to_string(),
                seconds(step.p50_seconds),
                seconds(step.p90_seconds),
                seconds(step.p99_seconds),
                seconds(step.longest_seconds),
                format!("{:.1}", step.per_second),
            ]
        })
        .collect();
    let heads = ["all clients", "failed", "p50 s", "p90 s", "p99 s", "longest s", "a second"];
    let memory = figures.peak_rss_bytes.map(|bytes| format!("{:.0} MB", bytes as f64 / 1e6)).join(", ");
    format!(
        "{} clients at the same time, each a process with a key of its own; three servers on the same machine.\n\
         Each uploads a table of {} rows and {} columns, lists what there is, and asks a model for 10 predictions.\n\
         {}\n{}\nmost memory of the servers: {memory}\n",
        figures.clients,
        figures.rows,
        figures.columns,
        machine.line(""),
        table(heads, &rows)
    )
}

/// Three servers, and clients whom they know.
struct Cluster<'a> {
    dir: &'a Path,
    program: PathBuf,
    clients: usize,
    servers: [Option<Child>; 3],
}

impl<'a> Cluster<'a> {
    /// Keys, configurations and tables.
    fn new(dir: &'a Path, arguments: &ServiceArguments) -> Result<Self> {
        let program = env::current_exe()
            .map_err(|error| Failure::run(format!("this program is not found: {error}")))?;
        let cluster = Self { dir, program, clients: arguments.clients, servers: [None, None, None] };
        let servers = [cluster.key("server0")?, cluster.key("server1")?, cluster.key("server2")?];
        let mut people = String::new();
        let mut terms = String::new();
        for client in 0..arguments.clients {
            let key = cluster.key(&format!("client{client}"))?;
            // Writing to a string does not fail.
            let _ = write!(
                people,
                "[[person]]\nname = \"client {client}\"\nrole = \"owner\"\nfingerprint = \"{key}\"\n"
            );
            let _ = write!(terms, "\"{key}\", ");
        }
        let analyst = cluster.key("analyst")?;
        let _ = write!(
            people,
            "[[person]]\nname = \"analyst\"\nrole = \"analyst\"\nfingerprint = \"{analyst}\"\n"
        );
        let terms = format!(
            "trainers = [\"{analyst}\"]\nmax_epochs = 1\nmax_jobs = 1\nexpires = 2999-12-31\nleast_rows = 10\n\
             outputs = [\"metrics\", \"predictions\"]\npredictions_to = [{terms}]\n"
        );
        cluster.write("terms.toml", &terms)?;
        let ports = free_ports()?;
        let mut clients_file = String::new();
        for party in 0..3 {
            let mut text = format!(
                "party = {party}\nlisten = \"127.0.0.1:{}\"\ndata_listen = \"127.0.0.1:{}\"\nkey = \"server{party}\"\n\
                 data = \"data{party}\"\n[limits]\nlanes = 1\nfree_disk_bytes = 0\n{people}",
                ports[party],
                ports[3 + party]
            );
            for peer in (0..3).filter(|peer| *peer != party) {
                let _ = write!(
                    text,
                    "[[peer]]\nparty = {peer}\naddress = \"127.0.0.1:{}\"\ndata_address = \"127.0.0.1:{}\"\nfingerprint = \"{}\"\n",
                    ports[peer],
                    ports[3 + peer],
                    servers[peer]
                );
            }
            cluster.write(&format!("party{party}.toml"), &text)?;
            let _ = write!(
                clients_file,
                "[[server]]\nparty = {party}\naddress = \"127.0.0.1:{}\"\nfingerprint = \"{}\"\n",
                ports[party], servers[party]
            );
        }
        cluster.write("cluster.toml", &clients_file)?;
        for (name, rows) in [("table.csv", arguments.rows), ("rows.csv", 10)] {
            let options = Synthetic { rows, columns: arguments.columns, classes: Some(2), seed: 1 };
            options.write(&dir.join(name), interrupt::check)?;
        }
        Ok(cluster)
    }

    /// The fingerprint of a new key.
    fn key(&self, name: &str) -> Result<Fingerprint> {
        Ok(keys::create(&self.dir.join(name), name)?.fingerprint())
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.dir.join(name);
        fs::write(&path, text).map_err(|error| Failure::file("write", &path, &error))
    }

    /// Starts the servers, and waits until they listen.
    fn start(&mut self) -> Result<()> {
        for party in 0..3 {
            let path = self.dir.join(format!("log{party}"));
            let log = File::create(&path).map_err(|error| Failure::file("create", &path, &error))?;
            let mut serve = Command::new(&self.program);
            serve.arg("serve").arg("--config").arg(self.dir.join(format!("party{party}.toml")));
            let mut server = started(serve.stdout(Stdio::piped()).stderr(log))?;
            let mut line = String::new();
            if let Some(stdout) = server.stdout.take() {
                // What comes to nothing leaves an empty line.
                drop(BufReader::new(stdout).read_line(&mut line));
            }
            self.servers[party] = Some(server);
            if !line.contains("listens") {
                let log = fs::read_to_string(&path).unwrap_or_default();
                return Err(Failure::run(format!("server {party} did not start: {log}")));
            }
        }
        Ok(())
    }

    /// A command of somebody.
    fn command(&self, words: &[&str], key: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(words)
            .arg("--cluster")
            .arg(self.dir.join("cluster.toml"))
            .arg("--key")
            .arg(self.dir.join(key));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// The table of one more owner.
    fn put(&self, name: &str, key: &str) -> Command {
        let mut put = self.command(&["put"], key);
        put.arg(self.dir.join("table.csv")).args([
            "--name",
            name,
            "--target",
            "y",
            "--task",
            "classification",
        ]);
        put.arg("--terms")
            .arg(self.dir.join("terms.toml"))
            .arg("--staging")
            .arg(self.dir.join(format!("staged-{name}")));
        put
    }

    /// A model that everybody may ask.
    fn train(&self) -> Result<()> {
        finished(started(&mut self.put("common", "client0"))?)?;
        let everybody = (0..self.clients).map(|client| {
            keys::read(&self.dir.join(format!("client{client}"))).map(|key| key.fingerprint().to_string())
        });
        let everybody = everybody.collect::<std::result::Result<Vec<_>, _>>()?.join(",");
        let mut submit =
            self.command(&["submit", "--data", "common", "--name", "common", "--hidden", "16"], "analyst");
        submit.args(["--outputs", "metrics,predictions", "--watch", "--predictions-to"]).arg(everybody);
        finished(started(&mut submit)?)
    }

    /// All clients do the same thing.
    fn all_at_once(&self, name: &'static str) -> Result<Step> {
        let begin = Instant::now();
        let mut running = Vec::with_capacity(self.clients);
        for client in 0..self.clients {
            let key = format!("client{client}");
            let mut command = match name {
                "upload" => self.put(&key, &key),
                "list" => self.command(&["list"], &key),
                _ => {
                    let mut predict = self.command(&["predict", "--model", "common"], &key);
                    predict.arg("--data").arg(self.dir.join("rows.csv"));
                    predict.arg("--output").arg(self.dir.join(format!("{key}.csv")));
                    predict
                }
            };
            running.push((Instant::now(), started(&mut command)?));
        }
        let mut seconds = Vec::with_capacity(self.clients);
        let mut failed = 0;
        while !running.is_empty() {
            let mut rest = Vec::with_capacity(running.len());
            for (since, mut client) in running {
                let stopped = interrupt::requests() > 0 || begin.elapsed() > PATIENCE;
                match client.try_wait() {
                    Ok(None) if stopped => drop(client.kill()),
                    Ok(None) => rest.push((since, client)),
                    Ok(Some(status)) if status.success() => seconds.push(since.elapsed().as_secs_f64()),
                    _ => {
                        failed += 1;
                        tracing::warn!("a client failed: {}", said(&mut client));
                    }
                }
            }
            interrupt::check()?;
            running = rest;
            sleep(LOOK);
        }
        seconds.sort_by(f64::total_cmp);
        let within = |share: f64| {
            let at = (seconds.len() as f64 * share).ceil() as usize;
            seconds.get(at.saturating_sub(1)).copied().unwrap_or(f64::NAN)
        };
        Ok(Step {
            name,
            failed,
            p50_seconds: within(0.5),
            p90_seconds: within(0.9),
            p99_seconds: within(0.99),
            longest_seconds: within(1.0),
            per_second: seconds.len() as f64 / begin.elapsed().as_secs_f64(),
        })
    }
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        for server in self.servers.iter_mut().flatten() {
            // It may have ended by itself.
            drop(server.kill());
            drop(server.wait());
        }
    }
}

fn started(command: &mut Command) -> Result<Child> {
    command.spawn().map_err(|error| Failure::run(format!("a process cannot be started: {error}")))
}

/// Waits for the end of a command, which has to be a good one.
fn finished(mut client: Child) -> Result<()> {
    match client.wait() {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Failure::run(format!("the servers cannot be prepared: {}", said(&mut client)))),
    }
}

/// What a command said of its failure.
fn said(client: &mut Child) -> String {
    let mut text = String::new();
    if let Some(stderr) = &mut client.stderr {
        drop(stderr.read_to_string(&mut text));
    }
    text.trim().to_owned()
}

/// Ports that nobody uses.
fn free_ports() -> Result<[u16; 6]> {
    let none = |error| Failure::run(format!("there are no free ports: {error}"));
    let mut listeners = Vec::with_capacity(6);
    let mut ports = [0; 6];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(none)?;
        *port = listener.local_addr().map_err(none)?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

/// Most memory that a process has had; 0 if the system does not tell.
fn peak_memory(server: Option<&Child>) -> u64 {
    let status = server.map(|server| fs::read_to_string(format!("/proc/{}/status", server.id())));
    let status = status.and_then(std::io::Result::ok).unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok());
    peak.map_or(0, |kib: u64| kib * 1024)
}
