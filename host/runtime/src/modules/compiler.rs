//! Compiles modules to machine code in separate processes, so that a module that crashes the compiler does not crash the server.
//!
//! There are as many processes as the processors and the memory suffice for, and each compiles one module after the other. A
//! module at which a process ends costs only itself: the modules after it are compiled by a new process.

mod process;
mod work;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tempfile::NamedTempFile;
use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::Engine;

use crate::limits::bounds::Bounds;
use crate::limits::{memory, processors};
use crate::modules::cache::Cache;
use crate::modules::load_error::{LoadError, blocking};
use crate::sandbox::engine::Effort;
use process::{Ended, Process, THREADS_MAX};

pub use process::{COMPILE_COMMAND, COMPILE_FAST, EXIT_DAMAGED};
pub use work::{CompileError, compile_modules};

/// The most processes.
const PROCESSES_MAX: u32 = 8;

/// There is at most one process for each so many bytes of memory that this process may use. An interpreter needs most of it.
const MEMORY_OF_A_PROCESS_BYTES: u64 = 512 << 20;

/// Modules of this size and more need hundreds of megabytes to compile, so fewer of them are compiled at one time.
const LARGE_BYTES: usize = 1 << 20;

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

/// The compiler with its settings, permits and processes.
pub(crate) struct Compilation {
    compiler: Compiler,
    engine: Engine,
    bounds: Bounds,
    cache: Arc<Cache>,
    /// How many processes there may be.
    processes: u32,
    /// One for each process.
    permits: Semaphore,
    /// One for each [`THREADS_MAX`] processors, since the compilation of a large module takes so many; not more than processes.
    large: Semaphore,
    pool: Mutex<Pool>,
}

/// The processes that wait for a module.
#[derive(Default)]
struct Pool {
    idle: Vec<Process>,
    /// The modules that are being loaded, each of which may have to be compiled.
    loads: usize,
}

/// A module that is being loaded. The processes are kept until there is none.
pub(crate) struct Load<'a>(&'a Compilation);

impl Drop for Load<'_> {
    fn drop(&mut self) {
        let mut pool = self.0.pool.lock();
        pool.loads -= 1;
        if pool.loads == 0 {
            pool.idle.clear();
        }
    }
}

impl Compilation {
    pub(crate) fn new(
        compiler: Compiler,
        engine: Engine,
        bounds: Bounds,
        cache: Arc<Cache>,
    ) -> Self {
        let processes = processes(processors(), memory::usable_bytes());
        let permits = processes as usize;
        Self {
            compiler,
            engine,
            bounds,
            cache,
            processes,
            permits: Semaphore::new(permits),
            large: Semaphore::new((processors() / THREADS_MAX).clamp(1, permits)),
            pool: Mutex::default(),
        }
    }

    /// Announces a module that may have to be compiled.
    pub(crate) fn begin_load(&self) -> Load<'_> {
        self.pool.lock().loads += 1;
        Load(self)
    }

    /// Compiles the module of a load into a file of the cache's folder. This is the only place that passes untrusted bytes to
    /// the compiler.
    ///
    /// # Errors
    /// If the module is at fault, exceeds a limit, or the compiler cannot run.
    pub(crate) async fn compile(
        &self,
        _load: &Load<'_>,
        bytes: Arc<[u8]>,
    ) -> Result<NamedTempFile, LoadError> {
        // The semaphores are never closed.
        let _large = match bytes.len() {
            ..LARGE_BYTES => None,
            _ => self.large.acquire().await.ok(),
        };
        let permit = self.permits.acquire().await.ok();
        match &self.compiler {
            Compiler::Program(program) | Compiler::FastProgram(program) => {
                self.compile_apart(program, &bytes, permit).await
            }
            Compiler::InProcess => {
                let _permit = permit;
                self.compile_here(bytes).await
            }
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
        program: &Path,
        bytes: &[u8],
        permit: Option<SemaphorePermit<'_>>,
    ) -> Result<NamedTempFile, LoadError> {
        let mut compiled = self.compile_beside_others(program, bytes).await?;
        if matches!(&compiled, Err(ended) if ended.is_for_memory_of_the_machine()) {
            // Others may have taken the memory: it is tried once more, alone. With its own permit it would wait for itself.
            drop(permit);
            let _alone = self.permits.acquire_many(self.processes).await.ok();
            self.pool.lock().idle.clear();
            let process = Process::start(program, self.compiler.effort(), &self.bounds)?;
            compiled = self.compile_in(process, bytes).await?;
        }
        compiled.map_err(|ended| ended.into_error(&self.bounds))
    }

    /// Compiles a module in a process that waits, or in a new one.
    async fn compile_beside_others(
        &self,
        program: &Path,
        bytes: &[u8],
    ) -> Result<Result<NamedTempFile, Ended>, LoadError> {
        let idle = self.pool.lock().idle.pop();
        if let Some(process) = idle {
            match self.compile_in(process, bytes).await? {
                Ok(code) => return Ok(Ok(code)),
                Err(ended) if ended.is_for_time() || ended.is_for_memory_of_the_machine() => {
                    return Ok(Err(ended));
                }
                // The modules before it may have left too little of the process's memory: it is tried in a new one.
                Err(_) => {}
            }
        }
        let process = Process::start(program, self.compiler.effort(), &self.bounds)?;
        self.compile_in(process, bytes).await
    }

    /// Compiles a module in a process, which is kept unless it has ended.
    async fn compile_in(
        &self,
        mut process: Process,
        bytes: &[u8],
    ) -> Result<Result<NamedTempFile, Ended>, LoadError> {
        let cache = Arc::clone(&self.cache);
        let code = blocking(move || cache.new_file().map_err(not_written)).await?;
        let file = code.as_file().try_clone().map_err(not_written)?;
        match process.compile(bytes, file, &self.bounds).await {
            Ok(written) => {
                written.map_err(not_written)?;
                self.pool.lock().idle.push(process);
                Ok(Ok(code))
            }
            Err(ended) => Ok(Err(ended)),
        }
    }
}

/// Returns how many processes there may be, with the memory in bytes that this process may use, if it is known.
fn processes(processors: usize, memory_bytes: Option<u64>) -> u32 {
    let by_memory = memory_bytes.map(|bytes| bytes / MEMORY_OF_A_PROCESS_BYTES);
    let by_memory = by_memory.and_then(|count| u32::try_from(count).ok());
    u32::try_from(processors)
        .unwrap_or(u32::MAX)
        .min(by_memory.unwrap_or(u32::MAX))
        .clamp(1, PROCESSES_MAX)
}

fn not_written(error: io::Error) -> LoadError {
    LoadError::Host(format!("the cache: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_processes_as_processors_and_memory_suffice_for() {
        const GIB: u64 = 1 << 30;
        for (processors, memory_bytes, expected) in [
            (2, Some(16 * GIB), 2),
            (8, Some(16 * GIB), 8),
            (64, Some(16 * GIB), 8),
            (64, None, 8),
            (64, Some(u64::MAX), 8),
            (8, Some(3 * GIB), 6),
            (8, Some(GIB), 2),
            (8, Some(100 << 20), 1),
            (8, Some(0), 1),
        ] {
            assert_eq!(
                processes(processors, memory_bytes),
                expected,
                "{processors} processors, {memory_bytes:?} bytes"
            );
        }
    }
}
