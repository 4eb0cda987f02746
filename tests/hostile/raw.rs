//! Components that no toolchain makes: a core module written by hand, wrapped as the contract wants it.
//!
//! A language's runtime checks what its author hands over. These speak the canonical ABI in raw bytes, so that they
//! can say what no language would.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The contract, with worlds that import one interface each: what a component does not import it cannot call.
const WORLDS: &str = "
world quiet { export hooks; }
world hosted { import http; import slack; import kv; import config; import log; export hooks; }
";

/// WASI's parts, as far as these components call them.
const WASI: &str = "
package wasi:io@0.2.0 {
    interface poll {
        resource pollable { block: func(); }
        poll: func(in: list<borrow<pollable>>) -> list<u32>;
    }
}
package wasi:clocks@0.2.0 {
    interface monotonic-clock {
        use wasi:io/poll@0.2.0.{pollable};
        subscribe-duration: func(when: u64) -> pollable;
    }
}
package wasi:random@0.2.0 {
    interface random { get-random-bytes: func(len: u64) -> list<u8>; }
}
";

/// Where a well-behaved result is: `ok`, with nothing in it.
const NOTHING: &str = "(i32.const 512)";

/// A core module's parts that differ; the rest behaves.
pub(crate) struct Core {
    /// Imports.
    pub(crate) imports: &'static str,
    /// In pages, as WAT has it: least and most.
    pub(crate) memory: &'static str,
    /// Bodies, in WAT.
    pub(crate) describe: &'static str,
    pub(crate) enrich: &'static str,
    pub(crate) act: &'static str,
    /// `$align`, `$len` and `$old` are given.
    pub(crate) realloc: &'static str,
    /// More functions, data, a start.
    pub(crate) more: &'static str,
}

impl Default for Core {
    fn default() -> Self {
        Self {
            imports: "",
            memory: "4",
            describe: "(i32.const 16)",
            enrich: NOTHING,
            act: NOTHING,
            realloc: "
                (local $at i32)
                (local.set $at
                    (i32.and
                        (i32.add (global.get $free) (i32.sub (local.get $align) (i32.const 1)))
                        (i32.sub (i32.const 0) (local.get $align))))
                (global.set $free (i32.add (local.get $at) (local.get $len)))
                (local.get $at)",
            more: "",
        }
    }
}

/// What the component is built against.
pub(crate) struct World<'a> {
    pub(crate) wit: String,
    pub(crate) name: &'a str,
}

impl World<'_> {
    /// The contract as it is.
    pub(crate) fn real() -> Self {
        Self {
            wit: contract(),
            name: "hosted",
        }
    }

    /// The contract, changed.
    pub(crate) fn with(change: impl FnOnce(String) -> String) -> Self {
        Self {
            wit: change(contract()),
            name: "hosted",
        }
    }
}

fn contract() -> String {
    format!("{}\n{WORLDS}", include_str!("../../wit/handler.wit"))
}

/// Wraps a core module as the handler `name`.
pub(crate) fn component(name: &str, core: &Core) -> Vec<u8> {
    encode(&World::real(), &wat(&module(name, core, "0.1.0")))
}

/// Wraps a core module that imports parts of WASI too.
pub(crate) fn with_wasi(name: &str, core: &Core) -> Vec<u8> {
    let world = "
        import wasi:io/poll@0.2.0;
        import wasi:clocks/monotonic-clock@0.2.0;
        import wasi:random/random@0.2.0;
        export hooks;";
    let wit = format!("{}\nworld wild {{ {world} }}\n{WASI}", contract());
    let world = World { wit, name: "wild" };
    encode(&world, &wat(&module(name, core, "0.1.0")))
}

/// Returns a component of another world whose code is never reached.
pub(crate) fn dummy(world: &World<'_>) -> Vec<u8> {
    let (resolve, id) = resolve(world);
    let core = wit_component::dummy_module(
        &resolve,
        id,
        wit_parser::ManglingAndAbi::Legacy(wit_parser::LiftLowerAbi::Sync),
    );
    encode(world, &core)
}

/// Translates WAT, of a core module or of a component.
pub(crate) fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn resolve(world: &World<'_>) -> (Resolve, wit_parser::WorldId) {
    let mut resolve = Resolve::default();
    let package = resolve
        .push_str("handler.wit", &world.wit)
        .unwrap_or_else(|error| panic!("{error:?}\n{}", world.wit));
    let id = resolve
        .select_world(&[package], Some(world.name))
        .expect("the world");
    (resolve, id)
}

fn encode(world: &World<'_>, core: &[u8]) -> Vec<u8> {
    let (resolve, id) = resolve(world);
    let mut module = core.to_vec();
    embed_component_metadata(&mut module, &resolve, id, StringEncoding::UTF8).expect("metadata");
    ComponentEncoder::default()
        .module(&module)
        .expect("a core module")
        .encode()
        .unwrap_or_else(|error| panic!("{error:?}"))
}

/// Returns the core module's text.
fn module(name: &str, core: &Core, version: &str) -> String {
    let Core {
        imports,
        memory,
        describe,
        enrich,
        act,
        realloc,
        more,
    } = core;
    let hooks = format!("alert-manager:handler/hooks@{version}");
    // A description: name, version, summary, no alertnames, nothing more; then the texts.
    let words = [(1_024, name.len()), (1_100, 5), (1_110, 4), (0, 0), (0, 0)];
    let description: String = words
        .iter()
        .flat_map(|(at, len)| [*at, *len])
        .flat_map(|word| u32::try_from(word).expect("small").to_le_bytes())
        .map(|byte| format!("\\{byte:02x}"))
        .collect();
    format!(
        r#"(module
    {imports}
    (memory (export "memory") {memory})
    (global $free (mut i32) (i32.const 65536))
    (func $realloc (export "cabi_realloc")
        (param $old i32) (param $old_len i32) (param $align i32) (param $len i32) (result i32)
        {realloc})
    (func (export "{hooks}#describe") (result i32) {describe})
    (func (export "{hooks}#enrich") (param i32) (result i32) {enrich})
    (func (export "{hooks}#act") (param i32) (result i32) {act})
    (data (i32.const 16) "{description}")
    (data (i32.const 1024) "{name}")
    (data (i32.const 1100) "0.1.0")
    (data (i32.const 1110) "Raw.")
    {more})"#
    )
}

/// Appends a section to a component: what comes after its exports is loaded with it.
pub(crate) fn append(component: &mut Vec<u8>, section: Section, content: &[u8]) {
    component.push(section as u8);
    component.extend(leb(content.len()));
    component.extend(content);
}

/// Sections of a component, by their numbers in its binary format.
#[derive(Clone, Copy)]
pub(crate) enum Section {
    CoreModule = 1,
    CoreInstance = 2,
}

/// Returns a section that instantiates the module `index`, `count` times, with no arguments.
pub(crate) fn instances(index: usize, count: usize) -> Vec<u8> {
    let mut content = leb(count);
    for _ in 0..count {
        content.push(0);
        content.extend(leb(index));
        content.push(0);
    }
    content
}

fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).expect("seven bits");
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
