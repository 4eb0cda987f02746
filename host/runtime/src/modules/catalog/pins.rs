//! Pins: the hash that the module of a name must have.

use std::collections::BTreeMap;

use crate::hex;
use crate::modules::catalog::input::{Claim, Loaded};
use alert_manager_core::alert::HandlerName;

/// SHA-256 hashes by the handler's name: a module with another hash does not serve under the name.
pub type Pins = BTreeMap<HandlerName, [u8; 32]>;

/// Takes the module out of `serving` if it does not match its pin, and returns it with the error.
pub(super) fn take_unpinned<M: Claim>(
    serving: &mut Option<Loaded<M>>,
    pins: &Pins,
) -> Option<(Loaded<M>, String)> {
    let why = pin_error(pins, &*serving.as_ref()?.module)?;
    Some((serving.take()?, why))
}

/// Returns the error if a module does not match its pin.
pub(super) fn pin_error(pins: &Pins, module: &impl Claim) -> Option<String> {
    let (name, pin) = (module.name(), hex(pins.get(module.name())?));
    let sha256 = module.sha256();
    (pin != sha256).then(|| {
        format!(
            "handlers.{name}.sha256 is {pin}, but this module's is {sha256}: change the pin if this module is the one that you mean"
        )
    })
}
