//! Folds runs of nearly equal lines into their last line.

/// One or more lines of a log that differ only in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fold {
    /// The index of the last of them.
    pub(crate) last: usize,
    pub(crate) count: usize,
    differing: Differing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Differing {
    Nothing,
    OneNumber,
    Numbers,
}

impl Fold {
    /// Returns the text after the line, such as `(×11, differing in a number)`; `None` for a single line.
    pub(crate) fn words(&self) -> Option<String> {
        let what = match self.differing {
            Differing::Nothing => "",
            Differing::OneNumber => ", differing in a number",
            Differing::Numbers => ", differing in numbers",
        };
        (self.count > 1).then(|| format!("(×{}{what})", self.count))
    }
}

/// Folds consecutive lines that differ only in numbers: in digits, or in words that contain digits (times, addresses,
/// ids).
pub(crate) fn fold(lines: &[String]) -> Vec<Fold> {
    let mut folds: Vec<Fold> = Vec::new();
    let mut shape_before: Option<(String, Vec<&str>)> = None;
    for (at, line) in lines.iter().enumerate() {
        let (shape, numbers) = shape(line);
        match (folds.last_mut(), &shape_before) {
            (Some(fold), Some((same, before))) if *same == shape => {
                let differing = before.iter().zip(&numbers).filter(|(a, b)| a != b).count();
                fold.last = at;
                fold.count += 1;
                fold.differing = fold.differing.max(match differing {
                    0 => Differing::Nothing,
                    1 => Differing::OneNumber,
                    _ => Differing::Numbers,
                });
            }
            _ => folds.push(Fold {
                last: at,
                count: 1,
                differing: Differing::Nothing,
            }),
        }
        shape_before = Some((shape, numbers));
    }
    folds
}

/// Returns the line with each word that contains a digit replaced, and those words.
fn shape(line: &str) -> (String, Vec<&str>) {
    let mut shape = String::with_capacity(line.len());
    let mut numbers = Vec::new();
    let mut rest = line;
    while let Some(next) = rest.chars().next() {
        let end = rest
            .find(|char: char| !is_of_word(char))
            .unwrap_or(rest.len());
        let (word, after) = match end {
            0 => rest.split_at(next.len_utf8()),
            end => rest.split_at(end),
        };
        if word.bytes().any(|byte| byte.is_ascii_digit()) {
            shape.push('\u{0}');
            numbers.push(word);
        } else {
            shape.push_str(word);
        }
        rest = after;
    }
    (shape, numbers)
}

/// Returns whether a character can be part of a time, an address or an id.
fn is_of_word(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '.' | ':' | '-' | '+')
}

/// Returns whether a line looks like the report of an error.
pub(crate) fn is_error(line: &str) -> bool {
    const SIGNS: [&str; 9] = [
        "error",
        "fatal",
        "panic",
        "exception",
        "critical",
        "traceback",
        "failed",
        "cannot",
        "refused",
    ];
    let line = line.to_ascii_lowercase();
    SIGNS.iter().any(|sign| line.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(lines: &[&str]) -> Vec<String> {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        fold(&lines)
            .iter()
            .map(|fold| match fold.words() {
                Some(words) => format!("{} {words}", lines[fold.last]),
                None => lines[fold.last].clone(),
            })
            .collect()
    }

    #[test]
    fn runs_that_differ_in_numbers_become_their_last_line() {
        assert_eq!(
            folded(&[
                "batch=1 rows=5",
                "batch=2 rows=5",
                "batch=3 rows=5",
                "FATAL no space",
                "batch=4 rows=5"
            ]),
            [
                "batch=3 rows=5 (×3, differing in a number)",
                "FATAL no space",
                "batch=4 rows=5"
            ]
        );
        assert_eq!(folded(&["retry", "retry", "retry"]), ["retry (×3)"]);
        assert_eq!(
            folded(&[
                "2026-11-01T10:00:00.1Z GET /a 200",
                "2026-11-01T10:00:01.2Z GET /a 500",
                "2026-11-01T10:00:02.3Z GET /b 200"
            ]),
            [
                "2026-11-01T10:00:01.2Z GET /a 500 (×2, differing in numbers)",
                "2026-11-01T10:00:02.3Z GET /b 200"
            ]
        );
    }

    #[test]
    fn lines_that_differ_in_words_stay() {
        let lines = [
            "connecting to a",
            "connecting to b",
            "ERROR x=1",
            "WARN x=1",
            "x",
            "",
            "",
        ];
        assert_eq!(folded(&lines[..5]), &lines[..5]);
        assert_eq!(folded(&lines[4..]), ["x", " (×2)"]);
        assert!(fold(&[]).is_empty());
    }

    #[test]
    fn errors_are_known_by_their_words() {
        for line in [
            "FATAL no database",
            "thread 'main' panicked at x",
            "java.lang.IllegalStateException: x",
        ] {
            assert!(is_error(line), "{line}");
        }
        assert!(!is_error("level=info msg=\"transformed batch\""));
    }
}
