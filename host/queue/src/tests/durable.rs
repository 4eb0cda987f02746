//! What is accepted is still there after a crash, runs in order, and ends done or dead.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[tokio::test]
async fn an_accepted_alert_survives_a_crash() {
    let bench = Bench::with(Options::default(), Caps::all(0));
    let id = bench.accept_new(firing("A")).await;
    let mut bench = bench.crash();
    assert_eq!(bench.queue.counts().depth, 1);
    bench.queue.set_caps(Caps::all(1));
    let leased = bench.lease().await;
    assert_eq!(
        (leased.id, leased.lease, leased.after_crash),
        (id, 1, false)
    );
    assert_eq!(leased.alert.name(), "A");
    assert_eq!(leased.progress, Progress::new(&[name("notify")]));
}

#[tokio::test]
async fn a_settled_delivery_is_told_as_it_was() {
    let mut bench = Bench::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    assert_eq!(bench.state(id).await, State::Running);
    bench.settle(&leased, Next::Done);
    bench.flush().await;
    let bench = bench.crash();
    let story = bench.story(id).await;
    assert_eq!(story.delivery.state, State::Done);
    assert_eq!(story.delivery.attempts, 1);
    assert_eq!(story.delivery.handlers, [name("notify")]);
    assert_eq!(story.delivery.settled_at, Some(bench.clock.now()));
    assert_eq!(story.attempts, [serde_json::json!({"lease": 1})]);
    assert_eq!(story.alert["labels"]["alertname"], "A");
    assert!(
        story
            .progress
            .steps
            .iter()
            .all(|s| s.status == StepStatus::Done)
    );
    assert_eq!(bench.queue.counts().depth, 0);
}

#[tokio::test]
async fn its_resolved_never_overtakes_its_firing() {
    let mut bench = Bench::new();
    let first = bench.accept_new(firing("A")).await;
    let second = bench.accept_new(resolved("A")).await;
    let third = bench.accept_new(firing("B")).await;
    let (a, b) = (bench.lease().await, bench.lease().await);
    assert_eq!([a.id, b.id], [first, third]);
    let until = bench.clock.now() + Duration::from_secs(60);
    bench.settle(
        &a,
        Next::Retry {
            until,
            handler: name("notify"),
        },
    );
    bench.settle(&b, Next::Done);
    bench.flush().await;
    assert_eq!(bench.state(first).await, State::Retrying);
    assert_eq!(bench.state(second).await, State::Queued);
    bench.advance(Duration::from_secs(60));
    let again = bench.lease().await;
    assert_eq!((again.id, again.lease), (first, 2));
    bench.settle(&again, Next::Dead("no use".into()));
    let resolved = bench.lease().await;
    assert_eq!(resolved.id, second, "a dead one releases its lane");
}

#[tokio::test]
async fn a_retry_waits_for_its_time_over_a_restart() {
    let mut bench = Bench::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    let until = bench.clock.now() + Duration::from_secs(30);
    let mut settlement = settlement(
        &leased,
        Next::Retry {
            until,
            handler: name("notify"),
        },
    );
    settlement.last_error = Some("Slack answers 500".into());
    bench.queue.release_slot(&leased.handler);
    bench.queue.settle(settlement);
    let mut bench = bench.restart().await;
    let story = bench.story(id).await;
    assert_eq!(story.delivery.state, State::Retrying);
    assert_eq!(story.not_before, Some(until));
    assert_eq!(
        story.delivery.last_error.as_deref(),
        Some("Slack answers 500")
    );
    bench.advance(Duration::from_secs(29));
    let other = bench.accept_new(firing("B")).await;
    assert_eq!(bench.lease().await.id, other, "the other is not due yet");
    bench.advance(Duration::from_secs(1));
    let leased = bench.lease().await;
    assert_eq!(
        (leased.id, leased.lease, leased.after_crash),
        (id, 2, false)
    );
    assert_eq!(leased.progress.attempts(), 1);
}

#[tokio::test]
async fn a_step_behind_another_handler_waits_for_its_slot_and_resumes_there() {
    let mut bench = Bench::with(Options::default(), Caps::all(1));
    let mut submission = firing("A");
    submission.plans = vec![plan("route", &["first", "second"])];
    bench.accept_new(submission).await;
    let leased = bench.lease().await;
    assert!(bench.queue.try_take_slot(&name("second")));
    bench.queue.release_slot(&name("first"));
    assert!(!bench.queue.try_take_slot(&name("second")));
    let mut progress = leased.progress.clone();
    progress.steps[0].status = StepStatus::Done;
    bench.queue.settle(Settlement {
        id: leased.id,
        token: leased.token,
        next: Next::Yield {
            handler: name("second"),
        },
        progress,
        alert: None,
        story: None,
        last_error: None,
    });
    bench.flush().await;
    assert_eq!(bench.state(leased.id).await, State::Queued);
    bench.queue.release_slot(&name("second"));
    let leased = bench.lease().await;
    assert_eq!((leased.handler, leased.lease), (name("second"), 2));
    assert_eq!(leased.progress.steps[0].status, StepStatus::Done);
}

fn deaths(bench: &Bench, id: DeliveryId) -> u32 {
    let conn = rusqlite::Connection::open(bench.path()).unwrap();
    let sql = "SELECT deaths FROM deliveries WHERE id = ?1";
    conn.query_one(sql, [id.as_raw()], |row| row.get(0))
        .unwrap()
}

/// Earlier versions leased deliveries before a slot was free, and stored them in a state of their own.
#[tokio::test]
async fn what_an_earlier_version_prefetched_waits_again_and_no_death_counts_against_it() {
    for beside_one_that_ran in [false, true] {
        let bench = Bench::with(Options::default(), Caps::all(0));
        let other = bench.accept_new(firing("A")).await;
        let prefetched = bench.accept_new(firing("B")).await;
        let store = async |id: DeliveryId, state: i64| {
            let id = id.as_raw();
            let sql = format!("UPDATE deliveries SET state = {state}, leases = 1 WHERE id = {id}");
            bench.sql(&sql).await;
        };
        store(prefetched, -1).await;
        if beside_one_that_ran {
            store(other, 1).await;
        }
        let mut bench = bench.crash();
        let recovered = bench.queue.recovered();
        assert_eq!(recovered.last_end, LastEnd::Crash);
        assert_eq!(recovered.under_lease, 1 + u64::from(beside_one_that_ran));
        assert_eq!(bench.state(prefetched).await, State::Queued);
        bench.queue.set_caps(Caps::all(1));
        for _ in 0..2 {
            let leased = bench.lease().await;
            let ran = beside_one_that_ran && leased.id == other;
            let was_leased = ran || leased.id == prefetched;
            assert_eq!(
                (leased.lease, leased.after_crash),
                (1 + u32::from(was_leased), ran)
            );
            assert_eq!(deaths(&bench, leased.id), 0);
            bench.settle(&leased, Next::Done);
            bench.flush().await;
        }
        assert_eq!(bench.state(prefetched).await, State::Done);
    }
}

#[tokio::test]
async fn what_is_cancelled_before_a_worker_takes_it_out_ends_and_is_not_run() {
    let mut bench = Bench::with(Options::default(), Caps::all(1));
    let cancelled = bench.accept_new(firing("A")).await;
    let waiting = bench.accept_new(firing("B")).await;
    assert_eq!(bench.state(cancelled).await, State::Running);
    bench.queue.cancel(cancelled).await.unwrap();
    assert_eq!(bench.lease().await.id, waiting, "the slot is free again");
    bench.flush().await;
    let story = bench.story(cancelled).await;
    assert_eq!(story.delivery.state, State::Dead);
    assert_eq!(story.attempts.len(), 0);
    assert_eq!(bench.queue.counts().depth, 1);
}

#[tokio::test]
async fn three_deaths_of_the_server_under_a_delivery_end_it() {
    let mut bench = Bench::new();
    let id = bench.accept_new(firing("A")).await;
    for death in 0..3 {
        let leased = bench.lease().await;
        assert_eq!((leased.lease, leased.after_crash), (death + 1, death > 0));
        bench = bench.crash();
    }
    let story = bench.story(id).await;
    assert_eq!(story.delivery.state, State::Dead);
    assert!(
        story
            .delivery
            .last_error
            .unwrap()
            .contains("died three times")
    );
    assert_eq!(bench.queue.counts().dead, 1);
    assert_eq!(bench.queue.counts().depth, 0);
}

#[tokio::test]
async fn an_orderly_end_gives_leases_back_and_counts_no_death() {
    let mut bench = Bench::new();
    let begun = bench.accept_new(firing("A")).await;
    let waiting = bench.accept_new(firing("B")).await;
    for _ in 0..4 {
        let leased = bench.lease().await;
        assert_eq!(leased.id, begun);
        bench = bench.restart().await;
    }
    let (a, b) = (bench.lease().await, bench.lease().await);
    assert_eq!(
        (a.id, a.after_crash),
        (begun, true),
        "what it did is not known"
    );
    assert_eq!((b.id, b.after_crash, b.lease), (waiting, false, 1));
}

#[tokio::test]
async fn nothing_is_handed_out_after_the_end() {
    let mut bench = Bench::new();
    bench.accept_new(firing("A")).await;
    bench.queue.shutdown().await;
    assert!(bench.leases.next().await.is_none());
    let refused = bench
        .queue
        .accept(Parcel::new(vec![firing("B")], Vec::new()))
        .await;
    assert!(matches!(refused, Err(AcceptError::Unavailable(_))));
    bench.queue.shutdown().await;
}

#[tokio::test]
async fn identifiers_grow_though_the_clock_goes_back() {
    let bench = Bench::new();
    let first = bench.accept_new(firing("A")).await;
    drop(bench.queue);
    drop(bench.leases);
    let clock = Clock::manual(START_MS - 1_000_000);
    let bench = Bench::again(bench.dir, clock, bench.options, bench.caps);
    let second = bench.accept_new(firing("B")).await;
    assert!(second > first);
    assert_eq!(second.as_raw(), first.as_raw() + 1);
}

#[tokio::test]
async fn a_handler_with_half_of_the_queue_gets_no_more_and_the_others_do() {
    let options = Options {
        queue_depth_max: 4,
        ..Options::default()
    };
    let bench = Bench::with(options, Caps::all(0));
    for started in 0..2 {
        bench.accept_new(firing(&format!("A{started}"))).await;
    }
    let over = bench.accept_new(firing("A3")).await;
    let story = bench.story(over).await;
    assert_eq!(story.delivery.state, State::Dead);
    assert!(story.delivery.last_error.unwrap().starts_with("backlog"));
    for started in 0..2 {
        let mut other = firing(&format!("B{started}"));
        other.plans = vec![plan("other", &["other"])];
        let id = bench.accept_new(other).await;
        assert_eq!(bench.state(id).await, State::Queued);
    }
    let full = bench
        .queue
        .accept(Parcel::new(vec![firing("C")], Vec::new()))
        .await;
    assert_eq!(full, Err(AcceptError::QueueFull(4)));
    let counts = bench.queue.counts();
    assert_eq!((counts.depth, counts.dead), (4, 1));
    assert_eq!(counts.handlers[0].waiting, 2);
}

#[tokio::test]
async fn what_no_route_wants_is_done_and_what_is_no_alert_is_dead() {
    let bench = Bench::new();
    let mut unrouted = firing("A");
    unrouted.plans.clear();
    let refused = Refused {
        error: "alerts[1].labels: a mapping is wanted".into(),
        json: r#"{"labels":7}"#.into(),
        digest: [7; 32],
        alertname: String::new(),
    };
    let receipt = bench
        .queue
        .accept(Parcel::new(vec![unrouted], vec![refused]))
        .await
        .unwrap();
    let Verdict::Accepted(accepted) = &receipt.verdicts[0] else {
        panic!("not accepted");
    };
    let done = bench.story(accepted[0].id).await.delivery;
    assert_eq!(
        (done.state, done.last_error.as_deref()),
        (State::Done, Some("unrouted"))
    );
    assert!(accepted[0].handlers.is_empty());
    let dead = bench.story(receipt.refused[0].id).await;
    assert_eq!(dead.delivery.state, State::Dead);
    assert_eq!(
        dead.alert,
        serde_json::Value::String(r#"{"labels":7}"#.into())
    );
    assert_eq!(dead.delivery.fingerprint, "");
    let again = bench.queue.retry(receipt.refused[0].id, Force::Yes).await;
    assert_eq!(again, Err(RetryError::NoAlert));
}

#[tokio::test]
async fn a_refused_part_that_comes_again_is_kept_once() {
    let mut bench = Bench::new();
    let part = |digest: u8| Refused {
        error: "alerts[1].labels: a mapping is wanted".into(),
        json: r#"{"labels":7}"#.into(),
        digest: [digest; 32],
        alertname: String::new(),
    };
    let post = async |bench: &Bench, digests: &[u8]| {
        let parts = digests.iter().copied().map(part).collect();
        let receipt = bench.queue.accept(Parcel::new(vec![firing("A")], parts));
        receipt.await.unwrap().refused
    };
    let first = post(&bench, &[1, 2, 1]).await;
    let known: Vec<_> = first.iter().map(|kept| kept.is_known).collect();
    assert_eq!(known, [false, false, true]);
    assert_eq!(first[0].id, first[2].id);
    for restart in [false, true] {
        if restart {
            bench = bench.crash();
        }
        let again = post(&bench, &[2, 1]).await;
        assert!(again.iter().all(|kept| kept.is_known));
        assert_eq!((again[0].id, again[1].id), (first[1].id, first[0].id));
        assert_eq!(bench.queue.counts().dead, 2);
    }
}

#[tokio::test]
async fn a_body_larger_than_a_transaction_is_answered_when_all_of_it_is_stored() {
    let bench = Bench::with(Options::default(), Caps::all(0));
    let body: Vec<_> = (0..2_500).map(|i| firing(&format!("A{i}"))).collect();
    let receipt = bench
        .queue
        .accept(Parcel::new(body, Vec::new()))
        .await
        .unwrap();
    assert_eq!(receipt.verdicts.len(), 2_500);
    let bench = bench.crash();
    assert_eq!(bench.queue.counts().depth, 2_500);
}

#[tokio::test]
async fn the_log_does_not_grow_with_what_is_written() {
    let bench = Bench::with(Options::default(), Caps::all(0));
    for body in 0..70 {
        let body = (0..1_000)
            .map(|i| firing(&format!("A{body}-{i}")))
            .collect();
        bench
            .queue
            .accept(Parcel::new(body, Vec::new()))
            .await
            .unwrap();
    }
    let log = bench.path().with_extension("db-wal");
    let (log, store) = (log.metadata().unwrap(), bench.path().metadata().unwrap());
    assert!(
        log.len() < 50 << 20,
        "{} bytes of log, {} of store",
        log.len(),
        store.len()
    );
}

/// A transaction that failed used identifiers that no row has.
#[tokio::test]
async fn identifiers_go_on_after_what_events_are_known_up_to() {
    let bench = Bench::new();
    let far = (START_MS + 3_600_000) << 22;
    bench
        .sql(&format!(
            "INSERT OR REPLACE INTO meta VALUES ('events_before', {far})"
        ))
        .await;
    let bench = bench.crash();
    let id = bench.accept_new(firing("A")).await;
    assert!(id.as_raw() >= far);
    let bench = bench.crash();
    assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
}

#[tokio::test]
async fn lists_are_narrowed_and_paged() {
    let mut bench = Bench::with(Options::default(), Caps::all(1));
    let mut ids = Vec::new();
    for i in 0..5 {
        let mut submission = firing(&format!("A{}", i % 2));
        submission.alert.starts_at += Duration::from_secs(i);
        ids.push(bench.accept_new(submission).await);
        bench.clock.advance(Duration::from_millis(1));
        let leased = bench.lease().await;
        bench.settle(
            &leased,
            if i == 4 {
                Next::Dead("why".into())
            } else {
                Next::Done
            },
        );
        bench.flush().await;
    }
    let list = |filter: Filter| async { bench.queue.list(filter).await.unwrap() };
    let page = list(Filter {
        limit: 2,
        ..Filter::default()
    })
    .await;
    assert_eq!(
        page.deliveries.iter().map(|d| d.id).collect::<Vec<_>>(),
        [ids[4], ids[3]]
    );
    let rest = list(Filter {
        limit: 9,
        before: page.next,
        ..Filter::default()
    })
    .await;
    assert_eq!(
        rest.deliveries.iter().map(|d| d.id).collect::<Vec<_>>(),
        [ids[2], ids[1], ids[0]]
    );
    assert_eq!(rest.next, None);
    let dead = list(Filter {
        state: Some(State::Dead),
        limit: 9,
        ..Filter::default()
    })
    .await;
    assert_eq!(dead.deliveries.len(), 1);
    assert_eq!(dead.deliveries[0].last_error.as_deref(), Some("why"));
    let named = Filter {
        alertname: Some("A1".into()),
        limit: 9,
        ..Filter::default()
    };
    assert_eq!(list(named).await.deliveries.len(), 2);
    let handled = Filter {
        handler: Some("otify".into()),
        limit: 9,
        ..Filter::default()
    };
    assert_eq!(
        list(handled).await.deliveries.len(),
        0,
        "a part of a name is not the name"
    );
    let handled = Filter {
        handler: Some("notify".into()),
        limit: 9,
        ..Filter::default()
    };
    assert_eq!(list(handled).await.deliveries.len(), 5);
    let waiting = Filter {
        state: Some(State::Queued),
        limit: 9,
        ..Filter::default()
    };
    assert_eq!(list(waiting).await.deliveries.len(), 0);
    let fingerprint = Some(alert("A0", 0).fingerprint);
    let same = Filter {
        fingerprint,
        limit: 9,
        ..Filter::default()
    };
    assert_eq!(list(same).await.deliveries.len(), 3);
}

#[tokio::test]
async fn lists_by_labels_come_in_parts_of_bounded_work() {
    let bench = Bench::new();
    let mut ids = Vec::new();
    // Three times as many as are tested for one part here; the wanted ones are the oldest.
    for i in 0..30 {
        bench.clock.advance(Duration::from_millis(1));
        ids.push(bench.accept_new(firing(&format!("A{i}"))).await);
    }
    let list = |before, limit, from, to| {
        let labels =
            LabelTest::new(|labels| matches!(labels.get("alertname"), Some("A0" | "A1" | "A2")));
        let filter = Filter {
            labels: Some(labels),
            before,
            limit,
            from,
            to,
            ..Filter::default()
        };
        let queue = bench.queue.clone();
        async move { queue.list(filter).await.unwrap() }
    };
    let (mut found, mut parts, mut before) = (Vec::new(), 0, None);
    loop {
        let page = list(before, 2, None, None).await;
        found.extend(page.deliveries.iter().map(|d| d.id));
        parts += 1;
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(found, [ids[2], ids[1], ids[0]]);
    assert!(parts > 3, "{parts}");
    let moment = |ms: i64| Some(Timestamp::from_millisecond(START_MS + ms).unwrap());
    let page = list(None, 9, moment(2), moment(3)).await;
    let found: Vec<_> = page.deliveries.iter().map(|d| d.id).collect();
    assert_eq!(found, [ids[1]], "from is included, to is not");
}

#[tokio::test]
async fn seeds_are_a_steps_own_and_outlive_the_process() {
    let bench = Bench::new();
    let id = DeliveryId::from_raw(7);
    let seed = bench.queue.seed(id, 0);
    assert_ne!(seed, bench.queue.seed(id, 1));
    assert_ne!(
        seed,
        Bench::new().queue.seed(id, 0),
        "each store has its own"
    );
    let bench = bench.crash();
    assert_eq!(bench.queue.seed(id, 0), seed);
}

#[tokio::test]
async fn leases_with_nothing_to_tell_leave_nothing_behind() {
    let mut bench = Bench::new();
    let id = bench.accept_new(firing("A")).await;
    for _ in 0..5 {
        let leased = bench.lease().await;
        let handler = name("notify");
        let mut settlement = settlement(&leased, Next::Yield { handler });
        settlement.story = None;
        bench.queue.release_slot(&leased.handler);
        bench.queue.settle(settlement);
    }
    bench.lease().await;
    let store = rusqlite::Connection::open(bench.path()).unwrap();
    let runs = store.query_one("SELECT count(*), max(lease) FROM runs", [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
    });
    assert_eq!(runs.unwrap(), (1, 5));
    assert_eq!(bench.story(id).await.progress.attempts(), 5);
}

#[tokio::test]
async fn a_refused_part_whose_dead_letter_was_removed_is_kept_and_reported_anew() {
    let bench = Bench::new();
    let post = async || {
        let refused = Refused {
            error: "no alert".into(),
            json: "1".into(),
            digest: [7; 32],
            alertname: String::new(),
        };
        let receipt = bench.queue.accept(Parcel::new(Vec::new(), vec![refused]));
        receipt.await.unwrap().refused.remove(0)
    };
    let first = post().await;
    bench.remove(first.id).await;
    let second = post().await;
    assert!(!second.is_known && second.id != first.id);
    assert_eq!(bench.state(second.id).await, State::Dead);
    let third = post().await;
    assert!(third.is_known && third.id == second.id);
}

#[tokio::test]
async fn the_story_of_a_cancelled_one_that_was_removed_is_not_stored() {
    let mut bench = Bench::new();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    bench.queue.cancel(id).await.unwrap();
    bench.remove(id).await;
    bench.settle(&leased, Next::Done);
    bench.flush().await;
    let conn = rusqlite::Connection::open(bench.path()).unwrap();
    let runs: i64 = conn
        .query_one("SELECT count(*) FROM runs", [], |row| row.get(0))
        .unwrap();
    assert_eq!(runs, 0);
}
