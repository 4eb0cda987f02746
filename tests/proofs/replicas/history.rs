//! What has happened on several servers, and the checker of it. It takes three witnesses: the senders (what was acknowledged),
//! the fakes (which effects came, in which order), and the stories (what the servers say about it).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tests::fakes::{Sink, Slack};

use crate::load::number;
use crate::tally::{self, Effect};

/// What has happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// The alerts that were answered 202.
    pub(crate) acknowledged: BTreeSet<usize>,
    /// What the fakes have done, those of each kind in order.
    pub(crate) effects: Vec<Effect>,
    /// The requests that the sink has had, in order.
    pub(crate) requests: Vec<Request>,
    /// The deliveries, with their stories.
    pub(crate) stories: Vec<Value>,
}

/// A request at the sink. It names its delivery and its attempt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Request {
    pub(crate) n: usize,
    pub(crate) delivery: String,
    pub(crate) attempt: u32,
}

/// Which promise was broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Complaint {
    /// An alert that was acknowledged has no delivery.
    Lost(usize),
    /// An alert has more than one delivery.
    AcceptedTwice(usize),
    /// A delivery is not done.
    NotDone(usize, String),
    /// A delivery is done without this effect.
    Missing(Effect),
    /// An effect happened more than once, and no story says that it may have.
    Doubled(Effect),
    /// An effect of a resolved came before one of its firing.
    Overtaken(Effect),
    /// A request came from an attempt after one from a later attempt: a server went on whose lease was over.
    Unfenced(Request),
    /// A request came for a delivery that the servers do not know.
    Unknown(Request),
    /// The story lacks an attempt, and does not say that it was cut off.
    Gap(usize, u32),
}

impl History {
    /// Gathers what the witnesses know.
    pub(crate) fn of(
        acknowledged: BTreeSet<usize>,
        slack: &Slack,
        sink: &Sink,
        stories: Vec<Value>,
    ) -> Self {
        let request = |request: tests::fakes::sink::Received| {
            let header = |name| request.header(name).unwrap_or_default().to_owned();
            Request {
                n: std::str::from_utf8(&request.body).unwrap().parse().unwrap(),
                delivery: header("x-delivery"),
                attempt: header("x-attempt").parse().expect("it names its attempt"),
            }
        };
        Self {
            acknowledged,
            effects: tally::happened(slack, sink),
            requests: sink.received().into_iter().map(request).collect(),
            stories,
        }
    }

    /// Returns the effects that happened more than once.
    pub(crate) fn doubled(&self) -> BTreeSet<Effect> {
        let mut times: BTreeMap<Effect, usize> = BTreeMap::new();
        for effect in &self.effects {
            *times.entry(*effect).or_default() += 1;
        }
        let doubled = times.into_iter().filter(|(_, times)| *times > 1);
        doubled.map(|(effect, _)| effect).collect()
    }

    /// Returns the effects that the stories call ambiguous.
    pub(crate) fn ambiguous(&self) -> BTreeSet<Effect> {
        let stories = self.stories.iter();
        let of = |story| tally::ambiguous(number(story), story);
        stories.flat_map(of).collect()
    }

    /// Returns every promise that was broken, in order.
    pub(crate) fn complaints(&self) -> Vec<Complaint> {
        let mut all = self.about_deliveries();
        all.extend(self.about_effects());
        all.extend(self.about_leases());
        all.sort();
        all
    }

    /// Each alert that was acknowledged has one delivery, which is done, and whose story is whole.
    fn about_deliveries(&self) -> Vec<Complaint> {
        let mut all = Vec::new();
        let mut known = BTreeSet::new();
        for story in &self.stories {
            let n = number(story);
            if !known.insert(n) {
                all.push(Complaint::AcceptedTwice(n));
            }
            if story["state"] != "done" {
                let why = format!("{}: {}", story["state"], story["last_error"]);
                all.push(Complaint::NotDone(n, why));
            }
            all.extend(gaps(n, story));
        }
        let lost = self.acknowledged.difference(&known);
        all.extend(lost.map(|n| Complaint::Lost(*n)));
        all
    }

    /// Each effect of what is done happened once, or its story says that it may have happened again; none before its time.
    fn about_effects(&self) -> Vec<Complaint> {
        let happened: BTreeSet<_> = self.effects.iter().copied().collect();
        let done = self.stories.iter().filter(|story| story["state"] == "done");
        let expected = done.flat_map(|story| ["slack", "http"].map(|kind| (number(story), kind)));
        let missing = expected.filter(|effect| !happened.contains(effect));
        let (doubled, ambiguous) = (self.doubled(), self.ambiguous());
        let doubled = doubled.difference(&ambiguous);
        let overtaken = tally::overtaking(&self.effects);
        missing
            .map(Complaint::Missing)
            .chain(doubled.map(|effect| Complaint::Doubled(*effect)))
            .chain(overtaken.into_iter().map(Complaint::Overtaken))
            .collect()
    }

    /// The requests of each delivery come from its attempts in order.
    fn about_leases(&self) -> Vec<Complaint> {
        let ids = self.stories.iter().filter_map(|story| story["id"].as_str());
        let known: BTreeSet<_> = ids.collect();
        let mut latest: BTreeMap<&str, u32> = BTreeMap::new();
        let mut all = Vec::new();
        for request in &self.requests {
            if !known.contains(&*request.delivery) {
                all.push(Complaint::Unknown(request.clone()));
            }
            let latest = latest.entry(&request.delivery).or_default();
            if request.attempt < *latest {
                all.push(Complaint::Unfenced(request.clone()));
            }
            *latest = request.attempt.max(*latest);
        }
        all
    }
}

/// An attempt is in the story, or the next one that is says that it was cut off.
fn gaps(n: usize, story: &Value) -> Vec<Complaint> {
    let mut expected = 1;
    let mut all = Vec::new();
    for attempt in story["story"].as_array().into_iter().flatten() {
        let number = attempt["attempt"].as_u64();
        let number = number.and_then(|number| u32::try_from(number).ok());
        let number = number.expect("an attempt has a number");
        if number != expected && attempt["after_crash"] != true {
            all.push(Complaint::Gap(n, expected));
        }
        expected = number + 1;
    }
    all
}

/// The checker itself: each broken promise is a complaint, and nothing else is.
mod checks {
    use serde_json::json;

    use super::*;

    fn story(n: usize, id: &str) -> Value {
        json!({
            "id": id, "state": "done", "alert": { "annotations": { "n": n.to_string() } },
            "story": [{ "attempt": 1, "steps": [] }], "journal": [],
        })
    }

    fn request(n: usize, delivery: &str, attempt: u32) -> Request {
        let delivery = delivery.to_owned();
        Request {
            n,
            delivery,
            attempt,
        }
    }

    /// A firing and its resolved, as they should be.
    fn kept() -> History {
        History {
            acknowledged: [0, 1].into(),
            effects: vec![(0, "slack"), (0, "http"), (1, "slack"), (1, "http")],
            requests: vec![request(0, "a", 1), request(1, "b", 1)],
            stories: vec![story(0, "a"), story(1, "b")],
        }
    }

    fn complaints(change: impl FnOnce(&mut History)) -> Vec<Complaint> {
        let mut history = kept();
        change(&mut history);
        history.complaints()
    }

    #[test]
    fn the_checker_notices_each_broken_promise() {
        assert_eq!(complaints(|_| {}), []);
        let lost = complaints(|h| h.acknowledged.extend([2]));
        assert_eq!(lost, [Complaint::Lost(2)]);
        let twice = complaints(|h| h.stories.push(story(1, "b")));
        assert_eq!(twice, [Complaint::AcceptedTwice(1)]);
        let open = complaints(|h| h.stories[1]["state"] = "retrying".into());
        assert!(matches!(open[..], [Complaint::NotDone(1, _)]), "{open:?}");
        let missing = complaints(|h| h.effects.retain(|effect| *effect != (0, "http")));
        assert_eq!(missing, [Complaint::Missing((0, "http"))]);
        let doubled = complaints(|h| h.effects.insert(1, (0, "slack")));
        assert_eq!(doubled, [Complaint::Doubled((0, "slack"))]);
        let overtaken = complaints(|h| h.effects.swap(0, 2));
        assert_eq!(overtaken, [Complaint::Overtaken((1, "slack"))]);
        let late = complaints(|h| h.requests = vec![request(0, "a", 2), request(0, "a", 1)]);
        assert_eq!(late, [Complaint::Unfenced(request(0, "a", 1))]);
        let unknown = complaints(|h| h.requests.push(request(0, "c", 1)));
        assert_eq!(unknown, [Complaint::Unknown(request(0, "c", 1))]);
        let gap = complaints(|h| h.stories[0]["story"][0]["attempt"] = 2.into());
        assert_eq!(gap, [Complaint::Gap(0, 1)]);
    }

    #[test]
    fn the_checker_accepts_what_the_story_says() {
        let said = complaints(|h| {
            h.effects.insert(1, (0, "slack"));
            let call = json!({ "kind": "slack", "ambiguous": true });
            h.stories[0]["journal"] = json!([call]);
            h.stories[0]["story"] = json!([{ "attempt": 2, "after_crash": true, "steps": [] }]);
        });
        assert_eq!(said, []);
    }
}
