//! Questions to the Prometheus server of the alert's cluster.

mod node;
mod query;
mod space;

use std::collections::BTreeMap;

use handler_sdk::serde_json::Value;

use crate::kubernetes::{items, moment, text};
use crate::look::Look;
use crate::missing::Unread;
use crate::words::said;

pub use crate::settings::PROMETHEUS as SETTINGS;
pub use query::Query;
pub use space::{Fall, Space, Trend, Unit};

/// The points of a range query at most; the step is chosen accordingly.
const POINTS_MAX: i64 = 240;
const STEP_SECONDS_MIN: i64 = 15;

/// A series with its labels and its value at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The value; may be infinite or not a number.
    pub value: f64,
}

/// A series with its labels and its values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// Moments in seconds since 1970 and values, the oldest first.
    pub points: Vec<(i64, f64)>,
}

/// An alerting rule.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Its expression.
    pub query: String,
    /// How long the expression has to hold, in seconds.
    pub for_seconds: u64,
    /// Why it could not be evaluated.
    pub last_error: Option<String>,
}

/// A target that Prometheus scrapes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Target {
    /// The labels of its series.
    pub labels: BTreeMap<String, String>,
    /// The URL, without a query.
    pub url: String,
    /// `up`, `down` or `unknown`.
    pub health: String,
    /// Why the last scrape failed, masked.
    pub last_error: Option<String>,
    /// When it was scraped last, in seconds since 1970.
    pub last_scrape: Option<i64>,
}

impl Sample {
    /// Returns a label; empty if it is missing, as in Prometheus.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    /// Returns its labels `namespace` and `pod`: `shop/checkout-1`.
    pub fn pod(&self) -> String {
        format!("{}/{}", self.label("namespace"), self.label("pod"))
    }
}

impl Series {
    /// Returns a label; empty if it is missing, as in Prometheus.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    /// Returns the newest moment and value.
    pub fn last(&self) -> Option<(i64, f64)> {
        self.points.last().copied()
    }
}

impl Target {
    /// Returns a label; empty if it is missing, as in Prometheus.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

impl Look<'_> {
    /// Returns the client for the Prometheus server of the alert's cluster.
    pub const fn prometheus(&self) -> Prometheus<'_> {
        Prometheus { look: self }
    }
}

/// A client for the Prometheus server of the alert's cluster. `what` names in words what is asked, for `not fetched: …`.
#[derive(Debug, Clone, Copy)]
pub struct Prometheus<'a> {
    look: &'a Look<'a>,
}

impl Prometheus<'_> {
    /// Evaluates a query at the time of this step; the series come in the query's order. `None`, and noted, if that failed.
    pub fn instant(&self, what: &str, query: &Query) -> Option<Vec<Sample>> {
        self.instant_at(what, query, self.look.now())
    }

    /// Evaluates a query at a moment, in seconds since 1970.
    pub fn instant_at(&self, what: &str, query: &Query, at: i64) -> Option<Vec<Sample>> {
        let at = at.to_string();
        let data = self.ask(
            what,
            "/api/v1/query",
            &[("query", &self.text(query)), ("time", &at)],
        )?;
        // A scalar is no list of series, but one value.
        if data["resultType"] == "scalar" {
            let value = value(&data["result"])?;
            return Some(vec![Sample {
                value,
                ..Sample::default()
            }]);
        }
        let samples = items(&data, "/result").iter().filter_map(|series| {
            Some(Sample {
                labels: labels(&series["metric"]),
                value: value(&series["value"])?,
            })
        });
        Some(samples.collect())
    }

    /// Evaluates a query that returns one number; `None` if it returned no series, or failed, which is noted.
    pub fn number(&self, what: &str, query: &Query) -> Option<f64> {
        let samples = self.instant(what, query)?;
        samples.first().map(|sample| sample.value)
    }

    /// Evaluates a query over the seconds before this step, at up to 240 moments.
    pub fn range(&self, what: &str, query: &Query, seconds: i64) -> Option<Vec<Series>> {
        let end = self.look.now();
        let step = (seconds / POINTS_MAX).max(STEP_SECONDS_MIN);
        let data = self.ask(
            what,
            "/api/v1/query_range",
            &[
                ("query", &self.text(query)),
                ("start", &(end - seconds).to_string()),
                ("end", &end.to_string()),
                ("step", &step.to_string()),
            ],
        )?;
        let series = items(&data, "/result").iter().map(|series| Series {
            labels: labels(&series["metric"]),
            points: items(series, "/values")
                .iter()
                .filter_map(|point| Some((point[0].as_f64()? as i64, value(point)?)))
                .collect(),
        });
        Some(series.collect())
    }

    /// Returns the alerting rules of the alert's name.
    pub fn rules(&self) -> Option<Vec<Rule>> {
        let name = self.look.alert().name.as_str();
        let data = self.ask(
            "rule",
            "/api/v1/rules",
            &[("type", "alert"), ("rule_name[]", name)],
        )?;
        let groups = items(&data, "/groups").iter();
        let rules = groups
            .flat_map(|group| items(group, "/rules"))
            // Servers before 2.43 ignore the name.
            .filter(|rule| rule["name"] == name);
        let rules = rules.map(|rule| Rule {
            name: name.to_owned(),
            query: text(rule, "/query").unwrap_or_default().to_owned(),
            for_seconds: rule["duration"].as_f64().unwrap_or(0.0) as u64,
            last_error: text(rule, "/lastError").map(said),
        });
        Some(rules.collect())
    }

    /// Returns the names of the scrape pools: an operator's are `serviceMonitor/NAMESPACE/NAME/NUMBER`, others are the name of
    /// their job. Servers before 2.42 have no such list.
    pub fn scrape_pools(&self) -> Option<Vec<String>> {
        let data = self.ask("scrape pools", "/api/v1/scrape_pools", &[])?;
        let pools = items(&data, "/scrapePools").iter();
        Some(
            pools
                .filter_map(|pool| Some(pool.as_str()?.to_owned()))
                .collect(),
        )
    }

    /// Returns the active targets, those of one scrape pool if it is given.
    pub fn targets(&self, scrape_pool: Option<&str>) -> Option<Vec<Target>> {
        let mut query = vec![("state", "active")];
        query.extend(scrape_pool.map(|pool| ("scrapePool", pool)));
        let data = self.ask("targets", "/api/v1/targets", &query)?;
        let targets = items(&data, "/activeTargets").iter().map(|target| Target {
            labels: labels(&target["labels"]),
            url: text(target, "/scrapeUrl")
                .and_then(|url| url.split('?').next())
                .unwrap_or_default()
                .to_owned(),
            health: text(target, "/health").unwrap_or_default().to_owned(),
            last_error: text(target, "/lastError").map(said),
            last_scrape: moment(target, "/lastScrape"),
        });
        Some(targets.collect())
    }

    /// Returns the query's text, for the alert's cluster.
    fn text(&self, query: &Query) -> String {
        let origin = self.look.prometheus_server().origin();
        query.text(origin.and_then(|origin| origin.scope.as_ref()))
    }

    /// Returns the field `data` of an answer.
    fn ask(&self, what: &str, path: &str, query: &[(&str, &str)]) -> Option<Value> {
        let server = self.look.prometheus_server();
        let read = || -> Result<Value, Unread> {
            let answer = self.look.get(server, path, query)?;
            let mut body: Value = answer
                .json()
                .map_err(|error| self.look.unread(server, error))?;
            Ok(body["data"].take())
        };
        self.look.noted(what, "GET of Prometheus' API", read())
    }
}

fn labels(metric: &Value) -> BTreeMap<String, String> {
    let labels = metric.as_object().into_iter().flatten();
    labels
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// Returns the value of a point, which is written as text: `[1700000000.1, "42"]`.
fn value(point: &Value) -> Option<f64> {
    match point[1].as_str()? {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        number => number.parse().ok(),
    }
}
