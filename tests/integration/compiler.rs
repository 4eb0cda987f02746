//! Modules are compiled in another process with limits, so that a crash of the compiler does not end the server.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::num::NonZero;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use alert_manager::runtime::{
    Bounds, COMPILE_COMMAND, Compiler, EXIT_DAMAGED, LoadError, ModuleState, Pins, Registry,
};
use tests::harness::Harness;
use tests::source::Memory;
use tests::{modules, process};

fn harness(bounds: Bounds) -> Harness {
    Harness::with(|options| {
        options.compiler = Compiler::Program(process::binary().to_owned());
        options.bounds = Bounds {
            invocations_max: 8,
            ..bounds
        };
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_process_compiled_runs_here() {
    let harness = harness(Bounds::default());
    assert_eq!(harness.probe("attempt").await.facts().await, ["1"]);
    let half = &modules::bytes("probe")[..20_000];
    let error = harness
        .runtime
        .loader()
        .load(half.to_vec())
        .await
        .unwrap_err();
    assert!(matches!(error, LoadError::Damaged(_)), "{error:?}");
    // What is left is the module and what it says of itself: no input, no half of an output.
    let left = std::fs::read_dir(harness.folder.path().join("cache")).unwrap();
    let mut left: Vec<_> = left
        .map(|entry| entry.unwrap().path().extension().unwrap().to_owned())
        .collect();
    left.sort();
    assert_eq!(left, ["cwasm", "json"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_compiled_in_little_time_runs_here_and_serves_nobody_else() {
    let cache = tempfile::tempdir().unwrap();
    let program = Compiler::Program(process::binary().to_owned());
    let mut compiled = Vec::new();
    for compiler in [program.clone().fast(), program] {
        let harness = Harness::with(|options| {
            options.compiler = compiler;
            options.cache_dir = cache.path().join("cache");
        });
        assert_eq!(harness.probe("attempt").await.facts().await, ["1"]);
        let files = std::fs::read_dir(cache.path().join("cache")).unwrap();
        let paths = files.map(|entry| entry.unwrap().path());
        let code = paths.filter(|path| path.extension().is_some_and(|e| e == "cwasm"));
        compiled.push(code.count());
    }
    assert_eq!(compiled, [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_takes_too_much_memory_or_time_to_compile_is_refused_by_that_name() {
    let small = harness(Bounds {
        compile_memory_bytes_max: 64 << 20,
        ..Bounds::default()
    });
    let error = small
        .runtime
        .loader()
        .load(large_module(1))
        .await
        .unwrap_err();
    let LoadError::Limit(why) = &error else {
        panic!("{error:?}");
    };
    assert!(
        why.starts_with("compile_memory:") && why.contains("64MiB"),
        "{why}"
    );
    let short = harness(Bounds {
        compile_time_max: Duration::from_millis(50),
        ..Bounds::default()
    });
    let error = short
        .runtime
        .loader()
        .load(large_module(1))
        .await
        .unwrap_err();
    let LoadError::Limit(why) = &error else {
        panic!("{error:?}");
    };
    assert!(
        why.starts_with("compile_time:") && why.contains("50ms"),
        "{why}"
    );
}

/// Returns a handler with another digest for each number.
fn handler(number: usize) -> Vec<u8> {
    let mut bytes = modules::bytes("guest-post");
    // A custom section without a name.
    bytes.extend([0, 2, 0, u8::try_from(number).unwrap()]);
    bytes
}

/// Loads modules at the same time, and returns for each the handler's name or the error.
async fn loaded(harness: &Harness, batch: Vec<Vec<u8>>) -> Vec<Result<String, String>> {
    let loader = harness.runtime.loader();
    let loads = batch.into_iter().map(|bytes| loader.load(bytes));
    let loads = futures_util::future::join_all(loads).await.into_iter();
    loads
        .map(|load| match load {
            Ok(module) => Ok(module.name().to_string()),
            Err(error) => Err(error.to_string()),
        })
        .collect()
}

/// Returns the compiled code in the cache, by file name.
fn code(harness: &Harness) -> BTreeMap<OsString, Vec<u8>> {
    let files = std::fs::read_dir(harness.folder.path().join("cache")).unwrap();
    let paths = files.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "cwasm"))
        .map(|path| {
            (
                path.file_name().unwrap().to_owned(),
                std::fs::read(&path).unwrap(),
            )
        })
        .collect()
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_module_costs_its_batch_nothing_but_itself() {
    let bounds = Bounds::default();
    let half = &modules::bytes("guest-post")[..20_000];
    let cases = [
        (
            "compile_memory:",
            large_module(3),
            Bounds {
                compile_memory_bytes_max: 384 << 20,
                ..bounds
            },
        ),
        (
            "compile_time:",
            large_module(3),
            Bounds {
                compile_time_max: Duration::from_secs(4),
                ..bounds
            },
        ),
        ("it does not compile", half.to_vec(), bounds),
        ("it is a text file", b"#!/bin/sh".to_vec(), bounds),
    ];
    // One for each process before the hostile one, and one after it.
    let honest = processors();
    let alone = harness(bounds);
    let mut expected = Vec::new();
    for number in 0..2 * honest {
        expected.extend(loaded(&alone, vec![handler(number)]).await);
    }
    for (why, hostile, bounds) in cases {
        let one = loaded(&harness(bounds), vec![hostile.clone()])
            .await
            .remove(0);
        assert!(
            one.as_ref().is_err_and(|error| error.contains(why)),
            "{one:?}"
        );
        let mut batch: Vec<_> = (0..2 * honest).map(handler).collect();
        batch.insert(honest, hostile);
        let harness = harness(bounds);
        let mut together = loaded(&harness, batch).await;
        assert_eq!(together.remove(honest), one);
        assert_eq!(together, expected, "beside: {why}");
        assert!(
            code(&harness) == code(&alone),
            "the code differs beside: {why}"
        );
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_compiled_by_no_more_processes_than_there_are_processors() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let compiler = folder.path().join("compiler");
    let started = folder.path().join("started");
    // Writes a line for each process that is started.
    let (program, log) = (process::binary().display(), started.display());
    let counts = format!("#!/bin/sh\necho $$ >>'{log}'\nexec '{program}' \"$@\"\n");
    std::fs::write(&compiler, counts).unwrap();
    std::fs::set_permissions(&compiler, PermissionsExt::from_mode(0o700)).unwrap();
    let harness = Harness::with(|options| options.compiler = Compiler::Program(compiler.clone()));
    let batch = (0..3 * processors() + 1).map(handler).collect();
    let results = loaded(&harness, batch).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let started = std::fs::read_to_string(started).unwrap();
    let started = started.lines().count();
    assert!((1..=processors()).contains(&started), "{started}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compiler_that_is_not_there_is_the_servers_fault_and_said_so() {
    let harness = Harness::with(|options| options.compiler = Compiler::Program("/nowhere".into()));
    let error = harness
        .runtime
        .loader()
        .load(modules::bytes("probe"))
        .await
        .unwrap_err();
    assert!(matches!(error, LoadError::Host(_)), "{error:?}");
    assert!(error.to_string().contains("cannot be started"), "{error}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_was_at_fault_for_is_loaded_once_it_is_well() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let compiler = folder.path().join("compiler");
    // Ends as a full disk has it end, until it is replaced.
    let fails = "#!/bin/sh\necho 'the code cannot be written (os error 28)' >&2\nexit 1\n";
    std::fs::write(&compiler, fails).unwrap();
    std::fs::set_permissions(&compiler, PermissionsExt::from_mode(0o700)).unwrap();
    let harness = Harness::with(|options| options.compiler = Compiler::Program(compiler.clone()));
    let source = Memory::new("memory");
    source.put("probe", modules::bytes("probe"));
    let registry = Registry::open(
        harness.runtime.loader().clone(),
        vec![source.boxed()],
        Pins::new(),
    );
    registry.rescan().await;
    let refused = registry.serving().listed()[0].clone();
    assert_eq!(refused.state, ModuleState::Refused);
    let why = refused.error.unwrap();
    assert!(why.contains("this server cannot load it"), "{why}");
    assert!(why.contains("os error 28"), "{why}");
    std::fs::remove_file(&compiler).unwrap();
    std::os::unix::fs::symlink(process::binary(), &compiler).unwrap();
    registry.rescan().await;
    let served = registry.serving().listed()[0].clone();
    assert_eq!(served.state, ModuleState::Ready, "{served:?}");
}

#[test]
fn the_command_says_by_its_exit_code_whose_fault_it_is() {
    let damaged = compile(b"\0asm\x0d\0\x01\0\x01", "2000000000", "10");
    assert_eq!(damaged.status.code(), Some(EXIT_DAMAGED.into()));
    assert!(!damaged.stderr.is_empty() && damaged.stdout.is_empty());
    let empty = compile(b"\0asm\x0d\0\x01\0", "2000000000", "10");
    assert!(empty.status.success(), "{empty:?}");
    let (length, code) = empty.stdout.split_at(LENGTH_BYTES);
    assert!(code.starts_with(b"\x7fELF"));
    assert_eq!(length, (code.len() as u64).to_le_bytes());
    let endless = compile(&large_module(1), "4000000000", "1");
    let signal = std::os::unix::process::ExitStatusExt::signal(&endless.status);
    assert_eq!(signal, Some(24), "SIGXCPU: {:?}", endless.status);
    let helped = process::run(&std::env::temp_dir(), &["--help"]).stdout;
    assert!(!helped.contains(COMPILE_COMMAND), "it is nobody's command");
}

/// The bytes of the length before a module and before its code.
const LENGTH_BYTES: usize = 8;

fn compile(module: &[u8], memory: &str, seconds: &str) -> Output {
    let mut child = Command::new(process::binary())
        .args([COMPILE_COMMAND, memory, seconds])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let length = (module.len() as u64).to_le_bytes();
    // It may be gone before it has read all.
    let _ = child
        .stdin
        .take()
        .unwrap()
        .write_all(&[&length, module].concat());
    child.wait_with_output().unwrap()
}

/// A component of core modules, each with a great many functions as large as this: far more than any handler.
fn large_module(core_modules: usize) -> Vec<u8> {
    const FUNCTIONS: usize = 60_000;
    let mut body = vec![0x00];
    for _ in 0..40 {
        // local.get 0, i32.const 1, i32.add, local.set 0
        body.extend([0x20, 0x00, 0x41, 0x01, 0x6a, 0x21, 0x00]);
    }
    body.push(0x0b);
    let mut code = leb(FUNCTIONS);
    for _ in 0..FUNCTIONS {
        code.extend(leb(body.len()));
        code.extend(&body);
    }
    let mut functions = leb(FUNCTIONS);
    functions.extend(vec![0; FUNCTIONS]);
    let mut core = b"\0asm\x01\0\0\0".to_vec();
    for (id, section) in [(1, vec![1, 0x60, 1, 0x7f, 0]), (3, functions), (10, code)] {
        core.push(id);
        core.extend(leb(section.len()));
        core.extend(section);
    }
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    for _ in 0..core_modules {
        component.push(1);
        component.extend(leb(core.len()));
        component.extend(&core);
    }
    component
}

/// Writes a number as WebAssembly does.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
