//! The answer for people: a table of the alerts, and the routes that none of them takes.

use crate::api::{AlertCoverage, Answered, Coverage, RouteCoverage, TakenRoute};
use crate::cli::print::{self, Paint, one_line};

/// Prints the answer: what needs attention first.
pub(super) fn show(found: &Coverage) {
    let paint = Paint::for_stdout();
    print::out(&print::table(
        &["ANSWER", "ALERT", "SEVERITY", "ROUTES AND HANDLERS"],
        &rows(found),
    ));
    let never: Vec<&RouteCoverage> = found
        .routes
        .iter()
        .filter(|route| !route.never.is_empty())
        .collect();
    let (configured, made): (Vec<&RouteCoverage>, Vec<_>) =
        never.into_iter().partition(|route| route.configured);
    if !configured.is_empty() {
        print::line(&format!(
            "\n{}",
            paint.yellow("No alert of these rules takes these routes:")
        ));
    }
    for route in configured {
        print::line(&format!(
            "  {} {} → {}",
            route.route,
            one_line(&route.name),
            joined(&route.handlers)
        ));
        if !route.matchers.is_empty() {
            print::line(&format!("      {}", one_line(&route.matchers.join(", "))));
        }
        for why in &route.never {
            print::line(&paint.dim(&format!("      {}", one_line(why))));
        }
    }
    if !made.is_empty() {
        print::line(&format!(
            "\n{} more routes, which were made for the alertnames of modules, have no rule here.",
            made.len()
        ));
    }
    let unread: Vec<&AlertCoverage> = found
        .alerts
        .iter()
        .filter(|alert| alert.unread.is_some())
        .collect();
    if !unread.is_empty() {
        print::line(
            "\nThe labels of these alerts are not known, since their expressions were not understood:",
        );
    }
    for alert in unread {
        let why = alert.unread.as_deref().unwrap_or_default();
        print::line(&format!(
            "  {} ({}): {}",
            one_line(&alert.alertname),
            one_line(&alert.place),
            one_line(why)
        ));
    }
    print::line(&format!("\n{}", summary(found)));
    for assumption in &found.assumptions {
        print::note(&format!("assumed: {}", one_line(assumption)));
    }
}

/// Returns a row for each alert, equal ones once.
fn rows(found: &Coverage) -> Vec<Vec<String>> {
    let mut alerts: Vec<&AlertCoverage> = found.alerts.iter().collect();
    alerts.sort_by(|a, b| (rank(a), &a.alertname).cmp(&(rank(b), &b.alertname)));
    let mut rows: Vec<(Vec<String>, usize)> = Vec::new();
    for alert in alerts {
        let row = vec![
            alert.answer.to_text(),
            print::first_line(&alert.alertname, 60),
            one_line(alert.severity.as_deref().unwrap_or("-")),
            routes(&alert.routes),
        ];
        match rows.last_mut() {
            Some((last, count)) if *last == row => *count += 1,
            _ => rows.push((row, 1)),
        }
    }
    let counted = rows.into_iter().map(|(mut row, count)| {
        if count > 1 {
            row[1] = format!("{} ×{count}", row[1]);
        }
        row
    });
    counted.collect()
}

/// What needs attention comes first.
fn rank(alert: &AlertCoverage) -> u8 {
    match alert.answer.known() {
        Some(Answered::Unrouted) => 0,
        Some(Answered::Depends) | None => 1,
        Some(Answered::Fallback) => 2,
        Some(Answered::Answered) => 3,
    }
}

fn routes(routes: &[TakenRoute]) -> String {
    if routes.is_empty() {
        return "none".to_owned();
    }
    let shown = routes.iter().map(|route| {
        let condition = match route.depends_on.is_empty() {
            true => String::new(),
            false => format!(" if {}", route.depends_on.join(", ")),
        };
        format!(
            "{}: {}{}",
            route.route,
            joined(&route.handlers),
            one_line(&condition)
        )
    });
    shown.collect::<Vec<_>>().join("; ")
}

fn joined<T: ToString>(names: &[T]) -> String {
    names
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn summary(found: &Coverage) -> String {
    let count = |answer| found.counts.get(&answer).copied().unwrap_or(0);
    let rules = match found.alerts.len() {
        1 => "1 alerting rule".to_owned(),
        many => format!("{many} alerting rules"),
    };
    format!(
        "{rules}: {} answered, {} with only a fallback, {} that depend on labels, {} without a route.",
        count(Answered::Answered),
        count(Answered::Fallback),
        count(Answered::Depends),
        count(Answered::Unrouted)
    )
}
