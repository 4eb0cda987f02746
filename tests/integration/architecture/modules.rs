//! The modules of a crate and what each of them uses of the others, read with `syn`: `use` declarations, and every path that
//! begins with `crate`, `self`, `super` or an imported name, in macros too. Code only for tests is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::{Attribute, Item, ItemUse, UseTree};

/// The position of a module in [`Modules::all`]; the crate's root is the first.
pub(super) type Id = usize;

/// The modules of one crate.
#[derive(Debug, Default)]
pub(super) struct Modules {
    pub(super) all: Vec<Module>,
}

/// One module, in a file of its own or not.
#[derive(Debug)]
pub(super) struct Module {
    /// `webhook::payload`; nothing for the crate's root.
    pub(super) path: String,
    pub(super) file: PathBuf,
    parent: Option<Id>,
    children: BTreeMap<String, Id>,
    /// What it declares besides modules.
    items: BTreeSet<String>,
    /// What it imports, by the name that it has here.
    imports: BTreeMap<String, Vec<String>>,
    /// What it imports with `*`.
    globs: Vec<Vec<String>>,
    /// Every path that is written in it.
    paths: BTreeSet<Vec<String>>,
}

/// A use of one module by another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Dependency {
    pub(super) from: Id,
    pub(super) to: Id,
    /// As it is written: `super::payload::Alert`.
    pub(super) path: String,
}

/// What a path resolves to.
#[derive(Clone, Copy)]
enum Found {
    Module(Id),
    /// Something that this module declares.
    ItemOf(Id),
    /// Something of another crate.
    Outside,
}

impl Modules {
    /// Reads the crate whose root is this file.
    ///
    /// # Panics
    /// If a file is missing or is no Rust.
    pub(super) fn read(root: &Path) -> Self {
        let mut modules = Self::default();
        let folder = root.parent().expect("a file is in a folder");
        modules.read_file(None, String::new(), root, folder);
        modules
    }

    fn read_file(&mut self, parent: Option<Id>, path: String, file: &Path, folder: &Path) -> Id {
        let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        self.add(parent, path, file, folder, parsed.items)
    }

    fn add(
        &mut self,
        parent: Option<Id>,
        path: String,
        file: &Path,
        folder: &Path,
        items: Vec<Item>,
    ) -> Id {
        let id = self.all.len();
        self.all.push(Module {
            path,
            file: file.to_owned(),
            parent,
            children: BTreeMap::new(),
            items: BTreeSet::new(),
            imports: BTreeMap::new(),
            globs: Vec::new(),
            paths: BTreeSet::new(),
        });
        for item in items {
            if attributes(&item).iter().any(is_for_tests) {
                continue;
            }
            match item {
                Item::Mod(module) => {
                    let name = module.ident.to_string();
                    let path = join(&self.all[id].path, &name);
                    let below = folder.join(&name);
                    let child = match module.content {
                        Some((_, items)) => self.add(Some(id), path, file, &below, items),
                        None => {
                            let flat = folder.join(format!("{name}.rs"));
                            let file = match flat.exists() {
                                true => flat,
                                false => below.join("mod.rs"),
                            };
                            self.read_file(Some(id), path, &file, &below)
                        }
                    };
                    self.all[id].children.insert(name, child);
                }
                Item::Use(item) => self.all[id].import(&item),
                item => {
                    let module = &mut self.all[id];
                    module.items.extend(declared(&item));
                    module.scan(item.to_token_stream());
                }
            }
        }
        id
    }

    /// Returns what the modules use of each other. What a re-export passes on is a use of the module that declares it.
    pub(super) fn dependencies(&self) -> BTreeSet<Dependency> {
        let mut found = BTreeSet::new();
        for (from, module) in self.all.iter().enumerate() {
            let imported = module.imports.values().chain(&module.globs);
            for path in module.paths.iter().chain(imported) {
                let (Found::Module(to) | Found::ItemOf(to)) = self.resolve(from, path, 0) else {
                    continue;
                };
                let path = path.join("::");
                if to != from {
                    found.insert(Dependency { from, to, path });
                }
            }
        }
        found
    }

    /// Returns the modules from the crate's root down to this one.
    pub(super) fn ancestry(&self, id: Id) -> Vec<Id> {
        let mut line = vec![id];
        while let Some(parent) = self.all[line[line.len() - 1]].parent {
            line.push(parent);
        }
        line.reverse();
        line
    }

    /// Resolves a path that is written in the module `from`.
    fn resolve(&self, from: Id, path: &[String], depth: usize) -> Found {
        let Some((first, mut rest)) = path.split_first() else {
            return Found::Outside;
        };
        // Imports that refer to each other resolve to nothing.
        if depth > 16 {
            return Found::Outside;
        }
        let mut at = match first.as_str() {
            "crate" => Found::Module(0),
            "self" => Found::Module(from),
            "super" => self.above(from),
            name => self.named(from, name, depth).unwrap_or(Found::Outside),
        };
        while let (Found::Module(module), [name, more @ ..]) = (at, rest) {
            at = match name.as_str() {
                "super" => self.above(module),
                // A name that is not found is declared by a macro.
                name => self
                    .named(module, name, depth)
                    .unwrap_or(Found::ItemOf(module)),
            };
            rest = more;
        }
        at
    }

    fn above(&self, id: Id) -> Found {
        self.all[id].parent.map_or(Found::Outside, Found::Module)
    }

    /// Returns what a name means in a module: one of its modules, items or imports.
    fn named(&self, id: Id, name: &str, depth: usize) -> Option<Found> {
        let module = &self.all[id];
        if let Some(child) = module.children.get(name) {
            return Some(Found::Module(*child));
        }
        if module.items.contains(name) {
            return Some(Found::ItemOf(id));
        }
        if let Some(path) = module.imports.get(name) {
            // `use name::…` within the module that has `name` by this import alone.
            if path.first().is_some_and(|first| first == name) {
                return None;
            }
            return Some(self.resolve(id, path, depth + 1));
        }
        module.globs.iter().find_map(|glob| {
            let Found::Module(of) = self.resolve(id, glob, depth + 1) else {
                return None;
            };
            (of != id)
                .then(|| self.named(of, name, depth + 1))
                .flatten()
        })
    }
}

impl Module {
    fn import(&mut self, item: &ItemUse) {
        let prefix = match item.leading_colon {
            // `use ::name` is another crate's.
            Some(_) => return,
            None => Vec::new(),
        };
        self.import_tree(prefix, &item.tree);
    }

    fn import_tree(&mut self, mut path: Vec<String>, tree: &UseTree) {
        match tree {
            UseTree::Path(tree) => {
                path.push(name(&tree.ident));
                self.import_tree(path, &tree.tree);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import_tree(path.clone(), tree);
                }
            }
            UseTree::Glob(_) => self.globs.push(path),
            UseTree::Name(tree) => {
                let name = name(&tree.ident);
                // `use a::{self}` is `use a`.
                if name != "self" {
                    path.push(name);
                }
                let Some(last) = path.last() else { return };
                self.import_as(last.clone(), path);
            }
            UseTree::Rename(tree) => {
                path.push(name(&tree.ident));
                // `use trait as _` has no name, and is a use all the same.
                match name(&tree.rename).as_str() {
                    "_" => drop(self.paths.insert(path)),
                    rename => self.import_as(rename.to_owned(), path),
                }
            }
        }
    }

    fn import_as(&mut self, name: String, path: Vec<String>) {
        // A name can be imported twice, each time for another target. Then both imports are uses.
        if let Some(earlier) = self.imports.insert(name, path) {
            self.paths.insert(earlier);
        }
    }

    /// Notes every path of two names or more.
    fn scan(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        let mut path: Vec<String> = Vec::new();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(ident) if path.is_empty() && ident == "pub" => {
                    // A visibility is not a use: `pub(in crate::runtime)`.
                    tokens.next_if(|next| is_group(next, Delimiter::Parenthesis));
                    continue;
                }
                TokenTree::Ident(ident) if path.is_empty() && ident == "use" => {
                    let ends = |token: &TokenTree| matches!(token, TokenTree::Punct(p) if p.as_char() == ';');
                    let mut declaration = vec![TokenTree::Ident(ident)];
                    for token in tokens.by_ref() {
                        let is_last = ends(&token);
                        declaration.push(token);
                        if is_last {
                            break;
                        }
                    }
                    // `use<'a>` is not an import.
                    if let Ok(item) = syn::parse2(declaration.into_iter().collect()) {
                        self.import(&item);
                    }
                    continue;
                }
                TokenTree::Ident(ident) => path.push(name(&ident)),
                TokenTree::Group(group) => {
                    self.scan(group.stream());
                    self.note(&mut path);
                    continue;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.note(&mut path);
                    continue;
                }
            }
            let is_colon =
                |token: &TokenTree| matches!(token, TokenTree::Punct(p) if p.as_char() == ':');
            let goes_on = tokens.next_if(is_colon).is_some() && tokens.next_if(is_colon).is_some();
            let has_name = matches!(tokens.peek(), Some(TokenTree::Ident(_)));
            if !(goes_on && has_name) {
                self.note(&mut path);
            }
        }
        self.note(&mut path);
    }

    fn note(&mut self, path: &mut Vec<String>) {
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.paths.insert(path);
        }
    }
}

fn is_group(token: &TokenTree, delimiter: Delimiter) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == delimiter)
}

fn name(ident: &proc_macro2::Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map_or(text.clone(), str::to_owned)
}

fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}::{name}"),
    }
}

/// Returns whether an item is compiled only for tests: `cfg(test)`, `cfg(all(test, …))`.
fn is_for_tests(attribute: &Attribute) -> bool {
    let text = attribute.to_token_stream().to_string().replace(' ', "");
    text.starts_with("#[cfg(test") || text.starts_with("#[cfg(all(test,")
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Returns the name that an item declares in its module.
fn declared(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name(ident))
}
