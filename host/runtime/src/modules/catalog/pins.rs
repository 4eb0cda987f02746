//! Whether a module is the one that its name is pinned to.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::hex;
use alert_manager_core::alert::HandlerName;

/// The hash that a module of a name must have.
pub type Pins = BTreeMap<HandlerName, [u8; 32]>;

/// What of a module decides whether it serves.
pub(crate) trait Claim {
    /// The name that it claims.
    fn name(&self) -> &HandlerName;
    /// The hash of its bytes, in hexadecimal.
    fn sha256(&self) -> &str;
}

/// A module that was loaded.
pub(crate) struct Loaded<M> {
    pub(crate) module: Arc<M>,
    /// Who besides the operator could have written its bytes.
    pub(crate) exposure: Option<String>,
}

/// Takes the module if it is not the one that its name is pinned to, and says so.
pub(super) fn take_unpinned<M: Claim>(
    serving: &mut Option<Loaded<M>>,
    pins: &Pins,
) -> Option<(Loaded<M>, String)> {
    let why = pin_error(pins, &*serving.as_ref()?.module)?;
    Some((serving.take()?, why))
}

/// Says why a module is not the one that its name is pinned to.
pub(super) fn pin_error(pins: &Pins, module: &impl Claim) -> Option<String> {
    let (name, pin) = (module.name(), hex(pins.get(module.name())?));
    let sha256 = module.sha256();
    (pin != sha256).then(|| {
        format!(
            "handlers.{name}.sha256 is {pin}, but this module's is {sha256}: change the pin if this module is the one that you mean"
        )
    })
}
