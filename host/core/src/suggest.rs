//! Guesses which known word a mistyped one was meant to be.

/// Returns the known word that `word` was probably meant to be.
#[must_use]
pub fn closest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance_max = (word.chars().count() / 3).clamp(1, 3);
    known
        .iter()
        .map(|candidate| (edit_distance(word, candidate), *candidate))
        .filter(|(distance, candidate)| {
            *distance <= distance_max
                || (word.len() > 2 && (candidate.starts_with(word) || word.starts_with(candidate)))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns whether two words differ in one letter at most, whatever the case of their letters.
#[must_use]
pub fn differ_in_a_letter(a: &str, b: &str) -> bool {
    edit_distance(&a.to_lowercase(), &b.to_lowercase()) <= 1
}

/// Returns how many letters must be added, taken out or changed (Levenshtein).
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{closest, differ_in_a_letter};

    #[test]
    fn a_mistyped_word_is_recognized() {
        let known = ["listen", "handlers", "handlers_dir", "retention", "store"];
        for (word, expected) in [
            ("lisen", Some("listen")),
            ("handler", Some("handlers")),
            ("handlersdir", Some("handlers_dir")),
            ("retentoin", Some("retention")),
            ("storage_url", None),
            ("x", None),
        ] {
            assert_eq!(closest(word, &known), expected, "{word}");
        }
    }

    #[test]
    fn a_slip_of_the_keyboard_is_one_letter_or_the_case() {
        let known = "KubePodNotReady";
        for (word, expected) in [
            ("KubePodNotRedy", true),
            ("kubepodnotready", true),
            ("KubeJobNotReady", false),
            ("KubePod", false),
        ] {
            assert_eq!(differ_in_a_letter(word, known), expected, "{word}");
        }
    }
}
