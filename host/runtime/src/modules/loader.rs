//! Makes a module from its bytes: compiles it or takes it from the cache, links it, and calls its `describe`.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use wasmtime::component::{Component, Linker};

use crate::bindings::Contract;
use crate::calls::HookState;
use crate::calls::setting_reads::SettingReads;
use crate::hooks::describe::{DescribeFailure, describe};
use crate::hooks::{Exports, Hooks};
use crate::modules::cache::{Cache, Known};
use crate::modules::catalog::{Claim, Loaded};
use crate::modules::compiler::{Compilation, Compiler};
use crate::modules::contract::Recognized;
use crate::modules::load_error::{LoadError, blocking};
use crate::modules::module::Module;
use crate::modules::source::Content;
use crate::modules::{contract, description};
use crate::sandbox::engine::Sandbox;
use crate::trace::log::{LogBudget, LogSource};
use crate::trace::recorder::Recorder;
use crate::wasmtime_words;
use crate::{Limits, StepFailure, hex};
use alert_manager_core::alert::HandlerName;
use alert_manager_core::description::Description;

impl Claim for Module {
    fn name(&self) -> &HandlerName {
        Self::name(self)
    }

    fn sha256(&self) -> &str {
        Self::sha256(self)
    }
}

/// Makes modules from their bytes.
pub struct Loader {
    sandbox: Arc<Sandbox>,
    /// The linker for `enrich` and `act`.
    linker: Linker<HookState>,
    cache: Arc<Cache>,
    compilation: Compilation,
}

impl Loader {
    pub(crate) fn new(
        sandbox: Arc<Sandbox>,
        linker: Linker<HookState>,
        cache: Cache,
        compiler: Compiler,
    ) -> Self {
        let (engine, cache) = (sandbox.engine.clone(), Arc::new(cache));
        Self {
            compilation: Compilation::new(compiler, engine, sandbox.bounds, Arc::clone(&cache)),
            sandbox,
            linker,
            cache,
        }
    }

    /// Compiles, checks, links and describes a module. A module that was loaded before is taken from the cache.
    ///
    /// # Errors
    /// If it cannot be loaded; the error says what to change.
    pub async fn load(self: &Arc<Self>, bytes: Vec<u8>) -> Result<Module, LoadError> {
        let begun = self.compilation.begin_load();
        let bytes = Arc::<[u8]>::from(bytes);
        let (loader, given) = (Arc::clone(self), Arc::clone(&bytes));
        let (sha256, cached) = blocking(move || loader.look_up(&given)).await?;
        let (component, known) = match cached {
            Some((component, known)) => (component, Some(known)),
            None => {
                let code = self.compilation.compile(&begun, bytes).await?;
                let (loader, hash) = (Arc::clone(self), sha256.clone());
                let component = blocking(move || loader.keep(&hash, code)).await?;
                (component, None)
            }
        };
        let recognized = contract::recognize(&self.sandbox.engine, &component)?;
        let exports = exports_of(&component, &recognized)?;
        let hooks = self.link(&component, exports, &recognized)?;
        let known = match known {
            Some(known) => known,
            None => {
                let known = Known {
                    description: self.describe(&component, &exports, &recognized).await?,
                    imports: recognized.imports,
                };
                if let Err(error) = self.cache.put_known(&sha256, &known) {
                    return Err(LoadError::Host(format!("the cache: {error}")));
                }
                known
            }
        };
        Ok(Module {
            setting_reads: Arc::new(SettingReads::of(&known.description)),
            description: known.description,
            imports: known.imports,
            contract: recognized.version,
            sha256,
            hooks,
            clients: Arc::default(),
            rates: Arc::default(),
            share: self.sandbox.cpu_permits.share(),
        })
    }

    /// Loads a candidate's content.
    pub(crate) async fn load_content(
        self: &Arc<Self>,
        content: Content,
    ) -> Result<Loaded<Module>, LoadError> {
        Ok(Loaded {
            module: Arc::new(self.load(content.bytes).await?),
            exposure: content.exposure,
        })
    }

    /// Returns the SHA-256 of a module, and its entry in the cache.
    fn look_up(&self, bytes: &[u8]) -> Result<(String, Option<(Component, Known)>), LoadError> {
        contract::check_kind(bytes, self.sandbox.bounds.module_bytes_max)?;
        let sha256 = hex(&Sha256::digest(bytes));
        let cached = self.cache.get(&self.sandbox.engine, &sha256);
        Ok((sha256, cached))
    }

    /// Stores compiled code in the cache, and returns it as a component.
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

    /// Resolves the imports. Types that differ from the contract's are found here.
    fn link(
        &self,
        component: &Component,
        exports: Exports,
        recognized: &Recognized,
    ) -> Result<Hooks, LoadError> {
        match recognized.contract {
            Contract::V0_1 => {
                let pre = self.linker.instantiate_pre(component);
                let pre = pre.map_err(|error| mismatch(&format!("{error:#}"), recognized))?;
                Ok(Hooks::new(pre, exports))
            }
        }
    }

    /// Calls `describe`, and checks its result.
    async fn describe(
        &self,
        component: &Component,
        exports: &Exports,
        recognized: &Recognized,
    ) -> Result<Description, LoadError> {
        let source = LogSource {
            handler: HandlerName::new("(describe)"),
            about: None,
        };
        let budget = LogBudget::new(&Limits::default(), Arc::default());
        let recorder = Arc::new(Recorder::new(source, budget));
        let described = describe(&self.sandbox, component, exports, recorder).await;
        let given = described.map_err(|failure| match failure {
            DescribeFailure::Mismatch(why) => mismatch(&why, recognized),
            DescribeFailure::Failed(StepFailure::Host(why)) => LoadError::Host(why),
            DescribeFailure::Failed(why) => LoadError::Describe(format!("describe: {why}")),
        })?;
        description::checked(given).map_err(LoadError::Describe)
    }
}

fn exports_of(component: &Component, recognized: &Recognized) -> Result<Exports, LoadError> {
    Exports::find(component, &recognized.version)
        .ok_or_else(|| mismatch("it does not export every function of `hooks`", recognized))
}

fn mismatch(why: &str, recognized: &Recognized) -> LoadError {
    let version = recognized.contract.version();
    LoadError::OtherWorld(format!(
        "its types are not those of version {version} of the contract ({why}): \
         it was built from another wit/handler.wit. Build it again with this server's."
    ))
}
