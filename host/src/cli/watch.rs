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
            }
            Err(error) => {
                if !std::mem::replace(&mut lost, true) {
                    print::note(&format!("{}; trying again", print::causes(&error)));
                }
            }
        }
    }
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

/// Writes rows that come one by one under one header.
struct Lines {
    json: bool,
    widths: Option<Vec<usize>>,
}

impl Lines {
    fn new(json: bool) -> Self {
        Self { json, widths: None }
    }

    fn print(&mut self, delivery: &Value) {
        if self.json {
            // One object a line, as `jq` and log collectors read them.
            print::json_line(delivery);
            return;
        }
        let row = delivery_row(delivery);
        let first = self.widths.is_none();
        let widths = self.widths.get_or_insert_with(|| {
            let header = DELIVERY_HEADER.iter().map(|name| name.chars().count());
            header.collect()
        });
        for (width, cell) in widths.iter_mut().zip(&row) {
            *width = (*width).max(cell.chars().count());
        }
        if first {
            let header: Vec<_> = DELIVERY_HEADER.iter().map(|&name| name.into()).collect();
            print::line(&print::row(&header, widths));
        }
        print::line(&print::row(&row, widths));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
