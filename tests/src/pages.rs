//! Pages of the documentation: their code blocks, which tests run, and their parts that tests generate.

use std::path::{Path, PathBuf};

use handler_sdk::mock::assert_snapshot;

use crate::modules::workspace;

/// A code block of a page.
#[derive(Clone, Debug)]
pub struct Block {
    /// What the comment in the line above says: a file's name, or what reads the block.
    pub mark: Option<String>,
    /// The language, as in `python`.
    pub language: String,
    /// The lines, each with its end.
    pub text: String,
}

impl Block {
    /// Returns the path of the file that the block is.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.mark.as_deref().filter(|mark| mark.contains('.'))
    }

    /// Returns whether the block has this mark.
    #[must_use]
    pub fn is(&self, mark: &str) -> bool {
        self.mark.as_deref() == Some(mark)
    }
}

/// Returns the path of a page of the documentation.
#[must_use]
pub fn path(page: &str) -> PathBuf {
    workspace().join("docs").join(page)
}

/// Returns a page of the documentation.
///
/// # Panics
/// If there is no such page.
#[must_use]
pub fn read(page: &str) -> String {
    std::fs::read_to_string(path(page)).unwrap_or_else(|error| panic!("docs/{page}: {error}"))
}

/// Returns the code blocks of a text in Markdown.
#[must_use]
pub fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut mark = None;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let content = lines.by_ref().take_while(|line| *line != "```");
            blocks.push(Block {
                mark: mark.take(),
                language: language.to_owned(),
                text: content.map(|line| format!("{line}\n")).collect(),
            });
        } else {
            let comment = line.strip_prefix("<!-- ");
            let comment = comment.and_then(|rest| rest.strip_suffix(" -->"));
            mark = comment.map(str::to_owned);
        }
    }
    blocks
}

/// Returns the lines of a page's blocks of commands, without what explains them.
#[must_use]
pub fn commands(blocks: &[Block]) -> Vec<String> {
    let lines = blocks.iter().filter(|block| block.is("commands"));
    lines
        .flat_map(|block| block.text.lines())
        .map(|line| line.split(" # ").next().unwrap_or(line).trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

/// Checks the part of a page between `<!-- generated: NAME -->` and `<!-- end -->`.
///
/// # Panics
/// If it differs from what is generated, unless `UPDATE_SNAPSHOTS` is set: then it is replaced.
#[track_caller]
pub fn assert_current(page: &str, name: &str, generated: &str) {
    let text = read(page);
    let mark = format!("<!-- generated: {name} -->\n");
    let (before, rest) = text
        .split_once(&mark)
        .unwrap_or_else(|| panic!("docs/{page} has no {mark}"));
    let after = rest.split_once("<!-- end -->");
    let (_, after) = after.unwrap_or_else(|| panic!("docs/{page} has no end of {mark}"));
    let generated = generated.trim();
    let current = format!("{before}{mark}\n{generated}\n\n<!-- end -->{after}");
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    assert!(
        text == current || std::env::var_os("UPDATE_SNAPSHOTS").is_some(),
        "docs/{page} is not current: run UPDATE_SNAPSHOTS=1 cargo test --locked --test integration {test}\n\
         It would say:\n{generated}"
    );
    assert_snapshot(path(page), &current);
}

/// Writes the blocks that are files into a project.
///
/// # Panics
/// If a file cannot be written.
pub fn write_files(blocks: &[Block], project: &Path) {
    for (block, path) in blocks
        .iter()
        .filter_map(|block| Some((block, block.path()?)))
    {
        let path = project.join(path);
        let folder = path.parent().expect("a file is in a folder");
        std::fs::create_dir_all(folder).expect("a folder can be made");
        std::fs::write(path, &block.text).expect("a file can be written");
    }
}

/// Checks that the block of a page with this mark is this text.
///
/// # Panics
/// If it is not, unless `UPDATE_SNAPSHOTS` is set: then it is replaced.
#[track_caller]
pub fn assert_block(page: &str, mark: &str, text: &str) {
    let whole = read(page);
    let head = format!("<!-- {mark} -->\n```");
    let (before, rest) = whole
        .split_once(&head)
        .unwrap_or_else(|| panic!("docs/{page} has no block {mark}"));
    let (language, rest) = rest.split_once('\n').expect("a block has lines");
    let after = match rest.strip_prefix("```") {
        Some(after) => after,
        None => rest.split_once("\n```").expect("a block has an end").1,
    };
    let current = format!("{before}{head}{language}\n{text}```{after}");
    assert!(
        whole == current || std::env::var_os("UPDATE_SNAPSHOTS").is_some(),
        "the block {mark} of docs/{page} is not current: set UPDATE_SNAPSHOTS=1, and run this test again. It would be:\n{text}"
    );
    assert_snapshot(path(page), &current);
}
