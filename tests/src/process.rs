//! The real binary as a process: started, asked, signalled, killed.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::PATIENCE;
use crate::modules::workspace;

/// Returns the binary, built in the profile of the tests.
///
/// # Panics
/// If it does not build.
#[must_use]
pub fn binary() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("alert-manager", &[]))
}

/// Returns the binary with failpoints: it breaks the promises that `alert_manager::queue::failpoint` is configured to break.
/// No release has it.
///
/// # Panics
/// If it does not build.
#[must_use]
pub fn binary_with_failpoints() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("alert-manager-failpoints", &["--features", "failpoints"]))
}

/// Builds a binary in the profile of the tests, with the features of a build of the server alone.
fn build(name: &str, more: &[&str]) -> PathBuf {
    let mut build = Command::new(env!("CARGO"));
    build
        .args(["build", "--quiet", "--locked", "--bin", name])
        .args(more)
        .current_dir(workspace());
    // Some build scripts look at what cargo sets for the package that is being built. What it has set for these tests would
    // have half of the dependencies built anew, back and forth.
    for (name, _) in std::env::vars() {
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            build.env_remove(name);
        }
    }
    build.args(profile());
    let built = build.output().expect("cargo runs");
    assert!(
        built.status.success(),
        "{name} does not build:\n{}",
        String::from_utf8_lossy(&built.stderr)
    );
    folder().join(name)
}

/// Returns the arguments that make cargo build in the profile of this program.
#[must_use]
pub fn profile() -> Vec<String> {
    let folder = folder();
    let name = folder.file_name().and_then(std::ffi::OsStr::to_str);
    match name {
        Some(name) if name != "debug" => vec!["--profile".into(), name.into()],
        _ => Vec::new(),
    }
}

/// Returns `target/PROFILE`: a test's own binary is there or in `deps` below it, and the server's is built there.
fn folder() -> PathBuf {
    let mut folder = std::env::current_exe().expect("this program has a path");
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    folder
}

/// Returns the command with no variable of ours inherited, in a folder.
#[must_use]
pub fn command(dir: &Path, args: &[&str]) -> Command {
    command_of(binary(), dir, args)
}

/// As [`command`], of another build of the server.
#[must_use]
pub fn command_of(binary: &Path, dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.current_dir(dir).args(args);
    for name in [
        "CI",
        "PORT",
        "SLACK_TOKEN",
        "SLACK_TOKEN_FILE",
        "SLACK_CHANNEL",
        "SLACK_API_URL",
        "ALERT_MANAGER_CONFIG",
        "ALERT_MANAGER_STORE",
        "ALERT_MANAGER_URL",
        "ALERT_MANAGER_TOKEN_FILE",
        "ALERT_MANAGER_WEBHOOK_TOKEN_FILE",
    ] {
        command.env_remove(name);
    }
    command
}

/// Runs a command to its end.
///
/// # Panics
/// If it cannot be started.
#[must_use]
pub fn run(dir: &Path, args: &[&str]) -> Finished {
    finished(command(dir, args).output().expect("the command runs"))
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Finished {
    /// The exit code.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Reads what a command left.
#[must_use]
pub fn finished(output: Output) -> Finished {
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A server in a process of its own. Killed when dropped.
pub struct Process {
    child: Child,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    lines: Receiver<String>,
    first_lines: Vec<String>,
    stdout: Arc<Mutex<String>>,
}

impl Process {
    /// Starts a server on a free port and waits until it is ready.
    ///
    /// # Panics
    /// If it is not ready in time; what it printed is in the panic.
    #[must_use]
    pub fn start(command: Command) -> Self {
        Self::try_start(command).unwrap_or_else(|said| panic!("the server is not ready: {said}"))
    }

    /// Starts a server on a free port and waits until it is ready.
    ///
    /// # Errors
    /// What it said instead, if it ended or was not ready in time.
    pub fn try_start(command: Command) -> Result<Self, String> {
        Self::try_start_logging(command, "logfmt")
    }

    /// Starts a server again where one has listened, `127.0.0.1:PORT`, and waits until it is ready.
    ///
    /// # Panics
    /// If it is not ready in time; what it printed is in the panic.
    #[must_use]
    pub fn start_at(command: Command, address: &str) -> Self {
        Self::start_logging_at(command, "logfmt", address)
            .unwrap_or_else(|said| panic!("the server is not ready: {said}"))
    }

    /// As [`Self::try_start`], with log lines in this format.
    ///
    /// # Errors
    /// What it said instead, if it ended or was not ready in time.
    pub fn try_start_logging(command: Command, format: &str) -> Result<Self, String> {
        Self::start_logging_at(command, format, "127.0.0.1:0")
    }

    /// Starts a server on a free port and waits until it listens. It may still be loading its modules.
    ///
    /// # Panics
    /// If it does not listen in time; what it printed is in the panic.
    #[must_use]
    pub fn start_listening(command: Command) -> Self {
        Self::listening_at(command, "logfmt", "127.0.0.1:0")
            .unwrap_or_else(|said| panic!("the server does not listen: {said}"))
    }

    fn start_logging_at(command: Command, format: &str, address: &str) -> Result<Self, String> {
        let process = Self::listening_at(command, format, address)?;
        process.line("ready")?;
        Ok(process)
    }

    fn listening_at(mut command: Command, format: &str, address: &str) -> Result<Self, String> {
        let mut child = command
            .args(["--web.listen-address", address, "--log.format", format])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let stdout = Arc::new(Mutex::new(String::new()));
        let (mut out, kept) = (child.stdout.take().expect("piped"), Arc::clone(&stdout));
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(n) = out.read(&mut chunk) {
                if n == 0 {
                    break;
                }
                kept.lock().push_str(&String::from_utf8_lossy(&chunk[..n]));
            }
        });
        let (send, lines) = channel();
        let err = BufReader::new(child.stderr.take().expect("piped"));
        std::thread::spawn(move || {
            for line in err.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let mut process = Self {
            child,
            url: String::new(),
            lines,
            first_lines: Vec::new(),
            stdout,
        };
        let listening = loop {
            let said = process.line("");
            let line = said.map_err(|_| process.first_lines.join("\n"))?;
            process.first_lines.push(line.clone());
            if line.contains("listening on http://") {
                break line;
            }
        };
        let address = listening
            .split("http://")
            .nth(1)
            .and_then(|rest| rest.split([',', '"', ' ']).next())
            .expect("the line names the address");
        process.url = format!("http://{address}");
        Ok(process)
    }

    /// Returns the log lines up to the one with the address that it listens on.
    #[must_use]
    pub fn first_lines(&self) -> &[String] {
        &self.first_lines
    }

    /// Waits for a log line that contains `part`, and returns it.
    ///
    /// # Panics
    /// If it does not come.
    pub fn wait_for_line(&self, part: &str) -> String {
        self.line(part).unwrap_or_else(|said| panic!("{said}"))
    }

    fn line(&self, part: &str) -> Result<String, String> {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(part) => return Ok(line),
                Ok(line) => seen.push(line),
                Err(_) => {
                    return Err(format!(
                        "no line with {part:?}; it said:\n{}",
                        seen.join("\n")
                    ));
                }
            }
        }
    }

    /// Returns what it wrote to its standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.lock().clone()
    }

    /// Returns its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, as `kill -s` takes it.
    ///
    /// # Panics
    /// If it cannot be sent.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(sent.success(), "kill -s {name}");
    }

    /// Waits for its end and returns the exit code; none if a signal ended it.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn wait(mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self
                .child
                .try_wait()
                .expect("the process can be waited for")
            {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it at once: `kill -9`.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
