//! Reads the settings that a module declares in `describe().more`, under `settings`.

use crate::limits;
use alert_manager_core::description::Setting;

/// The most settings of one module: far more than any handler has.
const SETTINGS_MAX: usize = 500;

/// Returns the settings in `describe().more`; `None` if the module declares none.
///
/// # Errors
/// Why they cannot be read.
pub(crate) fn stated(more: &[(String, String)]) -> Result<Option<Vec<Setting>>, String> {
    const SHAPE: &str = "write JSON such as [{\"name\":\"channel\",\"type\":\"string\",\"default\":\"alerts\",\"about\":\"the Slack channel\",\"required\":false}]";
    let Some((_, json)) = more.iter().find(|(name, _)| name == "settings") else {
        return Ok(None);
    };
    if json.len() > limits::DESCRIPTION_BYTES_MAX {
        let max = limits::DESCRIPTION_BYTES_MAX;
        return Err(format!(
            "describe().more has settings of {} bytes; at most {max} are taken",
            json.len()
        ));
    }
    let settings: Vec<Setting> = serde_json::from_str(json).map_err(|error| {
        format!("describe().more has settings that cannot be read ({error}): {SHAPE}")
    })?;
    if settings.len() > SETTINGS_MAX {
        return Err(format!(
            "describe().more has {} settings; at most {SETTINGS_MAX} are taken",
            settings.len()
        ));
    }
    let has_control = |text: &str| text.contains(char::is_control);
    if let Some(setting) = settings
        .iter()
        .find(|s| s.name.is_empty() || has_control(&s.name))
    {
        let name = &setting.name;
        return Err(format!(
            "describe().more has a setting named {name:?}: {SHAPE}"
        ));
    }
    // Terminals and the log show these texts.
    let bad = settings.iter().find_map(|setting| {
        let more = setting.default.iter().chain(&setting.values);
        let mut texts = [&setting.kind, &setting.about].into_iter().chain(more);
        texts.find(|text| has_control(text)).cloned()
    });
    match bad {
        Some(text) => Err(format!(
            "describe().more has a setting with {text:?}: leave line breaks and control characters out"
        )),
        None => match settings.iter().find_map(wrong_default) {
            Some(why) => Err(why),
            None => Ok(Some(settings)),
        },
    }
}

/// Returns why the default of a setting is none of its values.
fn wrong_default(setting: &Setting) -> Option<String> {
    let default = setting.default.as_deref();
    // An empty one is as none.
    let default = default.filter(|default| !default.trim().is_empty())?;
    let should_be = match setting.not_of_its_type(default) {
        Some(should_be) => should_be.to_owned(),
        None if setting.allows(default) => return None,
        None => format!("one of {}", setting.values.join(", ")),
    };
    Some(format!(
        "describe().more has the setting {:?} with the default {default:?}: it should be {should_be}",
        setting.name
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn read(json: &str) -> Result<Option<Vec<Setting>>, String> {
        stated(&[("settings".to_owned(), json.to_owned())])
    }

    #[test]
    fn settings_are_read_and_mistakes_are_named() {
        assert_eq!(stated(&[]).unwrap(), None);
        let [lines, any] = &read(
            r#"[{"name":"lines","type":"integer","default":12,"about":"how many","required":true,"new":1},{"name":"x"}]"#,
        )
        .unwrap()
        .unwrap()[..] else {
            panic!()
        };
        assert_eq!(
            lines.default.as_deref(),
            Some("12"),
            "as it would be written"
        );
        assert!(lines.required && any.kind.is_empty());
        for (json, part) in [
            ("{}", "cannot be read"),
            ("no", "cannot be read"),
            (r#"[{"type":"string"}]"#, "missing field `name`"),
            (r#"[{"name":""}]"#, "a setting named \"\""),
            (
                r#"[{"name":"a","about":"\u001b[2J"}]"#,
                "control characters",
            ),
            (
                r#"[{"name":"lines","type":"integer","default":"twelve"}]"#,
                "the setting \"lines\" with the default \"twelve\": it should be a whole number",
            ),
            (
                r#"[{"name":"wait","type":"duration","default":"5 minutes"}]"#,
                "it should be a duration such as 30s",
            ),
            (
                r#"[{"name":"logs","type":"string","values":["on","off"],"default":"maybe"}]"#,
                "it should be one of on, off",
            ),
        ] {
            let why = read(json).unwrap_err();
            assert!(
                why.starts_with("describe().more") && why.contains(part),
                "{why}"
            );
        }
    }

    #[test]
    fn an_asterisk_stands_for_any_text() {
        let named = |name: &str, key: &str| {
            let json = format!(r#"[{{"name":{name:?}}}]"#);
            read(&json).unwrap().unwrap()[0].is_named(key)
        };
        for (name, key, is_named) in [
            ("channel", "channel", true),
            ("channel", "channels", false),
            ("cluster.*.url", "cluster.main.url", true),
            ("cluster.*.url", "cluster.a.b.url", true),
            ("cluster.*.url", "cluster.main.uri", false),
            ("cluster.*.url", "cluster.url", false),
            ("*", "anything", true),
            ("a.*.b.*", "a.1.b.2", true),
            ("a.*.b.*", "a.1.c.2", false),
        ] {
            assert_eq!(named(name, key), is_named, "{name} {key}");
        }
    }
}
