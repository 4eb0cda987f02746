//! From a module's bytes to machine code, in a process of its own: whatever they do to the compiler, they do it there.

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

use crate::modules::load_error::{LoadError, blocking};
use crate::sandbox::engine;
use crate::wasmtime_words;
use crate::{Bounds, Runtime};
use alert_manager_core::units::format_size;

/// The command of this program that compiles what it reads, followed by its two limits: bytes and seconds.
pub const COMPILE_COMMAND: &str = "compile-module";

/// With this the process says that the module is at fault; its standard error has the reason.
pub const EXIT_DAMAGED: u8 = 3;

/// With this Rust ends a process whose main thread panicked.
const EXIT_PANICKED: i32 = 101;
/// The signals by which the compiler ends where a module is too much for it.
const BREAKS: [Signal; 5] = [
    Signal::ABORT,
    Signal::BUS,
    Signal::FPE,
    Signal::ILL,
    Signal::SEGV,
];

/// Threads of one compilation. Address space is limited, and each takes some.
const THREADS_MAX: usize = 4;
/// Address space that the allocator takes at a time.
const ALLOCATOR_KIB: &str = "65536";
/// How many times its time on processors it may take from start to end: it waits for those of a busy machine.
const WAITS: u32 = 4;
/// Of what the process says.
const SAID_BYTES_MAX: u64 = 16 << 10;
/// From this size on, modules are compiled one at a time: an interpreter takes seconds and hundreds of megabytes.
const LARGE_BYTES: usize = 1 << 20;
/// Smaller ones that are compiled at one time.
const SMALL_AT_ONCE: usize = 4;

/// Where modules are compiled.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// By running a program that has the command [`COMPILE_COMMAND`]: in a process without an environment, with limits
    /// on memory and time, whose end is no end of the server.
    Program(PathBuf),
    /// In this process: for tests that are no such program themselves.
    InProcess,
}

impl Compiler {
    /// Returns the compiler that is this very program, also where its file was replaced since it started.
    ///
    /// # Errors
    /// Where the system does not say which program this is.
    pub fn this_program() -> io::Result<Self> {
        let own = PathBuf::from("/proc/self/exe");
        if cfg!(target_os = "linux") && own.exists() {
            return Ok(Self::Program(own));
        }
        std::env::current_exe().map(Self::Program)
    }
}

/// The compiler with its turns.
pub(crate) struct Compilation {
    compiler: Compiler,
    small: Semaphore,
    large: Semaphore,
}

impl Compilation {
    pub(crate) fn new(compiler: Compiler) -> Self {
        Self {
            compiler,
            small: Semaphore::new(SMALL_AT_ONCE),
            large: Semaphore::new(1),
        }
    }
}

impl Runtime {
    /// Compiles a module into a file of the cache's folder. The one place where untrusted bytes meet the compiler.
    pub(crate) async fn compile(
        self: &Arc<Self>,
        bytes: Arc<[u8]>,
    ) -> Result<NamedTempFile, LoadError> {
        let turns = match bytes.len() {
            ..LARGE_BYTES => &self.compilation.small,
            _ => &self.compilation.large,
        };
        // The semaphore is never closed.
        let _turn = turns.acquire().await.ok();
        match &self.compilation.compiler {
            Compiler::Program(program) => self.compile_apart(program.clone(), bytes).await,
            Compiler::InProcess => self.compile_here(bytes).await,
        }
    }

    async fn compile_here(self: &Arc<Self>, bytes: Arc<[u8]>) -> Result<NamedTempFile, LoadError> {
        let runtime = Arc::clone(self);
        blocking(move || {
            let code = runtime.sandbox.engine.precompile_component(&bytes);
            let code = code.map_err(|error| LoadError::Damaged(format!("{error:#}")))?;
            let mut file = runtime.cache.new_file().map_err(unkept)?;
            file.write_all(&code).map_err(unkept)?;
            Ok(file)
        })
        .await
    }

    async fn compile_apart(
        self: &Arc<Self>,
        program: PathBuf,
        bytes: Arc<[u8]>,
    ) -> Result<NamedTempFile, LoadError> {
        let runtime = Arc::clone(self);
        let (input, output) = blocking(move || {
            let output = runtime.cache.new_file().map_err(unkept)?;
            let mut input = runtime.cache.new_input().map_err(unkept)?;
            input.write_all(&bytes).map_err(unkept)?;
            input.rewind().map_err(unkept)?;
            Ok((input, output))
        })
        .await?;
        let bounds = self.sandbox.bounds;
        let code = output.as_file().try_clone().map_err(unkept)?;
        let child = start(program, input, code, &bounds)
            .map_err(|error| LoadError::Host(format!("the compiler cannot be started: {error}")))?;
        let ended = tokio::time::timeout(WAITS * bounds.compile_time_max, wait(child)).await;
        match ended {
            Ok(Ok((status, _))) if status.success() => Ok(output),
            Ok(Ok((status, said))) => Err(failure(status, &said, &bounds)),
            Ok(Err(error)) => Err(LoadError::Host(format!("the compiler is lost: {error}"))),
            // Dropping it killed it.
            Err(_) => Err(took_too_long(&bounds)),
        }
    }
}

fn start(program: PathBuf, input: File, output: File, bounds: &Bounds) -> io::Result<Child> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX));
    let mut command = Command::new(program);
    command
        .arg(COMPILE_COMMAND)
        .arg(bounds.compile_memory_bytes_max.to_string())
        .arg(bounds.compile_time_max.as_secs().max(1).to_string())
        // It is told no secret, and nothing by which a module could find its way.
        .env_clear()
        .env("RAYON_NUM_THREADS", threads.to_string())
        // The allocator takes address space ahead, in KiB at a time: by itself a whole GiB, most of what it may have.
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
    let mut said = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        stderr.take(SAID_BYTES_MAX).read_to_end(&mut said).await?;
    }
    let status = child.wait().await?;
    Ok((status, String::from_utf8_lossy(&said).trim().to_owned()))
}

/// Says why the process did not compile it.
fn failure(status: ExitStatus, said: &str, bounds: &Bounds) -> LoadError {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal = None;
    let is_short = wasmtime_words::is_out_of_memory(said);
    let ended_by = |known: Signal| signal == Some(known.as_raw());
    // Nobody else kills it but the kernel, where the machine has no more memory.
    let is_short = is_short || ended_by(Signal::KILL);
    if is_short {
        LoadError::Limit(format!(
            "compile_memory: compiling it takes more than {}, or than this machine has. Raise sandbox.compile_memory, or make the module smaller.",
            format_size(bounds.compile_memory_bytes_max)
        ))
    } else if ended_by(Signal::XCPU) {
        took_too_long(bounds)
    } else if status.code() == Some(EXIT_DAMAGED.into()) {
        LoadError::Damaged(said.to_owned())
    } else {
        let said = said.lines().next().unwrap_or("it said nothing");
        let is_broken = match status.code() {
            Some(code) => code == EXIT_PANICKED,
            None => BREAKS.into_iter().any(ended_by),
        };
        if is_broken {
            LoadError::Damaged(format!("the compiler broke on it ({status}): {said}"))
        } else {
            LoadError::Host(format!("the compiler failed ({status}): {said}"))
        }
    }
}

fn took_too_long(bounds: &Bounds) -> LoadError {
    LoadError::Limit(format!(
        "compile_time: compiling it takes longer than {:?}. Raise sandbox.compile_time, or make the module smaller.",
        bounds.compile_time_max
    ))
}

fn unkept(error: io::Error) -> LoadError {
    LoadError::Host(format!("the cache: {error}"))
}

/// Compiles a module in this process, for the command [`COMPILE_COMMAND`]: with a compiler and no pool.
///
/// # Errors
/// Where the bytes are no component, for its author.
pub fn compile_module(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let engine = engine::for_compiling().map_err(|error| error.to_string())?;
    engine
        .precompile_component(bytes)
        .map_err(|error| format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use super::*;

    fn told(raw: i32, said: &str) -> String {
        use std::os::unix::process::ExitStatusExt as _;
        let bounds = Bounds {
            compile_time_max: Duration::from_secs(60),
            ..Bounds::default()
        };
        failure(ExitStatus::from_raw(raw), said, &bounds).to_string()
    }

    #[test]
    fn each_end_of_the_compiler_is_told_for_what_it_is() {
        const EXITED: i32 = 256;
        assert!(
            told(3 * EXITED, "unexpected end").contains("damaged or not whole: unexpected end")
        );
        assert!(told(6, "memory allocation of 9 bytes failed").starts_with("compile_memory:"));
        assert!(told(24, "").starts_with("compile_time:"), "SIGXCPU");
        assert!(told(9, "").starts_with("compile_memory:"), "SIGKILL");
        assert!(told(11, "").contains("broke on it"), "SIGSEGV");
        assert!(told(101 * EXITED, "panicked at x\ny").contains("broke on it"));
        let full = "the code cannot be written: No space left on device (os error 28)";
        assert!(told(EXITED, full).starts_with("this server cannot load it: the compiler failed"));
        assert!(told(EXITED, full).ends_with(full));
        assert!(
            told(15, "").starts_with("this server cannot load it"),
            "SIGTERM"
        );
        let short = told(EXITED, "Cannot spawn a thread (os error 11)");
        assert!(short.starts_with("compile_memory:"), "{short}");
        let pool = "panicked at x\nThe pool: IOError(Os { code: 11, kind: WouldBlock })";
        assert!(told(101 * EXITED, pool).starts_with("compile_memory:"));
        let quota = told(EXITED, "the code cannot be written: quota (os error 122)");
        assert!(quota.starts_with("this server cannot load it"), "{quota}");
    }
}
