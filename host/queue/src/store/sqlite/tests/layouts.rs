//! Stores of every earlier layout: each is opened, and the deliveries in it run to their end.

use rusqlite::Connection;

use super::*;

const LAYOUTS: [&str; 7] = [
    include_str!("layouts/1.sql"),
    include_str!("layouts/2.sql"),
    include_str!("layouts/3.sql"),
    include_str!("layouts/4.sql"),
    include_str!("layouts/5.sql"),
    include_str!("layouts/6.sql"),
    include_str!("layouts/7.sql"),
];

/// The deliveries of the fixtures.
fn id(n: i64) -> DeliveryId {
    DeliveryId::from_raw((START_MS << 22) + n)
}

/// Opens a store that these statements make, on a clock an hour after they did.
fn opened(statements: &str) -> Harness {
    let bench = SqliteBench::new(Sizes::Small);
    let conn = Connection::open(bench.path()).unwrap();
    conn.execute_batch(statements).unwrap();
    drop(conn);
    let clock = Clock::manual(from_millis(START_MS + 3_600_000));
    Harness::at(bench, clock, Options::default(), Caps::all(1))
}

#[tokio::test]
async fn a_store_of_every_layout_opens_and_what_was_left_in_it_runs_to_the_end() {
    for (layout, statements) in (1..).zip(LAYOUTS) {
        let mut bench = opened(statements);
        let copy = bench
            .bench
            .folder()
            .join(format!("store.db.layout-{layout}"));
        assert!(copy.exists(), "layout {layout}");
        let counts = bench.queue.counts();
        assert_eq!((counts.depth, counts.dead), (4, 1), "layout {layout}");
        assert_eq!(bench.state(id(1)).await, State::Done);
        let dead = bench.story(id(2)).await;
        assert_eq!(dead.delivery.state, State::Dead);
        assert_eq!(dead.delivery.attempts, 2);
        assert_eq!(dead.delivery.reason, Some(Reason::Failed));
        assert_eq!(dead.delivery.last_error.as_deref(), Some("gave up"));
        // Events are remembered, so a re-send is a duplicate.
        assert_eq!(bench.accept(firing("Done")).await, DUPLICATE);
        assert_eq!(bench.accept(resolved("Waits")).await, DUPLICATE);

        bench.queue.retry(id(2), Force::No).await.unwrap();
        let mut order = Vec::new();
        for _ in 0..5 {
            let leased = bench.lease().await;
            if leased.id == id(2) {
                let recorded = bench.queue.recorded(id(2), 1).await.unwrap();
                assert_eq!(recorded.entries.len(), 1, "its effect is not repeated");
                assert_eq!(leased.progress.steps[0].status, StepStatus::Done);
            }
            let alert = &leased.alert;
            assert_eq!(alert.annotations.get("summary"), Some("kept"));
            assert_eq!(alert.origin.group_key.as_deref(), Some("{}:{}"));
            let kept = bench.ledger(&leased, 0).kv_get("message".into()).await;
            assert_eq!(kept, Ok(Some(b"hi".to_vec())));
            order.push(leased.id);
            bench.settle(&leased, Next::Done);
            bench.flush().await;
        }
        let at = |n| order.iter().position(|known| *known == id(n)).unwrap();
        assert!(at(5) < at(6), "its resolved does not overtake: {order:?}");
        let counts = bench.queue.counts();
        assert_eq!((counts.depth, counts.dead), (0, 0), "layout {layout}");
        let bench = bench.restart().await;
        for n in 1..=6 {
            assert_eq!(bench.state(id(n)).await, State::Done, "layout {layout}");
        }
    }
}

/// The seventh layout had rows of history for what is stored too. They stay, and nothing is found twice.
#[tokio::test]
async fn a_store_of_the_seventh_layout_keeps_its_history_and_adds_to_it() {
    let mut bench = opened(LAYOUTS[6]);
    let asked = Earlier {
        same: vec!["alertname".into()],
        since: from_millis(START_MS - 90 * 86_400_000),
    };
    let earlier = async |bench: &mut Harness, alertname: &str| {
        let seconds = 1_000 + bench.commits();
        let own = bench.accept_new(started(firing(alertname), seconds)).await;
        loop {
            let leased = bench.lease().await;
            let ledger = bench.ledger(&leased, 0);
            let past = ledger.earlier(asked.clone()).await.unwrap();
            bench.settle(&leased, Next::Done);
            bench.flush().await;
            if leased.id == own {
                return past;
            }
        }
    };
    let first = earlier(&mut bench, "Done").await;
    let at = |past: &Past| {
        past.occurrences
            .iter()
            .map(|one| one.delivery)
            .collect::<Vec<_>>()
    };
    assert_eq!(at(&first)[0], id(1));
    assert!(first.occurrences[1].ends_at.is_some());
    assert_eq!(first.count, 2);
    assert_eq!(earlier(&mut bench, "Done").await.count, 3);
    // What is removed of the time before is dead if it was.
    bench.remove(id(2)).await;
    let dead = earlier(&mut bench, "Dead").await;
    assert_eq!(
        (at(&dead), dead.occurrences[0].state.as_str()),
        (vec![id(2)], "dead")
    );
}

/// Earlier versions leased deliveries before a permit was free, and stored them in a state of their own.
#[tokio::test]
async fn what_an_earlier_version_prefetched_waits_again_and_no_death_counts_against_it() {
    for beside_one_that_ran in [false, true] {
        let bench = Harness::with(Options::default(), Caps::all(0));
        let other = bench.accept_new(firing("A")).await;
        let prefetched = bench.accept_new(firing("B")).await;
        let store = |id: DeliveryId, state: i64| {
            let id = id.as_raw();
            let sql = format!("UPDATE deliveries SET state = {state}, leases = 1 WHERE id = {id}");
            bench.bench.execute(&sql, []);
        };
        store(prefetched, -1);
        if beside_one_that_ran {
            store(other, 1);
        }
        let mut bench = bench.crash();
        let recovered = bench.queue.recovered();
        assert_eq!(recovered.last_end, LastEnd::Crash);
        assert_eq!(recovered.under_lease, 1 + u64::from(beside_one_that_ran));
        assert_eq!(bench.state(prefetched).await, State::Queued);
        bench.set_caps(Caps::all(1));
        for _ in 0..2 {
            let leased = bench.lease().await;
            let ran = beside_one_that_ran && leased.id == other;
            let was_leased = ran || leased.id == prefetched;
            assert_eq!(
                (leased.lease.number, leased.after_crash),
                (1 + u32::from(was_leased), ran)
            );
            assert_eq!(bench.bench.peek(leased.id).unwrap().deaths, 0);
            bench.settle(&leased, Next::Done);
            bench.flush().await;
        }
        assert_eq!(bench.state(prefetched).await, State::Done);
    }
}

/// A transaction that failed used identifiers that no row has.
#[tokio::test]
async fn identifiers_go_on_after_what_events_are_known_up_to() {
    let bench = Harness::new();
    let far = (START_MS + 3_600_000) << 22;
    let sql = "INSERT OR REPLACE INTO meta VALUES ('events_before', ?1)";
    bench.bench.execute(sql, [far]);
    let bench = bench.crash();
    let id = bench.accept_new(firing("A")).await;
    assert!(id.as_raw() >= far);
    let bench = bench.crash();
    assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
}

#[tokio::test]
async fn deaths_of_the_time_before_are_reported_unless_they_were() {
    let mut bench = Harness::new().reporting();
    let known = bench.die("Known").await;
    bench.flush().await;
    bench.queue.set_dead_letters(None);
    let unknown = bench.die("Unknown").await;
    bench.flush().await;
    // As a store of the second layout comes out of its upgrade.
    let until = bench.clock.now().as_millisecond();
    bench.bench.execute("DELETE FROM unreported", []);
    let sql = "INSERT INTO meta VALUES ('earlier_deaths_until', ?1)";
    bench.bench.execute(sql, [until]);
    let bench = bench.crash().reporting();
    eventually(async || bench.reported().await.len() == 2).await;
    assert_eq!(
        bench.reported().await,
        [format!("one {known}"), format!("one {unknown}")]
    );
}

#[tokio::test]
async fn what_a_newer_version_waited_for_is_no_reason_to_die() {
    let mut bench = Harness::new();
    let id = bench.accept_new(firing("A")).await;
    bench.run_to_a_wait().await;
    let sql = r#"UPDATE runs SET progress = replace(progress, '"traps"', '"waits_for":"pager x\nslack","traps"')"#;
    bench.bench.execute(sql, []);
    let story = bench.story(id).await;
    assert_eq!(story.progress.waits_for(), [Dependency::Slack]);
    let sql = "UPDATE deliveries SET waits_for = 'pager x'";
    bench.bench.execute(sql, []);
    bench.advance(Duration::from_secs(600));
    let leased = bench.lease().await;
    assert_eq!(leased.id, id);
    bench.settle(&leased, Next::Done);
    bench.flush().await;
    assert_eq!(bench.state(id).await, State::Done);
}
