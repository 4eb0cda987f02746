//! Compiles modules to machine code in a separate process, so that a module that crashes the compiler does not crash the
//! server.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use rustix::process::Signal;
use tempfile::NamedTempFile;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;
use wasmtime::Engine;

use crate::limits::bounds::Bounds;
use crate::modules::cache::Cache;
use crate::modules::load_error::{LoadError, blocking};
use crate::sandbox::engine::{self, Effort};
use crate::wasmtime_words;
use alert_manager_core::units::format_size;

/// The command of this program that compiles its standard input, followed by two limits: memory in bytes and CPU time in
/// seconds.
pub const COMPILE_COMMAND: &str = "compile-module";

/// The option of [`COMPILE_COMMAND`] for [`Effort::Fast`].
pub const COMPILE_FAST: &str = "--fast";

/// The exit code of the process if the module is at fault. Its standard error has the reason.
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

/// The most threads of one compilation, since each takes some of the limited address space.
const THREADS_MAX: usize = 4;
/// The address space that the allocator reserves at a time, in KiB.
const ALLOCATOR_KIB: &str = "65536";
/// The wall clock limit of a compilation, as a multiple of its CPU time limit, because it may have to wait for a processor.
const WAITS: u32 = 4;
/// The most bytes that are read of the process's standard error.
const MESSAGE_BYTES_MAX: u64 = 16 << 10;
/// Modules of this size and more are compiled one at a time: an interpreter takes seconds and hundreds of megabytes.
const LARGE_BYTES: usize = 1 << 20;
/// The number of smaller modules that are compiled at one time.
const SMALL_AT_ONCE: usize = 4;

/// Where modules are compiled.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// In a process of a program that has the command [`COMPILE_COMMAND`], without the server's environment variables and
    /// with limits on memory and time.
    Program(PathBuf),
    /// The same, with [`Effort::Fast`]: for `dev`, in which the author waits for each compilation.
    FastProgram(PathBuf),
    /// In this process: for tests, whose program does not have the command.
    InProcess,
}

impl Compiler {
    /// Returns this program as the compiler: the version that runs, even if its file was replaced since.
    ///
    /// # Errors
    /// If the operating system does not report which program this is.
    pub fn this_program() -> io::Result<Self> {
        let own = PathBuf::from("/proc/self/exe");
        if cfg!(target_os = "linux") && own.exists() {
            return Ok(Self::Program(own));
        }
        std::env::current_exe().map(Self::Program)
    }

    /// Returns this compiler with [`Effort::Fast`].
    #[must_use]
    pub fn fast(self) -> Self {
        match self {
            Self::Program(program) | Self::FastProgram(program) => Self::FastProgram(program),
            Self::InProcess => Self::InProcess,
        }
    }

    /// Returns how much it spends on fast code.
    pub(crate) fn effort(&self) -> Effort {
        match self {
            Self::FastProgram(_) => Effort::Fast,
            Self::Program(_) | Self::InProcess => Effort::Full,
        }
    }
}

/// The compiler with its settings and permits.
pub(crate) struct Compilation {
    compiler: Compiler,
    engine: Engine,
    bounds: Bounds,
    cache: Arc<Cache>,
    small: Semaphore,
    large: Semaphore,
}

impl Compilation {
    pub(crate) fn new(
        compiler: Compiler,
        engine: Engine,
        bounds: Bounds,
        cache: Arc<Cache>,
    ) -> Self {
        Self {
            compiler,
            engine,
            bounds,
            cache,
            small: Semaphore::new(SMALL_AT_ONCE),
            large: Semaphore::new(1),
        }
    }

    /// Compiles a module into a file of the cache's folder. This is the only place that passes untrusted bytes to the
    /// compiler.
    ///
    /// # Errors
    /// If the module is at fault, exceeds a limit, or the compiler cannot run.
    pub(crate) async fn compile(&self, bytes: Arc<[u8]>) -> Result<NamedTempFile, LoadError> {
        let permits = match bytes.len() {
            ..LARGE_BYTES => &self.small,
            _ => &self.large,
        };
        // The semaphore is never closed.
        let _permit = permits.acquire().await.ok();
        match &self.compiler {
            Compiler::Program(program) | Compiler::FastProgram(program) => {
                self.compile_apart(program.clone(), bytes).await
            }
            Compiler::InProcess => self.compile_here(bytes).await,
        }
    }

    async fn compile_here(&self, bytes: Arc<[u8]>) -> Result<NamedTempFile, LoadError> {
        let (engine, cache) = (self.engine.clone(), Arc::clone(&self.cache));
        blocking(move || {
            let code = engine.precompile_component(&bytes);
            let code = code.map_err(|error| LoadError::Damaged(format!("{error:#}")))?;
            let mut file = cache.new_file().map_err(not_written)?;
            file.write_all(&code).map_err(not_written)?;
            Ok(file)
        })
        .await
    }

    async fn compile_apart(
        &self,
        program: PathBuf,
        bytes: Arc<[u8]>,
    ) -> Result<NamedTempFile, LoadError> {
        let cache = Arc::clone(&self.cache);
        let (input, output) = blocking(move || {
            let output = cache.new_file().map_err(not_written)?;
            let mut input = cache.new_input().map_err(not_written)?;
            input.write_all(&bytes).map_err(not_written)?;
            input.rewind().map_err(not_written)?;
            Ok((input, output))
        })
        .await?;
        let bounds = &self.bounds;
        let code = output.as_file().try_clone().map_err(not_written)?;
        let child = start(program, self.compiler.effort(), input, code, bounds)
            .map_err(|error| LoadError::Host(format!("the compiler cannot be started: {error}")))?;
        let ended = tokio::time::timeout(WAITS * bounds.compile_time_max, wait(child)).await;
        match ended {
            Ok(Ok((status, _))) if status.success() => Ok(output),
            Ok(Ok((status, message))) => Err(failure(status, &message, bounds)),
            Ok(Err(error)) => Err(LoadError::Host(format!("the compiler is lost: {error}"))),
            // The process was killed when its handle was dropped.
            Err(_) => Err(took_too_long(bounds)),
        }
    }
}

fn start(
    program: PathBuf,
    effort: Effort,
    input: File,
    output: File,
    bounds: &Bounds,
) -> io::Result<Child> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX));
    let mut command = Command::new(program);
    command
        .arg(COMPILE_COMMAND)
        .arg(bounds.compile_memory_bytes_max.to_string())
        .arg(bounds.compile_time_max.as_secs().max(1).to_string())
        .args((effort == Effort::Fast).then_some(COMPILE_FAST))
        // The process must not have secrets.
        .env_clear()
        .env("RAYON_NUM_THREADS", threads.to_string())
        // The allocator's default reservation of 1 GiB would use up most of the limit.
        .env("MIMALLOC_ARENA_RESERVE", ALLOCATOR_KIB)
        .current_dir("/")
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(output))
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    #[cfg(unix)]
    command.arg0("alert-manager");
    command.spawn()
}

async fn wait(mut child: Child) -> io::Result<(ExitStatus, String)> {
    let mut message = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        stderr
            .take(MESSAGE_BYTES_MAX)
            .read_to_end(&mut message)
            .await?;
    }
    let status = child.wait().await?;
    Ok((status, String::from_utf8_lossy(&message).trim().to_owned()))
}

/// Returns why the process did not compile the module.
fn failure(status: ExitStatus, message: &str, bounds: &Bounds) -> LoadError {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal = None;
    let is_short = wasmtime_words::is_out_of_memory(message);
    let ended_by = |known: Signal| signal == Some(known.as_raw());
    // Nothing but the kernel sends this signal: the machine is out of memory.
    let is_short = is_short || ended_by(Signal::KILL);
    if is_short {
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

fn not_written(error: io::Error) -> LoadError {
    LoadError::Host(format!("the cache: {error}"))
}

/// Compiles a module in this process and returns the machine code: the work of [`COMPILE_COMMAND`].
///
/// # Errors
/// If the bytes are not a valid component, with the reason for its author.
pub fn compile_module(bytes: &[u8], effort: Effort) -> Result<Vec<u8>, String> {
    let engine = engine::for_compiling(effort).map_err(|error| error.to_string())?;
    engine
        .precompile_component(bytes)
        .map_err(|error| format!("{error:#}"))
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
        failure(ExitStatus::from_raw(raw), message, &bounds).to_string()
    }

    #[test]
    fn each_end_of_the_compiler_has_its_error() {
        const EXITED: i32 = 256;
        assert!(
            error(3 * EXITED, "unexpected end").contains("damaged or not whole: unexpected end")
        );
        assert!(error(6, "memory allocation of 9 bytes failed").starts_with("compile_memory:"));
        assert!(error(24, "").starts_with("compile_time:"), "SIGXCPU");
        assert!(error(9, "").starts_with("compile_memory:"), "SIGKILL");
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
