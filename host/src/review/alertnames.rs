//! Finds alertnames in routes that are probably misspelt: no module and no other route knows them, and one that they know is near.

use std::collections::BTreeSet;

use crate::config::{closest, differ_in_a_letter};
use crate::router::Matcher;

use super::{FindingText, Review};

impl Review<'_> {
    /// Warns of a name that differs from a module's in one letter. Two real names may differ in little more, so the others that
    /// are near are notes.
    pub(super) fn alertnames(&mut self) {
        let described = self.descriptions.iter().flat_map(|one| &one.alerts);
        let described: BTreeSet<&str> = described.map(String::as_str).collect();
        let routes = self.config.routes.iter().enumerate();
        let routed: Vec<(usize, &str)> = routes
            .flat_map(|(index, route)| {
                let names = route.matchers.iter().filter_map(Matcher::alertname);
                names.map(move |name| (index, name))
            })
            .collect();
        for (index, name) in &routed {
            let others = routed.iter().filter(|(other, _)| other != index);
            let others: BTreeSet<&str> = others.map(|(_, name)| *name).collect();
            if described.contains(name) || others.contains(name) {
                continue;
            }
            let near = |known: &BTreeSet<&'_ str>| {
                let known: Vec<&str> = known.iter().copied().collect();
                closest(name, &known).map(str::to_owned)
            };
            let (whose, near) = match (near(&described), near(&others)) {
                (Some(near), _) => ("a module", near),
                (None, Some(near)) => ("another route", near),
                (None, None) => continue,
            };
            let path = format!("routes[{index}].matchers");
            let message = format!(
                "{path}: no module and no other route names the alert {name}, but {whose} names {near}"
            );
            let said = FindingText::new(message, format!("did you mean {near}?"));
            match whose == "a module" && differ_in_a_letter(name, &near) {
                true => self.warn(None, &path, said),
                false => self.note(None, &path, said),
            }
        }
    }
}
