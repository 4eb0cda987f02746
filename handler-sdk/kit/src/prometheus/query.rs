//! A query, with values bound to it.

use crate::bind::fill;

/// A query of Prometheus: a template in the source code, with the alert's labels bound to it. Text from outside cannot change the
/// query.
///
/// ```
/// use handler_kit::prometheus::Query;
///
/// let query = Query::new("predict_linear(kubelet_volume_stats_available_bytes{namespace=$namespace, persistentvolumeclaim=~$claims}[6h], 86400)")
///     .bind("namespace", "shop")
///     .bind_any("claims", ["data-0", "data\"1"]);
/// ```
///
/// Every selector has braces (`up{}`): if one server has the series of several clusters, the matcher of the alert's cluster is
/// put into each of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    template: &'static str,
    values: Vec<(&'static str, String)>,
}

impl Query {
    /// Returns a query without values.
    pub const fn new(template: &'static str) -> Self {
        Self {
            template,
            values: Vec::new(),
        }
    }

    /// Binds a text to `$name`: `namespace=$namespace`.
    #[must_use]
    pub fn bind(mut self, name: &'static str, value: &str) -> Self {
        self.values.push((name, quoted(value)));
        self
    }

    /// Binds several texts to `$name`, as a regular expression that matches each: `pod=~$pods`.
    #[must_use]
    pub fn bind_any<V: AsRef<str>>(
        mut self,
        name: &'static str,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let values: Vec<String> = values
            .into_iter()
            .map(|value| escaped_regex(value.as_ref()))
            .collect();
        self.values.push((name, quoted(&values.join("|"))));
        self
    }

    /// Returns the text, with the matcher of a cluster in each selector, if there is one.
    pub(crate) fn text(&self, scope: Option<&(String, String)>) -> String {
        let scoped = match scope {
            // The template has no braces but those of selectors; a trailing comma is allowed.
            Some((label, cluster)) => {
                let matcher = format!("{{{label}={},", quoted(cluster));
                self.template
                    .split('{')
                    .collect::<Vec<_>>()
                    .join(&matcher.replace('$', "\u{0}"))
            }
            None => self.template.to_owned(),
        };
        let filled = fill(&scoped, |wanted| {
            let bound = self.values.iter().find(|(name, _)| *name == wanted);
            bound.map(|(_, value)| value.clone())
        });
        filled.replace('\u{0}', "$")
    }
}

/// Returns a string of a query.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars() {
        match char {
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            '\n' => quoted.push_str("\\n"),
            _ if char.is_control() => {}
            _ => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

/// Returns a regular expression of RE2 that matches exactly this text.
fn escaped_regex(text: &str) -> String {
    let mut escaped = String::new();
    for char in text.chars() {
        if r"\.+*?()|[]{}^$".contains(char) {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_change_the_query() {
        let query = Query::new("up{job=$job}").bind("job", "a\"} or vector(1) # \\ $job\n");
        assert_eq!(
            query.text(None),
            r#"up{job="a\"} or vector(1) # \\ $job\n"}"#
        );
        let query = Query::new("up{pod=~$pods}").bind_any("pods", ["a.b", "c|d"]);
        assert_eq!(query.text(None), r#"up{pod=~"a\\.b|c\\|d"}"#);
    }

    #[test]
    fn the_cluster_is_put_into_every_selector() {
        let query = Query::new("a{x=$x} / on (x) b{}").bind("x", "{1}");
        let scope = ("cluster".to_owned(), "eu\"$x".to_owned());
        assert_eq!(
            query.text(Some(&scope)),
            r#"a{cluster="eu\"$x",x="{1}"} / on (x) b{cluster="eu\"$x",}"#
        );
    }
}
