//! Makes of the tools' messages what an author wants to read.

/// Types of the SDK that stand for what a handler does not have. Their argument says what to do.
const NOT_THERE: [(&str, &str); 2] = [
    ("NotInNeeds<\"", "this is not in the project's needs"),
    ("NotInAHandler<\"", "a handler does not have this"),
];

/// Returns the messages of tsc, run in the project's folder `dir`: with its paths from the current folder, places as other
/// compilers write them, and what to do about mistakes that authors make often. `needs` are those of the project.
pub(super) fn of_tsc(output: &str, dir: &str, needs: &[String]) -> String {
    let mut messages: Vec<String> = Vec::new();
    for line in output.lines() {
        match messages.last_mut() {
            // The lines after the first one are indented; with colours, they are those of the source, too.
            Some(message) if !begins_message(line) => {
                message.push('\n');
                message.push_str(line);
            }
            _ => messages.push(line.to_owned()),
        }
    }
    if messages.first().is_some_and(|first| is_about_syntax(first)) {
        // What follows from one missing bracket fills a screen.
        messages.truncate(1);
        // The count of all that follows, which is the last line with colours.
        let message = messages[0].trim_end();
        messages[0] = message
            .split("\nFound ")
            .next()
            .unwrap_or(message)
            .trim_end()
            .to_owned();
    }
    let mut lines: Vec<String> = messages
        .iter()
        .map(|message| rewritten(message, dir, needs))
        .collect();
    if output.contains("=> Promise<") {
        lines.push("A handler is synchronous: remove `async` and `await`. Calls such as cx.http.get() return at once.".to_owned());
    }
    // Of a module of Node's, the compiler may say that it is a name whose types are missing.
    let before = ["Cannot find module '", "Cannot find name '"];
    let quoted = |before: &&str| output.split(*before).nth(1)?.split_once('\'');
    if let Some((package, _)) = before.iter().find_map(quoted)
        && !package.starts_with('.')
        && (output.contains(before[0]) || package.starts_with("node:"))
    {
        lines.push(about_package(package, dir));
    }
    lines.join("\n")
}

/// Returns whether a line of tsc's is the first one of a message: `a.ts(3,9): error TS2322: …`, and with colours
/// `a.ts:3:9 - error TS2322: …`.
fn begins_message(line: &str) -> bool {
    let plain = without_colours(line);
    !plain.starts_with(' ') && plain.contains("error TS")
}

/// Returns whether a message has one of the numbers of tsc's parser, from 1000 to 1999.
fn is_about_syntax(message: &str) -> bool {
    let first = without_colours(message.lines().next().unwrap_or_default());
    let number = first.split_once("error TS").map(|(_, rest)| rest);
    number.is_some_and(|rest| rest.starts_with('1') && rest.find(':') == Some(4))
}

/// Returns a line without the sequences that set a terminal's colours.
fn without_colours(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or(part, |(_, rest)| rest));
    }
    plain
}

/// What Node has and a handler does not, with what to use instead.
const OF_NODE: [(&[&str], &str); 5] = [
    (
        &["fs"],
        "a handler has no files: import the data as a TypeScript or JSON module, declare a Setting, or keep state in cx.kv",
    ),
    (
        &["http", "https", "http2", "net", "tls", "dgram", "dns"],
        "a handler has no network of its own: use cx.http, which the operator grants",
    ),
    (
        &["process", "os"],
        "a handler has no environment: declare a Setting, and read it with cx.setting",
    ),
    (
        &["child_process", "cluster", "worker_threads"],
        "a handler runs one step on one thread, and starts no programs",
    ),
    (
        &["timers", "events", "async_hooks", "perf_hooks"],
        "a handler is synchronous and has no event loop: throw RetryableError with afterMs, or use cx.timer",
    ),
];

/// Modules of Node for which there is nothing else.
const OTHERS_OF_NODE: [&str; 11] = [
    "assert",
    "buffer",
    "crypto",
    "path",
    "querystring",
    "readline",
    "stream",
    "url",
    "util",
    "vm",
    "zlib",
];

/// Returns what to do about a package that is not there.
pub(super) fn about_package(package: &str, dir: &str) -> String {
    let module = package.strip_prefix("node:").unwrap_or(package);
    let module = module.split('/').next().unwrap_or(module);
    if let Some((_, remedy)) = OF_NODE
        .iter()
        .find(|(modules, _)| modules.contains(&module))
    {
        return format!("{package} is a module of Node, and {remedy}");
    }
    if package.starts_with("node:") || OTHERS_OF_NODE.contains(&module) {
        return format!(
            "{package} is a module of Node, which a handler does not run on: write what you need of it, or use a package that needs no Node"
        );
    }
    format!(
        "If {package} is a package, add it to `dependencies` in {dir}/package.json, and run: npm install --prefix {dir}"
    )
}

/// Rewrites a message such as `src/handler.ts(3,9): error TS2322: …`.
fn rewritten(message: &str, dir: &str, needs: &[String]) -> String {
    let parts = || {
        let (path, rest) = message.split_once('(')?;
        let (place, message) = rest.split_once("): ")?;
        let (row, column) = place.split_once(',')?;
        let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let is_place = is_number(row) && is_number(column) && !path.contains(' ');
        is_place.then(|| (format!("{dir}/{path}:{row}:{column}"), message))
    };
    let Some((place, message)) = parts() else {
        return message.to_owned();
    };
    for (name, what) in NOT_THERE {
        if let Some((_, remedy)) = message.split_once(name)
            && let Some(end) = remedy.rfind("\">")
        {
            let remedy = with_all_needs(&remedy[..end].replace("\\\"", "\""), needs);
            return format!("{place}: error: {what}: {remedy}");
        }
    }
    format!("{place}: {message}")
}

/// Returns a remedy with the whole list that is to be in package.json: the type of the SDK knows only what is missing.
fn with_all_needs(remedy: &str, needs: &[String]) -> String {
    const REST: &str = ", …]";
    let Some((before, missing)) = remedy
        .strip_suffix(" }")
        .and_then(|remedy| remedy.strip_suffix(REST))
        .and_then(|remedy| remedy.rsplit_once('['))
    else {
        return remedy.to_owned();
    };
    let needs = needs.iter().map(|need| format!("{need:?}"));
    let all: Vec<_> = needs.chain([missing.to_owned()]).collect();
    format!("{before}[{}] }}", all.join(", "))
}

/// Returns why the component could not be made: the code outside of all functions was run, and failed. `main` is the author's
/// file, as the SDK names it.
pub(super) fn of_componentize(said: &str, dir: &str, main: &str) -> String {
    if let Some((_, rest)) = said.split_once("unknown import: `")
        && let Some((import, _)) = rest.split_once('`')
    {
        let call = import.rsplit_once('/').map_or(import, |(_, call)| call);
        let interface = call.split(['@', '#']).next().unwrap_or(call);
        return format!(
            "{dir}/{main}: code outside of all functions uses `{interface}`, but it runs once, when the component is built: use it in `enrich`, `act` or `resolved`"
        );
    }
    let message = said
        .split_once("module evaluation: Error: ")
        .map_or(said, |(_, message)| message);
    // The engine's own stack names lines of the bundle; the SDK puts the author's line into the message.
    let lines: Vec<&str> = message
        .lines()
        .filter(|line| !line.trim_start().starts_with("at "))
        .collect();
    let text = lines.join("\n");
    text.trim().replace(main, &format!("{dir}/{main}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_as_other_compilers_do() {
        assert_eq!(
            of_tsc(
                "src/handler.ts(3,9): error TS2322: Type 'a(1,2): b' is wrong.\n  More.",
                "handlers/x",
                &[]
            ),
            "handlers/x/src/handler.ts:3:9: error TS2322: Type 'a(1,2): b' is wrong.\n  More."
        );
    }

    #[test]
    fn what_a_handler_does_not_have_gets_the_remedy_in_its_type() {
        let needs = r#"src/handler.ts(10,11): error TS2339: Property 'set' does not exist on type 'NotInNeeds<"add \"kv\" to package.json: \"alertManager\": { \"needs\": [\"kv\", …] }">'."#;
        assert_eq!(
            of_tsc(needs, "x", &["slack".to_owned(), "http".to_owned()]),
            "x/src/handler.ts:10:11: error: this is not in the project's needs: add \"kv\" to package.json: \"alertManager\": { \"needs\": [\"slack\", \"http\", \"kv\"] }"
        );
        let global = "src/a.ts(1,1): error TS2349: This expression is not callable.\n  Type 'NotInAHandler<\"use cx.kv\">' has no call signatures.";
        assert_eq!(
            of_tsc(global, "x", &[]),
            "x/src/a.ts:1:1: error: a handler does not have this: use cx.kv"
        );
    }

    #[test]
    fn mistakes_that_are_made_often_get_a_remedy() {
        let told = of_tsc(
            "src/handler.ts(1,1): error TS2307: Cannot find module 'yaml' or its types.",
            "x",
            &[],
        );
        assert!(told.ends_with("and run: npm install --prefix x"), "{told}");
        let told = of_tsc(
            "src/handler.ts(1,1): error TS2307: Cannot find module './b.ts' or its types.",
            "x",
            &[],
        );
        assert!(!told.contains("npm"), "{told}");
        let told = of_tsc(
            "src/handler.ts(1,1): error TS2322: Type '(cx: Context) => Promise<void>' is not",
            "x",
            &[],
        );
        assert!(told.contains("remove `async`"), "{told}");
    }

    #[test]
    fn a_module_of_node_gets_what_to_use_instead() {
        for (module, remedy) in [
            ("fs", "fs is a module of Node, and a handler has no files: "),
            (
                "fs/promises",
                "fs/promises is a module of Node, and a handler has no files: ",
            ),
            ("node:https", "use cx.http, which the operator grants"),
            ("process", "declare a Setting"),
            ("node:worker_threads", "one thread"),
            ("timers", "cx.timer"),
            ("node:sqlite", "which a handler does not run on"),
            ("crypto", "which a handler does not run on"),
            ("path", "which a handler does not run on"),
            ("zlib", "which a handler does not run on"),
            ("yaml", "add it to `dependencies`"),
        ] {
            let told = about_package(module, "x");
            assert!(told.contains(remedy), "{told}");
        }
    }

    #[test]
    fn of_the_errors_that_follow_from_one_in_the_syntax_the_first_is_shown() {
        let told = of_tsc(
            "a.ts(8,18): error TS1005: '{' expected.\na.ts(9,5): error TS1109: Expression expected.",
            "x",
            &[],
        );
        assert_eq!(told, "x/a.ts:8:18: error TS1005: '{' expected.");
        let header = |line: u32, number: u32| {
            format!(
                "\u{1b}[96ma.ts\u{1b}[0m:\u{1b}[93m{line}\u{1b}[0m:\u{1b}[93m7\u{1b}[0m - \u{1b}[91merror\u{1b}[0m\u{1b}[90m TS{number}: \u{1b}[0mExpected."
            )
        };
        let first = format!(
            "{}\n\n\u{1b}[7m18\u{1b}[0m   act((cx\n  \u{1b}[91m~\u{1b}[0m",
            header(18, 1138)
        );
        let all = format!(
            "{first}\n\n{}\n\n19 const\n\n\nFound 2 errors in the same file\n",
            header(19, 1005)
        );
        assert_eq!(of_tsc(&all, "x", &[]), first);
        let one = format!("{first}\n\n\nFound 1 error in a.ts:18\n");
        assert_eq!(of_tsc(&one, "x", &[]), first);
    }

    #[test]
    fn code_that_fails_while_it_is_built_is_named_in_the_authors_terms() {
        let said = "Error: : Failed to finish JavaScript module evaluation: Error: src/handler.ts has no default export\n    at theHandler (/bundle.js:2:1)\n";
        assert_eq!(
            of_componentize(said, "x", "src/handler.ts"),
            "x/src/handler.ts has no default export"
        );
        let said = "Error: error while executing: unknown import: `alert-manager:handler/config@0.1.1#get` has not been defined";
        let told = of_componentize(said, "x", "src/handler.ts");
        assert!(
            told.starts_with("x/src/handler.ts: code outside of all functions uses `config`"),
            "{told}"
        );
    }
}
