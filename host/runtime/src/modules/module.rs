//! A loaded module.

use std::sync::Arc;

use crate::calls::setting_reads::SettingReads;
use crate::hooks::Hooks;
use crate::outbound::egress::Clients;
use crate::outbound::rates::Rates;
use crate::sandbox::fair_share::HandlerShare;
use alert_manager_core::alert::HandlerName;
use alert_manager_core::description::Description;

/// A handler's code, ready to be called.
pub struct Module {
    pub(crate) description: Description,
    pub(crate) sha256: String,
    pub(crate) imports: Vec<String>,
    pub(crate) contract: String,
    pub(crate) hooks: Hooks,
    pub(crate) clients: Arc<Clients>,
    pub(crate) rates: Arc<Rates>,
    pub(crate) setting_reads: Arc<SettingReads>,
    /// Its share of the CPU permits.
    pub(crate) share: HandlerShare,
}

impl Module {
    /// Returns the name by which the module is known.
    #[must_use]
    pub fn name(&self) -> &HandlerName {
        &self.description.name
    }

    /// Returns the result of the module's `describe`.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Returns the SHA-256 of its bytes, in hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Returns the interfaces of the contract that it imports, sorted, by their names without the package: `http`, `slack`.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// Returns the version of the contract that it was built for, such as `0.1.0`.
    #[must_use]
    pub fn contract(&self) -> &str {
        &self.contract
    }

    /// Returns the version and the first digits of the digest, as stories name a module.
    #[must_use]
    pub fn label(&self) -> String {
        let digits = self.sha256.get(..12).unwrap_or_default();
        format!("{} {digits}", self.description.version)
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
