//! Modules: from the sources that offer them to the ones that serve.

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
