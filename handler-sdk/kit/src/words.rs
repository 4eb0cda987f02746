//! Words for durations, amounts and images.

use std::time::Duration;

use handler_sdk::layout::clip;
use handler_sdk::mask;
use handler_sdk::time::human;

/// The most characters of a text that a program of the cluster wrote.
const SAID_CHARS_MAX: usize = 300;

/// Returns text that another program wrote on one line, cut, with secrets masked.
pub fn said(text: &str) -> String {
    clip(&mask::text(text), SAID_CHARS_MAX)
}

/// Returns what a program of the cluster said, or that it said nothing.
pub fn or_silent(message: &str) -> &str {
    match message {
        "" => "Kubernetes says no more",
        message => message,
    }
}

/// Returns text whose first letter is small, unless it begins a name like `OOMKilled`.
pub fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => {
            std::iter::once(first.to_ascii_lowercase())
                .chain(chars)
                .collect()
        }
        _ => text.to_owned(),
    }
}

/// Returns the first names, and how many there are more: `a, b, c and 4 more`.
pub fn few<N: AsRef<str>>(names: impl IntoIterator<Item = N>, shown_max: usize) -> String {
    let mut names = names.into_iter();
    let shown: Vec<N> = names.by_ref().take(shown_max).collect();
    let shown: Vec<&str> = shown.iter().map(AsRef::as_ref).collect();
    let more = names.count();
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Returns a number of things: `1 pod`, `3 pods`.
pub fn count(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        many => format!("{many} {thing}s"),
    }
}

/// Returns the time between two moments: `12m 3s`; `0s` if the second is earlier.
pub fn between(earlier: i64, later: i64) -> String {
    human(span(earlier, later))
}

/// Returns the time between two moments in its larger unit alone, for times that are not exact: `12m`.
pub fn roughly(earlier: i64, later: i64) -> String {
    let words = between(earlier, later);
    words.split(' ').next().unwrap_or_default().to_owned()
}

/// Returns the time between two moments; zero if the second is earlier.
pub fn span(earlier: i64, later: i64) -> Duration {
    Duration::from_secs(u64::try_from(later.saturating_sub(earlier)).unwrap_or(0))
}

/// Returns a short time, which programs measure in seconds: `35ms`, `9.5s`, `2m 3s`.
pub fn seconds(seconds: f64) -> String {
    match seconds {
        less if less < 0.000_5 => "0ms".to_owned(),
        less if less < 0.999_5 => format!("{:.0}ms", less * 1_000.0),
        few if few < 9.95 => format!("{few:.1}s").replace(".0s", "s"),
        many => human(Duration::try_from_secs_f64(many.round()).unwrap_or_default()),
    }
}

/// Returns an amount of bytes in its largest unit: `50MiB`, `1.5GiB`.
pub fn bytes(bytes: f64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut amount = bytes;
    let mut unit = 0;
    while amount.abs() >= 1_024.0 && unit + 1 < UNITS.len() {
        amount /= 1_024.0;
        unit += 1;
    }
    let digits = usize::from(amount.abs() < 10.0 && amount.fract() != 0.0);
    format!("{amount:.digits$}{}", UNITS[unit])
}

/// Returns a share as percent: `93 %`, `99.7 %`.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let digits = usize::from(percent > 99.0 && percent < 100.0);
    format!("{percent:.digits$} %")
}

/// Returns an image's tag, or the start of its digest.
pub fn image_tag(image: &str) -> String {
    if let Some((_, digest)) = image.split_once('@') {
        return clip(digest, 19);
    }
    match split_tag(image) {
        (_, Some(tag)) => clip(tag, 60),
        (repository, None) => clip(repository.rsplit('/').next().unwrap_or(repository), 60),
    }
}

/// Returns an image's repository, without tag and digest.
pub fn image_repository(image: &str) -> &str {
    split_tag(image.split('@').next().unwrap_or(image)).0
}

fn split_tag(image: &str) -> (&str, Option<&str>) {
    // A colon before the last slash belongs to the registry's port.
    let name_begins = image.rfind('/').map_or(0, |at| at + 1);
    match image[name_begins..].split_once(':') {
        Some((name, tag)) => (&image[..name_begins + name.len()], Some(tag)),
        None => (image, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_few_digits() {
        for (amount, shown) in [
            (0.0, "0B"),
            (1_536.0, "1.5KiB"),
            (52_428_800.0, "50MiB"),
            (-2_048.0, "-2KiB"),
        ] {
            assert_eq!(bytes(amount), shown);
        }
        assert_eq!(
            [percent(0.93), percent(0.997), percent(1.0)],
            ["93 %", "99.7 %", "100 %"]
        );
    }

    #[test]
    fn a_few_names_are_shown_and_the_others_counted() {
        assert_eq!(few(["a", "b"], 2), "a, b");
        assert_eq!(few(["a", "b", "c", "d"], 2), "a, b and 2 more");
        assert_eq!(few(Vec::<String>::new(), 2), "");
        assert_eq!([count(1, "pod"), count(0, "pod")], ["1 pod", "0 pods"]);
    }

    #[test]
    fn the_name_of_a_reason_keeps_its_first_letter() {
        assert_eq!(lower_first("It is gone"), "it is gone");
        assert_eq!(lower_first("OOMKilled"), "OOMKilled");
    }

    #[test]
    fn a_short_time_has_its_own_unit() {
        for (time, shown) in [
            (0.0, "0ms"),
            (0.035, "35ms"),
            (9.5, "9.5s"),
            (5.01, "5s"),
            (123.4, "2m 3s"),
            (f64::NAN, "0s"),
        ] {
            assert_eq!(seconds(time), shown);
        }
    }

    #[test]
    fn an_image_is_distinguished_by_tag_or_digest() {
        assert_eq!(image_tag("registry.example.com:5000/a/b:1.42.0"), "1.42.0");
        assert_eq!(
            image_tag("b@sha256:4f53cda18c2baa0c0354bb5f"),
            "sha256:4f53cda18c2…"
        );
        assert_eq!(image_tag("registry.example.com:5000/a/b"), "b");
        assert_eq!(
            image_repository("registry.example.com:5000/a/b:1"),
            "registry.example.com:5000/a/b"
        );
        assert_eq!(image_repository("a/b:1@sha256:00"), "a/b");
    }
}
