//! `listen`, `insecure`, `external_url`, `handlers_dir`, `store` and `retention`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use url::Url;

use crate::config::Config;
use crate::config::compare::{Compare, Restart};
use crate::config::decode::{Decoding, Part};
use crate::config::key::{Key, Written};
use crate::description::parse_http_url;
use crate::queue::{self, StoreUrl};
use crate::units::{format_duration, format_size};

pub(in crate::config) const LISTEN: Part = Part {
    keys: &[Key::new(
        "listen",
        Written::Scalar("an address and port, such as 127.0.0.1:5000"),
        "The address and port to listen on. `:5000` is every address of the machine. An address that is not loopback needs \
         authorization of the webhook and of the API, or client certificates, or `insecure: true`.",
    )
    .default("127.0.0.1:5000")
    .example("0.0.0.0:5000")],
    read: listen,
    compare: Compare::Whole("listen", |old, new| old.listen != new.listen),
    restart: Restart::Yes,
};

/// The address without `listen`.
pub(in crate::config) const LISTEN_DEFAULT: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5000);

fn listen(d: &mut Decoding<'_>) {
    if let Some(listen) = d.top.parsed(d.reader, "listen", parse_listen) {
        d.config.listen = listen;
    }
    if let Some(text) = &d.flags.listen {
        match parse_listen(text) {
            Some(address) => d.config.listen = address,
            None => d.reader.fail_outside(
                "--web.listen-address",
                format!("{text:?} is not an address and port"),
                "write 127.0.0.1:5000, or :5000 for every address",
            ),
        }
    } else if let Some(text) = (d.env)("PORT") {
        match text.parse() {
            Ok(port) => d.config.listen.set_port(port),
            Err(_) => d.reader.fail_outside(
                "the variable PORT",
                format!("{text:?} is not a port"),
                "set it to a number up to 65535, or unset it",
            ),
        }
    }
}

/// Reads `HOST:PORT`; `:PORT` is every address of the machine, as in Prometheus.
fn parse_listen(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = match host {
        "" => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        "localhost" => IpAddr::from(Ipv4Addr::LOCALHOST),
        _ => host.parse().ok()?,
    };
    Some(SocketAddr::new(address, port))
}

pub(in crate::config) const INSECURE: Part = Part {
    keys: &[Key::new(
        "insecure",
        Written::Boolean,
        "Lets an address that is not loopback do without authorization.",
    )
    .default("false")
    .example("true")],
    read: |d| d.top.set(d.reader, "insecure", &mut d.config.insecure),
    compare: Compare::Whole("insecure", |old, new| old.insecure != new.insecure),
    restart: Restart::No,
};

pub(in crate::config) const EXTERNAL_URL: Part = Part {
    keys: &[Key::new(
        "external_url",
        Written::Scalar("a URL such as https://alerts.example.com"),
        "The URL of this server for people, used in links in messages. Every handler gets it as the setting `story_base`.",
    )
    .example("https://alerts.example.com")],
    read: external_url,
    compare: Compare::Whole("external_url", |old, new| old.external_url != new.external_url),
    restart: Restart::No,
};

fn external_url(d: &mut Decoding<'_>) {
    if let Some((key, node, path)) = d.top.find("external_url") {
        let expected = key.written.expected();
        d.config.external_url = d.reader.scalar(node, &path, &expected, parse_base_url);
        d.reader.refuse_placeholder(node, &path);
    }
    if let Some(text) = &d.flags.external_url {
        d.config.external_url = parse_base_url(text);
        if d.config.external_url.is_none() {
            d.reader.fail_outside(
                "--web.external-url",
                format!("{text:?} is not a URL"),
                "write one such as https://alerts.example.com",
            );
        }
    }
}

/// Reads an http or https URL that a path can be appended to.
pub(super) fn parse_base_url(text: &str) -> Option<Url> {
    let mut url = parse_http_url(text).filter(|url| url.query().is_none())?;
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Some(url)
}

pub(in crate::config) const HANDLERS_DIR: Part = Part {
    keys: &[Key::new(
        "handlers_dir",
        Written::Path,
        "The folder of compiled handlers. It is watched: a module that is put into it is served at once.",
    )
    .default(HANDLERS_DIR_DEFAULT)
    .example("/usr/local/lib/alert-manager/handlers")],
    read: handlers_dir,
    compare: Compare::Whole("handlers_dir", |old, new| old.handlers_dir != new.handlers_dir),
    restart: Restart::Yes,
};

/// The folder without `handlers_dir`, in the working directory.
pub(in crate::config) const HANDLERS_DIR_DEFAULT: &str = "handlers";

fn handlers_dir(d: &mut Decoding<'_>) {
    if let Some(text) = d.top.text(d.reader, "handlers_dir") {
        d.config.handlers_dir = d.reader.resolve(text);
    }
    if let Some(folder) = &d.flags.handlers_dir {
        d.config.handlers_dir.clone_from(folder);
    }
}

pub(in crate::config) const STORE: Part = Part {
    keys: &[Key::new(
        "store",
        Written::Scalar("sqlite:FILE, as in sqlite:alert-manager.db, or postgres://USER@HOST/DATABASE"),
        "Where deliveries are kept: in a file, which must be on a local disk, or in a [PostgreSQL database](postgresql.md).",
    )
    .default("sqlite:alert-manager.db")
    .example("sqlite:/var/lib/alert-manager/alert-manager.db")],
    read: store,
    compare: Compare::Whole("store", |old, new| old.store != new.store),
    restart: Restart::Yes,
};

fn store(d: &mut Decoding<'_>) {
    if let Some((node, path)) = d.top.take("store")
        && let Some(text) = d.reader.text(node, &path)
    {
        match text.parse::<StoreUrl>() {
            Ok(store) => d.config.store = store.relative_to(d.reader.folder()),
            // The URL may hold a password: it is not repeated.
            Err(error) => d.reader.fail(
                node.at,
                "store is not the URL of a store".into(),
                error.to_string(),
            ),
        }
    }
    if let Some(text) = (d.env)("ALERT_MANAGER_STORE") {
        match text.parse() {
            Ok(store) => d.config.store = store,
            Err(error) => {
                d.config.store = StoreUrl::default();
                let message = "it is not the URL of a store";
                let variable = "the variable ALERT_MANAGER_STORE";
                d.reader.fail_outside(variable, message, error.to_string());
            }
        }
    }
    if let Some(passwords) = (d.env)("PGPASSFILE") {
        let store = std::mem::take(&mut d.config.store);
        d.config.store = store.or_passfile(Path::new(&passwords));
    }
}

pub(in crate::config) const RETENTION: Part = Part {
    keys: &[Key::new(
        "retention",
        Written::Mapping(RETENTION_KEYS),
        "How long settled deliveries are kept; the bound that is reached first counts. What is removed before its time is \
         logged, and counted in `alert_manager_retention_removed_total`.",
    )],
    read: retention,
    compare: Compare::Whole("retention", |old, new| kept(old) != kept(new)),
    restart: Restart::Yes,
};

const RETENTION_KEYS: &[Key] = &[
    Key::new("time", Written::Duration, "The age at which they are removed.")
        .default_of(|| format_duration(queue::Options::default().retention_time))
        .example("14d"),
    Key::new(
        "size",
        Written::Size,
        "The size of the store past which the oldest are removed; dead ones last, and only for other dead ones.",
    )
    .default_of(|| format_size(queue::Options::default().retention_bytes_max))
    .example("10GiB"),
];

fn retention(d: &mut Decoding<'_>) {
    let Some(mut section) = d.top.below(d.reader, "retention") else {
        return;
    };
    let queue = &mut d.config.queue;
    section.set(d.reader, "time", &mut queue.retention_time);
    section.set(d.reader, "size", &mut queue.retention_bytes_max);
    section.finish(d.reader);
}

fn kept(config: &Config) -> (std::time::Duration, u64) {
    let queue = &config.queue;
    (queue.retention_time, queue.retention_bytes_max)
}
