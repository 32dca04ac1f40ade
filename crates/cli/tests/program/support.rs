//! What the tests of the program have in common: small data, the program, and waiting for it with a limit.

use std::fmt::Write;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Nothing here takes longer on a machine that works.
pub(crate) const LIMIT: Duration = Duration::from_mins(2);

/// The program under test.
pub(crate) fn shamisen() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shamisen"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Ports in a row at which nobody listens, below those that the system gives to connections: a server that was killed finds its
/// own free again.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(97) % COUNT;
    for _ in 0..COUNT {
        let at = start + NEXT.fetch_add(N as u32, Ordering::Relaxed);
        let ports = std::array::from_fn(|number| (FIRST + at % (COUNT - N as u32)) as u16 + number as u16);
        if ports.iter().all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()) {
            return ports;
        }
    }
    panic!("there are no free ports");
}

/// A directory for one test.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// The names in it.
    pub(crate) fn names(&self) -> Vec<String> {
        names(self.0.path())
    }
}

/// The names in a directory, sorted.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Rows of three features, a class that two of them decide, and a number that all decide.
pub(crate) fn table(rows: usize) -> String {
    let mut text = String::from("height,width,\"depth, cm\",kind,price\n");
    for row in 0..rows {
        let at = row as f64;
        let (x, y, z) = ((at * 1.7).sin(), (at * 0.31).cos(), (at * 0.77).sin() * 40.0);
        let kind = if x + y > 0.0 { "big" } else { "small one" };
        writeln!(text, "{x:.5},{y:.5},{z:.4},{kind},{:.4}", 3.0 * x - 2.0 * y + 0.05 * z + 10.0).unwrap();
    }
    text
}

/// The flags that say what [`table`] is trained for.
pub(crate) fn classify(table: &Path) -> Vec<String> {
    let table = table.to_str().unwrap();
    ["train", "--data", table, "--target", "kind", "--task", "classification"].map(str::to_owned).to_vec()
}

/// Feature columns of [`table`] for a regression on `price`, without the classes.
pub(crate) fn numbers(rows: usize) -> String {
    let table = table(rows);
    table
        .lines()
        .map(|line| line.replace(",kind", "").replace(",big", "").replace(",small one", "") + "\n")
        .collect()
}

/// Runs to the end and kills what takes too long.
pub(crate) fn output(command: &mut Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let reader = thread::spawn(move || {
        let mut text = Vec::new();
        stdout.read_to_end(&mut text).unwrap();
        text
    });
    let errors = thread::spawn(move || {
        let mut text = Vec::new();
        stderr.read_to_end(&mut text).unwrap();
        text
    });
    let status = wait(&mut child);
    Output { status, stdout: reader.join().unwrap(), stderr: errors.join().unwrap() }
}

/// Waits for the end of a process.
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > LIMIT {
            child.kill().unwrap();
            panic!("the program did not end within {LIMIT:?}");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Runs to the end, which must be a success, and returns the standard output.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = output(command);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{:?}\n{out}\n{err}", output.status);
    out
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Reads lines until one contains `part`; the rest is read and thrown away in the background.
pub(crate) fn wait_for_line(stream: impl Read + Send + 'static, part: &str) -> String {
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { return };
            drop(sender.send(line));
        }
    });
    let mut seen = String::new();
    loop {
        let line = receiver.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("no line with {part:?} in {seen}"));
        seen.push_str(&line);
        seen.push('\n');
        if line.contains(part) {
            return seen;
        }
    }
}

/// Sends a signal by its name, such as `INT`.
pub(crate) fn signal(name: &str, process: u32) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(process.to_string()).status().unwrap();
    assert!(status.success());
}

/// Processes that a process has started, in the order in which it started them.
pub(crate) fn children(process: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name in brackets may contain anything; the parent is the second field after it.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        if parent == Some(process) {
            found.push(id);
        }
    }
    found.sort_unstable();
    found
}
