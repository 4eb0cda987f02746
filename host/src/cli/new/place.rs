//! Where a project goes: into this repository, or alone with an SDK of its own.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};

use super::{Lang, absolute, sdk};
use crate::cli::paths;

/// The place of a new project.
#[derive(Debug)]
pub(super) struct Place {
    /// The folder of the project; it does not exist yet.
    pub(super) dir: PathBuf,
    /// The same as people see it.
    pub(super) shown: PathBuf,
    /// The root of this repository, if the project becomes part of it.
    pub(super) repository: Option<PathBuf>,
    /// The path from the project to the SDK.
    pub(super) sdk: String,
    /// Whether the SDK that the program carries is written beside the project.
    pub(super) carries_sdk: bool,
}

impl Place {
    /// Finds the place: `handlers/NAME` if the working folder is in this repository and no other folder is named, else
    /// `NAME` in the working folder or in `dir`.
    ///
    /// # Errors
    /// If something is there already, or `sdk` has no SDK for the language.
    pub(super) fn find(
        name: &str,
        lang: Lang,
        dir: Option<&Path>,
        sdk: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let here = std::env::current_dir().context("cannot find the working folder")?;
        let parent = match dir {
            Some(dir) => absolute(dir)?,
            None => here.clone(),
        };
        let root = repository_of(&parent);
        // A folder of its own choosing within the repository is not a member of its workspace.
        let repository = root.filter(|root| dir.is_none() || parent == root.join("handlers"));
        let dir = match &repository {
            Some(root) => root.join("handlers").join(name),
            None => parent.join(name),
        };
        if dir.symlink_metadata().is_ok() {
            bail!("{}", exists(&dir));
        }
        let (sdk, carries_sdk) = match (sdk, &repository) {
            (Some(named), _) => (relative_sdk(lang, named, &dir)?, false),
            (None, Some(root)) => (
                paths::relative(&dir, &sdk::in_repository(lang, root)),
                false,
            ),
            (None, None) => (PathBuf::from(sdk::DIR).join(sdk::folder(lang)), true),
        };
        let sdk = sdk
            .to_str()
            .ok_or_else(|| anyhow!("{}: the path of the SDK is not UTF-8", sdk.display()))?
            .to_owned();
        let shown = dir.strip_prefix(&here).unwrap_or(&dir).to_owned();
        Ok(Self {
            dir,
            shown,
            repository,
            sdk,
            carries_sdk,
        })
    }
}

/// Returns the error for a folder that is there already.
pub(super) fn exists(dir: &Path) -> String {
    format!(
        "{} exists already, and nothing is overwritten: choose another name, or remove it",
        dir.display()
    )
}

/// Returns the root of this repository, if `dir` is in it.
fn repository_of(dir: &Path) -> Option<PathBuf> {
    let is_root = |dir: &&Path| {
        dir.join("wit/handler.wit").is_file()
            && dir.join("handler-sdk/Cargo.toml").is_file()
            && dir.join("handlers").is_dir()
    };
    dir.ancestors().find(is_root).map(Path::to_owned)
}

/// Returns the folder of this repository's package with that name, if the working folder is in this repository: two of one name
/// cannot be in one workspace.
pub(super) fn package_named(name: &str) -> anyhow::Result<Option<PathBuf>> {
    let here = std::env::current_dir().context("cannot find the working folder")?;
    let Some(root) = repository_of(&here) else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(root.join("Cargo.toml")).unwrap_or_default();
    let members = text
        .lines()
        .skip_while(|line| !line.starts_with("members = ["));
    let members = members.take_while(|line| !line.starts_with(']'));
    let mut members = members.filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\","));
    let own = format!("name = \"{name}\"");
    let is_taken = |member: &&str| {
        let manifest = std::fs::read_to_string(root.join(member).join("Cargo.toml"));
        manifest.is_ok_and(|text| text.lines().any(|line| line == own))
    };
    Ok(members.find(is_taken).map(PathBuf::from))
}

/// Finds the SDK of a language in the folder that the operator has named: the SDK itself, a folder of SDKs, or a clone.
fn relative_sdk(lang: Lang, named: &Path, project: &Path) -> anyhow::Result<PathBuf> {
    let named = absolute(named)?;
    let folder = sdk::folder(lang);
    let candidates = [
        sdk::in_repository(lang, &named),
        named.join(folder),
        named.clone(),
    ];
    let Some(found) = candidates.iter().find(|dir| sdk::is_at(lang, dir)) else {
        bail!(
            "{}: there is no SDK for {} there: name its folder (in a clone, {}), or leave --sdk out",
            named.display(),
            lang.name(),
            sdk::in_repository(lang, Path::new("")).display()
        );
    };
    Ok(paths::relative(project, found))
}

/// Returns the language of a project that has the SDK in `.sdk`.
pub(super) fn lang_of(dir: &Path) -> Option<Lang> {
    [Lang::Rust, Lang::Python, Lang::Typescript]
        .into_iter()
        .find(|lang| sdk::is_at(*lang, &dir.join(sdk::DIR).join(sdk::folder(*lang))))
}

/// Adds a project to the members of the workspace.
///
/// # Errors
/// If the manifest cannot be read or written, or has no list of members. The error says what to add by hand.
pub(super) fn add_member(root: &Path, member: &str) -> anyhow::Result<()> {
    let path = root.join("Cargo.toml");
    let by_hand = || {
        format!(
            "the project is there, but is no member yet: add {member:?} to `members` in {}",
            path.display()
        )
    };
    let text = std::fs::read_to_string(&path).with_context(by_hand)?;
    let text = with_member(&text, member).ok_or_else(|| anyhow!(by_hand()))?;
    replace_file(&path, &text).with_context(by_hand)
}

/// Replaces a file that others may read at any time, or that a crash may meet half written. It keeps its permissions.
fn replace_file(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    // What a link points to is replaced, not the link.
    let path = std::fs::canonicalize(path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file()
        .set_permissions(std::fs::metadata(&path)?.permissions())?;
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(())
}

/// Returns the manifest with one more member, after the last one of the same folder.
fn with_member(text: &str, member: &str) -> Option<String> {
    let line = format!("    \"{member}\",");
    let mut lines: Vec<&str> = text.lines().collect();
    if lines.contains(&line.as_str()) {
        return Some(text.to_owned());
    }
    let begin = lines
        .iter()
        .position(|line| line.starts_with("members = ["))?;
    let length = lines[begin..]
        .iter()
        .position(|line| line.starts_with(']'))?;
    let members = begin + 1..begin + length;
    let at = members
        .clone()
        .rev()
        .find(|at| lines[*at].starts_with("    \"handlers/") && lines[*at] < line.as_str())
        .map_or(members.start, |at| at + 1);
    lines.insert(at, &line);
    Some(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_manifest_is_replaced_whole_and_keeps_its_permissions() {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("Cargo.toml");
        std::fs::write(&path, "members = [\n]\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let before = std::fs::metadata(&path).unwrap();
        add_member(root.path(), "handlers/a").unwrap();
        let after = std::fs::metadata(&path).unwrap();
        assert_eq!(after.permissions().mode() & 0o777, 0o640);
        assert_ne!(after.ino(), before.ino(), "it was written in place");
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "members = [\n    \"handlers/a\",\n]\n");
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_member_is_put_in_order() {
        let text = "[workspace]\nmembers = [\n    \"host\",\n    \"handlers/a\",\n    \"handlers/m\",\n    \"tests\",\n]\n";
        let added = with_member(text, "handlers/c").unwrap();
        assert_eq!(
            added,
            text.replace(
                "    \"handlers/m\"",
                "    \"handlers/c\",\n    \"handlers/m\""
            )
        );
        assert_eq!(with_member(&added, "handlers/c").unwrap(), added);
        assert_eq!(with_member("[package]\n", "handlers/c"), None);
    }
}
