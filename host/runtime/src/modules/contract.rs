//! Checks that bytes are a component of the contract, by their first bytes and by the names of imports and exports. The
//! errors say what to build instead.

use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::bindings::{CONTRACT_PACKAGE, CONTRACT_VERSION};
use crate::calls::interfaces::INTERFACES;
use crate::modules::load_error::LoadError;

/// Compares the names of imports and exports with the contract, and returns the interfaces of the contract that the module
/// imports, sorted. The linker would find the same mistakes, but its errors do not say what to do.
///
/// # Errors
/// The first name that does not fit.
pub(crate) fn check_names(
    engine: &Engine,
    component: &Component,
) -> Result<Vec<String>, LoadError> {
    let ty = component.component_type();
    let mut interfaces = Vec::new();
    for (name, _) in ty.imports(engine) {
        let interface = check_import(name)?;
        // `types` has no function, so there is nothing to grant.
        interfaces.extend(interface.filter(|interface| *interface != "types"));
    }
    let exports: Vec<_> = ty.exports(engine).map(|(name, _)| name).collect();
    check_exports(&exports)?;
    if let Some((name, _)) = ty.exports(engine).find(|(name, item)| {
        is_hooks(name) && !matches!(item.ty, ComponentItem::ComponentInstance(_))
    }) {
        return Err(LoadError::OtherWorld(format!(
            "its export {name} is no interface: build it for the world `handler` of wit/handler.wit"
        )));
    }
    let mut interfaces: Vec<_> = interfaces.into_iter().map(str::to_owned).collect();
    interfaces.sort();
    Ok(interfaces)
}

/// Returns the version of the contract that a component was built for, by the name of its export `hooks`.
pub(crate) fn version_of(engine: &Engine, component: &Component) -> Option<String> {
    let ty = component.component_type();
    ty.exports(engine).find_map(|(name, _)| {
        let (.., version) = parse_name(name).filter(|_| is_hooks(name))?;
        version.map(str::to_owned)
    })
}

/// Returns the interface of an import from the contract, and `None` for a part of WASI that every handler may import.
fn check_import(name: &str) -> Result<Option<&str>, LoadError> {
    match parse_name(name) {
        Some((CONTRACT_PACKAGE, interface, version)) => {
            check_version(name, version)?;
            if !INTERFACES.iter().any(|known| known.name == interface) {
                return Err(LoadError::OtherWorld(format!(
                    "it imports {name}, which version {CONTRACT_VERSION} of the contract does not have: \
                     update this server, or build the handler for an older version"
                )));
            }
            Ok(Some(interface))
        }
        Some((package, ..)) if package.starts_with("wasi:") => check_wasi(name).map(|()| None),
        _ => Err(LoadError::OtherWorld(format!(
            "it imports {name}, which this server does not have. A handler imports the interfaces of \
             {CONTRACT_PACKAGE} alone: build it for the world `handler` of wit/handler.wit"
        ))),
    }
}

/// Recognizes a component by its first eight bytes.
///
/// # Errors
/// If it is too large or not a component. Kinds of files that are often copied by mistake are named.
pub(crate) fn check_kind(bytes: &[u8], bytes_max: u64) -> Result<(), LoadError> {
    const BUILD: &str = "A handler is a WebAssembly component: in Rust build it with `--target wasm32-wasip2`, \
                         or let `alert-manager build` do it.";
    let what = match bytes {
        [] => "the file is empty".to_owned(),
        _ if bytes.len() as u64 > bytes_max => {
            format!(
                "it is larger than {bytes_max} bytes, the most that is taken (sandbox.module_bytes)"
            )
        }
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => return Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => {
            format!("it is a core WebAssembly module, not a component. {BUILD}")
        }
        [0, b'a', b's', b'm', ..] => {
            format!(
                "it is WebAssembly of a version that this server does not know, or cut short. {BUILD}"
            )
        }
        [0x7f, b'E', b'L', b'F', ..] => {
            format!(
                "it is machine code (ELF). Code that was compiled ahead of time is not taken. {BUILD}"
            )
        }
        _ if std::str::from_utf8(&bytes[..bytes.len().min(64)]).is_ok() => {
            format!("it is a text file, not WebAssembly. {BUILD}")
        }
        _ => format!("it is not WebAssembly. {BUILD}"),
    };
    Err(LoadError::NotAComponent(what))
}

/// Splits `package/interface@version`.
fn parse_name(name: &str) -> Option<(&str, &str, Option<&str>)> {
    let (package, rest) = name.split_once('/')?;
    match rest.split_once('@') {
        Some((interface, version)) => Some((package, interface, Some(version))),
        None => Some((package, rest, None)),
    }
}

/// Accepts versions with the same major and minor number, which is compatible by semantic versioning below 1.0.
fn check_version(name: &str, version: Option<&str>) -> Result<(), LoadError> {
    let series = |version: &str| {
        let mut numbers = version.split('.').map(|n| n.parse::<u32>().ok());
        Some((numbers.next()??, numbers.next()??))
    };
    let Some(theirs) = version.and_then(series) else {
        return Err(LoadError::OtherWorld(format!(
            "it names {name} without a version: build it from wit/handler.wit as it is"
        )));
    };
    let ours = series(CONTRACT_VERSION).unwrap_or_default();
    if theirs == ours {
        return Ok(());
    }
    let what = if theirs > ours {
        "it was built for a newer version of the contract: update this server, or build the handler with an older SDK"
    } else {
        "it was built for an older version of the contract, which this server no longer has: build the handler \
         again with this server's SDK"
    };
    Err(LoadError::OtherWorld(format!(
        "{what}. It names {name}; this server has {CONTRACT_VERSION}."
    )))
}

/// Accepts the parts of WASI that runtimes of languages import. The sandbox gives them access to nothing.
fn check_wasi(name: &str) -> Result<(), LoadError> {
    const PRESENT: [&str; 6] = [
        "wasi:cli",
        "wasi:clocks",
        "wasi:filesystem",
        "wasi:io",
        "wasi:random",
        "wasi:sockets",
    ];
    let package = parse_name(name).map_or("", |(package, ..)| package);
    match package {
        "wasi:http" => Err(LoadError::OtherWorld(format!(
            "it imports {name}: a handler sends requests through {CONTRACT_PACKAGE}/http, where they are granted \
             and recorded"
        ))),
        package if PRESENT.contains(&package) => Ok(()),
        _ => Err(LoadError::OtherWorld(format!(
            "it imports {name}, a part of WASI that handlers do not have"
        ))),
    }
}

fn is_hooks(name: &str) -> bool {
    matches!(parse_name(name), Some((CONTRACT_PACKAGE, "hooks", _)))
}

fn check_exports(exports: &[&str]) -> Result<(), LoadError> {
    if let Some(name) = exports.iter().find(|name| is_hooks(name)) {
        return check_version(name, parse_name(name).and_then(|(.., version)| version));
    }
    let what = if exports.iter().any(|name| name.starts_with("wasi:cli/run@")) {
        "it is a program with a `main`, not a handler".to_owned()
    } else if exports.is_empty() {
        "it exports nothing".to_owned()
    } else {
        format!("it exports {}", exports.join(", "))
    };
    Err(LoadError::OtherWorld(format!(
        "{what}. A handler exports {CONTRACT_PACKAGE}/hooks@{CONTRACT_VERSION}; in Rust, `handler_sdk::export!` does it \
         in a crate of the type cdylib"
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_file_that_is_not_a_component_is_named() {
        let why = |bytes: &[u8]| check_kind(bytes, 1_000).unwrap_err().to_string();
        assert!(why(b"").contains("empty"));
        assert!(why(b"\0asm\x01\0\0\0rest").contains("core WebAssembly module"));
        assert!(why(b"hello, world").contains("text file"));
        assert!(why(b"\x7fELF....").contains("machine code"));
        assert!(why(b"\0asm").contains("cut short"));
        assert!(why(&[0xff; 100]).contains("not WebAssembly"));
        assert!(check_kind(b"\0asm\x0d\0\x01\0", 7).is_err());
        assert!(check_kind(b"\0asm\x0d\0\x01\0", 8).is_ok());
    }

    #[test]
    fn compatible_versions_are_accepted_and_others_are_refused_with_what_to_do() {
        let check = |version| check_version("x", Some(version)).map_err(|error| error.to_string());
        assert!(check("0.1.0").is_ok());
        assert!(check("0.1.7").is_ok());
        assert!(check("0.2.0").unwrap_err().contains("newer version"));
        assert!(check("1.0.0").unwrap_err().contains("newer version"));
        assert!(check("0.0.9").unwrap_err().contains("older version"));
        assert!(check_version("x", None).is_err());
    }

    #[test]
    fn a_module_without_hooks_is_refused_with_what_it_exports() {
        let check = |names: &[&str]| check_exports(names).map_err(|error| error.to_string());
        assert!(
            check(&["wasi:cli/run@0.2.6"])
                .unwrap_err()
                .contains("`main`")
        );
        assert!(check(&[]).unwrap_err().contains("exports nothing"));
        assert!(check(&["a:b/c@1.0.0"]).unwrap_err().contains("a:b/c@1.0.0"));
        assert!(
            check(&["alert-manager:handler/hooks@0.2.0"])
                .unwrap_err()
                .contains("newer")
        );
        assert!(check(&["alert-manager:handler/hooks@0.1.0", "more"]).is_ok());
    }

    #[test]
    fn only_the_parts_of_wasi_that_a_runtime_needs_are_accepted() {
        assert!(check_wasi("wasi:cli/stdout@0.2.6").is_ok());
        assert!(check_wasi("wasi:http/outgoing-handler@0.2.0").is_err());
        assert!(check_wasi("wasi:keyvalue/store@0.2.0").is_err());
    }
}
