//! The handlers and guests that tests run, built to components once a process.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use handler_build::{BuildError, Language, Options, Tools, build_all, discover};

/// Returns the folder of the workspace.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this package is in a workspace")
}

/// Returns the component of a guest below `tests/guests` and `tests/handlers`, else of a bundled handler, written in Rust.
///
/// # Panics
/// If it does not build; the compiler's messages are in the panic.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    let built = built();
    let guest = built.join(format!("guests/{name}.wasm"));
    match guest.is_file() {
        true => guest,
        false => built.join(format!("{name}.wasm")),
    }
}

/// Returns the component of a bundled handler, be there a guest of its name or not.
///
/// # Panics
/// If it does not build.
#[must_use]
pub fn handler(name: &str) -> PathBuf {
    built().join(format!("{name}.wasm"))
}

/// Builds the components once a process, and returns the folder of the handlers, which has one of the guests.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let out = workspace().join("target/test-modules");
        let guests = out.join("guests");
        for (folder, out) in [
            ("handlers", &out),
            ("tests/handlers", &guests),
            ("tests/guests", &guests),
        ] {
            let found = discover(&workspace().join(folder)).expect("the folder of projects");
            let projects = found.projects.into_iter();
            let rust: Vec<_> = projects
                .filter(|project| project.language() == Language::Rust)
                .collect();
            for built in build_all(&rust, &Options::new(out)) {
                if let Err(error) = built {
                    panic!("a handler does not build:\n{error}");
                }
            }
        }
        out
    })
}

/// Returns the names of the handlers that a release has: those below `handlers` that are written in Rust.
///
/// # Panics
/// If the folder cannot be read.
#[must_use]
pub fn bundled() -> Vec<String> {
    let found = discover(&workspace().join("handlers")).expect("the folder of projects");
    let rust = found.projects.iter();
    let rust = rust.filter(|project| project.language() == Language::Rust);
    rust.map(|project| project.name.clone()).collect()
}

/// The bundled handlers in Rust that only enrich: they post nothing, so they are granted no channel.
pub const ENRICHERS: [&str; 3] = ["changes", "llm-summary", "recurrence"];

/// Returns the folder of the tools that build Python and TypeScript, which all tests share. They are fetched once.
#[must_use]
pub fn tools() -> PathBuf {
    workspace().join("target/tools")
}

/// Returns the component of the handler project in a folder, written in Python or TypeScript. `None` if its tools are not on
/// this machine and cannot be fetched, which is said; where there is a network for certain, that is an error.
///
/// # Panics
/// If it does not build.
#[must_use]
pub fn built_with_tools(project: &Path) -> Option<PathBuf> {
    let mut options = Options::new(workspace().join("target/test-modules"));
    options.tools = Tools {
        folder: Some(tools()),
        ..Tools::default()
    };
    let found = discover(project).expect("the folder of a project");
    let [project] = &found.projects[..] else {
        panic!("{}: {:?}", project.display(), found.unreadable)
    };
    match handler_build::build(project, &options) {
        Ok(artifact) => Some(artifact.path),
        Err(error) if are_missing(&error) => None,
        Err(error) => panic!("a handler does not build:\n{error}"),
    }
}

/// Returns whether a build failed only because its tools are missing and cannot be fetched; says so.
///
/// # Panics
/// If there is a network for certain.
#[must_use]
pub fn are_missing(error: &BuildError) -> bool {
    if !error.is_about_tools() {
        return false;
    }
    assert!(std::env::var_os("GITHUB_ACTIONS").is_none(), "{error}");
    crate::skipped(&format!("SKIPPED: {error}"));
    true
}

/// Returns the bytes of [`path`].
///
/// # Panics
/// If it does not build.
#[must_use]
pub fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).expect("a built module can be read")
}

/// Returns the guest `hostile` or `probe` under another name, as long as its space for names allows: a module of its own for
/// the server.
///
/// # Panics
/// If the name is longer than its space.
#[must_use]
pub fn named(guest: &str, name: &str) -> Vec<u8> {
    with_text(&bytes(guest), guest, 64, name)
}

/// Replaces `from` by `to` in the module. `from` is padded with spaces there, to `room` bytes in all.
///
/// # Panics
/// If `from` is not there, or `to` is longer than the space.
#[must_use]
pub fn with_text(module: &[u8], from: &str, room: usize, to: &str) -> Vec<u8> {
    let (from, to) = (format!("{from:<room$}"), format!("{to:<room$}"));
    assert_eq!(from.len(), to.len(), "{to:?} is too long");
    let mut module = module.to_vec();
    let at = module
        .windows(room)
        .position(|window| window == from.as_bytes())
        .expect("the module has the text");
    module[at..at + room].copy_from_slice(to.as_bytes());
    module
}
