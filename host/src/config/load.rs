//! Puts the file, the variables and the flags together, and checks the whole.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::decode::{Decoding, Env};
use super::node::Node;
use super::reader::Reader;
use super::section::Section;
use super::sections::{HANDLERS_DIR_DEFAULT, PARTS, check_budget, check_token};
use super::spots::Spots;
use super::{Config, Overrides};
use crate::findings::{Problem, Problems};
use crate::http::server::Bound;

/// The parts that a review compares with the modules.
const REVIEWED: [&str; 7] = [
    "slack",
    "credentials",
    "severity_map",
    "storm",
    "dead_letter",
    "handlers",
    "routes",
];

/// Far more than any configuration; a bound for what is read if the path is wrong.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What could be read of a configuration, and everything that is wrong with it.
#[derive(Debug)]
pub struct Examined {
    /// What could be read; the rest is absent or at its default. `None` if the file is not YAML.
    pub config: Option<Config>,
    /// Why a server does not start with it.
    pub problems: Problems,
    /// True if something could not be read that a review compares with the modules.
    pub is_partial: bool,
}

impl Examined {
    fn nothing(problems: Problems) -> Self {
        Self {
            config: None,
            problems,
            is_partial: true,
        }
    }
}

impl Config {
    /// Reads the file (`file`, else the one that `ALERT_MANAGER_CONFIG` names, else none), overrides it with the variables
    /// and then with the flags, and checks the whole. Paths in the file are relative to its folder; those in variables and
    /// flags, and the defaults, to the working directory.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn load(
        file: Option<&Path>,
        flags: &Overrides,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Problems> {
        let examined = Self::examine(file, flags, env);
        match examined.config {
            Some(config) if examined.problems.0.is_empty() => Ok(config),
            _ => Err(examined.problems),
        }
    }

    /// Returns the file that [`load`](Self::load) reads, if any.
    #[must_use]
    pub fn file_named(
        file: Option<&Path>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Option<PathBuf> {
        let named = || env("ALERT_MANAGER_CONFIG").filter(|name| !name.is_empty());
        file.map(Path::to_owned)
            .or_else(|| named().map(PathBuf::from))
    }

    /// Reads what [`load`](Self::load) reads, and returns everything that is wrong together with what could be read all the
    /// same: `check` goes on to compare that with the modules.
    #[must_use]
    pub fn examine(
        file: Option<&Path>,
        flags: &Overrides,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Examined {
        let env = &|name: &str| env(name).filter(|value| !value.is_empty());
        let file = Self::file_named(file, env);
        let mut reader = Reader::new(file.as_deref()).with_secrets(flags.secrets);
        let mut document = None;
        if let Some(path) = &file {
            match read_config(path) {
                Ok(text) => document = reader.parse(&text),
                Err(problems) => return Examined::nothing(problems),
            }
        }
        if reader.has_problems() {
            // What could not be parsed would look as if it were absent.
            return Examined::nothing(reader.finish().problems);
        }
        let mut config = decode(&mut reader, document.as_ref(), flags, env);
        if let Some(path) = file {
            config.spots = Arc::new(Spots::new(path, document.as_ref()));
        }
        let is_partial = reader.is_partial;
        let found = reader.finish();
        config.mistakes = found.mistakes;
        config.warnings = found.warnings;
        Examined {
            config: Some(config),
            problems: found.problems,
            is_partial,
        }
    }

    /// Returns the folder of handlers that [`load`](Self::load) would use, even if the rest of what it reads is wrong:
    /// `check` looks at both.
    #[must_use]
    pub fn handlers_dir(
        file: Option<&Path>,
        flags: &Overrides,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> PathBuf {
        let of_file = || {
            let path = Self::file_named(file, env)?;
            let mut reader = Reader::new(Some(&path));
            let document = reader.parse(&read_config(&path).ok()?)?;
            Some(decode(&mut reader, Some(&document), flags, env).handlers_dir)
        };
        let flag = flags.handlers_dir.clone();
        flag.or_else(of_file)
            .unwrap_or_else(|| HANDLERS_DIR_DEFAULT.into())
    }
}

fn read_config(path: &Path) -> Result<Zeroizing<String>, Problems> {
    let advice = "correct --config.file or ALERT_MANAGER_CONFIG";
    read(path, "the configuration cannot be read", advice)
}

/// Reads a file as text. If it cannot be read, the error says `what` happened and what to do.
pub(super) fn read(path: &Path, what: &str, advice: &str) -> Result<Zeroizing<String>, Problems> {
    let fail = |message: String, advice: &str| {
        Problems(vec![Problem {
            place: path.display().to_string(),
            message,
            advice: advice.to_owned(),
        }])
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| {
            // All at once: a buffer that grows leaves copies of what it held, secrets among them.
            let length = file.metadata()?.len().min(FILE_BYTES_MAX) + 64;
            bytes.reserve_exact(usize::try_from(length).unwrap_or(0));
            file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)
        })
        .map_err(|error| {
            let message = format!("{what}: {error}");
            fail(message, advice)
        })?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let message = "the file is larger than 4 MiB".to_owned();
        return Err(fail(message, "name the file that is meant"));
    }
    let text = String::from_utf8(bytes).map(Zeroizing::new);
    text.map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].split(|b| *b == b'\n').count();
        let message = format!("line {line} is not UTF-8");
        fail(message, "save the file as UTF-8")
    })
}

/// Reads every part of the document into a configuration, and checks the whole.
fn decode(reader: &mut Reader, document: Option<&Node>, flags: &Overrides, env: Env<'_>) -> Config {
    let nothing = Node::nothing();
    let document = document.unwrap_or(&nothing);
    let keys = PARTS.iter().flat_map(|part| part.keys);
    let mut decoding = Decoding {
        top: Section::open(reader, document, "", keys),
        config: Config::new(reader.file().map(Path::to_owned)),
        reader,
        document,
        flags,
        env,
        no_proxy: Arc::default(),
    };
    for part in PARTS {
        let was_partial = decoding.reader.is_partial;
        (part.read)(&mut decoding);
        if !part.keys.iter().any(|key| REVIEWED.contains(&key.name)) {
            decoding.reader.is_partial = was_partial;
        }
    }
    check_budget(&mut decoding);
    check_token(&mut decoding);
    check_exposure(&mut decoding);
    decoding.top.finish(decoding.reader);
    decoding.config
}

/// Checks that an address that other machines can reach has authentication.
fn check_exposure(d: &mut Decoding<'_>) {
    let bound = Bound {
        listen: d.config.listen,
        tls: d.config.tls_server.clone(),
    };
    let Some(open) = d.config.endpoints_without_authentication(&bound) else {
        return;
    };
    let message = format!(
        "{} can be reached from other machines, but {open} no authorization",
        bound.listen
    );
    let advice = "add webhook.authorization and api.authorization, or insecure: true, to the configuration file";
    match d.document.place_of(&["listen"]) {
        Some(at) => d.reader.refuse(at, message, advice),
        None => d.reader.fail_outside("the listen address", message, advice),
    }
}
