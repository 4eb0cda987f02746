//! From a file's bytes to a module that can be called, or to the reason why not, in words that its author can act on.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::bindings::{CONTRACT_PACKAGE, CONTRACT_VERSION};
use crate::calls::interfaces::INTERFACES;
use crate::hooks::describe::{DescribeFailure, describe};
use crate::hooks::{Exports, Hooks};
use crate::modules::cache::Known;
use crate::modules::compiler::blocking;
use crate::modules::description;
use crate::outbound::egress::Clients;
use crate::outbound::rates::Rates;
use crate::sandbox::fair_share::HandlerShare;
use crate::trace::recorder::{LogBudget, Recorder, Speaker};
use crate::wasmtime_words;
use crate::{Limits, Runtime, StepFailure, hex};
use alert_manager_core::alert::HandlerName;
use alert_manager_core::description::Description;

/// A handler's code, ready to be called.
pub struct Module {
    description: Description,
    sha256: String,
    imports: Vec<String>,
    /// Who besides its file's owner could have written it.
    pub(crate) exposure: Option<String>,
    pub(crate) hooks: Hooks,
    pub(crate) clients: Arc<Clients>,
    pub(crate) rates: Arc<Rates>,
    /// Of the CPU permits.
    pub(crate) share: HandlerShare,
}

impl Module {
    /// Returns the name by which the module is known.
    #[must_use]
    pub fn name(&self) -> &HandlerName {
        &self.description.name
    }

    /// Returns what the module says of itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Returns the hash of its file, in hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Returns who besides the owner of its file could have written it, where anybody.
    #[must_use]
    pub fn exposure(&self) -> Option<&str> {
        self.exposure.as_deref()
    }

    /// Returns the interfaces of the contract that it imports, by their bare names: `http`, `slack`.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.imports
    }
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module")
            .field("description", &self.description)
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

/// Why a file is no module that this server can call. For its author.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Not a component at all; says what it is and what to build instead.
    #[error("{0}")]
    NotAComponent(String),
    /// A component, but damaged or cut short.
    #[error("it does not compile, so it is damaged or not whole: {0}")]
    Damaged(String),
    /// It, or what compiling it takes, is over a bound of the sandbox; begins with the bound's name.
    #[error("{0}")]
    Limit(String),
    /// A component of another world; names what does not fit.
    #[error("{0}")]
    OtherWorld(String),
    /// Its `describe` failed, or says what is not allowed.
    #[error("{0}")]
    Describe(String),
    /// No fault of the module.
    #[error("this server cannot load it: {0}")]
    Host(String),
}

impl Runtime {
    /// Compiles, validates and describes a module; from the cache where it was loaded before.
    ///
    /// # Errors
    /// [`LoadError`] says what to change.
    pub async fn load(self: &Arc<Self>, bytes: Vec<u8>) -> Result<Module, LoadError> {
        let bytes = Arc::<[u8]>::from(bytes);
        let (runtime, given) = (Arc::clone(self), Arc::clone(&bytes));
        let (sha256, cached) = blocking(move || runtime.look_up(&given)).await?;
        let (component, known) = match cached {
            Some((component, known)) => (component, Some(known)),
            None => {
                let code = self.compile(bytes).await?;
                let (runtime, hash) = (Arc::clone(self), sha256.clone());
                let component = blocking(move || runtime.keep(&hash, code)).await?;
                (component, None)
            }
        };
        let imports = self.check_names(&component)?;
        let exports = exports_of(&component)?;
        let hooks = self.link(&component, exports)?;
        let known = match known {
            Some(known) => known,
            None => {
                let known = Known {
                    description: self.describe(&component, &exports).await?,
                    imports,
                };
                if let Err(error) = self.cache.put_known(&sha256, &known) {
                    return Err(LoadError::Host(format!("the cache: {error}")));
                }
                known
            }
        };
        Ok(Module {
            description: known.description,
            imports: known.imports,
            sha256,
            exposure: None,
            hooks,
            clients: Arc::default(),
            rates: Arc::default(),
            share: self.sandbox.cpu_permits.share(),
        })
    }

    /// Returns the hash of a module, and the module where it was loaded before.
    fn look_up(&self, bytes: &[u8]) -> Result<(String, Option<(Component, Known)>), LoadError> {
        check_kind(bytes, self.sandbox.bounds.module_bytes_max)?;
        let sha256 = hex(&Sha256::digest(bytes));
        let cached = self.cache.get(&self.sandbox.engine, &sha256);
        Ok((sha256, cached))
    }

    fn keep(&self, sha256: &str, code: NamedTempFile) -> Result<Component, LoadError> {
        let kept = self.cache.put(&self.sandbox.engine, sha256, code);
        kept.map_err(|error| {
            let why = error.to_string();
            match wasmtime_words::bound_of_the_pool(&why) {
                Some(bound) => LoadError::Limit(format!("{bound}: {why}")),
                None => LoadError::Host(format!("the cache: {why}")),
            }
        })
    }

    /// Compares the names of imports and exports with the contract, and returns the interfaces of
    /// ours that the module imports. The linker would find the same, in words for its own authors.
    fn check_names(&self, component: &Component) -> Result<Vec<String>, LoadError> {
        let engine = &self.sandbox.engine;
        let ty = component.component_type();
        let mut imports = Vec::new();
        for (name, _) in ty.imports(engine) {
            match parse_name(name) {
                Some((CONTRACT_PACKAGE, interface, version)) => {
                    check_version(name, version)?;
                    if !INTERFACES.iter().any(|known| known.name == interface) {
                        return Err(LoadError::OtherWorld(format!(
                            "it imports {name}, which version {CONTRACT_VERSION} of the contract does not have: \
                             update this server, or build the handler for an older version"
                        )));
                    }
                    if interface != "types" {
                        imports.push(interface.to_owned());
                    }
                }
                Some((package, ..)) if package.starts_with("wasi:") => check_wasi(name)?,
                _ => {
                    return Err(LoadError::OtherWorld(format!(
                        "it imports {name}, which this server does not have. A handler imports the interfaces of \
                         {CONTRACT_PACKAGE} alone: build it for the world `handler` of wit/handler.wit"
                    )));
                }
            }
        }
        let exports: Vec<_> = ty
            .exports(engine)
            .map(|(name, _)| name.to_owned())
            .collect();
        check_exports(&exports)?;
        if let Some((name, _)) = ty.exports(engine).find(|(name, item)| {
            is_hooks(name) && !matches!(item.ty, ComponentItem::ComponentInstance(_))
        }) {
            return Err(LoadError::OtherWorld(format!(
                "its export {name} is no interface: build it for the world `handler` of wit/handler.wit"
            )));
        }
        imports.sort();
        Ok(imports)
    }

    /// Resolves every import; a record that was changed under the same version is found here.
    fn link(&self, component: &Component, exports: Exports) -> Result<Hooks, LoadError> {
        let pre = self.linker.instantiate_pre(component);
        let pre = pre.map_err(|error| mismatch(&format!("{error:#}")))?;
        Ok(Hooks::new(pre, exports))
    }

    async fn describe(
        &self,
        component: &Component,
        exports: &Exports,
    ) -> Result<Description, LoadError> {
        let speaker = Speaker {
            handler: HandlerName::new("(describe)"),
            about: None,
        };
        let budget = LogBudget::new(&Limits::default(), Arc::default());
        let recorder = Arc::new(Recorder::new(speaker, budget));
        let described = describe(&self.sandbox, component, exports, recorder).await;
        let given = described.map_err(|failure| match failure {
            DescribeFailure::Mismatch(why) => mismatch(&why),
            DescribeFailure::Failed(StepFailure::Host(why)) => LoadError::Host(why),
            DescribeFailure::Failed(why) => LoadError::Describe(format!("describe: {why}")),
        })?;
        description::checked(given).map_err(LoadError::Describe)
    }
}

fn exports_of(component: &Component) -> Result<Exports, LoadError> {
    Exports::find(component).ok_or_else(|| mismatch("it does not export every function of `hooks`"))
}

fn mismatch(why: &str) -> LoadError {
    LoadError::OtherWorld(format!(
        "its types are not those of version {CONTRACT_VERSION} of the contract ({why}): \
         it was built from another wit/handler.wit. Build it again with this server's."
    ))
}

/// Tells a component from what people copy by mistake, by its first eight bytes.
fn check_kind(bytes: &[u8], bytes_max: u64) -> Result<(), LoadError> {
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

/// Versions fit where they agree in what semantic versioning calls compatible: below 1.0 that is
/// the minor number.
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

/// The parts of WASI that every language's runtime imports; they lead nowhere.
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

fn check_exports(exports: &[String]) -> Result<(), LoadError> {
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
    fn what_is_no_component_is_told_by_its_name() {
        let told = |bytes: &[u8]| check_kind(bytes, 1_000).unwrap_err().to_string();
        assert!(told(b"").contains("empty"));
        assert!(told(b"\0asm\x01\0\0\0rest").contains("core WebAssembly module"));
        assert!(told(b"hello, world").contains("text file"));
        assert!(told(b"\x7fELF....").contains("machine code"));
        assert!(told(b"\0asm").contains("cut short"));
        assert!(told(&[0xff; 100]).contains("not WebAssembly"));
        assert!(check_kind(b"\0asm\x0d\0\x01\0", 7).is_err());
        assert!(check_kind(b"\0asm\x0d\0\x01\0", 8).is_ok());
    }

    #[test]
    fn versions_of_one_series_fit_and_others_say_what_to_do() {
        let check = |version| check_version("x", Some(version)).map_err(|error| error.to_string());
        assert!(check("0.1.0").is_ok());
        assert!(check("0.1.7").is_ok());
        assert!(check("0.2.0").unwrap_err().contains("newer version"));
        assert!(check("1.0.0").unwrap_err().contains("newer version"));
        assert!(check("0.0.9").unwrap_err().contains("older version"));
        assert!(check_version("x", None).is_err());
    }

    #[test]
    fn a_module_without_our_hooks_is_told_what_it_is() {
        let told = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|n| (*n).to_owned()).collect();
            check_exports(&names).map_err(|error| error.to_string())
        };
        assert!(
            told(&["wasi:cli/run@0.2.6"])
                .unwrap_err()
                .contains("`main`")
        );
        assert!(told(&[]).unwrap_err().contains("exports nothing"));
        assert!(told(&["a:b/c@1.0.0"]).unwrap_err().contains("a:b/c@1.0.0"));
        assert!(
            told(&["alert-manager:handler/hooks@0.2.0"])
                .unwrap_err()
                .contains("newer")
        );
        assert!(told(&["alert-manager:handler/hooks@0.1.0", "more"]).is_ok());
    }

    #[test]
    fn of_wasi_only_what_a_runtime_needs_is_there() {
        assert!(check_wasi("wasi:cli/stdout@0.2.6").is_ok());
        assert!(check_wasi("wasi:http/outgoing-handler@0.2.0").is_err());
        assert!(check_wasi("wasi:keyvalue/store@0.2.0").is_err());
    }
}
