//! What to do next: a note, or a command to copy.

use serde::{Deserialize, Serialize};

use crate::bind::fill;
use crate::line::Line;
use crate::name::Name;

/// A step that a person can take. A handler offers only those that its facts support.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Step {
    /// What to look at or to change, and where.
    Note(Line),
    /// A command to copy.
    Command(String),
}

impl Step {
    /// Returns a command. Each `$name` in the template is replaced by the name that is bound to it: untrusted text cannot
    /// reach a shell.
    ///
    /// ```
    /// use handler_kit::{Name, Step};
    ///
    /// let pod = Name::of("checkout-1").unwrap();
    /// let step = Step::run("kubectl -n $namespace describe pod $pod", &[("namespace", &Name::of("shop").unwrap()), ("pod", &pod)]);
    /// assert_eq!(step, Step::Command("kubectl -n shop describe pod checkout-1".to_owned()));
    /// ```
    pub fn run(template: &'static str, names: &[(&str, &Name)]) -> Self {
        Self::Command(fill(template, |wanted| {
            let bound = names.iter().find(|(name, _)| *name == wanted);
            bound.map(|(_, value)| value.to_string())
        }))
    }
}

impl From<Line> for Step {
    fn from(line: Line) -> Self {
        Self::Note(line)
    }
}

/// Returns whether the name of a cluster is safe in a comment that is copied: not every shell treats `#` as one.
pub(crate) fn is_plain(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-:/@".contains(c);
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= 120
        && name.chars().all(is_plain)
}
