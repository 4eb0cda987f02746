//! Tests of the search for circles: it finds them however the use is written, and reports nothing else.

use std::fs;

use super::circles::{circle, levels};
use super::modules::Modules;

/// Returns whether the modules `a`, with this text, and `b`, which uses `a`, are in a circle.
fn is_circle(a: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
    write("lib.rs", "mod a;\nmod b;\nmod c;\npub use b::B as Again;\n");
    write("a.rs", &format!("pub struct A;\n{a}\n"));
    write(
        "b.rs",
        "use super::a::A;\npub struct B(A);\npub mod below { pub struct D; }\n",
    );
    write("c.rs", "pub(crate) use crate::b::*;\n");
    let modules = Modules::read(&folder.path().join("lib.rs"));
    levels(&modules)
        .iter()
        .any(|level| circle(&level.keys().copied().collect()).is_some())
}

#[test]
fn a_circle_is_found_however_it_is_written() {
    for a in [
        "use crate::b::B;",
        "use super::b::B as Other;",
        "use super::{b, c};",
        "use super::b::{self as other};",
        "pub use crate::b::*;",
        "use crate::Again;",
        "use super::c::B;",
        "use crate::b::below::D;",
        "use crate::b::Trait as _;",
        "use crate as root; fn f(_: root::b::B) {}",
        "use super::*; fn f(_: b::B) {}",
        "fn f(_: super::b::B) {}",
        "fn f() { use super::b::B; }",
        "fn f() { println!(\"{:?}\", super::b::B::new()); }",
        "macro_rules! m { () => { $crate::b::B }; }",
        "mod deep { use super::super::b::B; }",
        "mod deep { mod deeper { fn f(_: crate::b::B) {} } }",
        "impl From<crate::b::B> for A {}",
        "#[cfg(not(test))] use crate::b::B;",
        "#[cfg(unix)] use crate::b::B; #[cfg(not(unix))] use std::fmt::Debug as B;",
    ] {
        assert!(is_circle(a), "{a}");
    }
}

#[test]
fn what_is_no_use_of_a_module_closes_no_circle() {
    for a in [
        "",
        "use alert_manager_b::B;",
        "use ::b::B;",
        "// use crate::b::B;",
        "/// As [`crate::b::B`].\nfn f() {}",
        "#[cfg(test)] mod tests { use crate::b::B; }",
        "#[cfg(test)] use crate::b::B;",
        "fn f() { let b = \"crate::b::B\"; }",
        "mod deep { pub(in crate::a) struct B; } use deep::B;",
        "mod b { pub struct B; } use self::b::B;",
        "fn f(c: std::fmt::Result) {}",
    ] {
        assert!(!is_circle(a), "{a}");
    }
}
