//! The bindings that wasmtime generates from the contract, `wit/handler.wit`.

#![allow(
    clippy::doc_markdown,
    unreachable_pub,
    reason = "generated code, and documentation in the words of the contract"
)]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "handler",
    imports: {
        "alert-manager:handler/log": trappable,
        default: async | trappable,
    },
    exports: { default: async },
    additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
});

use alert_manager_core::alert::Timestamp;

pub(crate) use self::alert_manager::handler::{
    config, history, http, kv, log, slack, timer, types,
};
pub(crate) use self::exports::alert_manager::handler::hooks;

/// The contract's package.
pub(crate) const CONTRACT_PACKAGE: &str = "alert-manager:handler";

/// A series of the contract that this server has: versions with the same major and minor number, which are compatible. A module
/// is of the series whose `hooks` it exports. `wit/README.md` says how a series is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contract {
    /// `wit/handler.wit`.
    V0_1,
}

impl Contract {
    /// Every series, the oldest first.
    pub(crate) const ALL: [Self; 1] = [Self::V0_1];

    /// Returns the latest version of the series.
    pub(crate) const fn version(self) -> &'static str {
        match self {
            Self::V0_1 => "0.1.1",
        }
    }
}

/// Returns a moment as the contract has it.
pub(crate) fn timestamp(at: Timestamp) -> types::Timestamp {
    let (mut seconds, mut nanoseconds) = (at.as_second(), at.subsec_nanosecond());
    if nanoseconds < 0 {
        // Before 1970, jiff's nanoseconds count back from the next second.
        seconds -= 1;
        nanoseconds += 1_000_000_000;
    }
    types::Timestamp {
        seconds,
        nanoseconds: nanoseconds.cast_unsigned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_version_is_the_one_of_the_contract() {
        let wit = include_str!("../../../wit/handler.wit");
        let package = format!("package {CONTRACT_PACKAGE}@{};", Contract::V0_1.version());
        assert!(wit.starts_with(&package), "{package}");
    }

    #[test]
    fn timestamps_before_1970_have_nanoseconds_from_zero_up() {
        let at = timestamp("1969-12-31T23:59:58.5Z".parse().unwrap());
        assert_eq!((at.seconds, at.nanoseconds), (-2, 500_000_000));
    }
}
