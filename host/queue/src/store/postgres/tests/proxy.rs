//! A proxy between the store and the database, which cuts connections.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tempfile::TempDir;

use crate::store::postgres::bench::PostgresBench;
use crate::store::postgres::database::Database;

/// Listens where a client looks for a database.
pub(super) struct Proxy {
    folder: TempDir,
    state: Arc<State>,
}

struct State {
    server: PathBuf,
    /// The connections are closed, and new ones are not accepted.
    is_cut: AtomicBool,
    /// The next request is passed on, its answer is not, and its connection is closed.
    swallows: AtomicBool,
    streams: Mutex<Vec<UnixStream>>,
}

impl Proxy {
    pub(super) fn before(bench: &PostgresBench) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let state = Arc::new(State {
            server: bench
                .cluster()
                .folder
                .join(format!(".s.PGSQL.{}", bench.cluster().port)),
            is_cut: AtomicBool::new(false),
            swallows: AtomicBool::new(false),
            streams: Mutex::default(),
        });
        let accepting = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                accepting.pass(client);
            }
        });
        Self { folder, state }
    }

    /// Returns the bench's database, as it is reached through the proxy.
    pub(super) fn database(&self, bench: &PostgresBench) -> Database {
        let (host, name) = (self.folder.path().display(), bench.name());
        let url = format!("postgres:///{name}?host={host}&user=tester&connect_timeout=1");
        url.parse().unwrap()
    }

    /// Returns the bench's database, as it is reached through the first of two proxies that goes on.
    pub(super) fn either(first: &Self, second: &Self, bench: &PostgresBench) -> Database {
        let folders = (
            first.folder.path().display(),
            second.folder.path().display(),
        );
        let name = bench.name();
        let url = format!(
            "postgres:///{name}?host={},{}&user=tester&connect_timeout=1&target_session_attrs=read-write",
            folders.0, folders.1
        );
        url.parse().unwrap()
    }

    /// Closes all connections, and accepts none until [`Self::mend`].
    pub(super) fn cut(&self) {
        self.state.is_cut.store(true, Ordering::SeqCst);
        for stream in self.state.streams.lock().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub(super) fn mend(&self) {
        self.state.is_cut.store(false, Ordering::SeqCst);
    }

    /// Swallows the answer to the next request.
    pub(super) fn swallow(&self) {
        self.state.swallows.store(true, Ordering::SeqCst);
    }
}

impl State {
    fn pass(self: &Arc<Self>, client: UnixStream) {
        if self.is_cut.load(Ordering::SeqCst) {
            return;
        }
        let Ok(server) = UnixStream::connect(&self.server) else {
            return;
        };
        let clones = [&client, &server].map(|stream| stream.try_clone().unwrap());
        self.streams.lock().extend(clones);
        let (to_client, from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let (requests, answers) = (Arc::clone(self), Arc::new(AtomicBool::new(false)));
        let swallowed = Arc::clone(&answers);
        std::thread::spawn(move || {
            copy(client, server, || {
                if requests.swallows.swap(false, Ordering::SeqCst) {
                    swallowed.store(true, Ordering::SeqCst);
                }
                true
            });
        });
        std::thread::spawn(move || {
            // What has been answered was done.
            copy(from_server, to_client, || !answers.load(Ordering::SeqCst));
        });
    }
}

/// Passes on what comes, as long as `goes_on` is true for it; then closes both ends.
fn copy(mut from: UnixStream, mut to: UnixStream, goes_on: impl Fn() -> bool) {
    let mut bytes = [0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if !goes_on() || to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
