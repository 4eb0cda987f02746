//! Modules: sources offer candidates, the loader makes modules of them, and the catalog decides which of them serve.

pub(crate) mod cache;
pub(crate) mod catalog;
pub(crate) mod compiler;
mod contract;
mod description;
pub(crate) mod folder;
mod follower;
pub(crate) mod load_error;
pub(crate) mod loader;
pub(crate) mod module;
pub(crate) mod registry;
pub(crate) mod serving;
mod settings;
pub(crate) mod source;
mod trial;
