//! The page about the host functions: the comments and shapes of `wit/handler.wit`.

use std::fmt::Write as _;

use tests::modules::workspace;
use tests::pages::assert_current;
use wit_parser::{
    Docs, Function, Interface, Resolve, Stability, Type, TypeDef, TypeDefKind, World, WorldItem,
};

use super::{code, table, wrapped};

/// The version of everything that has no `@since`.
const FIRST_VERSION: &str = "0.1.0";

#[test]
fn the_page_about_the_host_functions_has_all_of_the_contract() {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(workspace().join("wit")).unwrap();
    let world = resolve.select_world(&[package], Some("handler")).unwrap();
    let contract = Contract { resolve: &resolve };
    let world = &resolve.worlds[world];
    assert_current("host-functions.md", "interfaces", &contract.overview(world));
    // `types` is imported too, but it has no function, so the world says nothing of it.
    let imported = world.imports.values().filter_map(interface);
    let functions = imported.filter(|(_, said)| !said.is_empty());
    let hooks = world.exports.values().filter_map(interface);
    let types = resolve.packages[package].interfaces["types"];
    let nothing = Docs::default();
    let all: String = functions
        .chain(hooks)
        .chain([(types, &nothing)])
        .map(|(interface, said)| contract.interface(interface, said))
        .collect();
    assert_current("host-functions.md", "contract", &all);
}

/// An interface of a world, with what the world says of it.
fn interface(item: &WorldItem) -> Option<(wit_parser::InterfaceId, &Docs)> {
    match item {
        WorldItem::Interface { id, docs, .. } => Some((*id, docs)),
        WorldItem::Function(_) | WorldItem::Type { .. } => None,
    }
}

/// Returns a comment as one paragraph for each that it has.
fn paragraphs(docs: &Docs) -> Vec<String> {
    let text = docs.contents.as_deref().unwrap_or_default();
    let paragraphs = text.trim().split("\n\n").filter(|text| !text.is_empty());
    paragraphs
        .map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

/// Returns a comment for a cell of a table.
fn line(docs: &Docs) -> String {
    paragraphs(docs).join(" ")
}

fn since(stability: &Stability) -> String {
    match stability {
        Stability::Stable { since, .. } => since.to_string(),
        Stability::Unknown | Stability::Unstable { .. } => FIRST_VERSION.to_owned(),
    }
}

/// The contract, as Markdown.
struct Contract<'a> {
    resolve: &'a Resolve,
}

impl Contract<'_> {
    /// Returns the table of the interfaces that a handler can import.
    fn overview(&self, world: &World) -> String {
        let rows: Vec<_> = world
            .imports
            .values()
            .filter_map(interface)
            .filter(|(_, said)| !said.is_empty())
            .map(|(id, said)| {
                let interface = &self.resolve.interfaces[id];
                let name = interface.name.as_deref().unwrap();
                let functions = interface.functions.keys();
                let functions: Vec<_> = functions.map(|name| code(name)).collect();
                [
                    format!("[`{name}`](#{name})"),
                    functions.join(", "),
                    line(said),
                    since(&interface.stability),
                ]
            })
            .collect();
        table(
            ["interface", "functions", "grant and steps", "since"],
            &rows,
        )
    }

    /// Returns an interface with its functions, then its types. `said` is what the world says of it.
    fn interface(&self, id: wit_parser::InterfaceId, said: &Docs) -> String {
        let interface = &self.resolve.interfaces[id];
        let name = interface.name.as_deref().unwrap();
        let mut text = format!("\n## {name}\n");
        for paragraph in paragraphs(&interface.docs) {
            let _ = write!(text, "\n{}\n", wrapped(&paragraph));
        }
        for function in interface.functions.values() {
            text += &self.function(function, said, since_of(&function.stability, interface));
        }
        for (name, id) in &interface.types {
            let ty = &self.resolve.types[*id];
            if !self.is_used_from_elsewhere(ty) {
                text += &self.named_type(name, ty, since_of(&ty.stability, interface));
            }
        }
        text
    }

    fn function(&self, function: &Function, said: &Docs, since: String) -> String {
        let parameters: Vec<_> = function
            .params
            .iter()
            .map(|parameter| format!("{}: {}", parameter.name, self.shown(parameter.ty)))
            .collect();
        let result = function.result.map(|ty| format!(" -> {}", self.shown(ty)));
        let about = wrapped(&format!(
            "{} {} Since {since}.",
            line(&function.docs),
            line(said)
        ));
        format!(
            "\n### `{0}`\n\n```wit\n{0}: func({1}){2}\n```\n\n{about}\n",
            function.name,
            parameters.join(", "),
            result.unwrap_or_default(),
        )
    }

    fn named_type(&self, name: &str, ty: &TypeDef, since: String) -> String {
        let columns = |first| [first, "type", "what it is"];
        let (kind, rows) = match &ty.kind {
            TypeDefKind::Record(record) => {
                let fields = record.fields.iter();
                let rows: Vec<_> = fields
                    .map(|field| {
                        let ty = code(&self.shown(field.ty));
                        [code(&field.name), ty, line(&field.docs)]
                    })
                    .collect();
                ("record", table(columns("field"), &rows))
            }
            TypeDefKind::Variant(variant) => {
                let cases = variant.cases.iter();
                let rows: Vec<_> = cases
                    .map(|case| {
                        let ty = case.ty.map(|ty| code(&self.shown(ty)));
                        [code(&case.name), ty.unwrap_or_default(), line(&case.docs)]
                    })
                    .collect();
                ("variant", table(columns("case"), &rows))
            }
            TypeDefKind::Enum(cases) => {
                let cases = cases.cases.iter();
                let rows: Vec<_> = cases
                    .map(|case| [code(&case.name), String::new(), line(&case.docs)])
                    .collect();
                ("enum", table(columns("case"), &rows))
            }
            kind => {
                let alias = code(&self.shown_kind(kind));
                ("type", format!("The same as {alias}.\n"))
            }
        };
        let about = wrapped(&format!("{} Since {since}.", line(&ty.docs)));
        format!("\n### `{name}` ({kind})\n\n{about}\n\n{rows}")
    }

    /// Returns whether a type is one of another interface under the same name.
    fn is_used_from_elsewhere(&self, ty: &TypeDef) -> bool {
        match ty.kind {
            TypeDefKind::Type(Type::Id(id)) => self.resolve.types[id].owner != ty.owner,
            _ => false,
        }
    }

    fn shown(&self, ty: Type) -> String {
        let Type::Id(id) = ty else {
            return match ty {
                Type::Bool => "bool",
                Type::String => "string",
                Type::U8 => "u8",
                Type::U16 => "u16",
                Type::U32 => "u32",
                Type::S32 => "s32",
                Type::S64 => "s64",
                other => panic!("the contract has no {other:?} yet"),
            }
            .to_owned();
        };
        let ty = &self.resolve.types[id];
        match &ty.name {
            Some(name) => name.clone(),
            None => self.shown_kind(&ty.kind),
        }
    }

    fn shown_kind(&self, kind: &TypeDefKind) -> String {
        match kind {
            TypeDefKind::Type(ty) => self.shown(*ty),
            TypeDefKind::List(ty) => format!("list<{}>", self.shown(*ty)),
            TypeDefKind::Option(ty) => format!("option<{}>", self.shown(*ty)),
            TypeDefKind::Tuple(tuple) => {
                let types: Vec<_> = tuple.types.iter().map(|ty| self.shown(*ty)).collect();
                format!("tuple<{}>", types.join(", "))
            }
            TypeDefKind::Result(result) => {
                let ok = result.ok.map_or("_".to_owned(), |ty| self.shown(ty));
                let error = result.err.map_or("_".to_owned(), |ty| self.shown(ty));
                format!("result<{ok}, {error}>")
            }
            other => panic!("the contract has no {} yet", other.as_str()),
        }
    }
}

/// Returns the version since which something is in an interface.
fn since_of(stability: &Stability, interface: &Interface) -> String {
    match stability {
        Stability::Unknown => since(&interface.stability),
        stated => since(stated),
    }
}
