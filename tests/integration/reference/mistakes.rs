//! The page about mistakes: the snapshots of the tests that make them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use regex::Regex;
use tests::modules::workspace;
use tests::pages::assert_current;

use super::table;

/// A mistake, and what is said about it.
struct Mistake {
    about: String,
    said: String,
}

/// Reads a snapshot in which each mistake has a line that begins with `# `.
fn snapshot(path: &str) -> Vec<Mistake> {
    let text = fs::read_to_string(workspace().join("tests/integration").join(path)).unwrap();
    let mistakes = text.split("# ").skip(1).map(|part| {
        let (about, said) = part.split_once('\n').unwrap();
        Mistake {
            about: about.to_owned(),
            // Where the tests were.
            said: said
                .replace("DIR/", "")
                .replace("WORKSPACE/", "…/")
                .trim()
                .to_owned(),
        }
    });
    mistakes.collect()
}

/// Returns each mistake with what is said in a block.
fn list(mistakes: &[Mistake]) -> String {
    let mut text = String::new();
    for Mistake { about, said } in mistakes {
        let _ = write!(text, "\n**{about}**\n\n```text\n{said}\n```\n");
    }
    text
}

/// Returns the mistakes of the Python SDK's own tests: a handler for each, and beside it what is said.
fn of_the_python_sdk() -> Vec<(Mistake, String)> {
    let folder = workspace().join("handler-sdk/python/tests/mistakes");
    let files = fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let mistakes = files.iter().map(|path| {
        let about = path
            .file_stem()
            .unwrap()
            .to_str()
            .unwrap()
            .replace('-', " ");
        let said = read(path).trim().to_owned();
        let line = line_of(&said).and_then(|number| {
            let source = read(&path.with_extension("py"));
            source
                .lines()
                .nth(number - 1)
                .map(|line| line.trim().to_owned())
        });
        (Mistake { about, said }, line.unwrap_or_default())
    });
    mistakes.collect()
}

/// Returns the line of an author's file that a message names.
fn line_of(said: &str) -> Option<usize> {
    let place = Regex::new(r"\.(?:py|rs|ts|toml|json|yml)(?::|., line )(\d+)").unwrap();
    place.captures(said)?[1].parse().ok()
}

/// Returns a text as code, whatever backticks it has.
fn code(text: &str) -> String {
    match (text.is_empty(), text.contains('`')) {
        (true, _) => String::new(),
        (false, true) => format!("`` {text} ``"),
        (false, false) => format!("`{text}`"),
    }
}

#[test]
fn the_page_about_mistakes_has_those_that_the_tests_make() {
    let python = of_the_python_sdk();
    let languages = [
        (
            "rust",
            [
                "authors/mistakes/rust.txt",
                "authors/mistakes/rust-running.txt",
            ],
        ),
        (
            "typescript",
            [
                "authors/mistakes/typescript.txt",
                "authors/mistakes/typescript-running.txt",
            ],
        ),
    ];
    let mut with_a_line = vec![
        python
            .iter()
            .filter(|(m, _)| line_of(&m.said).is_some())
            .count(),
    ];
    for (name, files) in languages {
        let [building, running] = files.map(snapshot);
        let all = building.iter().chain(&running);
        with_a_line.push(
            all.filter(|mistake| line_of(&mistake.said).is_some())
                .count(),
        );
        assert_current("mistakes.md", &format!("{name} building"), &list(&building));
        assert_current("mistakes.md", &format!("{name} running"), &list(&running));
    }
    let rows: Vec<_> = python
        .iter()
        .map(|(mistake, line)| [mistake.about.clone(), code(line), code(&mistake.said)])
        .collect();
    let columns = ["mistake", "what is written", "what is said"];
    assert_current("mistakes.md", "python", &table(columns, &rows));
    let building = snapshot("authors/mistakes/python.txt");
    assert_current("mistakes.md", "python building", &list(&building));
    let projects = snapshot("authors/mistakes/projects.txt");
    assert_current("mistakes.md", "projects", &list(&projects));
    let modules = snapshot("snapshots/mistakes-with-modules.txt");
    assert_current("mistakes.md", "modules", &list(&modules));
    assert!(
        with_a_line.iter().all(|count| *count > 7),
        "{with_a_line:?}"
    );
    assert!(with_a_line.iter().sum::<usize>() >= 30, "{with_a_line:?}");
}
