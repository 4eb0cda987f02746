//! Modules: from a file in the folder to what serves.

pub(crate) mod cache;
pub(crate) mod compiler;
mod description;
pub(crate) mod folder;
pub(crate) mod loader;
pub(crate) mod registry;
mod settings;
