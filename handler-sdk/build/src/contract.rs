//! The contract that handlers are built for, and the part of it that one project needs.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::BuildError;

/// The contract that this program is built with.
pub(crate) const WIT: &str = include_str!("../wit/handler.wit");

/// The interfaces that every handler has, whatever it needs.
const ALWAYS: [&str; 2] = ["config", "log"];

/// The world that a project is built for.
pub(crate) const WORLD: &str = "narrow";

/// Returns the version in the contract's `package` line.
pub(crate) fn version() -> &'static str {
    let package = WIT.lines().find_map(|line| line.strip_prefix("package "));
    package
        .and_then(|package| package.trim_end_matches(';').split_once('@'))
        .map_or("", |(_, version)| version)
}

/// Returns the interfaces that a project may name in `needs`, in the order of the contract.
pub(crate) fn interfaces() -> Vec<&'static str> {
    WIT.lines()
        .skip_while(|line| !line.starts_with("world handler"))
        .filter_map(|line| line.trim().strip_prefix("import ")?.strip_suffix(';'))
        .filter(|interface| !ALWAYS.contains(interface))
        .collect()
}

/// Returns the interfaces that a project with these `needs` imports.
pub(crate) fn imports(needs: &[String]) -> Vec<&str> {
    let needs = needs.iter().map(String::as_str);
    ALWAYS.into_iter().chain(needs).collect()
}

/// Returns the name of an interface as a module specifier of the component model.
pub(crate) fn specifier(interface: &str) -> String {
    format!("alert-manager:handler/{interface}@{}", version())
}

/// Writes the contract and the world for `needs` to the folder `dir`.
pub(crate) fn write(dir: &Path, needs: &[String]) -> Result<(), BuildError> {
    write_if_changed(&dir.join("deps/handler/handler.wit"), WIT)?;
    write_if_changed(&dir.join("narrow.wit"), &narrow_world(needs))
}

fn narrow_world(needs: &[String]) -> String {
    let mut world = format!("package alert-manager:narrow;\n\nworld {WORLD} {{\n");
    for interface in imports(needs) {
        let _ = writeln!(world, "    import {};", specifier(interface));
    }
    let _ = writeln!(world, "    export {};\n}}", specifier("hooks"));
    world
}

/// Writes a file and the folders above it; a file with this content already stays untouched, so that incremental tools see no
/// change.
pub(crate) fn write_if_changed(path: &Path, text: &str) -> Result<(), BuildError> {
    if fs::read_to_string(path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(BuildError::io("making the folder", folder))?;
    }
    fs::write(path, text).map_err(BuildError::io("writing", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_and_the_interfaces_are_those_of_the_contract() {
        assert!(version().starts_with("0."), "{:?}", version());
        let interfaces = interfaces();
        assert!(
            interfaces.starts_with(&["http", "slack", "kv"]),
            "{interfaces:?}"
        );
        assert!(!interfaces.contains(&"config"), "{interfaces:?}");
    }

    #[test]
    fn a_narrow_world_imports_what_is_needed_and_what_every_handler_has() {
        let version = version();
        assert_eq!(
            narrow_world(&["slack".to_owned()]),
            format!(
                "package alert-manager:narrow;\n\nworld narrow {{\n    import alert-manager:handler/config@{version};\n    import alert-manager:handler/log@{version};\n    import alert-manager:handler/slack@{version};\n    export alert-manager:handler/hooks@{version};\n}}\n"
            )
        );
    }
}
