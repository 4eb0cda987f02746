//! `deliveries --watch`: a line for each delivery as it comes and whenever its state changes.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::args::DeliveriesArgs;
use super::ask::{DELIVERY_HEADER, deliveries_query, delivery_row, list, word};
use super::client::Client;
use super::print;

/// How often the server is asked.
const POLL: Duration = Duration::from_secs(1);

/// How many of the newest are followed: as many as one answer holds.
const FOLLOWED_MAX: usize = 1_000;

/// A delivery is printed again if one of these changes.
type Stand = (String, String);

/// Prints until it is interrupted.
pub(super) fn run(args: &DeliveriesArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    let mut query = deliveries_query(args)?;
    query.retain(|(name, _)| *name != "limit");
    query.push(("limit", FOLLOWED_MAX.to_string()));
    // What is wrong with the question ends the command; a server that goes away later does not.
    let mut page = list(&client.get("/api/v1/deliveries", &query)?, "deliveries");
    let mut known = HashMap::new();
    let mut lines = Lines::new(args.json);
    // All of it is known from now on; the newest are shown to begin with.
    let mut skip = page
        .len()
        .saturating_sub(usize::try_from(args.limit).unwrap_or(FOLLOWED_MAX));
    let mut lost = false;
    loop {
        for delivery in changed(&page, &mut known).into_iter().skip(skip) {
            lines.print(delivery);
        }
        skip = 0;
        std::thread::sleep(POLL);
        match client.get("/api/v1/deliveries", &query) {
            Ok(body) => {
                if std::mem::take(&mut lost) {
                    print::note("the server answers again");
                }
                page = list(&body, "deliveries");
                if is_beyond(&page, &known, FOLLOWED_MAX) {
                    print::note(&format!(
                        "more than {FOLLOWED_MAX} came at once: some were not shown. --match, --handler and --state narrow what is followed"
                    ));
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut lost, true) {
                    print::note(&format!("{}; trying again", print::causes(&error)));
                }
            }
        }
    }
}

/// Returns true if more may have come since the page before than one page holds: not even its oldest is known.
fn is_beyond(page: &[Value], known: &HashMap<String, Stand>, page_max: usize) -> bool {
    let is_new = |delivery: &Value| !known.contains_key(&word(&delivery["id"]));
    page.len() >= page_max && page.last().is_some_and(is_new)
}

/// Returns what is new or stands otherwise than before, oldest first, and forgets what is no longer listed.
fn changed<'a>(page: &'a [Value], known: &mut HashMap<String, Stand>) -> Vec<&'a Value> {
    let mut listed = HashMap::with_capacity(page.len());
    let mut changed = Vec::new();
    for delivery in page.iter().rev() {
        let id = word(&delivery["id"]);
        let stand = (word(&delivery["state"]), word(&delivery["attempts"]));
        if known.get(&id) != Some(&stand) {
            changed.push(delivery);
        }
        listed.insert(id, stand);
    }
    // With an empty answer nothing is forgotten: it would all be news again.
    if !listed.is_empty() {
        *known = listed;
    }
    changed
}

/// The widths of the columns but the last, in characters: rows come one by one, and stay under their header.
const WIDTHS: [usize; 8] = [13, 19, 8, 9, 8, 32, 32, 5];

/// Writes rows that come one by one under one header.
struct Lines {
    json: bool,
    has_header: bool,
}

impl Lines {
    fn new(json: bool) -> Self {
        Self {
            json,
            has_header: false,
        }
    }

    fn print(&mut self, delivery: &Value) {
        if self.json {
            // One object a line, as `jq` and log collectors read them.
            print::json_line(delivery);
            return;
        }
        if !std::mem::replace(&mut self.has_header, true) {
            print::line(&columns(DELIVERY_HEADER.iter().map(|&name| name.into())));
        }
        print::line(&columns(delivery_row(delivery).into_iter()));
    }
}

/// Returns a row of fixed columns; what is too wide for its column is cut.
fn columns(cells: impl Iterator<Item = String>) -> String {
    let widths = WIDTHS.iter().copied().chain([usize::MAX]);
    let cells: Vec<_> = cells
        .zip(widths)
        .map(|(cell, width)| print::first_line(&cell, width))
        .collect();
    print::row(&cells, &[&WIDTHS[..], &[0]].concat())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_that_does_not_reach_back_to_what_is_known_may_have_left_some_out() {
        let page = |ids: &[&str]| -> Vec<Value> {
            let deliveries = ids.iter().map(|id| json!({ "id": id, "state": "done" }));
            deliveries.collect()
        };
        let mut known = HashMap::new();
        changed(&page(&["b", "a"]), &mut known);
        assert!(!is_beyond(&page(&["d", "c", "b"]), &known, 3));
        assert!(is_beyond(&page(&["e", "d", "c"]), &known, 3));
        assert!(!is_beyond(&page(&["d", "c"]), &known, 3), "all are listed");
        assert!(!is_beyond(&[], &known, 3));
    }

    #[test]
    fn columns_stay_where_they_are_whatever_comes() {
        let row = |state: &str, alertname: &str, handlers: &[&str]| {
            let delivery = json!({
                "id": "6h061csw00000", "received_at": "2026-01-02T03:04:05.678Z", "state": state, "status": "firing",
                "alertname": alertname, "handlers": handlers, "attempts": 1, "last_error": "why",
            });
            columns(delivery_row(&delivery).into_iter())
        };
        let long = "x".repeat(60);
        let at = |row: &str| {
            row.chars()
                .collect::<Vec<_>>()
                .windows(3)
                .position(|w| w == ['w', 'h', 'y'])
        };
        let first = at(&row("done", "A", &["a"]));
        assert!(first.is_some());
        assert_eq!(at(&row("retrying", &long, &[&long, "b"])), first);
        let header = columns(DELIVERY_HEADER.iter().map(|&name| name.into()));
        assert_eq!(header.find("ERROR"), first);
    }

    #[test]
    fn a_delivery_is_printed_when_it_comes_and_when_it_changes() {
        let delivery = |id: &str, state: &str| json!({ "id": id, "state": state, "attempts": 1 });
        let mut known = HashMap::new();
        let ids = |changed: Vec<&Value>| changed.iter().map(|d| word(&d["id"])).collect::<Vec<_>>();
        let page = [delivery("2", "queued"), delivery("1", "done")];
        assert_eq!(ids(changed(&page, &mut known)), ["1", "2"]);
        assert!(changed(&page, &mut known).is_empty());
        let page = [delivery("3", "done"), delivery("2", "done")];
        assert_eq!(ids(changed(&page, &mut known)), ["2", "3"]);
        assert_eq!(known.len(), 2);
        assert!(changed(&[], &mut known).is_empty());
        assert_eq!(known.len(), 2);
    }
}
