//! What Prometheus is asked about a node, and how its message is made.

use handler_kit::prelude::*;
use handler_kit::prometheus::{Query, Sample, Series};

use crate::resource::Resource;
use crate::verdicts::{self, Facts, Request, User};

const SIX_HOURS: i64 = 6 * 3_600;

fn bound(look: &Look<'_>, template: &'static str) -> Query {
    let label = |name: &str| look.label(name).unwrap_or_default();
    Query::new(template)
        .bind("instance", label("instance"))
        .bind("device", label("device"))
}

/// Asks how high the level is, what distinguishes the causes, and which pods use most: at most 5 requests.
pub(crate) fn firing(look: &Look<'_>) -> Report {
    let Some(resource) = Resource::of(&look.alert().name) else {
        return Report::new();
    };
    let Some(instance) = look.label("instance") else {
        look.missing("node", "the alert has no label `instance`");
        return Report::new();
    };
    let prometheus = look.prometheus();
    let levels = prometheus.range("level", &bound(look, resource.level()), SIX_HOURS);
    let levels = levels
        .and_then(|levels| levels.into_iter().next())
        .unwrap_or_default();
    let node = prometheus.node();
    // Without the node's name, what needs it is empty.
    let name = node.as_ref().map_or("", |name| name);
    let details = bound(look, resource.details()).bind("node", name);
    let details = prometheus.instant("details", &details).unwrap_or_default();
    let of_node = |what: &str, template: &'static str| {
        prometheus.instant(what, &Query::new(template).bind("node", node.as_ref()?))
    };
    let pods = of_node("pods", resource.pods()).unwrap_or_default();
    let requests = resource
        .requests()
        .and_then(|query| of_node("requests", query));
    let facts = Facts {
        resource,
        level: level(&levels, look.now()),
        before: before(&levels, look.alert().starts_at.seconds),
        device: look.label("device"),
        is_node_known: node.is_some(),
        details: details
            .iter()
            .map(|sample| (sample.label("is").to_owned(), sample.value))
            .collect(),
        users: users(&pods, requests.as_deref()),
        node: node.as_ref(),
    };
    let users = facts
        .users
        .iter()
        .map(|user| verdicts::line(resource, user));
    let whose = node.as_ref().map_or(instance, |node| node);
    Report::new()
        .verdict(verdicts::of(&facts))
        .place(whose)
        .who(whose)
        .changed_line(verdicts::changed(&facts, look.alert().starts_at.seconds))
        .node(node.as_ref())
        .field_if("Disk", facts.device)
        .list(resource.title(), users)
        .without_label("device")
        .fact_if("saturation.level", facts.level)
}

/// Returns the newest level, unless it is older than five minutes.
fn level(levels: &Series, now: i64) -> Option<f64> {
    let (at, level) = levels.last()?;
    (now - at <= 300).then_some(level)
}

/// Returns the level two hours before the alert began, and the moment after which it did not fall below the middle between that
/// and the level at the beginning.
fn before(levels: &Series, began: i64) -> Option<(f64, i64)> {
    let until = |end: i64| levels.points.iter().take_while(move |(at, _)| *at <= end);
    let (_, before) = *until(began - 2 * 3_600).last()?;
    let (_, then) = *until(began).last()?;
    let middle = (before + then) / 2.0;
    let (low, _) = *until(began).filter(|(_, level)| *level < middle).last()?;
    Some((before, low))
}

/// Joins the pods with their requests. kube-state-metrics has no series for a container without a request.
fn users(pods: &[Sample], requests: Option<&[Sample]>) -> Vec<User> {
    let is_same = |a: &Sample, b: &Sample| {
        a.label("namespace") == b.label("namespace") && a.label("pod") == b.label("pod")
    };
    let request = |pod: &Sample| match requests {
        None | Some([]) => Request::Unknown,
        Some(requests) => match requests.iter().find(|request| is_same(request, pod)) {
            Some(request) => Request::Of(request.value),
            None => Request::None,
        },
    };
    let mut users: Vec<User> = pods
        .iter()
        .map(|pod| User {
            pod: pod.pod(),
            uses: pod.value,
            request: request(pod),
        })
        .collect();
    users.sort_by(|a, b| b.uses.total_cmp(&a.uses));
    users
}

/// Asks for the level now and at its highest since the alert began: 2 requests.
pub(crate) fn end(look: &Look<'_>) -> End {
    let Some(resource) = Resource::of(&look.alert().name) else {
        return End::unknown("How high the level is was not found out.");
    };
    let seconds = (look.now() - look.alert().starts_at.seconds).clamp(900, 4 * SIX_HOURS);
    let levels = look
        .prometheus()
        .range("level", &bound(look, resource.level()), seconds);
    let Some(levels) = levels else {
        return End::unknown("How high the level is was not found out.");
    };
    let levels = levels.into_iter().next().unwrap_or_default();
    let most = levels
        .points
        .iter()
        .map(|(_, level)| *level)
        .reduce(f64::max);
    verdicts::end(resource, level(&levels, look.now()), most)
}
