//! `new`: writes a handler project that builds and passes its own test.

mod ask;
mod place;
mod project;
mod rules;
mod sdk;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use handler_build::shell_word;

use super::args::{Lang, NewArgs};
use super::print::{self, Paint};
use crate::alert::HandlerName;
use place::Place;
use project::{Kind, Project};

/// The longest alertname, in bytes.
const ALERT_BYTES_MAX: usize = 200;

/// Names of packages that a Rust handler depends on, or that Rust has itself.
const RUST_NAMES: [&str; 8] = [
    "alloc",
    "core",
    "handler-sdk",
    "proc-macro",
    "serde",
    "std",
    "test",
    "wit-bindgen",
];

/// Words that cannot be the name of a library in Rust.
const RUST_KEYWORDS: [&str; 40] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "final", "fn", "for", "gen", "if", "impl", "in", "let",
    "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return",
    "static", "struct", "trait", "try", "type", "use",
];

/// Asks for what is left out, writes the project and prints the next steps.
pub(super) fn run(args: NewArgs) -> anyhow::Result<ExitCode> {
    if let Some(dir) = &args.update_sdk {
        return update_sdk(dir);
    }
    let name = match args.name {
        Some(name) => checked_name(name)?,
        None => ask::for_text("name of the handler, as in disk-full", checked_name)?
            .ok_or_else(|| anyhow!("name the handler: alert-manager new disk-full"))?,
    };
    let lang = match args.lang {
        Some(lang) => lang,
        None => ask::for_lang()?.unwrap_or(Lang::Rust),
    };
    check_rust_name(&name, lang)?;
    let alert = match args.alert {
        Some(alert) => checked_alert(alert)?,
        None => {
            let default = project::type_name(&name);
            let question = format!("alertname that it answers, * for any [{default}]");
            ask::for_text(&question, |text| {
                checked_alert(if text.is_empty() {
                    default.clone()
                } else {
                    text
                })
            })?
            .unwrap_or(default)
        }
    };
    if lang == Lang::Rust
        && let Some(taken) = place::package_named(&name)?
    {
        bail!(
            "{name} is the name of the package in {}: choose another, as in {name}-alert",
            taken.display()
        );
    }
    let place = Place::find(&name, lang, args.dir.as_deref(), args.sdk.as_deref())?;
    write(&place, &name, lang, &alert)?;
    show(&place, &name, lang, &alert);
    Ok(ExitCode::SUCCESS)
}

/// Writes the project into a folder beside its place and renames that, so that there is a whole project or none.
fn write(place: &Place, name: &str, lang: Lang, alert: &str) -> anyhow::Result<()> {
    let dir = &place.dir;
    let project = Project {
        name,
        lang,
        alert,
        kind: if place.repository.is_some() {
            Kind::Member
        } else {
            Kind::Alone
        },
        sdk: &place.sdk,
    };
    let parent = dir.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent)
        .with_context(|| format!("cannot make the folder {}", parent.display()))?;
    let unfinished = tempfile::Builder::new()
        .prefix(&format!(".{name}."))
        .tempdir_in(parent)
        .with_context(|| format!("cannot write to {}", parent.display()))?;
    for (path, text) in project.files() {
        sdk::write(&unfinished.path().join(path), text.as_bytes())?;
    }
    if place.carries_sdk {
        sdk::write_all(lang, unfinished.path())?;
    }
    // A temporary folder is its user's alone; a project is as public as any folder of theirs.
    sdk::make_usual(unfinished.path())?;
    if dir.exists() {
        bail!("{}", place::exists(dir));
    }
    std::fs::rename(unfinished.path(), dir)
        .with_context(|| format!("cannot make the folder {}", dir.display()))?;
    // It has moved: there is nothing to remove.
    let _ = unfinished.keep();
    if let (Some(root), Lang::Rust) = (&place.repository, lang) {
        place::add_member(root, &format!("handlers/{name}"))?;
    }
    Ok(())
}

fn show(place: &Place, name: &str, lang: Lang, alert: &str) {
    let paint = Paint::for_stdout();
    let dir = shell_word(&place.shown);
    let what = if alert == "*" {
        "any alert".to_owned()
    } else {
        alert.to_owned()
    };
    let mut lines = vec![
        format!("{dir} in {}, for {what}", lang.name()),
        format!(
            "  {:<14} the handler: it posts to the Slack channel alerts",
            lang.source()
        ),
    ];
    let about = match rules::named(alert) {
        Some(_) => "an alert with the labels of that rule",
        None => "an alert for its test",
    };
    lines.push(format!("  {:<14} {about}", "alert.json"));
    if place.carries_sdk {
        lines.push(format!(
            "  {:<14} the SDK of this version; a newer program writes its own with `alert-manager new --update-sdk {dir}`",
            ".sdk/"
        ));
    }
    if place.repository.is_some() && lang == Lang::Rust {
        lines.push(format!(
            "  {:<14} names it as a member of the workspace",
            "Cargo.toml"
        ));
    }
    let test = match (&place.repository, lang) {
        (Some(_), Lang::Rust) => format!("cargo test -p {name}"),
        _ => format!("cd {dir} && {}", lang.test_command()),
    };
    let (build, module) = match &place.repository {
        Some(_) => (
            format!("alert-manager build {dir} --out handlers"),
            format!("handlers/{name}.wasm"),
        ),
        None => ("alert-manager build .".to_owned(), format!("{name}.wasm")),
    };
    let alert_file = match &place.repository {
        Some(_) => format!("{dir}/alert.json"),
        None => "alert.json".to_owned(),
    };
    lines.push("next:".to_owned());
    for command in [
        test,
        build,
        format!("alert-manager test {module} --alert {alert_file}"),
        match &place.repository {
            Some(_) => "alert-manager dev".to_owned(),
            None => "alert-manager dev .".to_owned(),
        },
    ] {
        lines.push(format!("  {command}"));
    }
    let text = print::plain(&lines.join("\n"));
    print::line(&format!("{} {text}", paint.bold("made")));
}

/// Replaces the SDK below a project by the one that this program carries.
fn update_sdk(dir: &Path) -> anyhow::Result<ExitCode> {
    sdk::restore(dir)?;
    let lang = place::lang_of(dir).ok_or_else(|| {
        anyhow!("{}: there is no handler project with an SDK in .sdk: name the folder that `new` has made", dir.display())
    })?;
    sdk::replace(lang, dir)?;
    print::line(&format!(
        "wrote the SDK of version {} to {}",
        env!("CARGO_PKG_VERSION"),
        dir.join(sdk::DIR).display()
    ));
    Ok(ExitCode::SUCCESS)
}

fn checked_name(name: String) -> anyhow::Result<String> {
    if HandlerName::is_kebab_case(&name) {
        return Ok(name);
    }
    bail!(
        "{name:?} cannot be the name of a handler: write it in lower case letters, digits and single hyphens, beginning with a letter, \
         at most 63 of them, as in disk-full"
    )
}

fn check_rust_name(name: &str, lang: Lang) -> anyhow::Result<()> {
    if lang == Lang::Rust && (RUST_NAMES.contains(&name) || RUST_KEYWORDS.contains(&name)) {
        bail!(
            "{name} cannot be the name of a handler in Rust, which has that name itself: choose another, as in {name}-alert"
        );
    }
    Ok(())
}

fn checked_alert(alert: String) -> anyhow::Result<String> {
    let is_fine =
        |c: char| !c.is_control() && !matches!(c, '"' | '\\' | '{' | '}' | '`' | '$' | '*');
    if alert == "*"
        || (!alert.is_empty() && alert.len() <= ALERT_BYTES_MAX && alert.chars().all(is_fine))
    {
        return Ok(alert);
    }
    bail!(
        "{alert:?} cannot be the alertname: write the name of a rule, as in NodeFilesystemSpaceFillingUp, of at most {ALERT_BYTES_MAX} \
         bytes and without quotes, or * for any"
    )
}

/// Where the SDK or a project is expected; used by its modules.
fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("cannot resolve {}", path.display()))
}
