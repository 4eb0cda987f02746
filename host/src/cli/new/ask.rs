//! Questions on a terminal, for what the command line leaves out.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use clap::ValueEnum as _;

use super::Lang;

/// Asks for a text until `parse` accepts it. Returns `None` if there is no terminal to ask on, or its input has ended.
///
/// # Errors
/// If the terminal cannot be read.
pub(super) fn for_text<T>(
    question: &str,
    parse: impl Fn(String) -> anyhow::Result<T>,
) -> anyhow::Result<Option<T>> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(None);
    }
    loop {
        let Some(answer) = line(question)? else {
            return Ok(None);
        };
        match parse(answer) {
            Ok(value) => return Ok(Some(value)),
            Err(error) => super::print::note(&error.to_string()),
        }
    }
}

/// Asks for the language; an empty answer is Rust.
///
/// # Errors
/// If the terminal cannot be read.
pub(super) fn for_lang() -> anyhow::Result<Option<Lang>> {
    for_text("language: rust, python or typescript [rust]", |answer| {
        if answer.is_empty() {
            return Ok(Lang::Rust);
        }
        Lang::from_str(&answer, true)
            .map_err(|_| anyhow::anyhow!("write rust, python or typescript"))
    })
}

fn line(question: &str) -> anyhow::Result<Option<String>> {
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "{question}: ")?;
    stderr.flush()?;
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer)?;
    Ok((read > 0).then(|| answer.trim().to_owned()))
}
