//! Formats durations and images.

use std::time::Duration;

use handler_sdk::layout::clip;
use handler_sdk::time::human;

/// Returns the time between two moments: `12m 3s`; `0s` if the second is earlier.
pub(crate) fn between(earlier: i64, later: i64) -> String {
    human(span(earlier, later))
}

/// Returns the time between two moments in its larger unit alone, for times that are not exact: `12m`.
pub(crate) fn roughly(earlier: i64, later: i64) -> String {
    let words = between(earlier, later);
    words.split(' ').next().unwrap_or_default().to_owned()
}

/// Returns the time between two moments; zero if the second is earlier.
pub(crate) fn span(earlier: i64, later: i64) -> Duration {
    Duration::from_secs(u64::try_from(later.saturating_sub(earlier)).unwrap_or(0))
}

/// Returns an image's tag, or the start of its digest.
pub(crate) fn image_tag(image: &str) -> String {
    if let Some((_, digest)) = image.split_once('@') {
        return clip(digest, 19);
    }
    match split_tag(image) {
        (_, Some(tag)) => clip(tag, 60),
        (repository, None) => clip(repository.rsplit('/').next().unwrap_or(repository), 60),
    }
}

/// Returns an image's repository, without tag and digest.
pub(crate) fn image_repository(image: &str) -> &str {
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
