//! The metrics of an autoscaler: what each is now, and what it should be.

use handler_kit::handler_sdk::serde_json::Value;
use handler_kit::kubernetes::{Object, text};
use handler_kit::words;

const SHOWN_MAX: usize = 4;

/// The units of a quantity, as the API writes it.
const UNITS: [(&str, f64); 14] = [
    ("Ki", 1_024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
];

/// A metric that an autoscaler goes by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Metric {
    /// `cpu`, `cpu of app`, `queue_length`.
    pub(crate) name: String,
    /// What it is, as written; `None` if it could not be read.
    pub(crate) current: Option<String>,
    /// What it should be, as written.
    pub(crate) target: String,
    /// The number of replicas is multiplied by this.
    pub(crate) ratio: Option<f64>,
}

impl Metric {
    /// Returns it for people: `cpu is at 182 % of the requests, the target is 80 %`.
    pub(crate) fn in_words(&self) -> String {
        let Self { name, target, .. } = self;
        match &self.current {
            Some(current) if current.ends_with('%') => {
                format!("{name} is at {current} of the requests, the target is {target}")
            }
            Some(current) => format!("{name} is {current}, the target is {target}"),
            None => format!("{name} could not be read, the target is {target}"),
        }
    }
}

/// Returns the metrics, the one that asks for the most replicas first: that one counts.
pub(crate) fn of(autoscaler: &Object) -> Vec<Metric> {
    let current = autoscaler.items("/status/currentMetrics");
    let wanted = autoscaler.items("/spec/metrics").iter();
    let mut metrics: Vec<Metric> = wanted.filter_map(|spec| metric(spec, current)).collect();
    metrics.sort_by(|one, other| {
        let of = |metric: &Metric| metric.ratio.unwrap_or(-1.0);
        of(other).total_cmp(&of(one))
    });
    metrics
}

/// Returns the metrics for a field: `cpu 182 % of 80 %, queue_length 12 of 30`.
pub(crate) fn in_words(metrics: &[Metric]) -> String {
    let shown = metrics.iter().take(SHOWN_MAX).map(|metric| {
        let current = metric.current.as_deref().unwrap_or("?");
        format!("{} {current} of {}", metric.name, metric.target)
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn metric(spec: &Value, current: &[Value]) -> Option<Metric> {
    let kind = text(spec, "/type")?;
    let source = first_lower(kind);
    let id = |metric: &Value| {
        let source = &metric[&source];
        let name = text(source, "/name").or_else(|| text(source, "/metric/name"));
        (
            name.map(str::to_owned),
            text(source, "/container").map(str::to_owned),
        )
    };
    let (name, container) = id(spec);
    let found = current
        .iter()
        .find(|it| it["type"] == kind && id(it) == id(spec));
    let target = amount(&spec[&source]["target"])?;
    let current = found.and_then(|found| amount_like(&found[&source]["current"], target.0));
    let name = name?;
    Some(Metric {
        name: match container {
            Some(container) => format!("{name} of {container}"),
            None => name,
        },
        ratio: current
            .as_ref()
            .map(|(_, _, current)| current / target.2)
            .filter(|it| it.is_finite()),
        current: current.map(|(_, text, number)| readable(&text, number, &target.1)),
        target: target.1,
    })
}

/// The fields of a target and of a current value; the first that is set is meant.
const FIELDS: [&str; 3] = ["averageUtilization", "averageValue", "value"];

/// Returns the field that is set, its text and its value.
fn amount(target: &Value) -> Option<(&'static str, String, f64)> {
    FIELDS.iter().find_map(|field| amount_like(target, field))
}

fn amount_like(value: &Value, field: &'static str) -> Option<(&'static str, String, f64)> {
    if field == "averageUtilization" {
        let percent = value[field].as_f64()?;
        return Some((field, format!("{percent:.0} %"), percent));
    }
    let written = value[field].as_str()?;
    Some((field, written.to_owned(), quantity(written)?))
}

/// Returns an amount as the target is written: `350MiB` of `500Mi`, and `412.5` instead of `412500m`.
fn readable(written: &str, number: f64, target: &str) -> String {
    if target.ends_with('i') {
        return words::bytes(number);
    }
    match written.ends_with('m') {
        true => format!("{number:.2}")
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned(),
        false => written.to_owned(),
    }
}

/// Returns the number that a quantity means: `1500m` is 1.5.
fn quantity(text: &str) -> Option<f64> {
    let unit = UNITS.iter().find(|(unit, _)| text.ends_with(unit));
    let (number, factor) = match unit {
        Some((unit, factor)) => (&text[..text.len() - unit.len()], *factor),
        None => (text, 1.0),
    };
    Some(number.parse::<f64>().ok()? * factor)
}

/// Returns the name of the field of a metric's type: `containerResource` of `ContainerResource`.
fn first_lower(kind: &str) -> String {
    let mut chars = kind.chars();
    let first = chars.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_shown_as_their_target_is_written() {
        for (written, number, target, shown) in [
            ("367001600", 367_001_600.0, "500Mi", "350MiB"),
            ("412500m", 412.5, "30", "412.5"),
            ("12", 12.0, "30", "12"),
            ("182 %", 182.0, "80 %", "182 %"),
        ] {
            assert_eq!(readable(written, number, target), shown);
        }
    }

    #[test]
    fn quantities_are_read_as_the_api_writes_them() {
        for (text, number) in [
            ("2", Some(2.0)),
            ("1500m", Some(1.5)),
            ("1Ki", Some(1_024.0)),
            ("2e3", Some(2_000.0)),
            ("1k", Some(1_000.0)),
            ("many", None),
        ] {
            assert_eq!(quantity(text), number, "{text}");
        }
    }
}
