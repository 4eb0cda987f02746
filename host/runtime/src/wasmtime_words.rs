//! Recognizes errors of wasmtime, the allocator and the kernel by their wording, because they have no type. For each
//! fragment a test provokes the error, because an update may reword it.

/// Returns true if a call passed more bytes than `call_bytes`.
pub(super) fn is_call_too_large(error: &str) -> bool {
    error.contains("fuel allocated for hostcalls")
}

/// Returns the key of the bound that a component exceeds, from the error of wasmtime's pool.
pub(super) fn bound_of_the_pool(error: &str) -> Option<&'static str> {
    [
        ("memories count", "memories"),
        ("linear memories", "memories"),
        ("core module instances", "instances"),
        ("tables, which exceeds", "tables"),
        ("defined tables count", "tables"),
        ("module table does not fit", "table_elements"),
        ("module memory does not fit", "memory"),
        ("instance size", "instances"),
    ]
    .iter()
    .find(|(words, _)| error.contains(words))
    .map(|(_, bound)| *bound)
}

/// Returns true if the compiler's process ran out of memory or threads, from what it printed.
pub(super) fn is_out_of_memory(printed: &str) -> bool {
    [
        "memory allocation of",
        "(os error 12)",
        "(os error 11)",
        "Os { code: 12,",
        "Os { code: 11,",
        "Cannot allocate memory",
        "out of memory",
    ]
    .iter()
    .any(|words| printed.contains(words))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use wasmtime::component::Component;

    use super::*;
    use crate::Bounds;
    use crate::sandbox::engine::Sandbox;

    /// Returns the error of the pool for a component.
    fn refusal(component: &str) -> String {
        let bounds = Bounds {
            memories_max: 2,
            tables_max: 2,
            instances_max: 3,
            table_elements_max: 100,
            ..Bounds::default()
        };
        let sandbox = Sandbox::new(bounds).unwrap();
        let bytes = wat::parse_str(component).unwrap();
        match Component::new(&sandbox.engine, bytes) {
            Ok(_) => panic!("it fits"),
            Err(error) => format!("{error:#}"),
        }
    }

    fn instances_of(module: &str, count: usize) -> String {
        let instances = "(core instance (instantiate $m))".repeat(count);
        format!("(component (core module $m {module}) {instances})")
    }

    #[test]
    fn each_error_of_the_pool_is_matched_to_its_bound() {
        let globals = "(global i64 (i64.const 0))".repeat(200_000);
        let cases = [
            ("memories", instances_of("(memory 1)", 3)),
            (
                "memories",
                instances_of("(memory 1) (memory 1) (memory 1)", 1),
            ),
            ("instances", instances_of("", 4)),
            ("tables", instances_of("(table 1 funcref)", 3)),
            (
                "tables",
                instances_of("(table 1 funcref) (table 1 funcref) (table 1 funcref)", 1),
            ),
            ("table_elements", instances_of("(table 101 funcref)", 1)),
            ("memory", instances_of("(memory 65536)", 1)),
            ("instances", instances_of(&globals, 1)),
        ];
        let mut said = Vec::new();
        for (bound, component) in cases {
            let refusal = refusal(&component);
            assert_eq!(bound_of_the_pool(&refusal), Some(bound), "{refusal}");
            said.push(refusal);
        }
        for words in [
            "memories count",
            "linear memories",
            "core module instances",
            "tables, which exceeds",
            "defined tables count",
            "module table does not fit",
            "module memory does not fit",
            "instance size",
        ] {
            assert!(
                said.iter().any(|said| said.contains(words)),
                "{words}: {said:#?}"
            );
        }
    }

    #[test]
    fn each_error_of_a_process_without_memory_is_recognized() {
        for code in [11, 12] {
            let error = std::io::Error::from_raw_os_error(code);
            assert!(is_out_of_memory(&error.to_string()), "{error}");
            assert!(is_out_of_memory(&format!("{error:?}")), "{error:?}");
        }
        assert!(!is_out_of_memory("index out of bounds"));
    }
}
