//! Compares a handler's settings, from its own entry and from its routes, with what its module declares and with what is
//! granted to it.

use std::collections::{BTreeMap, BTreeSet};

use crate::alert::HandlerName;
use crate::config::{closest, placeholder};
use crate::description::{Description, STORY_BASE, Setting, THREAD_BY, parse_http_url};
use crate::policy::{HttpGrant, allow_with, scalar};
use crate::runtime::ModuleInfo;
use crate::shapes;
use crate::units::with_unit_of;

use super::{FindingText, Review, missing_grants};

/// The longest value that a message shows.
const VALUE_CHARS_MAX: usize = 80;

/// A setting as the handler will get it.
struct Given<'a> {
    handler: &'a HandlerName,
    key: String,
    value: String,
    /// The path in the configuration that it has or would have.
    path: String,
    /// True if it is the module's default.
    is_default: bool,
    /// True if it should name a credential and there is none of that name: it may be the secret itself.
    may_be_secret: bool,
    /// The module's declaration of it; `None` if there is none.
    declared: Option<&'a Setting>,
}

impl Given<'_> {
    fn names_a(&self, kind: &str) -> bool {
        !self.value.is_empty()
            && match self.declared {
                Some(setting) => setting.names_a(kind),
                None => kind == "channel" && self.key == "channel",
            }
    }

    /// Returns the beginning of a sentence about it.
    fn described(&self) -> String {
        let Self {
            handler, key, path, ..
        } = self;
        if self.may_be_secret {
            return format!("{path} (not shown, since it may be a secret)");
        }
        // Settings should hold no secrets, but one may have been put there by mistake.
        let mut value = self.value.clone();
        shapes::mask_named(key, &mut value);
        let value: String = value.chars().take(VALUE_CHARS_MAX).collect();
        if self.is_default {
            format!("{handler}: the setting {key} is {value:?} by default")
        } else {
            format!("{path} is {value:?}")
        }
    }
}

impl Review<'_> {
    /// Reviews the settings of a handler; without its module, only whether they fit what it declares.
    pub(super) fn settings(&mut self, module: Option<&ModuleInfo>, description: &Description) {
        let name = &description.name;
        let own = self.config.handlers.of(name);
        let mut uses = self.uses(name);
        if uses.is_empty() {
            uses.push((None, BTreeMap::new()));
        }
        let declared = description.settings.as_deref();
        let mut seen = BTreeSet::new();
        let mut is_denied_slack = false;
        for (route, over) in uses {
            let mut given: Vec<Given<'_>> = own
                .config_under(&over)
                .iter()
                .filter(|(key, _)| *key != STORY_BASE)
                // A route has a key of its own for it, which was checked. Modules need not declare it.
                .filter(|(key, _)| *key != THREAD_BY || !over.contains_key(THREAD_BY))
                .map(|(key, value)| {
                    let declared = declared.and_then(|all| all.iter().find(|s| s.is_named(key)));
                    let is_name = declared.is_some_and(|setting| setting.names_a("credential"));
                    Given {
                        handler: name,
                        key: key.clone(),
                        value: value.clone(),
                        path: match &route {
                            Some(route) if over.contains_key(key) => {
                                format!("{route}.config.{key}")
                            }
                            _ => format!("handlers.{name}.config.{key}"),
                        },
                        is_default: false,
                        may_be_secret: is_name && !self.config.credentials.contains_key(value),
                        declared,
                    }
                })
                .collect();
            for setting in declared.unwrap_or_default() {
                if setting.is_pattern() || given.iter().any(|given| given.key == setting.name) {
                    continue;
                }
                match &setting.default {
                    Some(default) => given.push(Given {
                        handler: name,
                        key: setting.name.clone(),
                        value: default.clone(),
                        path: format!("handlers.{name}.config.{}", setting.name),
                        is_default: true,
                        may_be_secret: false,
                        declared: Some(setting),
                    }),
                    None if setting.required => {
                        let path = format!("handlers.{name}.config");
                        self.missing(name, setting, &path);
                    }
                    None => {}
                }
            }
            for given in &given {
                if !seen.insert((given.path.clone(), given.value.clone())) {
                    continue;
                }
                if let (Some(all), None) = (declared, given.declared) {
                    self.unknown(given, all, route.as_deref());
                    continue;
                }
                if !given.is_default && self.is_of_another_type(given) {
                    continue;
                }
                let Some(module) = module else { continue };
                if given.names_a("channel") && module.imports.iter().any(|i| i == "slack") {
                    is_denied_slack |= self.channel(given, module, description);
                } else if given.names_a("origin") {
                    self.origin(given);
                } else if given.names_a("credential") {
                    self.credential(given);
                }
            }
        }
        if let Some(module) = module.filter(|_| !is_denied_slack) {
            self.limited(module, description);
        }
    }

    /// Reviews the settings that a handler's own entry has, whatever else of the configuration could not be read.
    pub(super) fn written_settings(&mut self, description: &Description) {
        let (config, name) = (self.config, &description.name);
        let Some(declared) = description.settings.as_deref() else {
            return;
        };
        for (key, value) in config.handlers.of(name).config.iter() {
            if [STORY_BASE, THREAD_BY].contains(&key.as_str()) {
                continue;
            }
            let setting = declared.iter().find(|setting| setting.is_named(key));
            let given = Given {
                handler: name,
                key: key.clone(),
                value: value.clone(),
                path: format!("handlers.{name}.config.{key}"),
                is_default: false,
                // Which credentials there are may not be known.
                may_be_secret: setting.is_some_and(|setting| setting.names_a("credential")),
                declared: setting,
            };
            match setting {
                Some(_) => {
                    self.is_of_another_type(&given);
                }
                None => self.unknown(&given, declared, None),
            }
        }
    }

    fn missing(&mut self, name: &HandlerName, setting: &Setting, path: &str) {
        let key = &setting.name;
        let about = match setting.about.as_str() {
            "" => String::new(),
            about => format!(" ({about})"),
        };
        let message = format!("{name}: the required setting {key} is missing{about}");
        let lines = format!(
            "handlers:\n  {}:\n    config:\n      {}: …",
            scalar(name.as_str()),
            scalar(key)
        );
        let advice = match (setting.values.as_slice(), setting.should_be()) {
            ([], None) => "set it".to_owned(),
            ([], Some(kind)) => format!("set it to {kind}"),
            (values, _) => format!("set it to one of {}", values.join(", ")),
        };
        let said = FindingText::new(message, advice).with_lines(lines);
        self.misfit(name, path, said);
    }

    /// Reports a key that the module does not have. A route's setting may be meant for another of its handlers.
    fn unknown(&mut self, given: &Given<'_>, declared: &[Setting], route: Option<&str>) {
        let mut known: Vec<&str> = declared.iter().map(|s| s.name.as_str()).collect();
        let is_of_route = route.is_some_and(|route| given.path.starts_with(route));
        if is_of_route && self.is_known_to_another(given) {
            return;
        }
        known.sort_unstable();
        let advice = match closest(&given.key, &known) {
            Some(known) => format!("did you mean {known}?"),
            None if known.is_empty() => format!("{} has no settings: remove it", given.handler),
            None => format!("the settings of {} are {}", given.handler, known.join(", ")),
        };
        let message = format!("{}: {} has no such setting", given.path, given.handler);
        let said = FindingText::new(message, advice);
        // No handler reads a route's unknown key, and which of them was meant to is not known.
        match is_of_route {
            true => self.fail(Some(given.handler), &given.path, said),
            false => self.misfit(given.handler, &given.path, said),
        }
    }

    fn is_known_to_another(&self, given: &Given<'_>) -> bool {
        let routes = self.config.routes.iter().enumerate();
        let mut others = routes
            .filter(|(index, _)| given.path.starts_with(&format!("routes[{index}].")))
            .flat_map(|(_, route)| &route.handlers);
        others.any(|other| {
            let described = self.descriptions.iter().find(|d| d.name == *other);
            // A module that is missing or declares no settings may have this one.
            let declared = described.and_then(|d| d.settings.as_deref());
            declared.is_none_or(|all| all.iter().any(|setting| setting.is_named(&given.key)))
        })
    }

    fn is_of_another_type(&mut self, given: &Given<'_>) -> bool {
        let Some(setting) = given.declared else {
            return false;
        };
        let value = given.value.trim();
        if value.is_empty() {
            // An empty value counts as not set.
            if setting.required {
                self.missing(given.handler, setting, &given.path);
            }
            return setting.required;
        }
        let is_list = self.config.spots.has(&format!("{}[0]", given.path));
        let is_text = setting.kind == "string" && !is_list && !self.is_mapping(given);
        let should_be = match setting.kind.as_str() {
            "string" => (!is_text).then_some("a text"),
            _ => setting.not_of_its_type(value),
        };
        if let Some(should_be) = should_be {
            let about = &setting.about;
            let like = setting.default.as_deref().unwrap_or("30s");
            let meant = match setting.kind.as_str() {
                "duration" => with_unit_of(value, like),
                _ => None,
            };
            let meant = meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
            let advice = format!("it should be {should_be} ({about}){meant}");
            let said = FindingText::new(given.described(), advice);
            self.misfit(given.handler, &given.path, said);
            return true;
        }
        if setting.kind == "url"
            && let Some(left) = placeholder(value)
        {
            let message = format!("{}: {left:?} is a placeholder", given.path);
            let said = FindingText::new(message, "write the name of the host that is meant");
            self.misfit(given.handler, &given.path, said);
            return true;
        }
        if !setting.allows(value) {
            let known: Vec<&str> = setting.values.iter().map(String::as_str).collect();
            let advice = match closest(value, &known) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("it should be one of {}", known.join(", ")),
            };
            let said = FindingText::new(given.described(), advice);
            self.misfit(given.handler, &given.path, said);
            return true;
        }
        false
    }

    fn is_mapping(&self, given: &Given<'_>) -> bool {
        let json: Option<serde_json::Map<_, _>> = serde_json::from_str(&given.value).ok();
        let Some(json) = json else { return false };
        json.keys()
            .any(|key| self.config.spots.has(&format!("{}.{key}", given.path)))
    }

    /// Returns true if the handler is granted no channel at all and that was reported.
    fn channel(
        &mut self,
        given: &Given<'_>,
        module: &ModuleInfo,
        description: &Description,
    ) -> bool {
        let (name, channel) = (given.handler, given.value.as_str());
        let settings = self.config.handlers.of(name);
        let channels = &self.config.slack.channels;
        if !channels.contains_key(channel) {
            let names: Vec<&str> = channels.keys().map(String::as_str).collect();
            let called = channels.iter().find(|(_, text)| *text == channel);
            let slack = if channel.starts_with('#') {
                channel.to_owned()
            } else {
                format!("#{channel}")
            };
            let (advice, lines) = if let Some((meant, _)) = called {
                let advice = format!(
                    "that is what Slack calls it: write {meant}, its name below slack.channels"
                );
                (advice, String::new())
            } else if let Some(meant) = closest(channel, &names) {
                (
                    format!("did you mean {meant}? Else add it below slack.channels"),
                    String::new(),
                )
            } else if shapes::masked(channel) != channel {
                ("write one of its names".to_owned(), String::new())
            } else {
                let mut lines = "slack:\n  channels:".to_owned();
                let more = [(channel.trim_start_matches('#').to_owned(), slack)];
                for (name, text) in channels.clone().into_iter().chain(more) {
                    lines.push_str(&format!("\n    {}: {}", scalar(&name), scalar(&text)));
                }
                ("write one of its names, or add it there".to_owned(), lines)
            };
            let message = format!(
                "{}, which slack.channels does not have: nothing could be posted",
                given.described()
            );
            let said = FindingText::new(message, advice).with_lines(lines);
            self.fail(Some(name), &given.path, said);
            return false;
        }
        if settings.grants.slack.contains(channel) {
            return false;
        }
        let has_none = settings.grants.slack.is_empty();
        let lines = if has_none {
            missing_grants(self.config, module, Some(description)).unwrap_or_default()
        } else {
            allow_with(name, &settings.grants, |allow| allow.add_slack(channel))
        };
        let message = if has_none {
            format!(
                "{}, but {name} is limited: it is granted no Slack channel, so nothing could be posted",
                given.described()
            )
        } else {
            let granted: Vec<_> = settings.grants.slack.iter().map(String::as_str).collect();
            format!(
                "{}, which {name} is not granted (granted: {}): nothing could be posted",
                given.described(),
                granted.join(", ")
            )
        };
        let advice = format!("add {channel} to handlers.{name}.allow.slack");
        let said = FindingText::new(message, advice).with_lines(lines);
        let path = if given.is_default {
            format!("handlers.{name}.allow.slack")
        } else {
            given.path.clone()
        };
        // A module without any grants is reported as limited. If others are granted, the missing one is named.
        if has_none {
            self.warn(Some(name), &path, said);
        } else {
            self.fail(Some(name), &path, said);
        }
        has_none
    }

    /// Checks a URL that the handler requests. If nothing is granted, that is reported elsewhere.
    fn origin(&mut self, given: &Given<'_>) {
        let name = given.handler;
        let settings = self.config.handlers.of(name);
        let Some(url) = parse_http_url(&given.value) else {
            return;
        };
        let http = &settings.grants.http;
        if http.is_empty() || http.iter().any(|grant| grant.covers(&url)) {
            return;
        }
        let origin = url.origin().ascii_serialization();
        let granted: Vec<_> = http.iter().map(HttpGrant::to_string).collect();
        let message = format!(
            "{}, which {name} may not request (granted: {})",
            given.described(),
            granted.join(", ")
        );
        let advice = format!("correct it, or add {origin} to handlers.{name}.allow.http");
        let lines = allow_with(name, &settings.grants, |allow| allow.add_http(&origin));
        self.found_in_setting(given, FindingText::new(message, advice).with_lines(lines));
    }

    fn credential(&mut self, given: &Given<'_>) {
        let (name, credential) = (given.handler, given.value.as_str());
        let settings = self.config.handlers.of(name);
        if settings.grants.http.is_empty() || settings.grants.credentials.contains(credential) {
            return;
        }
        let known: Vec<&str> = self.config.credentials.keys().map(String::as_str).collect();
        let said = if known.contains(&credential) {
            let message = format!("{}, which {name} is not granted", given.described());
            let advice = format!("add {credential} to handlers.{name}.allow.credentials");
            let lines = allow_with(name, &settings.grants, |allow| {
                allow.add_credential(credential);
            });
            FindingText::new(message, advice).with_lines(lines)
        } else {
            let message = format!(
                "{}: credentials has no entry of that name",
                given.described()
            );
            FindingText::new(
                message,
                match closest(credential, &known) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None => "add it there and to the handler's grants, or set it to \"\" for none"
                        .to_owned(),
                },
            )
        };
        self.found_in_setting(given, said);
    }

    /// Reports what the operator wrote as a problem; a default as a warning, since it may not be needed.
    fn found_in_setting(&mut self, given: &Given<'_>, said: FindingText) {
        if given.is_default {
            self.warn(Some(given.handler), &given.path, said);
        } else {
            self.fail(Some(given.handler), &given.path, said);
        }
    }
}
