//! The settings that a handler declares: the mock refuses to read others, since `check` would report them as unknown.

use serde_json::Value;

use crate::Description;
use crate::incident::group::THREAD_BY;
use crate::layout;

/// Settings of the server, which no handler declares.
const OF_THE_SERVER: [&str; 2] = ["story_base", THREAD_BY];

/// The names of the settings that a handler declares.
#[derive(Debug)]
pub(super) struct Declared(Vec<String>);

impl Declared {
    pub(super) fn of(description: &Description) -> Self {
        let mut more = description.more.iter();
        let json = more.find(|(name, _)| name == "settings");
        let settings: Vec<Value> = json
            .and_then(|(_, json)| serde_json::from_str(json).ok())
            .unwrap_or_default();
        let names = settings
            .iter()
            .filter_map(|setting| setting["name"].as_str());
        Self(names.map(str::to_owned).collect())
    }

    /// Panics if a handler reads a setting that it does not declare.
    pub(super) fn check(&self, key: &str) {
        let is_declared = self.0.iter().any(|name| is_named(name, key));
        // A message of the SDK's reads them; a handler declares them if its operator may set them.
        let is_of_sdk = || layout::SETTINGS.iter().any(|setting| setting.name() == key);
        if is_declared || OF_THE_SERVER.contains(&key) || is_of_sdk() {
            return;
        }
        let name = key
            .to_ascii_uppercase()
            .replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        panic!(
            "the setting `{key}` is read, but `describe` does not declare it, so `check` would report it as unknown: \
             add `.settings([&{name}])` to the description, with `const {name}: Setting = Setting::string({key:?}, \"what it sets\");`"
        );
    }
}

/// Returns whether a setting with this name, in which each `*` stands for any text, has the key.
fn is_named(name: &str, key: &str) -> bool {
    let Some((before, after)) = name.split_once('*') else {
        return name == key;
    };
    let Some(mut rest) = key.strip_prefix(before) else {
        return false;
    };
    let mut parts = after.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::Setting;

    const URL: Setting = Setting::url("cluster.*.url", "a cluster");

    #[test]
    fn each_star_of_a_name_stands_for_any_text() {
        for (name, key, fits) in [
            ("url", "url", true),
            ("url", "urls", false),
            ("cluster.*", "cluster.main", true),
            ("cluster.*.url", "cluster.main.url", true),
            ("cluster.*.url", "cluster.url", false),
            ("cluster.*.of.*.url", "cluster.a.of.b.url", true),
            ("cluster.*.of.*.url", "cluster.a.b.url", false),
            ("*", "", true),
        ] {
            assert_eq!(is_named(name, key), fits, "{name} {key}");
        }
    }

    #[test]
    fn a_setting_that_is_not_declared_is_named_with_the_line_to_add() {
        let description = Description::new("a", "1.0.0", "").settings([&URL]);
        let declared = Declared::of(&description);
        declared.check("cluster.main.url");
        declared.check("story_base");
        let read = std::panic::catch_unwind(|| declared.check("log-lines")).unwrap_err();
        let told = read.downcast_ref::<String>().unwrap();
        assert!(
            told.contains("add `.settings([&LOG_LINES])`")
                && told.contains("Setting::string(\"log-lines\", \"what it sets\")"),
            "{told}"
        );
    }
}
