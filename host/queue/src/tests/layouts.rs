//! Stores of every layout that there has been: each opens, and what was left in it runs to the end.

use super::*;

const LAYOUTS: [&str; 4] = [
    include_str!("layouts/1.sql"),
    include_str!("layouts/2.sql"),
    include_str!("layouts/3.sql"),
    include_str!("layouts/4.sql"),
];

/// The deliveries of the fixtures.
fn id(n: i64) -> DeliveryId {
    DeliveryId::from_raw((START_MS << 22) + n)
}

/// Opens a store that these statements make, on a clock an hour after they did.
fn opened(statements: &str) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let conn = rusqlite::Connection::open(path).unwrap();
    conn.execute_batch(statements).unwrap();
    drop(conn);
    let clock = Clock::manual(START_MS + 3_600_000);
    Bench::again(dir, clock, Options::default(), Caps::all(1))
}

#[tokio::test]
async fn a_store_of_every_layout_opens_and_what_was_left_in_it_runs_to_the_end() {
    for (layout, statements) in (1..).zip(LAYOUTS) {
        let mut bench = opened(statements);
        let copy = bench.dir.path().join(format!("store.db.layout-{layout}"));
        assert!(copy.exists(), "layout {layout}");
        let counts = bench.queue.counts();
        assert_eq!((counts.depth, counts.dead), (4, 1), "layout {layout}");
        assert_eq!(bench.state(id(1)).await, State::Done);
        let dead = bench.story(id(2)).await;
        assert_eq!(dead.delivery.state, State::Dead);
        assert_eq!(dead.delivery.attempts, 2);
        assert_eq!(dead.delivery.reason, Some(Reason::Failed));
        assert_eq!(dead.delivery.last_error.as_deref(), Some("gave up"));
        // What is known of events is kept: a re-send is a duplicate.
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
            let kept = bench.ledger(&leased).kv_get("message".into()).await;
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
