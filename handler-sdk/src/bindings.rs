//! Everything that `wit-bindgen` generates from the contract in `wit/handler.wit`.
//!
//! Authors never name this module: its types are re-exported under the names they are known by, and its
//! functions are called by the context.

wit_bindgen::generate!({
    world: "handler",
    path: "wit",
    additional_derives: [PartialEq, Eq, Clone],
    export_macro_name: "export_hooks",
    pub_export_macro: true,
    runtime_path: "::handler_sdk::__private::wit_bindgen::rt",
});
