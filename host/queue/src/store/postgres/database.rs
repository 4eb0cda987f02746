//! The URL of a database, as libpq spells it: `postgres://user@host/name?sslmode=verify-full`.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{SslMode as Negotiated, TargetSessionAttrs};

use alert_manager_core::secret::{Secret, SecretSource};

use crate::store::StoreError;

/// The port of a host that names none.
const PORT: u16 = 5432;

/// How long one host has to answer if the URL does not say it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// After which time without an acknowledgement a connection counts as lost.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(10);

/// After which time without traffic the system asks whether the other side is there, and how often it asks again.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
const KEEPALIVES_MAX: u32 = 3;

/// A `PostgreSQL` database, and how to connect to it. It is never printed with its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    hosts: Vec<(String, u16)>,
    user: Option<String>,
    name: Option<String>,
    password: Option<Secret>,
    /// A file that holds the password alone.
    password_file: Option<PathBuf>,
    /// A file with the passwords of several databases, in libpq's format.
    passfile: Option<PathBuf>,
    ssl_mode: SslMode,
    root_cert: Option<PathBuf>,
    client_cert: Option<PathBuf>,
    client_key: Option<PathBuf>,
    connect_timeout: Duration,
    application_name: Option<String>,
    needs_read_write: bool,
    /// The path of what the server keeps on this machine, to which an extension is added.
    beside: PathBuf,
}

/// Whether what is sent is encrypted, and how the server is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SslMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Why a text is not the URL of a database. It does not repeat the text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDatabase {
    /// Its parts are not those of a URL.
    #[error(
        "write postgres://USER@HOST/DATABASE, with parameters after a question mark; escape @ : / ? # and % in a user, a password or a name, as in %40 for @"
    )]
    Malformed,
    /// It has a parameter that is not supported.
    #[error(
        "it has a parameter that is not supported; these are: host, port, user, dbname, password, password_file, passfile, sslmode, sslrootcert, sslcert, sslkey, target_session_attrs, connect_timeout, application_name"
    )]
    Parameter,
    /// The value of a parameter is not one that is supported.
    #[error("{0} has to be {1}")]
    Value(&'static str, &'static str),
    /// Two parameters that do not go together.
    #[error("{0}")]
    Together(&'static str),
}

impl Database {
    /// Returns true if a text has the scheme of such a URL.
    pub(in crate::store) fn is_meant(text: &str) -> bool {
        text.starts_with("postgres:") || text.starts_with("postgresql:")
    }

    /// Returns the same database with relative paths resolved against `folder`.
    pub(in crate::store) fn relative_to(mut self, folder: &Path) -> Self {
        let root_cert = self.root_cert.as_mut();
        let files = [
            root_cert.filter(|path| **path != Path::new("system")),
            self.client_cert.as_mut(),
            self.client_key.as_mut(),
            self.password_file.as_mut(),
            self.passfile.as_mut(),
            Some(&mut self.beside),
        ];
        for file in files.into_iter().flatten() {
            *file = folder.join(&*file);
        }
        self
    }

    /// Returns the same database with this file of passwords, if the URL names none.
    pub(in crate::store) fn or_passfile(mut self, path: &Path) -> Self {
        self.passfile.get_or_insert_with(|| path.into());
        self
    }

    /// Returns the path of what the server keeps on this machine.
    pub(in crate::store) fn beside(&self) -> &Path {
        &self.beside
    }

    pub(super) fn ssl_mode(&self) -> SslMode {
        self.ssl_mode
    }

    pub(super) fn root_cert(&self) -> Option<&Path> {
        self.root_cert.as_deref()
    }

    /// Returns the files of the client's certificate and key.
    pub(super) fn client_cert(&self) -> Option<(&Path, &Path)> {
        self.client_cert.as_deref().zip(self.client_key.as_deref())
    }

    /// Returns how long it may take to connect, with all hosts tried.
    pub(super) fn connect_time_max(&self) -> Duration {
        let hosts = u32::try_from(self.hosts.len()).unwrap_or(1);
        self.connect_timeout * hosts.max(1)
    }

    /// Returns how to connect. Reads the password again.
    pub(super) fn config(&self) -> Result<Config, StoreError> {
        let mut config = Config::new();
        for (host, port) in &self.hosts {
            config.host(host).port(*port);
        }
        if let Some(user) = &self.user {
            config.user(user);
        }
        if let Some(name) = &self.name {
            config.dbname(name);
        }
        if let Some(password) = self.password()? {
            config.password(password.expose());
        }
        config.ssl_mode(match self.ssl_mode {
            SslMode::Disable => Negotiated::Disable,
            SslMode::Prefer => Negotiated::Prefer,
            _ => Negotiated::Require,
        });
        if self.needs_read_write || self.hosts.len() > 1 {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        config
            .application_name(self.application_name.as_deref().unwrap_or("alert-manager"))
            .connect_timeout(self.connect_timeout)
            .tcp_user_timeout(TCP_USER_TIMEOUT)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_EVERY)
            .keepalives_retries(KEEPALIVES_MAX);
        Ok(config)
    }

    fn password(&self) -> Result<Option<Secret>, StoreError> {
        let unreadable = |e: &dyn fmt::Display| StoreError::Away(e.to_string());
        if let Some(password) = &self.password {
            return Ok(Some(password.clone()));
        }
        if let Some(path) = &self.password_file {
            let read = SecretSource::file(path.clone()).read();
            return read.map(Some).map_err(|e| unreadable(&e));
        }
        let Some(path) = &self.passfile else {
            return Ok(None);
        };
        let unreadable =
            |e: std::io::Error| StoreError::Away(format!("cannot read {}: {e}", path.display()));
        let mode = fs::metadata(path).map_err(unreadable)?.mode();
        if mode & 0o077 != 0 {
            return Err(StoreError::Away(format!(
                "{} can be read by others; chmod 600 it",
                path.display()
            )));
        }
        let text = fs::read_to_string(path).map_err(unreadable)?;
        Ok(self.hosts.iter().find_map(|(host, port)| {
            let port = port.to_string();
            let host = if host.starts_with('/') {
                "localhost"
            } else {
                host
            };
            let user = self.user.as_deref().unwrap_or_default();
            let name = self.name.as_deref().unwrap_or(user);
            let wanted = [host, &port, name, user];
            text.lines().find_map(|line| of_passfile(line, wanted))
        }))
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), InvalidDatabase> {
        let path = || Some(PathBuf::from(&value));
        match key {
            // `host` and `port` are set together, when all parameters are read.
            "host" | "port" => {}
            "user" => self.user = Some(value),
            "dbname" => self.name = Some(value),
            "password" => self.password = Some(Secret::new(&value)),
            "password_file" => self.password_file = path(),
            "passfile" => self.passfile = path(),
            "sslrootcert" => self.root_cert = path(),
            "sslcert" => self.client_cert = path(),
            "sslkey" => self.client_key = path(),
            "application_name" => self.application_name = Some(value),
            "sslmode" => {
                self.ssl_mode = match &*value {
                    "disable" => SslMode::Disable,
                    "prefer" => SslMode::Prefer,
                    "require" => SslMode::Require,
                    "verify-ca" => SslMode::VerifyCa,
                    "verify-full" => SslMode::VerifyFull,
                    _ => {
                        let modes = "disable, prefer, require, verify-ca or verify-full";
                        return Err(InvalidDatabase::Value("sslmode", modes));
                    }
                }
            }
            "target_session_attrs" => match &*value {
                "any" => self.needs_read_write = false,
                "read-write" | "primary" => self.needs_read_write = true,
                _ => {
                    let name = "target_session_attrs";
                    let why = "read-write or any: a server that cannot be written is of no use";
                    return Err(InvalidDatabase::Value(name, why));
                }
            },
            "connect_timeout" => {
                let seconds = value.parse().ok().filter(|s| (1..=60).contains(s));
                let seconds = seconds.ok_or(InvalidDatabase::Value(
                    "connect_timeout",
                    "a number of seconds from 1 to 60",
                ))?;
                self.connect_timeout = Duration::from_secs(seconds);
            }
            _ => return Err(InvalidDatabase::Parameter),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), InvalidDatabase> {
        let together = InvalidDatabase::Together;
        if self.client_cert.is_some() != self.client_key.is_some() {
            return Err(together("sslcert and sslkey are given together"));
        }
        let passwords = [
            self.password.is_some(),
            self.password_file.is_some(),
            self.passfile.is_some(),
        ];
        if passwords.into_iter().filter(|given| *given).count() > 1 {
            return Err(together(
                "give one of a password, password_file and passfile",
            ));
        }
        Ok(())
    }
}

impl FromStr for Database {
    type Err = InvalidDatabase;

    fn from_str(text: &str) -> Result<Self, InvalidDatabase> {
        let malformed = InvalidDatabase::Malformed;
        let rest = text
            .strip_prefix("postgres://")
            .or_else(|| text.strip_prefix("postgresql://"))
            .ok_or(malformed)?;
        let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, name) = place.split_once('/').unwrap_or((place, ""));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, authority),
        };
        let mut database = Self {
            hosts: Vec::new(),
            user: None,
            name: given(decoded(name)?),
            password: None,
            password_file: None,
            passfile: None,
            ssl_mode: SslMode::Prefer,
            root_cert: None,
            client_cert: None,
            client_key: None,
            connect_timeout: CONNECT_TIMEOUT,
            application_name: None,
            needs_read_write: false,
            beside: "alert-manager".into(),
        };
        if let Some(login) = login {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            database.user = given(decoded(user)?);
            database.password = given(decoded(password)?).map(|text| Secret::new(&text));
        }
        let (mut host, mut port) = (None, None);
        for parameter in parameters.split('&').filter(|text| !text.is_empty()) {
            let (key, value) = parameter.split_once('=').ok_or(malformed)?;
            let value = decoded(value)?;
            match key {
                "host" => host = Some(value.clone()),
                "port" => port = Some(value.clone()),
                _ => {}
            }
            database.set(key, value)?;
        }
        database.hosts = match &host {
            Some(list) if hosts.is_empty() => with_ports(list, port.as_deref())?,
            Some(_) => {
                let why = "name the hosts once: after the @, or as host";
                return Err(InvalidDatabase::Together(why));
            }
            None => hosts_of(hosts, port.as_deref())?,
        };
        database.check()?;
        Ok(database)
    }
}

/// Writes the user, the hosts and the name, without a password.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        for (at, (host, port)) in self.hosts.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let is_v6 = host.contains(':');
            let (open, close) = if is_v6 { ("[", "]") } else { ("", "") };
            write!(f, "{comma}{open}{host}{close}")?;
            if *port != PORT {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", self.name.as_deref().unwrap_or_default())
    }
}

fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn decoded(text: &str) -> Result<String, InvalidDatabase> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| InvalidDatabase::Malformed)?;
    match decoded.contains('\0') {
        true => Err(InvalidDatabase::Malformed),
        false => Ok(decoded.into_owned()),
    }
}

fn port_of(text: &str) -> Result<u16, InvalidDatabase> {
    match text.parse() {
        Ok(0) | Err(_) => Err(InvalidDatabase::Value("port", "a number from 1 to 65535")),
        Ok(port) => Ok(port),
    }
}

/// Returns the hosts of `a:1,[::1]:2`, or the local one if there are none.
fn hosts_of(text: &str, port: Option<&str>) -> Result<Vec<(String, u16)>, InvalidDatabase> {
    let port = port.map_or(Ok(PORT), port_of)?;
    let host = |text: &str| {
        let (host, own) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or(InvalidDatabase::Malformed)?;
                (host, rest.strip_prefix(':'))
            }
            None => match text.split_once(':') {
                Some((host, own)) => (host, Some(own)),
                None => (text, None),
            },
        };
        let host = given(decoded(host)?).unwrap_or_else(|| "localhost".into());
        Ok((host, own.map_or(Ok(port), port_of)?))
    };
    text.split(',').map(host).collect()
}

/// Returns the hosts of a list, each with its port of a list that has as many, or one.
fn with_ports(hosts: &str, ports: Option<&str>) -> Result<Vec<(String, u16)>, InvalidDatabase> {
    let hosts: Vec<&str> = hosts.split(',').collect();
    let ports = match ports {
        None => vec![PORT],
        Some(ports) => ports.split(',').map(port_of).collect::<Result<_, _>>()?,
    };
    if ports.len() != 1 && ports.len() != hosts.len() {
        let why = "port has one number, or as many as host has hosts";
        return Err(InvalidDatabase::Together(why));
    }
    let port = |at: usize| ports.get(at).or(ports.first()).copied().unwrap_or(PORT);
    let hosts = hosts.into_iter().enumerate();
    Ok(hosts
        .map(|(at, host)| (host.to_owned(), port(at)))
        .collect())
}

/// Returns the password of a line of a file of passwords, if the line is for this host, port, database and user.
fn of_passfile(line: &str, wanted: [&str; 4]) -> Option<Secret> {
    if line.starts_with('#') {
        return None;
    }
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let field = fields.last_mut()?;
        match c {
            '\\' => field.extend(chars.next()),
            ':' => fields.push(String::new()),
            c => field.push(c),
        }
    }
    let [host, port, name, user, password] = fields.try_into().ok()?;
    let fits = |(field, wanted): (&String, &str)| field == "*" || field == wanted;
    let is_it = [&host, &port, &name, &user]
        .into_iter()
        .zip(wanted)
        .all(fits);
    is_it.then(|| Secret::new(&password))
}
