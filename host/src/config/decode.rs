//! A part of the file: its keys, how they are read into the configuration, and what a reload compares.

use std::sync::Arc;

use super::compare::{Compare, Restart};
use super::key::Key;
use super::node::{Node, Place};
use super::reader::Reader;
use super::section::Section;
use super::{Config, Overrides};
use crate::runtime::NoProxy;

/// Looks a variable up; an empty text counts as unset.
pub(super) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A part of the file: one top-level key, or several that belong together.
pub(super) struct Part {
    /// Its keys.
    pub(super) keys: &'static [Key],
    /// Reads them, with the flags and variables that override them.
    pub(super) read: fn(&mut Decoding<'_>),
    /// What a reload compares.
    pub(super) compare: Compare,
    /// What of it changes only with a restart.
    pub(super) restart: Restart,
}

/// A configuration while it is decoded.
pub(super) struct Decoding<'a> {
    /// Collects what is wrong.
    pub(super) reader: &'a mut Reader,
    /// The whole file.
    pub(super) document: &'a Node,
    /// Its top-level mapping.
    pub(super) top: Section<'a>,
    /// Flags.
    pub(super) flags: &'a Overrides,
    /// Variables.
    pub(super) env: Env<'a>,
    /// What was read so far; the rest is at its default.
    pub(super) config: Config,
    /// `no_proxy`, for every proxy that is named.
    pub(super) no_proxy: Arc<NoProxy>,
}

impl Decoding<'_> {
    /// Returns the place of the value of these keys, each below the one before it; the top of the file if there is none.
    pub(super) fn place_of(&self, keys: &[&str]) -> Place {
        self.document.place_of(keys).unwrap_or(self.document.at)
    }
}
