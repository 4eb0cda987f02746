//! Parses character classes: `[…]`, `\d` and `\pL`.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::super::error::Re2Error;
use super::super::{class, escape};
use super::Parser;

impl Parser<'_> {
    /// Parses `\d` and the like, or `\pN` and the like, if there is one here.
    pub(super) fn class_escape(&mut self) -> Result<Option<Members>, Re2Error> {
        let mut chars = self.rest.chars();
        chars.next();
        let Some(letter) = chars.next() else {
            return Ok(None);
        };
        let mut negated = letter.is_ascii_uppercase();
        let set = if matches!(letter, 'p' | 'P') {
            let written = chars.as_str();
            let name = match written.strip_prefix('{') {
                Some(braced) => braced.split_once('}').map(|(name, _)| name),
                None => written.chars().next().map(|c| &written[..c.len_utf8()]),
            };
            let fail = |written: &str| Re2Error::ClassName(format!("\\{letter}{written}"));
            let Some(name) = name else {
                return Err(fail(written));
            };
            let braces = if written.starts_with('{') { 2 } else { 0 };
            let (written, after) = written.split_at(name.len() + braces);
            chars = after.chars();
            let positive = name.strip_prefix('^');
            negated ^= positive.is_some();
            let set = class::unicode(positive.unwrap_or(name));
            set.ok_or_else(|| fail(written))?
        } else {
            match class::perl(letter.to_ascii_lowercase()) {
                Some(set) => set,
                None => return Ok(None),
            }
        };
        self.rest = chars.as_str();
        self.members(set, negated).map(Some)
    }

    /// Returns the characters of a named class. A negated class is the complement of the folded one.
    fn members(&mut self, mut set: ClassUnicode, negated: bool) -> Result<Members, Re2Error> {
        if negated {
            if self.flags.fold_case {
                class::fold(&mut set);
            }
            set.negate();
        }
        self.spend(set.ranges().len())?;
        let ranges = set.ranges().to_vec();
        Ok(if negated {
            Members::closed(ranges)
        } else {
            Members::folding(ranges)
        })
    }

    /// Parses `[…]`.
    pub(super) fn class(&mut self) -> Result<(), Re2Error> {
        let start = self.rest;
        self.rest = &start[1..];
        let mut is_negated = false;
        if let Some(after) = self.rest.strip_prefix('^') {
            is_negated = true;
            self.rest = after;
        }
        let mut members = Members::default();
        let mut is_first = true;
        while is_first || !self.rest.starts_with(']') {
            is_first = false;
            let more = match self.named_class()? {
                Some(named) => Some(named),
                None if self.rest.starts_with('\\') => self.class_escape()?,
                None => None,
            };
            match more {
                Some(more) => members.extend(more),
                None => {
                    let (first, last) = self.class_range(start)?;
                    members.folding.extend(class::ranges(first, last));
                    self.spend(1)?;
                }
            }
        }
        self.rest = &self.rest[1..];
        let mut set = ClassUnicode::new(members.folding);
        if self.flags.fold_case {
            class::fold(&mut set);
        }
        set.union(&ClassUnicode::new(members.closed));
        if is_negated {
            set.negate();
        }
        self.push_class(set)
    }

    /// Parses `[:name:]` or `[:^name:]`, if there is one here. If no `:]` follows, the bracket is literal.
    fn named_class(&mut self) -> Result<Option<Members>, Re2Error> {
        let Some((name, after)) = self
            .rest
            .strip_prefix("[:")
            .and_then(|rest| rest.split_once(":]"))
        else {
            return Ok(None);
        };
        let positive = name.strip_prefix('^');
        let Some(set) = class::posix(positive.unwrap_or(name)) else {
            return Err(Re2Error::ClassName(format!("[:{name}:]")));
        };
        self.rest = after;
        self.members(set, positive.is_some()).map(Some)
    }

    /// Parses `a` or `a-z` in the class that begins at `class`.
    fn class_range(&mut self, class: &str) -> Result<(u32, u32), Re2Error> {
        let start = self.rest;
        let first = self.class_character(class)?;
        let after = self.rest.strip_prefix('-');
        let Some(after) = after.filter(|after| !after.is_empty() && !after.starts_with(']')) else {
            return Ok((first, first));
        };
        self.rest = after;
        let last = self.class_character(class)?;
        if last < first {
            let written = &start[..start.len() - self.rest.len()];
            return Err(Re2Error::Range(written.to_owned()));
        }
        Ok((first, last))
    }

    fn class_character(&mut self, class: &str) -> Result<u32, Re2Error> {
        let Some(c) = self.rest.chars().next() else {
            return Err(Re2Error::MissingBracket(class.to_owned()));
        };
        if c == '\\' {
            let (character, after) = escape::character(self.rest)?;
            self.rest = after;
            return Ok(character);
        }
        self.rest = &self.rest[c.len_utf8()..];
        Ok(c.into())
    }
}

/// The characters of a class.
#[derive(Default)]
pub(super) struct Members {
    /// Ranges that are folded if case is ignored.
    pub(super) folding: Vec<ClassUnicodeRange>,
    /// Ranges that are folded already.
    pub(super) closed: Vec<ClassUnicodeRange>,
}

impl Members {
    fn folding(folding: Vec<ClassUnicodeRange>) -> Self {
        Self {
            folding,
            closed: Vec::new(),
        }
    }

    fn closed(closed: Vec<ClassUnicodeRange>) -> Self {
        Self {
            folding: Vec::new(),
            closed,
        }
    }

    fn extend(&mut self, more: Self) {
        self.folding.extend(more.folding);
        self.closed.extend(more.closed);
    }
}
