//! Whether a module is the one that its name is pinned to.

use std::collections::BTreeMap;

use crate::hex;
use crate::modules::catalog::input::{Claim, Loaded};
use alert_manager_core::alert::HandlerName;

/// The hash that a module of a name must have.
pub type Pins = BTreeMap<HandlerName, [u8; 32]>;

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
