//! Makes of componentize-py's output what an author wants to read: the traceback, with the author's frame last.

use std::fmt::Write as _;

const BEGIN: &str = "Traceback (most recent call last):";

/// The folders of the author's and others' code. componentize-py calls them `/0`, `/1`, ….
pub(super) struct Roots {
    /// As people know them.
    pub(super) folders: Vec<String>,
    /// Which of them has the author's code.
    pub(super) author: usize,
    /// Which of them has the entry.
    pub(super) entry: usize,
    /// Which of them has the SDK.
    pub(super) sdk: usize,
}

/// Where a frame's code is from.
#[derive(PartialEq, Eq)]
enum Whose {
    Entry,
    Author,
    /// The SDK or the standard library.
    Other,
}

struct Frame {
    whose: Whose,
    text: String,
}

/// Returns the message for an author.
pub(super) fn cleaned(output: &str, roots: &Roots) -> String {
    // The program's own traceback comes first; what it has to say follows its exception's name.
    let said = output
        .split_once("AssertionError: ")
        .map_or(output, |(_, said)| said);
    let said = [
        "\n\nCaused by:",
        "\n\nStack backtrace:",
        "\nStack backtrace:",
    ]
    .into_iter()
    .filter_map(|end| said.find(end))
    .min()
    .map_or(said, |end| &said[..end]);
    match said.rfind(BEGIN) {
        Some(at) => traceback(&said[at + BEGIN.len()..], roots),
        None => said.trim().to_owned(),
    }
}

fn traceback(text: &str, roots: &Roots) -> String {
    let mut frames: Vec<Frame> = Vec::new();
    let mut error = String::new();
    for line in text.trim_matches('\n').lines() {
        if let Some(frame) = frame(line, roots) {
            frames.push(frame);
        } else if line.starts_with("  ")
            && error.is_empty()
            && let Some(frame) = frames.last_mut()
        {
            let _ = writeln!(frame.text, "{line}");
        } else {
            let _ = writeln!(error, "{line}");
        }
    }
    frames.retain(|frame| frame.whose != Whose::Entry);
    if let Some(last) = frames
        .iter()
        .rposition(|frame| frame.whose == Whose::Author)
    {
        frames.truncate(last + 1);
    } else if let Some((_, mistake)) = error
        .strip_prefix("handler_sdk.")
        .and_then(|error| error.split_once("Mistake: "))
    {
        // The SDK has examined the author's code, and its message begins with the file and the line.
        return format!("{}/{}", roots.folders[roots.author], mistake.trim_end());
    }
    for (number, folder) in roots.folders.iter().enumerate() {
        error = error.replace(&format!("(/{number}/"), &format!("({folder}/"));
    }
    let mut cleaned = format!("{BEGIN}\n");
    for frame in frames {
        cleaned.push_str(&frame.text);
    }
    cleaned.push_str(error.trim_end());
    if let Some(hint) = hint(&error) {
        let _ = write!(cleaned, "\n{hint}");
    }
    cleaned
}

/// Reads the first line of a frame: `  File "/1/handler.py", line 3, in act`.
fn frame(line: &str, roots: &Roots) -> Option<Frame> {
    let (path, rest) = line.strip_prefix("  File \"")?.split_once('"')?;
    let root = path.strip_prefix('/').and_then(|path| {
        let (number, below) = path.split_once('/')?;
        Some((number.parse::<usize>().ok()?, below))
    });
    let known = root.and_then(|(number, below)| Some((number, roots.folders.get(number)?, below)));
    let (whose, path) = match known {
        Some((number, _, _)) if number == roots.entry => (Whose::Entry, path.to_owned()),
        Some((number, folder, below)) => {
            let whose = match number == roots.sdk {
                true => Whose::Other,
                false => Whose::Author,
            };
            (whose, format!("{folder}/{below}"))
        }
        None => (Whose::Other, path.to_owned()),
    };
    let text = format!("  File \"{path}\"{rest}\n");
    Some(Frame { whose, text })
}

/// Returns what to do about an error that authors meet often.
fn hint(error: &str) -> Option<String> {
    let (_, rest) = error.split_once("ModuleNotFoundError: No module named '")?;
    let (module, _) = rest.split_once('\'')?;
    let package = module.split('.').next().unwrap_or(module);
    Some(format!(
        "If {package} is a package, add it to `dependencies` below `[project]` in pyproject.toml: the build brings packages that are pure Python."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots() -> Roots {
        Roots {
            folders: ["x/target/alert-manager/x", "x", "sdk/src"]
                .map(str::to_owned)
                .to_vec(),
            entry: 0,
            author: 1,
            sdk: 2,
        }
    }

    #[test]
    fn the_authors_frame_is_the_last_one() {
        let output = "Traceback (most recent call last):\n  File \"/venv/bin/componentize-py\", line 8, in <module>\n    sys.exit(script())\n             ^^^^^^^^\nAssertionError: Traceback (most recent call last):\n  File \"/0/alert_manager_entry.py\", line 4, in <module>\n    import handler as author\n  File \"/1/handler.py\", line 3, in <module>\n    Blocks(7)\n    ~~~~~~^^^\n  File \"/2/handler_sdk/blocks.py\", line 9, in __init__\n    raise TypeError(x)\nTypeError: a text is needed\n\n\nCaused by:\n    TypeError: a text is needed\n\nStack backtrace:\n   0: <anyhow::Error>::msg";
        assert_eq!(
            cleaned(output, &roots()),
            "Traceback (most recent call last):\n  File \"x/handler.py\", line 3, in <module>\n    Blocks(7)\n    ~~~~~~^^^\nTypeError: a text is needed"
        );
    }

    #[test]
    fn a_missing_package_gets_the_line_to_add() {
        let output = "AssertionError: Traceback (most recent call last):\n  File \"/1/handler.py\", line 1, in <module>\n    import yaml.loader\nModuleNotFoundError: No module named 'yaml.loader'\n\n\nCaused by:\n    x";
        let cleaned = cleaned(output, &roots());
        assert!(
            cleaned.contains("If yaml is a package, add it to `dependencies`"),
            "{cleaned}"
        );
    }

    #[test]
    fn a_mistake_that_the_sdk_has_found_is_its_message() {
        let output = "AssertionError: Traceback (most recent call last):\n  File \"/0/alert_manager_entry.py\", line 6, in <module>\n    Hooks = export(author)\n  File \"/2/handler_sdk/_run.py\", line 9, in find\n    raise Mistake(x)\nhandler_sdk.Mistake: handler.py:1: there is no class\n\nCaused by:\n    x";
        assert_eq!(
            cleaned(output, &roots()),
            "x/handler.py:1: there is no class"
        );
    }

    #[test]
    fn what_is_no_traceback_is_kept() {
        assert_eq!(
            cleaned("error: no world\n\nStack backtrace:\n  0: x", &roots()),
            "error: no world"
        );
    }
}
