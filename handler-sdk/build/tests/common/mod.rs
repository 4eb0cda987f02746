//! What the tests of this crate share.
#![allow(dead_code, reason = "no test uses all of it")]

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use handler_build::{Event, Options};

/// A temporary folder, removed when dropped.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "handler-build-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(fs::canonicalize(path).unwrap())
    }

    pub(crate) fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Writes a script as a program. Another process writes it: if this one did, a child process started by a concurrent test
    /// could hold it open, and Linux does not execute a file that is open for writing.
    pub(crate) fn program(&self, name: &str, script: &str) -> OsString {
        let source = self.write(&format!("{name}.sh"), &format!("#!/bin/sh\n{script}\n"));
        let path = self.0.join(name);
        let install = Command::new("install")
            .args(["-D", "-m", "755"])
            .arg(source)
            .arg(&path)
            .status();
        assert!(install.unwrap().success());
        path.into()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The system cleans up the temporary folder if this fails.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Options that record the events.
pub(crate) fn recorded(options: Options) -> (Options, Arc<Mutex<Vec<String>>>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&events);
    let progress = move |event: Event<'_>| match event {
        Event::Building { projects } => log
            .lock()
            .unwrap()
            .push(format!("building {}", projects.join(" "))),
        Event::InstallingTarget { command } => log.lock().unwrap().push(command.to_owned()),
        Event::Built(artifact) => log.lock().unwrap().push(format!("built {}", artifact.name)),
        Event::FetchingTools { content, .. } => {
            log.lock().unwrap().push(format!("fetching {content}"));
        }
        Event::UpdatingLockfile { lockfile } => log
            .lock()
            .unwrap()
            .push(format!("updating {}", lockfile.display())),
        Event::Note { text } => log.lock().unwrap().push(format!("note {text}")),
        Event::WaitingForTools { .. } => log.lock().unwrap().push("waiting".to_owned()),
        _ => {}
    };
    (
        Options {
            progress: Arc::new(progress),
            ..options
        },
        events,
    )
}
