//! A real `PostgreSQL` of a test's own: started, killed, restarted.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::PATIENCE;

/// Where Debian and its kin put the programs of each version.
const INSTALLED: &str = "/usr/lib/postgresql";

/// The name of the database, and of its user.
const NAME: &str = "tests";

/// How long a look at another process waits before the next one.
const POLL: Duration = Duration::from_millis(20);

/// Runs the server until the input of this shell ends, however this process ends.
const SCRIPT: &str = r#"
    "$@" &
    server=$!
    trap '' INT TERM HUP
    read -r _ || true
    kill -QUIT "$server" 2>/dev/null
    wait "$server" || true
"#;

/// A cluster with one database. It ends, and its folder is removed, when it is dropped.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    /// The network namespace of its processes, if it is not this one.
    namespace: Option<String>,
    shell: Option<Child>,
}

impl Postgres {
    /// Starts a cluster on a free port of loopback. None if `PostgreSQL` is not installed, which is reported.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_within(None)
    }

    /// As [`Self::start`], with its processes in a network namespace, at all of whose addresses it listens.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_within(namespace: Option<&str>) -> Option<Self> {
        let Some(programs) = programs() else {
            crate::skipped(&format!(
                "SKIPPED: PostgreSQL's server is not below {INSTALLED}; install Debian's package postgresql. NOT tested"
            ));
            return None;
        };
        let within = Path::new("/dev/shm");
        let within = match within.exists() {
            true => within.to_owned(),
            false => std::env::temp_dir(),
        };
        let folder = tempfile::Builder::new()
            .prefix("am-tests-pg-")
            .tempdir_in(within)
            .expect("a temporary folder");
        give_to_server(folder.path());
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let mut postgres = Self {
            folder,
            programs,
            port,
            namespace: namespace.map(str::to_owned),
            shell: None,
        };
        postgres.make();
        postgres.run();
        postgres
            .sql_on("postgres", &format!("CREATE DATABASE {NAME}"))
            .expect("a database");
        Some(postgres)
    }

    fn make(&self) {
        let mut initdb = Command::new(self.programs.join("initdb"));
        initdb
            .args([
                "-U",
                NAME,
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
                "-D",
            ])
            .arg(self.folder.path().join("data"))
            .current_dir(self.folder.path());
        as_user(&mut initdb);
        let made = initdb.output().expect("initdb runs");
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let access = self.folder.path().join("data/pg_hba.conf");
        fs::write(access, "local all all trust\nhost all all all trust\n").expect("a file");
    }

    /// Returns the command that runs the server. Without syncs: a kill of its processes loses nothing then, only a power cut would.
    fn command(&self) -> Command {
        let (folder, port) = (self.folder.path(), self.port.to_string());
        let mut command = match &self.namespace {
            Some(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name]);
                // Only root can enter a namespace, and the server refuses to run as root.
                command.args([
                    "setpriv",
                    "--reuid=65534",
                    "--regid=65534",
                    "--clear-groups",
                ]);
                command.arg("sh");
                command
            }
            None => {
                let mut command = Command::new("sh");
                as_user(&mut command);
                command
            }
        };
        command
            .args(["-c", SCRIPT, "sh"])
            .arg(self.programs.join("postgres"))
            .arg("-D")
            .arg(folder.join("data"))
            .arg("-k")
            .arg(folder)
            .args(["-p", &port, "-c"])
            .arg(match self.namespace {
                Some(_) => "listen_addresses=*",
                None => "listen_addresses=127.0.0.1",
            })
            .args(["-c", "fsync=off", "-c", "full_page_writes=off"])
            .args(["-c", "max_connections=100", "-c", "shared_buffers=32MB"])
            .args(["-c", "max_wal_senders=0", "-c", "wal_level=minimal"])
            .args(["-c", "min_wal_size=32MB", "-c", "max_wal_size=64MB"])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .process_group(0);
        command
    }

    /// Starts the server, and waits until it answers.
    ///
    /// # Panics
    /// If it runs, or does not answer in time.
    pub fn run(&mut self) {
        assert!(self.shell.is_none(), "it runs");
        let log = self.folder.path().join("server.log");
        let log = fs::File::options().create(true).append(true).open(log);
        let log = log.expect("a log");
        let mut command = self.command();
        command.stdout(log.try_clone().expect("a log")).stderr(log);
        self.shell = Some(command.spawn().expect("sh runs"));
        let patience = Instant::now() + PATIENCE;
        while let Err(error) = self.sql_on("postgres", "SELECT 1") {
            assert!(Instant::now() < patience, "{error}\n{}", self.log());
            std::thread::sleep(POLL);
        }
    }

    /// Ends the shell, and with it the server, if it still runs.
    fn reap(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            drop(shell.stdin.take());
            let _ = shell.wait();
        }
    }

    /// Kills all processes of the server at once: `kill -9`.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&mut self) {
        let file = self.folder.path().join("data/postmaster.pid");
        let text = fs::read_to_string(&file).expect("it runs");
        let pid = text.lines().next().expect("a process id").to_owned();
        let children = || {
            let path = format!("/proc/{pid}/task/{pid}/children");
            let text = fs::read_to_string(path).unwrap_or_default();
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let children = children();
        for pid in std::iter::once(&pid).chain(&children) {
            let _ = Command::new("kill")
                .args(["-s", "KILL", pid])
                .stderr(Stdio::null())
                .status();
        }
        self.reap();
        // Its number may be another process's by the next start.
        fs::remove_file(file).expect("the file");
    }

    /// Ends the server as an administrator who restarts it at once does: transactions under way are rolled back.
    ///
    /// # Panics
    /// If it does not end.
    pub fn stop(&mut self) {
        let mut stop = Command::new(self.programs.join("pg_ctl"));
        stop.args(["stop", "-m", "fast", "-w", "-D"])
            .arg(self.folder.path().join("data"))
            .current_dir(self.folder.path());
        as_user(&mut stop);
        let stopped = stop.output().expect("pg_ctl runs");
        assert!(stopped.status.success(), "{stopped:?}\n{}", self.log());
        self.reap();
    }

    /// Returns the port of the server.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the folder of the cluster, in which `data` is that of the server.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the URL of the database, at this host and port, for a client of this name.
    #[must_use]
    pub fn url_at(&self, host: &str, port: u16, client: &str) -> String {
        format!("postgres://{NAME}@{host}:{port}/{NAME}?sslmode=disable&application_name={client}")
    }

    /// Returns the URL of the database, for a client of this name.
    #[must_use]
    pub fn url(&self, client: &str) -> String {
        self.url_at("127.0.0.1", self.port, client)
    }

    /// Runs SQL in the database, and returns its rows as lines.
    ///
    /// # Errors
    /// What psql said.
    pub fn sql(&self, sql: &str) -> Result<String, String> {
        self.sql_on(NAME, sql)
    }

    fn sql_on(&self, database: &str, sql: &str) -> Result<String, String> {
        let ran = Command::new(self.programs.join("psql"))
            .args([
                "-X",
                "-A",
                "-t",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                NAME,
                "-d",
                database,
            ])
            .args(["-p", &self.port.to_string(), "-c", sql, "-h"])
            .arg(self.folder.path())
            .env("PGCONNECT_TIMEOUT", "5")
            .output()
            .expect("psql runs");
        match ran.status.success() {
            true => Ok(String::from_utf8_lossy(&ran.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&ran.stderr).into_owned()),
        }
    }

    /// Runs SQL that returns one number; none if the database does not answer.
    #[must_use]
    pub fn number(&self, sql: &str) -> Option<u64> {
        self.sql(sql).ok()?.parse().ok()
    }

    /// Moves the database onto another folder, such as that of a small disk. Nobody may be connected.
    ///
    /// # Panics
    /// If it cannot be moved.
    pub fn move_to(&self, folder: &Path) {
        give_to_server(folder);
        let at = folder.display();
        let make = format!("CREATE TABLESPACE small LOCATION '{at}'");
        self.sql_on("postgres", &make).expect("a tablespace");
        let set = format!("ALTER DATABASE {NAME} SET TABLESPACE small");
        self.sql_on("postgres", &set).expect("it moves");
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.reap();
    }
}

/// Returns the folder of the programs of the newest installed version.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir(INSTALLED).ok()?.filter_map(Result::ok);
    let folders = versions.map(|version| version.path().join("bin"));
    let with_server = folders.filter(|folder| folder.join("initdb").exists());
    with_server.max_by_key(|folder| {
        let version = folder.parent().and_then(Path::file_name);
        let version = version.and_then(|name| name.to_str());
        version.and_then(|name| name.parse::<u32>().ok())
    })
}

/// Returns the user that the server runs as: it refuses to run as root.
fn user() -> Option<u32> {
    const NOBODY: u32 = 65_534;
    rustix::process::geteuid().is_root().then_some(NOBODY)
}

fn as_user(command: &mut Command) {
    if let Some(user) = user() {
        command.uid(user).gid(user);
    }
}

fn give_to_server(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).expect("the folder's mode");
    if let Some(user) = user() {
        chown(folder, Some(user), Some(user)).expect("the folder's owner");
    }
}
