//! Parses an expression into the engine's tree, by the rules of Go's `regexp/syntax/parse.go`.

mod classes;

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, Look};

use super::error::Re2Error;
use super::repeat::{Bounds, REPETITIONS_MAX};
use super::tree::{Flags, Group, Kind, Node};
use super::{class, escape};

/// The limit on the character ranges of all classes together: `\pL` has 677, and the compiled program would be too large long
/// before.
const CLASS_RANGES_MAX: usize = 200_000;

/// Parses a whole expression.
pub(super) fn parse(expression: &str) -> Result<Hir, Re2Error> {
    let mut parser = Parser {
        rest: expression,
        flags: Flags::default(),
        outer: Vec::new(),
        group: Group::default(),
        class_ranges: 0,
    };
    parser.run()?;
    if !parser.outer.is_empty() {
        return Err(Re2Error::MissingParenthesis);
    }
    Ok(parser.group.close()?.into_tree())
}

struct Parser<'e> {
    rest: &'e str,
    flags: Flags,
    /// The groups that enclose [`Self::group`].
    outer: Vec<Group>,
    group: Group,
    class_ranges: usize,
}

impl<'e> Parser<'e> {
    fn run(&mut self) -> Result<(), Re2Error> {
        // The start of a repetition that ends here, if there is one.
        let mut repetition: Option<&str> = None;
        while let Some(c) = self.rest.chars().next() {
            let start = self.rest;
            let repeated = repetition.take();
            match c {
                '(' if start.starts_with("(?") => self.flags_or_group()?,
                '\\' => self.escape()?,
                '[' => self.class()?,
                '*' | '+' | '?' | '{' => {
                    if self.repeat(repeated)? {
                        repetition = Some(start);
                    }
                }
                _ => {
                    self.rest = &start[c.len_utf8()..];
                    self.symbol(c)?;
                }
            }
        }
        Ok(())
    }

    /// Handles a single character that was just read.
    fn symbol(&mut self, c: char) -> Result<(), Re2Error> {
        match c {
            '(' => self.open(self.flags),
            ')' => self.close()?,
            '|' => self.group.next_branch()?,
            '^' if self.flags.multi_line => self.look(Look::StartLF),
            '^' => self.look(Look::Start),
            '$' if self.flags.multi_line => self.look(Look::EndLF),
            '$' => self.look(Look::End),
            '.' => {
                let newline = ClassUnicodeRange::new('\n', '\n');
                let mut any = ClassUnicode::empty();
                if !self.flags.dot_is_newline {
                    any.push(newline);
                }
                any.negate();
                self.push_class(any)?;
            }
            c => self.literal(c.into())?,
        }
        Ok(())
    }

    /// Opens a group; at its end the flags become `after`.
    fn open(&mut self, after: Flags) {
        let group = Group {
            flags_after: after,
            ..Group::default()
        };
        self.outer.push(std::mem::replace(&mut self.group, group));
    }

    fn close(&mut self) -> Result<(), Re2Error> {
        let outer = self.outer.pop();
        let outer = outer.ok_or(Re2Error::UnexpectedParenthesis)?;
        let group = std::mem::replace(&mut self.group, outer);
        self.flags = group.flags_after;
        let is_capture = group.is_capture;
        let mut node = group.close()?;
        if is_capture {
            node = node.captured()?;
        }
        self.group.items.push(node);
        Ok(())
    }

    fn look(&mut self, look: Look) {
        self.group.items.push(Node::new(Hir::look(look)));
    }

    fn literal(&mut self, character: u32) -> Result<(), Re2Error> {
        let mut class = ClassUnicode::new(class::ranges(character, character));
        if self.flags.fold_case {
            class::fold(&mut class);
        }
        self.push_class(class)?;
        let kind = Kind::Literal(self.flags.fold_case);
        self.group.items.last_mut().expect("just pushed").kind = kind;
        Ok(())
    }

    fn push_class(&mut self, class: ClassUnicode) -> Result<(), Re2Error> {
        self.spend(class.ranges().len())?;
        let tree = Hir::class(Class::Unicode(class));
        self.group.items.push(Node::new(tree));
        Ok(())
    }

    fn spend(&mut self, ranges: usize) -> Result<(), Re2Error> {
        self.class_ranges += ranges;
        if self.class_ranges > CLASS_RANGES_MAX {
            return Err(Re2Error::TooLarge);
        }
        Ok(())
    }

    /// Parses `*`, `+`, `?` or `{…}`; `repeated` is the start of a repetition that ends here. Returns false for a literal
    /// brace.
    fn repeat(&mut self, repeated: Option<&'e str>) -> Result<bool, Re2Error> {
        let start = self.rest;
        let (min, max, after) = match start.as_bytes()[0] {
            b'*' => (0, None, &start[1..]),
            b'+' => (1, None, &start[1..]),
            b'?' => (0, Some(1), &start[1..]),
            _ => {
                let Some(bounds) = Bounds::read(start) else {
                    self.rest = &start[1..];
                    self.literal('{'.into())?;
                    return Ok(false);
                };
                (bounds.min, bounds.max, bounds.after)
            }
        };
        let is_counted = start.starts_with('{');
        let written = |from: &str, after: &str| from[..from.len() - after.len()].to_owned();
        let most = max.unwrap_or(min);
        if is_counted && (min > REPETITIONS_MAX || most > REPETITIONS_MAX || most < min) {
            return Err(Re2Error::RepetitionSize(written(start, after)));
        }
        // Preferring one of several matches does not change whether there is one.
        let after = after.strip_prefix('?').unwrap_or(after);
        if let Some(repeated) = repeated {
            return Err(Re2Error::RepeatedRepetition(written(repeated, after)));
        }
        let Some(node) = self.group.items.pop() else {
            return Err(Re2Error::NothingToRepeat(written(start, after)));
        };
        let node = node.repeated(min, max, is_counted)?;
        if is_counted && most >= 2 && node.copies > REPETITIONS_MAX {
            return Err(Re2Error::RepetitionSize(written(start, after)));
        }
        self.group.items.push(node);
        self.rest = after;
        Ok(true)
    }

    /// Parses `(?P<name>`, `(?<name>`, `(?flags:` or `(?flags)`.
    fn flags_or_group(&mut self) -> Result<(), Re2Error> {
        let start = self.rest;
        let name = start
            .strip_prefix("(?P<")
            .or_else(|| start.strip_prefix("(?<"));
        if let Some(name) = name {
            if name.starts_with(['=', '!']) {
                return Err(Re2Error::Group(start[..4].to_owned()));
            }
            let Some((name, after)) = name.split_once('>') else {
                return Err(Re2Error::GroupName(start.to_owned()));
            };
            let is_named = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(is_named) {
                let written = &start[..start.len() - after.len()];
                return Err(Re2Error::GroupName(written.to_owned()));
            }
            self.rest = after;
            self.open(self.flags);
            return Ok(());
        }
        let mut flags = self.flags;
        let mut value = true;
        let mut has_flag = false;
        let mut chars = start[2..].chars();
        while let Some(c) = chars.next() {
            match c {
                'i' => flags.fold_case = value,
                'm' => flags.multi_line = value,
                's' => flags.dot_is_newline = value,
                'U' => {}
                '-' if value => {
                    value = false;
                    has_flag = false;
                    continue;
                }
                ':' | ')' if value || has_flag => {
                    self.rest = chars.as_str();
                    if c == ':' {
                        self.open(self.flags);
                        self.group.is_capture = false;
                    }
                    self.flags = flags;
                    return Ok(());
                }
                _ => break,
            }
            has_flag = true;
        }
        let written = &start[..start.len() - chars.as_str().len()];
        Err(Re2Error::Group(written.to_owned()))
    }

    /// Parses an escape outside classes.
    fn escape(&mut self) -> Result<(), Re2Error> {
        let start = self.rest;
        let look = match start.as_bytes().get(1) {
            Some(b'A') => Some(Look::Start),
            Some(b'z') => Some(Look::End),
            Some(b'b') => Some(Look::WordAscii),
            Some(b'B') => Some(Look::WordAsciiNegate),
            _ => None,
        };
        if let Some(look) = look {
            self.rest = &start[2..];
            self.look(look);
            return Ok(());
        }
        if let Some(quoted) = start.strip_prefix("\\Q") {
            let (quoted, after) = quoted.split_once("\\E").unwrap_or((quoted, ""));
            for c in quoted.chars() {
                self.literal(c.into())?;
            }
            self.rest = after;
            return Ok(());
        }
        if let Some(class) = self.class_escape()? {
            let mut set = ClassUnicode::new(class.folding);
            if self.flags.fold_case {
                class::fold(&mut set);
            }
            set.union(&ClassUnicode::new(class.closed));
            return self.push_class(set);
        }
        let (character, after) = escape::character(start)?;
        self.rest = after;
        self.literal(character)
    }
}
