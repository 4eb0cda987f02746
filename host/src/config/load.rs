//! Puts the file, the variables and the flags together, and checks what only the whole can tell.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use url::Url;
use zeroize::Zeroizing;

use super::alarms::{self, HeartbeatsSection};
use super::credentials::credentials;
use super::handlers::{Grantable, handlers};
use super::limits;
use super::proxy;
use super::routes::routes;
use super::sections::{self, Env, SlackSection};
use super::spots::Spots;
use super::web;
use super::yaml::{Node, Place, Reader, Section};
use super::{Config, Overrides, Store, endpoints_without_authentication};
use crate::alert::HandlerName;
use crate::findings::{Problem, Problems};
use crate::http::server::{self, Bound, TlsSettings};
use crate::http::{api, webhook};
use crate::policy::Grants;
use crate::queue;
use crate::router::Route;
use crate::runtime::{Bounds, Credential, Proxy, SlackSettings};
use crate::secret::{Secret, SecretSource};
use crate::worker::{self, HandlerSettings};

/// Far more than any configuration; a bound for what a mistaken path makes us read.
const FILE_BYTES_MAX: u64 = 4 << 20;

const LISTEN_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5000);

const HANDLERS_DIR_DEFAULT: &str = "handlers";

/// The setting of every handler that says where stories are: `BASE/ID` is one. The SDK reads it too.
const STORY_BASE: &str = "story_base";

/// The name under which handlers are granted the channel of `SLACK_CHANNEL`.
const CHANNEL_NAME: &str = "alerts";
const CHANNEL_DEFAULT: &str = "#alerts";

/// What the file says, before variables and flags are laid over it.
#[derive(Default)]
struct FileConfig {
    listen: Option<SocketAddr>,
    external_url: Option<Url>,
    insecure: bool,
    handlers_dir: Option<PathBuf>,
    store: Option<Store>,
    queue: queue::Options,
    sandbox: Bounds,
    webhook: webhook::Settings,
    api: api::Settings,
    slack: SlackSection,
    credentials: BTreeMap<String, Arc<Credential>>,
    routes: Vec<Route>,
    proxy: Option<Arc<Proxy>>,
    server: server::Settings,
    tls_server: Option<TlsSettings>,
    heartbeats: HeartbeatsSection,
    dead_letter: Option<Vec<HandlerName>>,
    handlers: BTreeMap<HandlerName, Arc<HandlerSettings>>,
    /// Where a problem with the whole is shown.
    places: Places,
    /// Where everything stands.
    spots: Spots,
}

#[derive(Default)]
struct Places {
    top: Place,
    listen: Option<Place>,
    slack: Option<Place>,
}

/// What is wrong outside the file.
struct Outside(Vec<Problem>);

impl Outside {
    fn fail(&mut self, place: &str, message: impl Into<String>, advice: impl Into<String>) {
        self.0.push(Problem {
            place: place.to_owned(),
            message: message.into(),
            advice: advice.into(),
        });
    }
}

impl Config {
    /// Reads the file (`file`, else the one that `ALERT_MANAGER_CONFIG` names, else none), lays the
    /// variables over it and the flags over those, and checks the whole. Paths in the file are relative
    /// to its folder; those in variables and flags, and the defaults, to the working directory.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn load(
        file: Option<&Path>,
        flags: &Overrides,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Problems> {
        match Self::examine(file, flags, env) {
            (Some(config), problems) if problems.0.is_empty() => Ok(config),
            (_, problems) => Err(problems),
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
    /// same: for `check`, which goes on to compare that with the modules. Where there are problems, what could not be read
    /// is absent or at its default; there is no configuration where the file is no YAML.
    #[must_use]
    pub fn examine(
        file: Option<&Path>,
        flags: &Overrides,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> (Option<Self>, Problems) {
        let env = &|name: &str| env(name).filter(|value| !value.is_empty());
        let Some(path) = Self::file_named(file, env) else {
            let (config, problems) = assemble(None, FileConfig::default(), flags, env);
            return (Some(config), problems);
        };
        let text = match read(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(problems) => return (None, problems),
        };
        let mut reader = Reader::new(&path);
        let document = reader.parse(&text);
        if reader.has_problems() {
            // What could not be parsed would look as if it were absent.
            return (None, reader.finish().problems);
        }
        let mut decoded = match &document {
            Some(node) => decode(&mut reader, node, env),
            None => FileConfig::default(),
        };
        decoded.spots = Spots::new(path, document.as_ref());
        let (config, problems) = assemble(Some(reader), decoded, flags, env);
        (Some(config), problems)
    }

    /// Returns the folder of handlers that [`load`](Self::load) would use, also where the rest of what it reads
    /// is wrong: `check` looks at both.
    #[must_use]
    pub fn handlers_dir(
        file: Option<&Path>,
        flags: &Overrides,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> PathBuf {
        let of_file = || {
            let path = Self::file_named(file, env)?;
            let mut reader = Reader::new(&path);
            let document = reader.parse(&read(&path).ok()?)?;
            let mut config = FileConfig::default();
            let mut top = reader.section(&document, "");
            decode_basics(&mut reader, &mut top, &mut config);
            config.handlers_dir
        };
        let flag = flags.handlers_dir.clone();
        flag.or_else(of_file)
            .unwrap_or_else(|| HANDLERS_DIR_DEFAULT.into())
    }
}

fn read(path: &Path) -> Result<String, Problems> {
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
            // At once: a buffer that grows leaves copies of what it held, secrets among it.
            let length = file.metadata()?.len().min(FILE_BYTES_MAX) + 64;
            bytes.reserve_exact(usize::try_from(length).unwrap_or(0));
            file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)
        })
        .map_err(|error| {
            let message = format!("the configuration cannot be read: {error}");
            fail(message, "correct --config.file or ALERT_MANAGER_CONFIG")
        })?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let message = "the file is larger than 4 MiB".to_owned();
        return Err(fail(message, "name the configuration, not another file"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].split(|b| *b == b'\n').count();
        let message = format!("line {line} is not UTF-8");
        fail(message, "save the file as UTF-8")
    })
}

fn decode(reader: &mut Reader, node: &Node, env: Env<'_>) -> FileConfig {
    let mut top = reader.section(node, "");
    let places = Places {
        top: node.at,
        ..Places::default()
    };
    let mut config = FileConfig {
        places,
        ..FileConfig::default()
    };
    decode_basics(reader, &mut top, &mut config);
    sections::retention(reader, top.take("retention"), &mut config.queue);
    config.sandbox = limits::sandbox(reader, top.take("sandbox"));
    let no_proxy = proxy::no_proxy(reader, top.take("no_proxy"));
    config.proxy = proxy::proxy(reader, &mut top, env, &no_proxy);
    let webhook = top.take("webhook");
    let largest = webhook
        .as_ref()
        .map(|(node, _)| node.place_of("body_bytes_max"));
    config.webhook = sections::webhook(reader, webhook, env, &mut config.queue);
    config.api = sections::api(reader, top.take("api"), env);
    let slack = top.take("slack");
    config.places.slack = slack.as_ref().map(|(node, _)| node.at);
    config.slack = sections::slack(reader, slack, env, &no_proxy, config.proxy.as_ref());
    config.slack.lay_over(env);
    config.credentials = credentials(reader, top.take("credentials"), env);
    config.routes = routes(reader, top.take("routes"));
    let web = top.take("web");
    let room = web
        .as_ref()
        .map(|(node, _)| node.place_of("bodies_bytes_max"));
    config.server = web::web(reader, web);
    let at = room.flatten().or(largest.flatten());
    web::check_room(
        reader,
        at.unwrap_or(node.at),
        &config.server,
        &config.webhook,
    );
    config.tls_server = web::tls_server(reader, top.take("tls_server_config"));
    let has_proxy = config.proxy.is_some();
    config.heartbeats = alarms::heartbeats(reader, top.take("heartbeats"), env, has_proxy);
    config.dead_letter = alarms::dead_letter(reader, top.take("dead_letter"));
    let grantable = Grantable {
        channels: config.slack.channels().into_keys().collect(),
        credentials: config.credentials.keys().cloned().collect(),
        has_proxy,
    };
    config.handlers = handlers(reader, top.take("handlers"), &grantable);
    top.finish(reader);
    config
}

fn decode_basics(reader: &mut Reader, top: &mut Section<'_>, config: &mut FileConfig) {
    if let Some((node, path)) = top.take("listen") {
        config.places.listen = Some(node.at);
        let what = "an address and port, such as 127.0.0.1:5000";
        config.listen = reader.scalar(node, &path, what, sections::parse_listen);
    }
    if let Some((node, path)) = top.take("external_url") {
        let what = "a URL such as https://alerts.example.com";
        config.external_url = reader.scalar(node, &path, what, sections::parse_base_url);
        reader.refuse_placeholder(node, &path);
    }
    if let Some((node, path)) = top.take("insecure") {
        config.insecure = reader.boolean(node, &path).unwrap_or(false);
    }
    if let Some((node, path)) = top.take("handlers_dir")
        && let Some(text) = reader.text(node, &path)
    {
        config.handlers_dir = Some(reader.resolve(text));
    }
    if let Some((node, path)) = top.take("store")
        && let Some(text) = reader.text(node, &path)
    {
        match sections::parse_store(text) {
            Ok(Store::Sqlite(file)) => {
                let file = reader.resolve(&file.to_string_lossy());
                config.store = Some(Store::Sqlite(file));
            }
            Err(advice) => {
                // The URL may hold a password: it is not repeated.
                reader.fail(
                    node.at,
                    "store names no store that this version has".into(),
                    advice,
                );
            }
        }
    }
}

impl SlackSection {
    /// Lays `SLACK_CHANNEL` over the file's `channels`.
    fn lay_over(&mut self, env: Env<'_>) {
        if let Some(channel) = env("SLACK_CHANNEL") {
            self.channels
                .get_or_insert_default()
                .insert(CHANNEL_NAME.to_owned(), channel);
        }
    }

    /// Returns the channels by name; the one default only where none are given.
    fn channels(&self) -> BTreeMap<String, String> {
        self.channels
            .clone()
            .unwrap_or_else(|| [(CHANNEL_NAME.to_owned(), CHANNEL_DEFAULT.to_owned())].into())
    }
}

fn assemble(
    mut reader: Option<Reader>,
    mut file: FileConfig,
    flags: &Overrides,
    env: Env<'_>,
) -> (Config, Problems) {
    let mut outside = Outside(Vec::new());
    if reader.is_none() {
        file.slack.lay_over(env);
    }
    let listen = listen(&file, flags, env, &mut outside);
    check_exposure(listen, &file, reader.as_mut(), &mut outside);
    let slack = slack(&file, reader.as_mut(), env, &mut outside);
    let external_url = external_url(&file, flags, &mut outside);
    let store = store(&file, env, &mut outside);
    let handlers_dir = flags
        .handlers_dir
        .clone()
        .or(file.handlers_dir)
        .unwrap_or_else(|| HANDLERS_DIR_DEFAULT.into());

    let path = reader.as_ref().map(|reader| reader.file().to_owned());
    let mut other_handlers = HandlerSettings {
        // Without a file nobody could grant anything, and a first start should show a message.
        grants: Arc::new(match path {
            Some(_) => Grants::default(),
            None => Grants {
                slack: [CHANNEL_NAME.to_owned()].into(),
                is_without_file: true,
                ..Grants::default()
            },
        }),
        ..HandlerSettings::default()
    };
    let found = reader.map(Reader::finish).unwrap_or_default();
    let mut problems = found.problems;
    problems.0.extend(outside.0);
    if let Some(url) = &external_url {
        tell_stories_base(&mut other_handlers, url);
        for settings in file.handlers.values_mut() {
            tell_stories_base(Arc::make_mut(settings), url);
        }
    }
    let config = Config {
        file: path,
        listen,
        external_url,
        insecure: file.insecure,
        handlers_dir,
        store,
        queue: file.queue,
        sandbox: file.sandbox,
        webhook: file.webhook,
        api: file.api,
        proxy: file.proxy,
        slack,
        credentials: file.credentials,
        routes: file.routes,
        server: file.server,
        tls_server: file.tls_server,
        heartbeats: file.heartbeats.expected,
        pings: file.heartbeats.pings,
        dead_letter: file.dead_letter,
        warnings: found.warnings,
        mistakes: found.mistakes,
        spots: Arc::new(file.spots),
        handlers: worker::Settings {
            by_name: file.handlers,
            others: Arc::new(other_handlers),
        },
    };
    (config, problems)
}

/// Tells a handler where deliveries' stories are, for the links in its messages; its own setting goes first.
fn tell_stories_base(settings: &mut HandlerSettings, external_url: &Url) {
    let base = format!("{external_url}api/v1/deliveries");
    Arc::make_mut(&mut settings.config)
        .entry(STORY_BASE.to_owned())
        .or_insert(base);
}

fn listen(file: &FileConfig, flags: &Overrides, env: Env<'_>, outside: &mut Outside) -> SocketAddr {
    let mut listen = file.listen.unwrap_or(LISTEN_DEFAULT);
    if let Some(text) = &flags.listen {
        match sections::parse_listen(text) {
            Some(address) => return address,
            None => outside.fail(
                "--web.listen-address",
                format!("{text:?} is no address and port"),
                "write 127.0.0.1:5000, or :5000 for every address",
            ),
        }
    } else if let Some(text) = env("PORT") {
        match text.parse() {
            Ok(port) => listen.set_port(port),
            Err(_) => outside.fail(
                "the variable PORT",
                format!("{text:?} is no port"),
                "set it to a number up to 65535, or unset it",
            ),
        }
    }
    listen
}

fn check_exposure(
    listen: SocketAddr,
    file: &FileConfig,
    reader: Option<&mut Reader>,
    outside: &mut Outside,
) {
    let bound = Bound {
        listen,
        tls: file.tls_server.clone(),
    };
    let open = endpoints_without_authentication(&bound, file.insecure, &file.webhook, &file.api);
    let Some(open) = open else {
        return;
    };
    let message =
        format!("{listen} can be reached from outside this machine, but {open} no authorization");
    let advice = "add webhook.authorization and api.authorization, or insecure: true, to the configuration file";
    match (reader, file.places.listen) {
        (Some(reader), Some(at)) => reader.fail(at, message, advice),
        _ => outside.fail("the listen address", message, advice),
    }
}

fn slack(
    file: &FileConfig,
    reader: Option<&mut Reader>,
    env: Env<'_>,
    outside: &mut Outside,
) -> SlackSettings {
    let api_url = match env("SLACK_API_URL") {
        None => file.slack.api_url.clone(),
        Some(text) => {
            let url = sections::parse_base_url(&text);
            if url.is_none() {
                outside.fail(
                    "the variable SLACK_API_URL",
                    format!("{text:?} is no URL"),
                    "set it to a base such as https://slack.com/api/, or unset it",
                );
            }
            url
        }
    };
    let has_file = reader.is_some();
    let token = slack_token(file, reader, env, outside);
    SlackSettings {
        preview: file.slack.preview || (token.is_none() && !has_file),
        token,
        channels: file.slack.channels(),
        rate: file.slack.rate.unwrap_or_default(),
        api_url: api_url.unwrap_or_else(default_api_url),
        proxy: file.slack.proxy.clone(),
        via_proxy: file.slack.via_proxy,
    }
}

#[allow(clippy::expect_used, reason = "a constant, read by every test")]
fn default_api_url() -> Url {
    Url::parse("https://slack.com/api/").expect("the constant is a URL")
}

fn slack_token(
    file: &FileConfig,
    reader: Option<&mut Reader>,
    env: Env<'_>,
    outside: &mut Outside,
) -> Option<SecretSource> {
    const ADVICE: &str = "write the bot's token (xoxb-…) into that file, or correct the path";
    if file.slack.preview {
        // Nothing is posted, even where there is a token: that is what preview is for.
        return None;
    }
    if let Some(token) = env("SLACK_TOKEN").map(Zeroizing::new) {
        return Some(SecretSource::value(Secret::new(token.trim())));
    }
    if let Some(path) = env("SLACK_TOKEN_FILE") {
        let source = SecretSource::file(path.into());
        if let Err(error) = source.read() {
            outside.fail("the variable SLACK_TOKEN_FILE", error.to_string(), ADVICE);
        }
        return Some(source);
    }
    let reader = reader?;
    if let Some((at, path)) = &file.slack.token_file {
        let source = SecretSource::file(path.clone());
        if let Err(error) = source.read() {
            reader.fail(*at, format!("slack.token_file: {error}"), ADVICE);
        }
        return Some(source);
    }
    let at = file.places.slack.unwrap_or(file.places.top);
    let advice = "set SLACK_TOKEN or slack.token_file, or write slack: { preview: true } to see messages without posting them";
    reader.fail(at, "there is no Slack token".to_owned(), advice);
    None
}

fn external_url(file: &FileConfig, flags: &Overrides, outside: &mut Outside) -> Option<Url> {
    let Some(text) = &flags.external_url else {
        return file.external_url.clone();
    };
    let url = sections::parse_base_url(text);
    if url.is_none() {
        outside.fail(
            "--web.external-url",
            format!("{text:?} is no URL"),
            "write one such as https://alerts.example.com",
        );
    }
    url
}

fn store(file: &FileConfig, env: Env<'_>, outside: &mut Outside) -> Store {
    let default = || Store::Sqlite("alert-manager.db".into());
    let Some(text) = env("ALERT_MANAGER_STORE") else {
        return file.store.clone().unwrap_or_else(default);
    };
    sections::parse_store(&text).unwrap_or_else(|advice| {
        let message = "it names no store that this version has";
        outside.fail("the variable ALERT_MANAGER_STORE", message, advice);
        default()
    })
}
