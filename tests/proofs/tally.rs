//! Adds up, when all is over, what became of each alert and of each effect.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use tests::fakes::{Fault, Sink, Slack};

use crate::load::number;
use crate::rig::Rig;

/// An effect of an alert: its number, and `slack` or `http`.
pub(crate) type Effect = (usize, &'static str);

/// What is left at the end.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Alerts that were answered 202.
    pub(crate) acknowledged: usize,
    /// Of these, those whose delivery is done.
    pub(crate) done: usize,
    /// Of these, those that are not in the store.
    pub(crate) lost: usize,
    /// Deliveries that are dead, with their reasons.
    pub(crate) dead: Vec<String>,
    /// Effects of alerts that are done, which did not happen.
    pub(crate) missing: BTreeSet<Effect>,
    /// Effects that happened more than once.
    pub(crate) doubled: BTreeSet<Effect>,
    /// Resolved alerts with an effect before the last of their firing's.
    pub(crate) overtaking: BTreeSet<Effect>,
    /// Effects that the stories call ambiguous.
    pub(crate) ambiguous: BTreeSet<Effect>,
    /// Effects of which one call was answered so that nobody can know whether it was done.
    unclear: BTreeSet<Effect>,
    /// Calls that failed by a script.
    faults: usize,
    /// The alerts' numbers by their deliveries' identifiers.
    numbers: BTreeMap<String, usize>,
    /// What the counters that are wrong would have to be.
    pub(crate) miscounted: Vec<(String, i64)>,
}

impl Tally {
    /// Waits until the server has nothing left to do, stops it, and adds up.
    pub(crate) async fn take(rig: &mut Rig, acknowledged: &BTreeSet<usize>) -> Self {
        rig.wait_until_settled().await;
        let mut tally = Self {
            acknowledged: acknowledged.len(),
            ..Self::default()
        };
        let listed = rig.deliveries().await;
        let mut stories = stream::iter(&listed)
            .map(|delivery| {
                let id = delivery["id"].as_str().unwrap();
                let path = format!("/api/v1/deliveries/{id}");
                let rig = &*rig;
                async move { rig.get(&path).await }
            })
            .buffer_unordered(4);
        let (mut known, mut done) = (BTreeSet::new(), BTreeSet::new());
        let in_order = happened(&rig.slack, &rig.sink);
        let mut times: BTreeMap<Effect, usize> = BTreeMap::new();
        for effect in &in_order {
            *times.entry(*effect).or_default() += 1;
        }
        tally.overtaking = overtaking(&in_order);
        tally.take_faults(rig);
        while let Some(story) = stories.next().await {
            let n = number(&story);
            assert!(known.insert(n), "two deliveries of alert {n}");
            let id = story["id"].as_str().unwrap().to_owned();
            tally.numbers.insert(id, n);
            match story["state"].as_str() {
                Some("done") => {
                    tally.done += 1;
                    done.insert(n);
                    for kind in ["slack", "http"] {
                        if !times.contains_key(&(n, kind)) {
                            tally.missing.insert((n, kind));
                        }
                    }
                }
                _ => tally.dead.push(story["last_error"].to_string()),
            }
            tally.ambiguous.extend(ambiguous(n, &story));
        }
        drop(stories);
        tally.lost = acknowledged.difference(&known).count();
        tally.doubled = times
            .iter()
            .filter(|(_, times)| **times > 1)
            .map(|(effect, _)| *effect)
            .collect();
        rig.stop();
        let mut expected: BTreeMap<_, _> = done.iter().map(|n| (format!("count-{n}"), 1)).collect();
        expected.insert("total".to_owned(), i64::try_from(done.len()).unwrap());
        let counters: BTreeMap<_, _> = rig.counters().into_iter().collect();
        tally.miscounted = expected
            .into_iter()
            .filter(|(key, number)| counters.get(key) != Some(number))
            .collect();
        tally
    }

    fn take_faults(&mut self, rig: &Rig) {
        // A server asks Slack about its token and its channels, too.
        let posts = rig.slack.calls().into_iter();
        let posts = posts.filter(|call| call.method == "chat.postMessage");
        let calls = posts.map(|call| {
            let text = call.body["text"].as_str().unwrap_or_default();
            ((number_in(text), "slack"), call.fault)
        });
        let requests = rig.sink.received().into_iter().map(|request| {
            let body = std::str::from_utf8(&request.body).unwrap();
            ((body.parse().unwrap(), "http"), request.fault)
        });
        for (effect, fault) in calls.chain(requests) {
            let Some(fault) = fault else { continue };
            self.faults += 1;
            if is_unclear(&fault) {
                self.unclear.insert(effect);
            }
        }
    }

    /// Returns the effects that are called ambiguous though each of their calls was answered clearly, and no kill
    /// interrupted their delivery.
    pub(crate) fn groundless(&self, interrupted: &BTreeSet<String>) -> Vec<Effect> {
        let interrupted: BTreeSet<_> = interrupted
            .iter()
            .filter_map(|id| self.numbers.get(id))
            .collect();
        let unclear = self.ambiguous.difference(&self.unclear).copied();
        unclear.filter(|(n, _)| !interrupted.contains(n)).collect()
    }

    /// Returns the effects that happened twice though no story says that they may have.
    pub(crate) fn unexplained(&self) -> Vec<Effect> {
        self.doubled.difference(&self.ambiguous).copied().collect()
    }

    /// Holds it to the promises.
    pub(crate) fn assert_kept(&self) {
        assert_eq!(self.lost, 0, "{self}");
        assert_eq!(self.dead, Vec::<String>::new(), "{self}");
        assert_eq!(self.done, self.acknowledged, "{self}");
        assert_eq!(self.missing, BTreeSet::new(), "{self}");
        assert_eq!(self.unexplained(), [], "{self}");
        assert_eq!(self.overtaking, BTreeSet::new(), "{self}");
        assert_eq!(self.miscounted, [], "{self}");
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "acknowledged {}, done {}, lost {}, dead {}, calls that failed {}, doubled {} (unexplained {}), \
             ambiguous {}, out of order {}",
            self.acknowledged,
            self.done,
            self.lost,
            self.dead.len(),
            self.faults,
            self.doubled.len(),
            self.unexplained().len(),
            self.ambiguous.len(),
            self.overtaking.len(),
        )
    }
}

/// Returns what the fakes have done, each in its order.
pub(crate) fn happened(slack: &Slack, sink: &Sink) -> Vec<Effect> {
    let messages = slack.messages().into_iter();
    let messages = messages.map(|message| (number_in(&message.text), "slack"));
    let requests = sink.received().into_iter();
    let requests = requests.filter(|request| request.is_done).map(|request| {
        let n = std::str::from_utf8(&request.body).unwrap().parse();
        (n.unwrap(), "http")
    });
    messages.chain(requests).collect()
}

/// Returns which alert a message is of.
fn number_in(text: &str) -> usize {
    text.strip_prefix("alert ").unwrap().parse().unwrap()
}

/// Returns true if nobody who is answered so can know whether the call was done.
fn is_unclear(fault: &Fault) -> bool {
    match fault {
        Fault::Status { status, .. } => *status >= 500,
        Fault::Json { body, .. } => {
            // Slack's documentation of the two: the operation may have been completed.
            body["error"] == "internal_error" || body["error"] == "fatal_error"
        }
        Fault::Hang | Fault::CloseMidBody | Fault::Cut | Fault::InvalidJson => true,
        Fault::Hold(_) | Fault::Slow(_) => false,
        Fault::Done(answer) => is_unclear(answer),
    }
}

/// Returns the effects of a resolved that came before the last of its firing, the even number before it.
pub(crate) fn overtaking(in_order: &[Effect]) -> BTreeSet<Effect> {
    let mut resolved = BTreeSet::new();
    let mut overtaking = BTreeSet::new();
    for (n, kind) in in_order.iter().copied() {
        if n % 2 == 1 {
            resolved.insert((n, kind));
        } else if resolved.contains(&(n + 1, kind)) {
            overtaking.insert((n + 1, kind));
        }
    }
    overtaking
}

/// Returns the effects that the story calls ambiguous: in a call, in a journal entry, or as in doubt at the end of a step.
pub(crate) fn ambiguous(n: usize, story: &Value) -> Vec<Effect> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let attempts = list(&story["story"]);
    let steps = attempts.iter().flat_map(|attempt| list(&attempt["steps"]));
    let (calls, doubts): (Vec<_>, Vec<_>) = steps
        .map(|step| (list(&step["calls"]), list(&step["in_doubt"])))
        .unzip();
    // An attempt that was interrupted has no calls in the story, but its journal entries are there.
    let recorded = list(&story["journal"]);
    let reported = calls.concat().into_iter();
    let reported = reported.filter(|call| call["answered"] == "ambiguous");
    let recorded = recorded.into_iter();
    let recorded = recorded.filter(|entry| entry["ambiguous"] == true);
    let noted = doubts.concat().into_iter();
    let noted = noted.map(|doubt| doubt["suspect"]["call"].clone());
    reported
        .chain(recorded)
        .chain(noted)
        .filter_map(|call| match call["kind"].as_str() {
            Some("slack") => Some((n, "slack")),
            Some("http") => Some((n, "http")),
            _ => None,
        })
        .collect()
}
