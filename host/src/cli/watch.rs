//! `deliveries --watch`: prints a line for each delivery when it arrives and whenever its state changes.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::args::DeliveriesArgs;
use super::client::{Answer, Client};
use super::print;
use super::remote::{DELIVERY_HEADER, deliveries_query, delivery_row};
use crate::alert::DeliveryId;
use crate::api::{Deliveries, Delivery, Lenient};
use crate::queue::State;

/// How often the server is polled.
const POLL: Duration = Duration::from_secs(1);

/// How many of the newest deliveries are followed: as many as one response has.
const FOLLOWED_MAX: usize = 1_000;

/// The state of a delivery; if it changes, the delivery is printed again.
type Stand = (Lenient<State>, u32);

/// A delivery in the server's list, as JSON and parsed.
struct Listed {
    json: Value,
    delivery: Delivery,
}

/// Returns the deliveries of a page.
fn listed(answer: &Answer<Deliveries>) -> anyhow::Result<Vec<Listed>> {
    let page: Deliveries<Value> = Answer::new(answer.json().clone()).read()?;
    let delivery = |json: Value| {
        let delivery = Answer::new(json.clone()).read()?;
        Ok(Listed { json, delivery })
    };
    page.deliveries.into_iter().map(delivery).collect()
}

/// Prints until it is interrupted.
pub(super) fn run(args: &DeliveriesArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    let mut query = deliveries_query(args)?;
    query.retain(|(name, _)| *name != "limit");
    query.push(("limit", FOLLOWED_MAX.to_string()));
    // An error in the query ends the command; a server that becomes unreachable later does not.
    let mut page = listed(&client.deliveries(&query)?)?;
    let mut known = HashMap::new();
    let mut lines = Lines::new(args.json);
    // Changes are relative to this page; of the page itself only the newest deliveries are printed.
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
        match client.deliveries(&query).and_then(|page| listed(&page)) {
            Ok(newer) => {
                if std::mem::take(&mut lost) {
                    print::note("the server answers again");
                }
                page = newer;
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

/// Returns whether there may have been more new deliveries than fit on one page: not even its oldest is known.
fn is_beyond(page: &[Listed], known: &HashMap<DeliveryId, Stand>, page_max: usize) -> bool {
    let is_new = |listed: &Listed| !known.contains_key(&listed.delivery.id);
    page.len() >= page_max && page.last().is_some_and(is_new)
}

/// Returns what is new or has changed, oldest first, and forgets what is no longer listed.
fn changed<'a>(page: &'a [Listed], known: &mut HashMap<DeliveryId, Stand>) -> Vec<&'a Listed> {
    let mut listed = HashMap::with_capacity(page.len());
    let mut changed = Vec::new();
    for entry in page.iter().rev() {
        let delivery = &entry.delivery;
        let stand = (delivery.state.clone(), delivery.attempts);
        if known.get(&delivery.id) != Some(&stand) {
            changed.push(entry);
        }
        listed.insert(delivery.id, stand);
    }
    // After an empty response nothing is forgotten, since everything would be new again.
    if !listed.is_empty() {
        *known = listed;
    }
    changed
}

/// The widths of the columns but the last, in characters: rows come one by one, and stay under their header.
const WIDTHS: [usize; 9] = [13, 19, 8, 9, 8, 8, 32, 32, 5];

/// Writes rows one by one under one header.
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

    fn print(&mut self, listed: &Listed) {
        if self.json {
            // One object per line, as `jq` and log collectors read them.
            print::json_line(&listed.json);
            return;
        }
        if !std::mem::replace(&mut self.has_header, true) {
            print::line(&columns(DELIVERY_HEADER.iter().map(|&name| name.into())));
        }
        print::line(&columns(delivery_row(&listed.delivery).into_iter()));
    }
}

/// Returns a row with fixed columns; text that is too wide is cut.
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
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::alert::{HandlerName, Timestamp};

    fn id(number: u8) -> DeliveryId {
        format!("6h061csw0000{number}").parse().unwrap()
    }

    fn delivery(number: u8, state: State) -> Delivery {
        Delivery {
            id: id(number),
            fingerprint: String::new(),
            alertname: "A".into(),
            status: "firing".into(),
            priority: crate::alert::Priority::Normal.into(),
            state: state.into(),
            route: "r".into(),
            handlers: Vec::new(),
            attempts: 1,
            received_at: Timestamp::UNIX_EPOCH,
            settled_at: None,
            reason: None,
            last_error: Some("why".into()),
            coalesced_into: None,
            storm: None,
            timer: None,
        }
    }

    fn listed(number: u8, state: State) -> Listed {
        Listed {
            json: Value::Null,
            delivery: delivery(number, state),
        }
    }

    #[test]
    fn a_page_that_does_not_reach_back_to_what_is_known_may_have_left_some_out() {
        let page =
            |ids: &[u8]| -> Vec<Listed> { ids.iter().map(|&id| listed(id, State::Done)).collect() };
        let mut known = HashMap::new();
        changed(&page(&[2, 1]), &mut known);
        assert!(!is_beyond(&page(&[4, 3, 2]), &known, 3));
        assert!(is_beyond(&page(&[5, 4, 3]), &known, 3));
        assert!(!is_beyond(&page(&[4, 3]), &known, 3), "all are listed");
        assert!(!is_beyond(&[], &known, 3));
    }

    #[test]
    fn columns_stay_where_they_are_whatever_comes() {
        let row = |state: State, alertname: &str, handlers: &[&str]| {
            let delivery = Delivery {
                received_at: "2026-01-02T03:04:05.678Z".parse().unwrap(),
                alertname: alertname.to_owned(),
                handlers: handlers.iter().map(|name| HandlerName::new(name)).collect(),
                ..delivery(0, state)
            };
            columns(delivery_row(&delivery).into_iter())
        };
        let long = "x".repeat(60);
        let at = |row: &str| {
            row.chars()
                .collect::<Vec<_>>()
                .windows(3)
                .position(|w| w == ['w', 'h', 'y'])
        };
        let first = at(&row(State::Done, "A", &["a"]));
        assert!(first.is_some());
        assert_eq!(at(&row(State::Retrying, &long, &[&long, "b"])), first);
        let header = columns(DELIVERY_HEADER.iter().map(|&name| name.into()));
        assert_eq!(header.find("ERROR"), first);
    }

    #[test]
    fn a_delivery_is_printed_when_it_comes_and_when_it_changes() {
        let mut known = HashMap::new();
        let ids = |changed: Vec<&Listed>| -> Vec<_> {
            changed.iter().map(|listed| listed.delivery.id).collect()
        };
        let page = [listed(2, State::Queued), listed(1, State::Done)];
        assert_eq!(ids(changed(&page, &mut known)), [id(1), id(2)]);
        assert!(changed(&page, &mut known).is_empty());
        let page = [listed(3, State::Done), listed(2, State::Done)];
        assert_eq!(ids(changed(&page, &mut known)), [id(2), id(3)]);
        assert_eq!(known.len(), 2);
        assert!(changed(&[], &mut known).is_empty());
        assert_eq!(known.len(), 2);
    }
}
