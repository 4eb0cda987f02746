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

pub(crate) use self::alert_manager::handler::{
    config, history, http, kv, log, slack, timer, types,
};
pub(crate) use self::exports::alert_manager::handler::hooks;

/// The version of the contract that this server implements.
pub(crate) const CONTRACT_VERSION: &str = "0.1.1";
/// The contract's package.
pub(crate) const CONTRACT_PACKAGE: &str = "alert-manager:handler";
