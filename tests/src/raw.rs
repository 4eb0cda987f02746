//! Components that no toolchain makes: a core module written by hand, wrapped as the contract wants it.
//!
//! A language's runtime checks what its author hands over. These speak the canonical ABI in raw bytes, so that they
//! can say what no language would.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "what a test writes by hand is encoded, or the test fails"
)]

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The contract, with worlds that import one interface each: what a component does not import it cannot call.
const WORLDS: &str = "
world quiet { export hooks; }
world hosted { import http; import slack; import kv; import config; import log; export hooks; }
";

/// The contract of this server.
const CURRENT: &str = include_str!("../../wit/handler.wit");
/// The first version of the contract that was released, which never changes.
const FROZEN_0_1_0: &str = include_str!("../fixtures/wit/v0_1_0/handler.wit");

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

/// A contract of the next series, which is made up.
const NEXT_SERIES: &str = include_str!("../fixtures/wit/v0_2/handler.wit");

/// Where a well-behaved result is: `ok`, with nothing in it.
const NOTHING: &str = "(i32.const 512)";

/// A core module's parts that differ; the rest behaves.
pub struct Core {
    /// Imports.
    pub imports: &'static str,
    /// In pages, as WAT has it: least and most.
    pub memory: &'static str,
    /// Bodies, in WAT.
    pub describe: &'static str,
    pub enrich: &'static str,
    pub act: &'static str,
    /// `$align`, `$len` and `$old` are given.
    pub realloc: &'static str,
    /// More functions, data, a start.
    pub more: &'static str,
}

impl Core {
    /// A module that does nothing, and does it well.
    pub const WELL_BEHAVED: Self = Self {
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
    };
}

impl Default for Core {
    fn default() -> Self {
        Self::WELL_BEHAVED
    }
}

/// What the component is built against.
pub struct World<'a> {
    /// The text of its packages.
    pub wit: String,
    /// Its name.
    pub name: &'a str,
}

impl World<'_> {
    /// The contract as it is.
    #[must_use]
    pub fn real() -> Self {
        Self::with(|wit| wit)
    }

    /// The contract, changed.
    #[must_use]
    pub fn with(change: impl FnOnce(String) -> String) -> Self {
        Self {
            wit: change(format!("{CURRENT}\n{WORLDS}")),
            name: "hosted",
        }
    }

    /// The contract of version 0.1.0.
    #[must_use]
    pub fn frozen_0_1_0() -> Self {
        Self {
            wit: format!("{FROZEN_0_1_0}\n{WORLDS}"),
            name: "hosted",
        }
    }

    /// A contract of the next series, which is made up.
    #[must_use]
    pub fn of_next_series() -> Self {
        Self {
            wit: NEXT_SERIES.to_owned(),
            name: "handler",
        }
    }

    /// Returns the version that its package has.
    fn version(&self) -> &str {
        let package = self
            .wit
            .lines()
            .find_map(|line| line.strip_prefix("package "));
        let version = package.and_then(|package| package.split_once('@'));
        version
            .expect("a package with a version")
            .1
            .trim_end_matches(';')
    }
}

/// Returns the version of this server's contract.
#[must_use]
pub fn current_version() -> String {
    World::real().version().to_owned()
}

/// Wraps a core module as the handler `name`.
#[must_use]
pub fn component(name: &str, core: &Core) -> Vec<u8> {
    component_of(&World::real(), name, core)
}

/// Wraps a core module as the handler `name` of this world.
#[must_use]
pub fn component_of(world: &World<'_>, name: &str, core: &Core) -> Vec<u8> {
    encode(world, &wat(&module(name, core, world.version())))
}

/// Wraps a core module that imports parts of WASI too.
#[must_use]
pub fn with_wasi(name: &str, core: &Core) -> Vec<u8> {
    let world = "
        import wasi:io/poll@0.2.0;
        import wasi:clocks/monotonic-clock@0.2.0;
        import wasi:random/random@0.2.0;
        export hooks;";
    let world = World {
        name: "wild",
        ..World::with(|wit| format!("{wit}\nworld wild {{ {world} }}\n{WASI}"))
    };
    component_of(&world, name, core)
}

/// Returns a component of another world whose code is never reached.
#[must_use]
pub fn dummy(world: &World<'_>) -> Vec<u8> {
    let (resolve, id) = resolve(world);
    let core = wit_component::dummy_module(
        &resolve,
        id,
        wit_parser::ManglingAndAbi::Legacy(wit_parser::LiftLowerAbi::Sync),
    );
    encode(world, &core)
}

/// Translates WAT, of a core module or of a component.
#[must_use]
pub fn wat(text: &str) -> Vec<u8> {
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
pub fn append(component: &mut Vec<u8>, section: Section, content: &[u8]) {
    component.push(section as u8);
    component.extend(leb(content.len()));
    component.extend(content);
}

/// Sections of a component, by their numbers in its binary format.
#[derive(Clone, Copy)]
pub enum Section {
    CoreModule = 1,
    CoreInstance = 2,
}

/// Returns a section that instantiates the module `index`, `count` times, with no arguments.
#[must_use]
pub fn instances(index: usize, count: usize) -> Vec<u8> {
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
