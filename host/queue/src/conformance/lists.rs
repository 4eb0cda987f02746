//! Lists are filtered and paged, and take a bounded amount of work.

use super::prelude::*;

pub(super) async fn lists_are_narrowed_and_paged<B: Bench>() {
    let mut bench = Harness::<B>::with(Options::default(), Caps::all(1));
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

pub(super) async fn lists_by_labels_come_in_parts_of_bounded_work<B: Bench>() {
    let mut options = Options::default();
    options.bounds.labels_tested_max = 10;
    let bench = Harness::<B>::with(options, Caps::all(8));
    let mut ids = Vec::new();
    // Three times as many as are tested for one part; the wanted ones are the oldest.
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
