//! Checks that bytes are a component of the contract, by their first bytes and by the names of imports and exports. The
//! errors say what to build instead.

use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::bindings::{CONTRACT_PACKAGE, Contract};
use crate::calls::interfaces::{INTERFACES, Interface};
use crate::modules::load_error::LoadError;

/// What the names of a component's imports and exports say of it.
#[derive(Debug)]
pub(crate) struct Recognized {
    /// The series of the contract that it was built for.
    pub(crate) contract: Contract,
    /// The version that it was built for.
    pub(crate) version: String,
    /// The interfaces of the contract that it imports, sorted.
    pub(crate) imports: Vec<String>,
}

/// Recognizes the contract of a component by the `hooks` that it exports, and compares the names of its imports with it. The
/// linker would find the same mistakes, but its errors do not say what to do.
///
/// # Errors
/// The first name that does not fit.
pub(crate) fn recognize(engine: &Engine, component: &Component) -> Result<Recognized, LoadError> {
    let ty = component.component_type();
    // First: what else a module for another world lacks follows from that.
    for (name, _) in ty.imports(engine) {
        check_package(name)?;
    }
    let exports: Vec<_> = ty.exports(engine).map(|(name, _)| name).collect();
    let (contract, version) = contract_of(&exports, &known())?;
    let mut imports = Vec::new();
    for (name, item) in ty.imports(engine) {
        let Some(interface) = interface_of(name, contract)? else {
            continue;
        };
        if let ComponentItem::ComponentInstance(instance) = item.ty {
            let functions = instance.exports(engine).filter_map(|(name, item)| {
                let is_function = matches!(item.ty, ComponentItem::ComponentFunc(_));
                is_function.then_some(name)
            });
            check_functions(name, interface, functions, contract)?;
        }
        // `types` has no function, so there is nothing to grant.
        if interface.name != "types" {
            imports.push(interface.name.to_owned());
        }
    }
    if let Some((name, _)) = ty.exports(engine).find(|(name, item)| {
        is_hooks(name) && !matches!(item.ty, ComponentItem::ComponentInstance(_))
    }) {
        return Err(LoadError::OtherWorld(format!(
            "its export {name} is no interface: build it for the world `handler` of wit/handler.wit"
        )));
    }
    imports.sort();
    Ok(Recognized {
        contract,
        version: version.to_owned(),
        imports,
    })
}

/// Returns the series that this server has, each with its latest version.
fn known() -> [(Contract, &'static str); Contract::ALL.len()] {
    Contract::ALL.map(|contract| (contract, contract.version()))
}

/// Accepts imports of the contract, of any version, and of the parts of WASI that every handler may import.
fn check_package(name: &str) -> Result<(), LoadError> {
    match parse_name(name) {
        Some((CONTRACT_PACKAGE, ..)) => Ok(()),
        Some((package, ..)) if package.starts_with("wasi:") => check_wasi(name),
        _ => Err(LoadError::OtherWorld(format!(
            "it imports {name}, which this server does not have. A handler imports the interfaces of \
             {CONTRACT_PACKAGE} alone: build it for the world `handler` of wit/handler.wit"
        ))),
    }
}

/// Returns the interface of an import from the contract, and `None` for a part of WASI.
fn interface_of(name: &str, contract: Contract) -> Result<Option<&'static Interface>, LoadError> {
    let Some((CONTRACT_PACKAGE, interface, version)) = parse_name(name) else {
        return Ok(None);
    };
    series_of(name, version, &[(contract, contract.version())])?;
    let known = INTERFACES.iter().find(|known| known.name == interface);
    known.map(Some).ok_or_else(|| {
        LoadError::OtherWorld(format!(
            "it imports {name}, which version {} of the contract does not have: \
             update this server, or build the handler for an older version",
            contract.version()
        ))
    })
}

/// Checks that an interface has every function that a module imports: a newer version may have more.
fn check_functions<'a>(
    name: &str,
    interface: &Interface,
    mut functions: impl Iterator<Item = &'a str>,
    contract: Contract,
) -> Result<(), LoadError> {
    match functions.find(|function| !interface.functions.contains(function)) {
        None => Ok(()),
        Some(function) => Err(LoadError::OtherWorld(format!(
            "it imports the function `{function}` of {name}, which version {} of the contract does not have: \
             update this server, or build the handler with an older SDK",
            contract.version()
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

/// Returns which of the series `known`, each with its latest version and the oldest first, a version belongs to. Below 1.0,
/// versions with the same major and minor number are compatible.
fn series_of<C: Copy>(
    name: &str,
    version: Option<&str>,
    known: &[(C, &str)],
) -> Result<C, LoadError> {
    let series = |version: &str| {
        let mut numbers = version.split('.').map(|n| n.parse::<u32>().ok());
        Some((numbers.next()??, numbers.next()??))
    };
    let Some(theirs) = version.and_then(series) else {
        return Err(LoadError::OtherWorld(format!(
            "it names {name} without a version: build it from wit/handler.wit as it is"
        )));
    };
    let of = |(_, ours): &&(C, &str)| series(ours) == Some(theirs);
    if let Some((contract, _)) = known.iter().find(of) {
        return Ok(*contract);
    }
    let newest = known.last().and_then(|(_, ours)| series(ours));
    let what = if Some(theirs) > newest {
        "it was built for a newer version of the contract: update this server, or build the handler with an older SDK"
    } else {
        "it was built for an older version of the contract, which this server no longer has: build the handler \
         again with this server's SDK"
    };
    let ours: Vec<_> = known.iter().map(|(_, ours)| *ours).collect();
    Err(LoadError::OtherWorld(format!(
        "{what}. It names {name}; this server has {}.",
        ours.join(" and ")
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

/// Returns the series of the contract whose `hooks` are exported, and their version.
fn contract_of<'a, C: Copy>(
    exports: &[&'a str],
    known: &[(C, &str)],
) -> Result<(C, &'a str), LoadError> {
    if let Some(name) = exports.iter().find(|name| is_hooks(name)) {
        let version = parse_name(name).and_then(|(.., version)| version);
        let contract = series_of(name, version, known)?;
        return Ok((contract, version.unwrap_or_default()));
    }
    let what = if exports.iter().any(|name| name.starts_with("wasi:cli/run@")) {
        "it is a program with a `main`, not a handler".to_owned()
    } else if exports.is_empty() {
        "it exports nothing".to_owned()
    } else {
        format!("it exports {}", exports.join(", "))
    };
    let newest = known.last().map_or("", |(_, version)| version);
    Err(LoadError::OtherWorld(format!(
        "{what}. A handler exports {CONTRACT_PACKAGE}/hooks@{newest}; in Rust, `handler_sdk::export!` does it \
         in a crate of the type cdylib"
    )))
}

#[cfg(test)]
mod next_series;

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
        let check = |version| {
            let series = series_of("x", version, &known());
            series.map_err(|error| error.to_string())
        };
        assert_eq!(check(Some("0.1.0")), Ok(Contract::V0_1));
        assert_eq!(check(Some("0.1.7")), Ok(Contract::V0_1));
        assert!(check(Some("0.2.0")).unwrap_err().contains("newer version"));
        assert!(check(Some("1.0.0")).unwrap_err().contains("newer version"));
        assert!(check(Some("0.0.9")).unwrap_err().contains("older version"));
        assert!(check(None).is_err());
    }

    #[test]
    fn a_module_without_hooks_is_refused_with_what_it_exports() {
        let check = |names: &[&str]| {
            let contract = contract_of(names, &known()).map(|(contract, _)| contract);
            contract.map_err(|error| error.to_string())
        };
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
    fn a_function_of_a_newer_version_is_named() {
        let slack = INTERFACES.iter().find(|i| i.name == "slack").unwrap();
        let check = |functions: &[&'static str]| {
            let functions = functions.iter().copied();
            check_functions(
                "alert-manager:handler/slack@0.1.9",
                slack,
                functions,
                Contract::V0_1,
            )
        };
        assert!(check(&["post", "upload"]).is_ok());
        let why = check(&["post", "unfurl"]).unwrap_err().to_string();
        assert!(
            why.contains("`unfurl` of alert-manager:handler/slack@0.1.9"),
            "{why}"
        );
        assert!(why.contains("update this server"), "{why}");
    }

    #[test]
    fn only_the_parts_of_wasi_that_a_runtime_needs_are_accepted() {
        assert!(check_wasi("wasi:cli/stdout@0.2.6").is_ok());
        assert!(check_wasi("wasi:http/outgoing-handler@0.2.0").is_err());
        assert!(check_wasi("wasi:keyvalue/store@0.2.0").is_err());
    }
}
