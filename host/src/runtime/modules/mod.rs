//! Modules: from a file in the folder to what serves.

pub(in crate::runtime) mod cache;
pub(in crate::runtime) mod compiler;
pub(in crate::runtime) mod folder;
pub(in crate::runtime) mod loader;
pub(in crate::runtime) mod registry;
pub(in crate::runtime) mod settings;
