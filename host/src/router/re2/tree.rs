//! The tree of an expression during parsing, with the numbers that the limits need.

use regex_syntax::hir::{Hir, Repetition};

use super::error::Re2Error;

/// How deep groups, repetitions and alternatives can be nested.
const NESTING_MAX: u32 = 1_000;

#[derive(Clone, Copy, Default)]
pub(super) struct Flags {
    /// `i`
    pub(super) fold_case: bool,
    /// `m`
    pub(super) multi_line: bool,
    /// `s`
    pub(super) dot_is_newline: bool,
}

/// The content of a pair of parentheses, as far as it was read.
pub(super) struct Group {
    pub(super) flags_after: Flags,
    pub(super) is_capture: bool,
    /// The alternatives before the current one.
    pub(super) branches: Vec<Node>,
    pub(super) items: Vec<Node>,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            flags_after: Flags::default(),
            is_capture: true,
            branches: Vec::new(),
            items: Vec::new(),
        }
    }
}

impl Group {
    pub(super) fn next_branch(&mut self) -> Result<(), Re2Error> {
        let branch = Node::concatenated(std::mem::take(&mut self.items))?;
        self.branches.push(branch);
        Ok(())
    }

    pub(super) fn close(mut self) -> Result<Node, Re2Error> {
        self.next_branch()?;
        Node::alternated(self.branches)
    }
}

/// A node of the tree, with the numbers that the limits need.
pub(super) struct Node {
    tree: Hir,
    pub(super) kind: Kind,
    /// 1 for a leaf. As in Go, adjacent characters are one leaf, and nested lists are one list.
    height: u32,
    /// The product of the counts of repetitions that apply to its most repeated leaf.
    pub(super) copies: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A character; true if its case is folded.
    Literal(bool),
    Concatenation,
    Alternation,
    Other,
}

impl Node {
    pub(super) fn new(tree: Hir) -> Self {
        Self {
            tree,
            kind: Kind::Other,
            height: 1,
            copies: 1,
        }
    }

    pub(super) fn into_tree(self) -> Hir {
        self.tree
    }

    /// Counts a capture. Captures are not kept, because only whether an expression matches is needed.
    pub(super) fn captured(self) -> Result<Self, Re2Error> {
        let Self {
            tree,
            height,
            copies,
            ..
        } = self;
        Self::of(tree, Kind::Other, height + 1, copies)
    }

    pub(super) fn repeated(
        self,
        min: u32,
        max: Option<u32>,
        is_counted: bool,
    ) -> Result<Self, Re2Error> {
        let copies = match (is_counted, max.unwrap_or(min)) {
            (false, _) => self.copies,
            // Nothing of its content is left, so the content's copies do not count.
            (true, 0) if max == Some(0) => 1,
            (true, most) => self.copies.saturating_mul(most.max(1)),
        };
        let tree = Hir::repetition(Repetition {
            min,
            max,
            greedy: true,
            sub: Box::new(self.tree),
        });
        Self::of(tree, Kind::Other, self.height + 1, copies)
    }

    fn concatenated(nodes: Vec<Self>) -> Result<Self, Re2Error> {
        let mut leaves = 0;
        let mut before = None;
        for node in &nodes {
            let joins = matches!(node.kind, Kind::Literal(_)) && before == Some(node.kind);
            leaves += usize::from(!joins);
            before = Some(node.kind);
        }
        Self::listed(nodes, leaves, Kind::Concatenation, Hir::concat)
    }

    fn alternated(nodes: Vec<Self>) -> Result<Self, Re2Error> {
        let count = nodes.len();
        Self::listed(nodes, count, Kind::Alternation, Hir::alternation)
    }

    fn listed(
        mut nodes: Vec<Self>,
        leaves: usize,
        kind: Kind,
        join: impl Fn(Vec<Hir>) -> Hir,
    ) -> Result<Self, Re2Error> {
        if nodes.len() == 1
            && let Some(only) = nodes.pop()
        {
            return Ok(only);
        }
        let copies = nodes.iter().map(|node| node.copies).max().unwrap_or(1);
        let below = |node: &Self| node.height - u32::from(node.kind == kind);
        let below = nodes.iter().map(below).max().unwrap_or(0);
        let height = below + u32::from(leaves != 1);
        let tree = join(nodes.into_iter().map(|node| node.tree).collect());
        Self::of(tree, kind, height.max(1), copies)
    }

    fn of(tree: Hir, kind: Kind, height: u32, copies: u32) -> Result<Self, Re2Error> {
        if height > NESTING_MAX {
            return Err(Re2Error::Nesting);
        }
        Ok(Self {
            tree,
            kind,
            height,
            copies,
        })
    }
}
