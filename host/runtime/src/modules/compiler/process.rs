//! A process that compiles modules, seen from the server: it is started, given modules, and ended.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use super::work::Length;
use crate::limits::bounds::Bounds;
use crate::limits::processors;
use crate::modules::load_error::LoadError;
use crate::sandbox::engine::Effort;
use crate::wasmtime_words;
use alert_manager_core::units::format_size;

/// The command of this program that compiles modules with [`compile_modules`](super::compile_modules), followed by two limits:
/// the memory of the process in bytes, and the CPU time of each module in seconds.
pub const COMPILE_COMMAND: &str = "compile-module";

/// The option of [`COMPILE_COMMAND`] for [`Effort::Fast`].
pub const COMPILE_FAST: &str = "--fast";

/// The exit code of the process if a module is at fault. Its standard error has the reason.
pub const EXIT_DAMAGED: u8 = 3;

/// Rust's exit code of a process whose main thread panicked.
const EXIT_PANICKED: i32 = 101;
/// The signals that end the compiler if a module makes it crash.
const CRASHES: [Signal; 5] = [
    Signal::ABORT,
    Signal::BUS,
    Signal::FPE,
    Signal::ILL,
    Signal::SEGV,
];

/// The most threads of one process, since each takes some of the limited address space.
pub(super) const THREADS_MAX: usize = 4;
/// The address space that the allocator reserves at a time, in KiB.
const ALLOCATOR_KIB: &str = "65536";
/// The wall clock limit of a compilation, as a multiple of its CPU time limit, because it may have to wait for a processor.
const WAITS: u32 = 4;
/// The most bytes that are kept of the process's standard error.
const MESSAGE_BYTES_MAX: u64 = 16 << 10;
/// How many bytes of code are written to a file at a time, at most.
const PORTION_BYTES: usize = 256 << 10;

/// A process that waits for a module. It is killed when it is dropped.
pub(super) struct Process {
    child: Child,
    modules: ChildStdin,
    code: BufReader<ChildStdout>,
    /// Reads its standard error all the time, so that it never waits for a reader.
    message: JoinHandle<io::Result<Vec<u8>>>,
}

/// Why a process did not compile a module. It has ended, or has to.
pub(super) enum Ended {
    /// It exited, or a signal ended it, after it wrote this message.
    Exited(ExitStatus, String),
    /// It took longer than the wall clock limit.
    TookTooLong,
    /// It cannot be asked, or its answer is not one.
    Lost(io::Error),
}

impl Process {
    /// Starts a process of the program.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(super) fn start(
        program: &Path,
        effort: Effort,
        bounds: &Bounds,
    ) -> Result<Self, LoadError> {
        let child = spawn(program, effort, bounds);
        let process = child.map(|mut child| {
            let (modules, code) = (child.stdin.take()?, child.stdout.take()?);
            let stderr = child.stderr.take()?;
            Some(Self {
                child,
                modules,
                code: BufReader::with_capacity(PORTION_BYTES, code),
                message: tokio::spawn(message(stderr)),
            })
        });
        let cannot_start =
            |why: &str| LoadError::Host(format!("the compiler cannot be started: {why}"));
        match process {
            Ok(Some(process)) => Ok(process),
            Ok(None) => Err(cannot_start("it has no pipes")),
            Err(error) => Err(cannot_start(&error.to_string())),
        }
    }

    /// Compiles a module, and writes the code to a file. The inner error is that of writing the file.
    ///
    /// # Errors
    /// Why the process did not compile it. The process is of no more use then.
    pub(super) async fn compile(
        &mut self,
        module: &[u8],
        file: File,
        bounds: &Bounds,
    ) -> Result<io::Result<()>, Ended> {
        let code_bytes_max = bounds.compile_memory_bytes_max;
        let compiled = async {
            match self.ask(module, file, code_bytes_max).await {
                Ok(written) => Ok(written),
                Err(error) => Err(match error.kind() {
                    // Its end of a pipe is closed: it has ended, or is about to.
                    io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => self.end().await,
                    _ => Ended::Lost(error),
                }),
            }
        };
        let compiled = tokio::time::timeout(WAITS * bounds.compile_time_max, compiled).await;
        compiled.unwrap_or(Err(Ended::TookTooLong))
    }

    /// Sends the module, and writes the answer to the file.
    async fn ask(
        &mut self,
        module: &[u8],
        file: File,
        code_bytes_max: u64,
    ) -> io::Result<io::Result<()>> {
        let length = Length::of(module);
        self.modules.write_all(&length.to_bytes()).await?;
        self.modules.write_all(module).await?;
        self.modules.flush().await?;
        let mut length = [0; Length::BYTES];
        self.code.read_exact(&mut length).await?;
        let length = Length::from_bytes(length).0;
        if length > code_bytes_max {
            return Err(io::Error::other("its answer has no valid length"));
        }
        let mut file = tokio::fs::File::from_std(file);
        let mut left = (&mut self.code).take(length);
        while left.limit() > 0 {
            let portion = tokio::io::AsyncBufReadExt::fill_buf(&mut left).await?;
            if portion.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let count = portion.len();
            if let Err(error) = file.write_all(portion).await {
                return Ok(Err(error));
            }
            tokio::io::AsyncBufReadExt::consume(&mut left, count);
        }
        Ok(file.flush().await)
    }

    /// Waits for the end of the process, which has closed a pipe.
    async fn end(&mut self) -> Ended {
        match self.status_and_message().await {
            Ok((status, message)) => Ended::Exited(status, message),
            Err(error) => Ended::Lost(error),
        }
    }

    async fn status_and_message(&mut self) -> io::Result<(ExitStatus, String)> {
        let message = (&mut self.message).await.map_err(io::Error::other)??;
        let status = self.child.wait().await?;
        Ok((status, String::from_utf8_lossy(&message).trim().to_owned()))
    }
}

fn spawn(program: &Path, effort: Effort, bounds: &Bounds) -> io::Result<Child> {
    let mut command = Command::new(program);
    command
        .arg(COMPILE_COMMAND)
        .arg(bounds.compile_memory_bytes_max.to_string())
        .arg(bounds.compile_time_max.as_secs().max(1).to_string())
        .args((effort == Effort::Fast).then_some(COMPILE_FAST))
        // The process must not have secrets.
        .env_clear()
        .env(
            "RAYON_NUM_THREADS",
            processors().min(THREADS_MAX).to_string(),
        )
        // The allocator's default reservation of 1 GiB would use up most of the limit.
        .env("MIMALLOC_ARENA_RESERVE", ALLOCATOR_KIB)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    #[cfg(unix)]
    command.arg0("alert-manager");
    command.spawn()
}

/// Reads the standard error of a process to its end, and returns its first bytes.
async fn message(stderr: ChildStderr) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    let mut first = stderr.take(MESSAGE_BYTES_MAX);
    first.read_to_end(&mut message).await?;
    let mut rest = first.into_inner();
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
    Ok(message)
}

impl Ended {
    /// Returns whether the module needs too much time, of which each module has its own.
    pub(super) fn is_for_time(&self) -> bool {
        match self {
            Self::TookTooLong => true,
            Self::Exited(status, _) => signal(*status) == Some(Signal::XCPU.as_raw()),
            Self::Lost(_) => false,
        }
    }

    /// Returns whether the kernel has ended it since the machine ran out of memory, which other processes may have taken.
    pub(super) fn is_for_memory_of_the_machine(&self) -> bool {
        match self {
            // Nothing but the kernel sends this signal. A module that exceeds its own limit has a message.
            Self::Exited(status, message) => {
                signal(*status) == Some(Signal::KILL.as_raw())
                    && !wasmtime_words::is_out_of_memory(message)
            }
            Self::TookTooLong | Self::Lost(_) => false,
        }
    }

    /// Returns why the module cannot be loaded.
    pub(super) fn into_error(self, bounds: &Bounds) -> LoadError {
        if self.is_for_memory_of_the_machine() {
            return LoadError::Host(
                "the machine ran out of memory while it was compiled, although nothing else was; \
                 it is loaded again later"
                    .to_owned(),
            );
        }
        match self {
            Self::Exited(status, message) => failure(status, &message, bounds),
            Self::TookTooLong => took_too_long(bounds),
            Self::Lost(error) => LoadError::Host(format!("the compiler is lost: {error}")),
        }
    }
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal(_status: ExitStatus) -> Option<i32> {
    None
}

/// Returns why the process did not compile the module.
fn failure(status: ExitStatus, message: &str, bounds: &Bounds) -> LoadError {
    let signal = signal(status);
    let ended_by = |known: Signal| signal == Some(known.as_raw());
    if wasmtime_words::is_out_of_memory(message) {
        LoadError::Limit(format!(
            "compile_memory: compiling it takes more than {}, or than this machine has. Raise sandbox.compile_memory, or make the module smaller.",
            format_size(bounds.compile_memory_bytes_max)
        ))
    } else if ended_by(Signal::XCPU) {
        took_too_long(bounds)
    } else if status.code() == Some(EXIT_DAMAGED.into()) {
        LoadError::Damaged(message.to_owned())
    } else {
        let message = message.lines().next().unwrap_or("without a message");
        let has_crashed = match status.code() {
            Some(code) => code == EXIT_PANICKED,
            None => CRASHES.into_iter().any(ended_by),
        };
        if has_crashed {
            LoadError::Damaged(format!("the compiler crashed on it ({status}): {message}"))
        } else {
            LoadError::Host(format!("the compiler failed ({status}): {message}"))
        }
    }
}

fn took_too_long(bounds: &Bounds) -> LoadError {
    LoadError::Limit(format!(
        "compile_time: compiling it takes longer than {:?}. Raise sandbox.compile_time, or make the module smaller.",
        bounds.compile_time_max
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use super::*;

    fn error(raw: i32, message: &str) -> String {
        use std::os::unix::process::ExitStatusExt as _;
        let bounds = Bounds {
            compile_time_max: Duration::from_secs(60),
            ..Bounds::default()
        };
        let ended = Ended::Exited(ExitStatus::from_raw(raw), message.to_owned());
        ended.into_error(&bounds).to_string()
    }

    #[test]
    fn each_end_of_the_compiler_has_its_error() {
        const EXITED: i32 = 256;
        assert!(
            error(3 * EXITED, "unexpected end").contains("damaged or not whole: unexpected end")
        );
        assert!(error(6, "memory allocation of 9 bytes failed").starts_with("compile_memory:"));
        assert!(error(24, "").starts_with("compile_time:"), "SIGXCPU");
        let killed = error(9, "");
        assert!(
            killed.starts_with("this server cannot load it: the machine ran out of memory"),
            "{killed}"
        );
        let exceeded = error(9, "memory allocation of 9 bytes failed");
        assert!(exceeded.starts_with("compile_memory:"), "{exceeded}");
        assert!(error(11, "").contains("crashed on it"), "SIGSEGV");
        assert!(error(101 * EXITED, "panicked at x\ny").contains("crashed on it"));
        let full = "the code cannot be written: No space left on device (os error 28)";
        assert!(error(EXITED, full).starts_with("this server cannot load it: the compiler failed"));
        assert!(error(EXITED, full).ends_with(full));
        assert!(
            error(15, "").starts_with("this server cannot load it"),
            "SIGTERM"
        );
        let short = error(EXITED, "Cannot spawn a thread (os error 11)");
        assert!(short.starts_with("compile_memory:"), "{short}");
        let pool = "panicked at x\nThe pool: IOError(Os { code: 11, kind: WouldBlock })";
        assert!(error(101 * EXITED, pool).starts_with("compile_memory:"));
        let quota = error(EXITED, "the code cannot be written: quota (os error 122)");
        assert!(quota.starts_with("this server cannot load it"), "{quota}");
    }
}
