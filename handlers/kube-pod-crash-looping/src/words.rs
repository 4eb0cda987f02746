//! Small words: ages, images, text cut to a line.

use std::time::Duration;

use handler_sdk::time::human;

/// Returns text on one line, cut to so many characters.
pub(crate) fn clip(text: &str, chars_max: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= chars_max {
        return line;
    }
    line.chars()
        .take(chars_max.saturating_sub(1))
        .chain(['…'])
        .collect()
}

/// Returns the time between two moments: `12m 3s`; `0s` where the second is the earlier one.
pub(crate) fn between(earlier: i64, later: i64) -> String {
    human(span(earlier, later))
}

/// Returns the time between two moments in its larger unit alone, for what is not known to the second: `12m`.
pub(crate) fn roughly(earlier: i64, later: i64) -> String {
    let words = between(earlier, later);
    words.split(' ').next().unwrap_or_default().to_owned()
}

/// Returns the time between two moments; zero where the second is the earlier one.
pub(crate) fn span(earlier: i64, later: i64) -> Duration {
    Duration::from_secs(u64::try_from(later.saturating_sub(earlier)).unwrap_or(0))
}

/// Returns an image's tag, or the start of its digest: what tells two versions apart.
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
    // A colon before the last slash is a registry's port.
    let name_begins = image.rfind('/').map_or(0, |at| at + 1);
    match image[name_begins..].split_once(':') {
        Some((name, tag)) => (&image[..name_begins + name.len()], Some(tag)),
        None => (image, None),
    }
}

/// Returns the Deployment that a pod's name tells of: `a-9b75b488c-cpfd7` is a pod of `a`. Only a guess.
pub(crate) fn workload_of(pod: &str) -> Option<&str> {
    let (rest, random) = pod.rsplit_once('-')?;
    let (workload, hash) = rest.rsplit_once('-')?;
    // Kubernetes' own alphabet for suffixes leaves out vowels and what looks like them (apimachinery, util/rand).
    let is_suffix = |text: &str| {
        text.bytes()
            .all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte))
    };
    let fits =
        random.len() == 5 && (6..=10).contains(&hash.len()) && is_suffix(random) && is_suffix(hash);
    fits.then_some(workload)
        .filter(|workload| !workload.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_told_apart_by_tag_or_digest() {
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

    #[test]
    fn a_pods_name_tells_its_deployment() {
        assert_eq!(
            workload_of("customer-rs-transformer-9b75b488c-cpfd7"),
            Some("customer-rs-transformer")
        );
        assert_eq!(workload_of("db-0"), None);
        assert_eq!(workload_of("node-exporter-x2lqk"), None);
        assert_eq!(workload_of(""), None);
    }

    #[test]
    fn text_is_cut_by_characters() {
        assert_eq!(clip("a\n b  c", 10), "a b c");
        assert_eq!(clip("äöüß", 3), "äö…");
    }
}
