//! Through `PgBouncer`: in session mode all works, in transaction mode the server says why it does not.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use alert_manager_core::alert::Status;
use tempfile::TempDir;

use crate::conformance::prelude::{eventually, firing};
use crate::store::postgres::bench::{PostgresBench, user};
use crate::store::postgres::database::Database;
use crate::store::postgres::{PostgresReplica, Settings};
use crate::{Clock, Options, ReplicaAbout};

use super::bench;
use super::replicas::{parcel, run, server};

/// Where Debian and its kin put the program.
const INSTALLED: &str = "/usr/sbin/pgbouncer";

/// A pooler. It ends with this process, however that ends.
struct Pooler {
    database: Database,
    _folder: TempDir,
    /// The shell that has started it waits for the end of its input.
    _alive: Child,
}

/// Starts a pooler before the database of a bench; returns nothing if it is not installed, which is reported.
#[allow(clippy::print_stderr, reason = "the output of a test")]
fn pooler(bench: &PostgresBench, mode: &str) -> Option<Pooler> {
    if !fs::exists(INSTALLED).unwrap() {
        eprintln!("SKIPPED: {INSTALLED} is not there: install Debian's package pgbouncer");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let (host, server_port) = (bench.cluster().folder.display(), bench.cluster().port);
    let file = folder.path().join("pgbouncer.ini");
    let text = format!(
        "[databases]\n* = host={host} port={server_port} user=tester\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = any\npool_mode = {mode}\ndefault_pool_size = 40\n"
    );
    fs::write(&file, text).unwrap();
    let script = r#""$1" -q "$2" >/dev/null 2>&1 & pooler=$!
        trap '' INT TERM HUP
        read -r _ || true
        kill -TERM "$pooler"; wait "$pooler" || true"#;
    let mut command = Command::new("sh");
    command
        .args(["-c", script, "sh", INSTALLED])
        .arg(&file)
        .stdin(Stdio::piped())
        .process_group(0);
    if let Some(user) = user() {
        for path in [folder.path(), &file] {
            chown(path, Some(user), Some(user)).unwrap();
        }
        command.uid(user).gid(user);
    }
    let alive = command.spawn().unwrap();
    let url = format!("postgres://tester@127.0.0.1:{port}/{}", bench.name());
    let database: Database = url.parse().unwrap();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::yield_now();
    }
    Some(Pooler {
        database,
        _folder: folder,
        _alive: alive,
    })
}

#[tokio::test]
async fn servers_work_through_a_pooler_in_session_mode() {
    let Some(bench) = bench() else { return };
    let Some(pooler) = pooler(&bench, "session") else {
        return;
    };
    let (first, mut leases) = server(&pooler.database);
    let (second, _idle) = server(&pooler.database);
    first.announce(ReplicaAbout::default());
    second.announce(ReplicaAbout::default());
    second.accept(parcel(firing("A"))).await.unwrap();
    let ran = run(&first, &mut leases, 1).await;
    assert_eq!(ran, [("A".to_owned(), Status::Firing)]);
    eventually(async || first.replicas().len() == 2).await;
    // The next one takes over through it.
    first.shutdown().await;
    second.leads().wait_for(|leads| *leads).await.unwrap();
}

#[test]
fn a_pooler_in_transaction_mode_is_refused_in_words_before_anything_is_written() {
    let Some(bench) = bench() else { return };
    let Some(pooler) = pooler(&bench, "transaction") else {
        return;
    };
    bench.execute("DROP SCHEMA IF EXISTS alert_manager CASCADE", &[]);
    let (options, clock) = (Options::default(), Clock::system());
    for _ in 0..3 {
        let settings = Settings::default();
        let opened = PostgresReplica::open(&pooler.database, settings, &options, clock.clone());
        let refused = opened.unwrap_err().to_string();
        assert!(refused.contains("pool_mode = session"), "{refused}");
    }
    let made = bench.query(
        "SELECT 1 FROM pg_namespace WHERE nspname = 'alert_manager'",
        &[],
    );
    assert!(made.is_empty());
}
