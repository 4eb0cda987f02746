//! Sequences of events for several origins, with the decisions and who serves in the end.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::*;
use crate::hex;

/// Bytes that are complete, of any age.
const SETTLED: Offer = Offer {
    since: None,
    is_settled: true,
};

/// Bytes that may be incomplete.
const UNSETTLED: Offer = Offer {
    since: None,
    is_settled: false,
};

/// A module that has only a name and a hash.
struct Claimed {
    name: HandlerName,
    sha256: String,
}

impl Claim for Claimed {
    fn name(&self) -> &HandlerName {
        &self.name
    }

    fn sha256(&self) -> &str {
        &self.sha256
    }
}

type History = Catalog<Claimed>;

fn origin(name: &str) -> Origin {
    Origin::Named {
        source: "test",
        name: name.to_owned(),
    }
}

fn hash(byte: u8) -> [u8; 32] {
    [byte; 32]
}

/// The module `name` whose bytes have the hash of `byte`.
fn module(name: &str, byte: u8) -> Result<Loaded<Claimed>, LoadError> {
    Ok(Loaded {
        module: Arc::new(Claimed {
            name: HandlerName::new(name),
            sha256: hex(&hash(byte)),
        }),
        exposure: None,
    })
}

fn damaged() -> Result<Loaded<Claimed>, LoadError> {
    Err(LoadError::Damaged("cut short".to_owned()))
}

fn disk_full() -> Result<Loaded<Claimed>, LoadError> {
    Err(LoadError::Host("the disk is full".to_owned()))
}

fn pins(name: &str, byte: u8) -> Pins {
    Pins::from([(HandlerName::new(name), hash(byte))])
}

/// A catalog whose first scan found nothing.
fn scanned() -> History {
    let mut catalog = Catalog::new(Pins::new());
    assert!(catalog.end_first_scan().is_empty());
    catalog
}

/// Offers a settled candidate whose loading has this result, and returns the decisions in short.
fn take(
    catalog: &mut History,
    from: &str,
    result: Result<Loaded<Claimed>, LoadError>,
) -> Vec<String> {
    catalog.offered(&origin(from), SETTLED);
    short(&catalog.loaded(&origin(from), result))
}

fn short(decisions: &[Decision]) -> Vec<String> {
    let short = decisions.iter().map(|decision| match decision {
        Decision::Serves(origin) => format!("{origin} serves"),
        Decision::Renamed { from, to } => format!("{from} renamed to {to}"),
        Decision::Unchanged(origin) => format!("{origin} unchanged"),
        Decision::Refused { origin, why } => format!("{origin} refused: {why}"),
        Decision::Withdrawn {
            origin, handler, ..
        } => format!("{origin} withdrawn: {handler}"),
        Decision::Removed { origin, handler } => {
            let handler = handler.as_ref().map_or("nothing", HandlerName::as_str);
            format!("{origin} removed: {handler}")
        }
    });
    short.map(|line| line.replace("test:", "")).collect()
}

/// Returns each origin with the module that serves and the state, as in `a=probe@1 ready`.
fn state(catalog: &History) -> Vec<String> {
    let lines = catalog.list().map(|listed| {
        let serving = listed.serving.map_or("-".to_owned(), |loaded| {
            let first = &loaded.module.sha256[..2];
            format!("{}@{}", loaded.module.name, first.trim_start_matches('0'))
        });
        let state = format!("{:?}", listed.state).to_lowercase();
        format!("{}={serving} {state}", listed.origin).replace("test:", "")
    });
    lines.collect()
}

#[test]
fn the_first_origin_that_claims_a_name_keeps_it_until_it_is_removed() {
    let mut catalog = scanned();
    assert_eq!(take(&mut catalog, "b", module("probe", 1)), ["b serves"]);
    let refused = take(&mut catalog, "a", module("probe", 2));
    assert!(
        refused[0].contains("a refused: the name probe is already served from b"),
        "{refused:?}"
    );
    assert_eq!(state(&catalog), ["a=- refused", "b=probe@1 ready"]);
    let decisions = short(&catalog.removed(&origin("b")));
    assert_eq!(decisions, ["b removed: probe", "a serves"]);
    assert_eq!(state(&catalog), ["a=probe@2 ready"]);
}

#[test]
fn a_name_that_its_origin_no_longer_claims_goes_to_the_next_origin() {
    let mut catalog = scanned();
    take(&mut catalog, "a", module("probe", 1));
    take(&mut catalog, "b", module("probe", 2));
    take(&mut catalog, "c", module("probe", 3));
    let decisions = take(&mut catalog, "a", module("other", 4));
    assert_eq!(decisions[..2], ["a serves", "b serves"]);
    assert!(
        decisions[2].contains("c refused: the name probe is already served from b"),
        "the reason is the present one: {decisions:?}"
    );
    assert_eq!(
        state(&catalog),
        ["a=other@4 ready", "b=probe@2 ready", "c=- refused"]
    );
}

#[test]
fn a_newer_module_of_the_same_origin_replaces_the_old_one_and_a_bad_one_does_not() {
    for (newer, serves, decision) in [
        (module("probe", 2), "a=probe@2 ready", "a serves"),
        (module("probe", 1), "a=probe@1 ready", "a unchanged"),
        (module("other", 2), "a=other@2 ready", "a serves"),
        (
            module("owned", 2),
            "a=probe@1 refused",
            "a refused: the name owned",
        ),
        (
            damaged(),
            "a=probe@1 refused",
            "a refused: it does not compile",
        ),
        (
            disk_full(),
            "a=probe@1 refused",
            "a refused: this server cannot load it",
        ),
    ] {
        let mut catalog = scanned();
        take(&mut catalog, "z", module("owned", 9));
        take(&mut catalog, "a", module("probe", 1));
        let decisions = take(&mut catalog, "a", newer);
        assert!(decisions[0].starts_with(decision), "{decisions:?}");
        assert_eq!(state(&catalog)[0], serves);
    }
}

#[test]
fn the_same_bytes_are_the_same_module_and_their_exposure_is_the_newest() {
    let mut catalog = scanned();
    take(&mut catalog, "a", module("probe", 1));
    let before = Arc::clone(&catalog.serving(&origin("a")).unwrap().module);
    let exposed = module("probe", 1).map(|loaded| Loaded {
        exposure: Some("mode 777".to_owned()),
        ..loaded
    });
    take(&mut catalog, "a", exposed);
    let now = catalog.serving(&origin("a")).unwrap();
    assert!(Arc::ptr_eq(&before, &now.module));
    assert_eq!(now.exposure.as_deref(), Some("mode 777"));
}

#[test]
fn a_candidate_that_may_be_incomplete_is_refused_only_once_it_has_settled() {
    let mut catalog = scanned();
    catalog.offered(&origin("a"), UNSETTLED);
    assert!(catalog.loaded(&origin("a"), damaged()).is_empty());
    assert!(catalog.has_unsettled());
    assert_eq!(state(&catalog), ["a=- loading"]);
    let decisions = short(&catalog.settled(&origin("a")));
    assert!(decisions[0].starts_with("a refused"), "{decisions:?}");
    assert!(!catalog.has_unsettled());
    // Good bytes serve without waiting.
    catalog.offered(&origin("b"), UNSETTLED);
    let decisions = catalog.loaded(&origin("b"), module("probe", 1));
    assert_eq!(short(&decisions), ["b serves"]);
    assert!(catalog.settled(&origin("b")).is_empty());
}

#[test]
fn a_candidate_that_settles_while_it_is_loaded_is_refused_at_once() {
    let mut catalog = scanned();
    catalog.offered(&origin("a"), UNSETTLED);
    assert!(catalog.settled(&origin("a")).is_empty());
    let decisions = short(&catalog.loaded(&origin("a"), damaged()));
    assert!(decisions[0].starts_with("a refused"), "{decisions:?}");
}

#[test]
fn the_result_for_bytes_that_have_changed_is_forgotten() {
    for (before, after) in [
        (module("probe", 2), "a=probe@2 ready"),
        (damaged(), "a=probe@1 ready"),
        (disk_full(), "a=probe@1 ready"),
        (module("owned", 2), "a=probe@1 ready"),
    ] {
        let mut catalog = scanned();
        take(&mut catalog, "z", module("owned", 9));
        take(&mut catalog, "a", module("probe", 1));
        take(&mut catalog, "a", before);
        catalog.changed(&origin("a"));
        assert_eq!(state(&catalog)[0], after);
        assert!(catalog.may_load_now().is_empty());
        let decisions = short(&catalog.removed(&origin("z")));
        assert_eq!(decisions, ["z removed: owned"], "a no longer claims it");
    }
    let mut catalog = scanned();
    catalog.changed(&origin("unknown"));
    take(&mut catalog, "a", damaged());
    catalog.changed(&origin("a"));
    assert_eq!(state(&catalog), ["a=- loading"]);
    // During the first scan.
    let mut catalog = History::new(Pins::new());
    take(&mut catalog, "a", damaged());
    catalog.changed(&origin("a"));
    assert!(catalog.end_first_scan().is_empty());
    assert_eq!(state(&catalog), ["a=- loading"]);
}

#[test]
fn a_candidate_that_changed_while_it_was_read_is_not_refused() {
    for offer in [SETTLED, UNSETTLED] {
        let mut catalog = scanned();
        take(&mut catalog, "a", module("probe", 1));
        catalog.offered(&origin("a"), offer);
        let decisions = catalog.loaded(&origin("a"), Err(LoadError::Changed));
        assert!(decisions.is_empty(), "{decisions:?}");
        assert_eq!(state(&catalog), ["a=probe@1 ready"]);
        assert!(catalog.has_unsettled(), "a rescan waits for it");
        // If the bytes changed back before the next scan, only this offers them again.
        assert_eq!(catalog.may_load_now(), [origin("a")]);
        assert_eq!(take(&mut catalog, "a", module("probe", 2)), ["a serves"]);
        assert!(!catalog.has_unsettled());
    }
}

#[test]
fn the_oldest_of_the_first_scan_serves_in_any_order_of_loading() {
    let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    let ages = [("a", at(3)), ("b", at(1)), ("c", at(2)), ("d", at(1))];
    let forwards: Vec<_> = ages.iter().collect();
    let backwards: Vec<_> = ages.iter().rev().collect();
    for order in [forwards, backwards] {
        let mut catalog = History::new(Pins::new());
        for (name, since) in order {
            let offer = Offer {
                since: *since,
                ..SETTLED
            };
            catalog.offered(&origin(name), offer);
            let decisions = catalog.loaded(&origin(name), module("probe", 1));
            assert!(decisions.is_empty(), "nothing is decided yet");
        }
        catalog.end_first_scan();
        assert_eq!(
            state(&catalog),
            [
                "a=- refused",
                "b=probe@1 ready",
                "c=- refused",
                "d=- refused"
            ]
        );
        // The next oldest has the name once it is free.
        let decisions = short(&catalog.removed(&origin("b")));
        assert_eq!(decisions[..2], ["b removed: probe", "d serves"]);
    }
}

#[test]
fn candidates_that_are_removed_or_changed_during_the_first_scan_do_not_count() {
    let mut catalog = History::new(Pins::new());
    for name in ["a", "b"] {
        catalog.offered(&origin(name), SETTLED);
        catalog.loaded(&origin(name), module(name, 1));
    }
    catalog.removed(&origin("a"));
    catalog.offered(&origin("b"), SETTLED);
    assert!(catalog.end_first_scan().is_empty());
    assert_eq!(state(&catalog), ["b=- loading"]);
    assert!(catalog.loaded(&origin("a"), module("a", 1)).is_empty());
}

#[test]
fn a_pinned_name_is_served_by_that_module_or_by_none() {
    for (pin, serves) in [
        (pins("probe", 1), "a=probe@1 ready"),
        (pins("probe", 2), "a=- refused"),
        (pins("other", 2), "a=probe@1 ready"),
    ] {
        let mut catalog = History::new(pin);
        catalog.end_first_scan();
        take(&mut catalog, "a", module("probe", 1));
        assert_eq!(state(&catalog), [serves]);
    }
}

#[test]
fn a_new_pin_withdraws_other_modules_once_it_is_enforced() {
    let mut catalog = scanned();
    take(&mut catalog, "a", module("probe", 1));
    take(&mut catalog, "b", module("probe", 2));
    catalog.set_terms(pins("probe", 2));
    assert_eq!(state(&catalog), ["a=probe@1 ready", "b=- refused"]);
    let decisions = short(&catalog.enforce_pins());
    assert_eq!(decisions[..2], ["a withdrawn: probe", "b serves"]);
    assert_eq!(state(&catalog), ["a=- refused", "b=probe@2 ready"]);
    assert!(catalog.enforce_pins().is_empty(), "once");
    // And back.
    catalog.set_terms(pins("probe", 1));
    let decisions = short(&catalog.enforce_pins());
    assert_eq!(decisions[..2], ["b withdrawn: probe", "a serves"]);
}

#[test]
fn a_pin_also_withdraws_a_module_whose_successor_was_refused() {
    let mut catalog = scanned();
    take(&mut catalog, "a", module("probe", 1));
    take(&mut catalog, "a", damaged());
    catalog.set_terms(pins("probe", 2));
    assert_eq!(short(&catalog.enforce_pins()), ["a withdrawn: probe"]);
    catalog.set_terms(Pins::new());
    assert!(catalog.enforce_pins().is_empty());
    assert_eq!(state(&catalog), ["a=- refused"], "its bytes are still bad");
}

#[test]
fn a_file_and_its_pin_that_are_replaced_together_leave_no_gap() {
    let mut catalog = scanned();
    take(&mut catalog, "a", module("probe", 1));
    catalog.set_terms(pins("probe", 2));
    catalog.offered(&origin("a"), SETTLED);
    assert_eq!(state(&catalog), ["a=probe@1 ready"]);
    let decisions = catalog.loaded(&origin("a"), module("probe", 2));
    assert_eq!(short(&decisions), ["a serves"]);
    assert!(catalog.enforce_pins().is_empty());
}

#[test]
fn only_candidates_that_failed_through_the_server_may_load_again_unchanged() {
    let mut catalog = scanned();
    take(&mut catalog, "a", disk_full());
    take(&mut catalog, "b", damaged());
    take(&mut catalog, "c", module("probe", 1));
    take(&mut catalog, "d", module("probe", 2));
    assert_eq!(catalog.may_load_now(), [origin("a")]);
    take(&mut catalog, "a", module("other", 1));
    assert!(catalog.may_load_now().is_empty());
}

/// Tries everything that can happen to an origin, in every order. After each event no two origins serve one name, no module
/// serves against its pin once pins are enforced, and no origin waits for a name that is free.
#[test]
fn no_sequence_leaves_a_name_with_two_owners_or_without_a_possible_one() {
    type Step = fn(&mut History);
    let steps: [Step; 9] = [
        |catalog| drop(take(catalog, "a", module("x", 1))),
        |catalog| drop(take(catalog, "a", module("y", 2))),
        |catalog| drop(take(catalog, "b", module("x", 3))),
        |catalog| drop(take(catalog, "b", module("y", 1))),
        |catalog| drop(take(catalog, "c", module("x", 1))),
        |catalog| drop(take(catalog, "a", damaged())),
        |catalog| drop(catalog.removed(&origin("a"))),
        |catalog| {
            catalog.set_terms(pins("x", 3));
            catalog.enforce_pins();
        },
        |catalog| {
            catalog.set_terms(Pins::new());
            catalog.enforce_pins();
        },
    ];
    let length = 4;
    for history in 0..steps.len().pow(length) {
        let mut catalog = scanned();
        let mut left = history;
        for _ in 0..length {
            steps[left % steps.len()](&mut catalog);
            left /= steps.len();
        }
        let serving: Vec<_> = catalog.list().filter_map(|listed| listed.serving).collect();
        let mut names: Vec<_> = serving.iter().map(|loaded| &loaded.module.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(
            names.len(),
            serving.len(),
            "{history}: {:?}",
            state(&catalog)
        );
        for loaded in serving {
            let error = pin_error(&catalog.terms.pins, &*loaded.module);
            assert_eq!(error, None, "{history}: {:?}", state(&catalog));
        }
        for origin in catalog.entries.keys() {
            if let Some((why, now)) = catalog.claim(origin) {
                let state = state(&catalog);
                assert_eq!(Some(why), now.as_ref(), "{history}: {state:?}");
            }
        }
    }
}

#[test]
fn a_module_whose_file_is_renamed_serves_all_the_time() {
    let mut catalog = scanned();
    assert_eq!(take(&mut catalog, "a", module("probe", 1)), ["a serves"]);
    let renamed = catalog.renamed(&origin("a"), origin("b"));
    assert_eq!(short(&renamed), ["a renamed to b"]);
    assert_eq!(state(&catalog), ["b=probe@1 ready"]);
    assert_eq!(take(&mut catalog, "b", module("probe", 1)), ["b unchanged"]);
    // A rebuild under the new name may change the name of the handler too.
    assert_eq!(take(&mut catalog, "b", module("other", 2)), ["b serves"]);
    assert_eq!(state(&catalog), ["b=other@2 ready"]);
    assert!(
        catalog
            .renamed(&origin("never-offered"), origin("c"))
            .is_empty()
    );
}
