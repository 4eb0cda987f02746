//! What is asked about the probe: metrics of the blackbox exporter.

use handler_kit::prelude::*;
use handler_kit::prometheus::{Query, Sample};
use handler_kit::words;

/// What was found out about the probe.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The address or URL that is probed.
    pub(crate) target: String,
    /// The metrics of the last probe.
    pub(crate) probed: Probed,
    /// The metrics of the last probe that succeeded, in the last six hours.
    pub(crate) before: Option<Probed>,
    /// When it succeeded last, in the last six hours, in seconds since 1970.
    pub(crate) last_success: Option<i64>,
    /// Whether the last six hours are known.
    pub(crate) is_history_read: bool,
    /// How many targets of the same job fail, and how many there are.
    pub(crate) others: Option<(u64, u64)>,
}

/// The metrics of one probe.
#[derive(Debug, Default)]
pub(crate) struct Probed(Vec<Sample>);

impl Found {
    pub(crate) fn about_firing(look: &Look<'_>) -> Option<Self> {
        let probed = probed(look)?;
        let before = asked(
            look,
            "last success",
            "last_over_time(({__name__=~\"probe_.+\", instance=$instance, job=$job} \
             and on (instance, job) probe_success{instance=$instance, job=$job} == 1)[6h:1m])",
        );
        let last_success = asked(
            look,
            "last success",
            "max_over_time(timestamp(probe_success{instance=$instance, job=$job} == 1)[6h:1m])",
        );
        let is_history_read = last_success.is_some();
        let last_success = last_success
            .and_then(|found| Some(found.0.first()?.value))
            .map(|at| at as i64);
        Some(Self {
            target: look.label("instance").unwrap_or_default().to_owned(),
            probed,
            before: before.filter(|before| !before.0.is_empty()),
            last_success,
            is_history_read,
            others: others(look),
        })
    }
}

/// Returns the metrics of the last probe; `None` if they could not be read.
pub(crate) fn probed(look: &Look<'_>) -> Option<Probed> {
    asked(
        look,
        "probe",
        "{__name__=~\"probe_.+|up\", instance=$instance, job=$job}",
    )
}

/// Returns the answer to a question about the target of the alert, and notes it if the alert does not name one.
fn asked(look: &Look<'_>, what: &str, question: &'static str) -> Option<Probed> {
    let alert = look.alert();
    let Some(instance) = look.label("instance") else {
        look.missing(what, "the alert has no label `instance`");
        return None;
    };
    let query = Query::new(question)
        .bind("instance", instance)
        .bind("job", alert.label("job").unwrap_or_default());
    let mut samples = look.prometheus().instant(what, &query)?;
    // Several exporters can probe one target in one job: those with other labels than the alert's are not meant.
    samples.retain(|sample| {
        let mut labels = sample.labels.iter();
        labels.all(|(name, value)| alert.label(name).is_none_or(|given| given == value))
    });
    Some(Probed(samples))
}

fn others(look: &Look<'_>) -> Option<(u64, u64)> {
    let job = look.alert().label("job")?;
    let query = Query::new("count_values(\"value\", probe_success{job=$job})").bind("job", job);
    let counts = look.prometheus().instant("other targets", &query)?;
    let failing = counts.iter().filter(|count| count.label("value") == "0");
    let sum = |values: &mut dyn Iterator<Item = &Sample>| values.map(|one| one.value as u64).sum();
    Some((sum(&mut failing.into_iter()), sum(&mut counts.iter())))
}

impl Probed {
    /// Returns the value of a metric.
    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        let mut samples = self.0.iter();
        let found = samples.find(|sample| sample.label("__name__") == name)?;
        Some(found.value)
    }

    /// Returns how long a phase of an HTTP probe took, in seconds: zero if it did not end.
    pub(crate) fn phase(&self, phase: &str) -> Option<f64> {
        let mut samples = self.0.iter();
        let found = samples.find(|sample| {
            sample.label("__name__") == "probe_http_duration_seconds"
                && sample.label("phase") == phase
        })?;
        Some(found.value)
    }

    /// Returns whether a metric has this value.
    pub(crate) fn is(&self, name: &str, value: f64) -> bool {
        self.value(name) == Some(value)
    }

    /// Returns the status of the HTTP answer, if there was one.
    pub(crate) fn status(&self) -> Option<u64> {
        let status = self.value("probe_http_status_code")?;
        (status > 0.0).then_some(status as u64)
    }

    /// Returns how long each phase took, of those that ended: `DNS 12ms, TCP 30ms, TLS 45ms`.
    pub(crate) fn phases(&self) -> Option<String> {
        const PHASES: [(&str, &str); 5] = [
            ("resolve", "DNS"),
            ("connect", "TCP"),
            ("tls", "TLS"),
            ("processing", "answer"),
            ("transfer", "body"),
        ];
        let took = PHASES.iter().filter_map(|(phase, called)| {
            let seconds = self.phase(phase).filter(|seconds| *seconds > 0.0)?;
            Some(format!("{called} {}", words::seconds(seconds)))
        });
        let took: Vec<String> = took.collect();
        (!took.is_empty()).then(|| took.join(", "))
    }
}
