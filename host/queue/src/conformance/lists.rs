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

pub(super) async fn what_no_index_finds_is_looked_for_in_parts_that_say_how_far_back<B: Bench>() {
    let mut options = Options::default();
    options.bounds.scan_max = Duration::ZERO;
    let bench = Harness::<B>::with(options, Caps::all(0));
    let wanted = |n: usize| n.is_multiple_of(700);
    let mut ids = Vec::new();
    for part in 0..3 {
        bench.clock.advance(Duration::from_millis(1));
        let mut submissions = Vec::new();
        for n in part * 700..(part + 1) * 700 {
            let mut submission = firing(&format!("A{}", n % 2));
            submission.alert.starts_at += Duration::from_secs(n as u64);
            let route = if wanted(n) { "rare" } else { "usual" };
            submission.plans = vec![plan(route, &["notify"])];
            submissions.push(submission);
        }
        let receipt = bench
            .queue
            .accept(Parcel::new(submissions, Vec::new()))
            .await
            .unwrap();
        for verdict in receipt.verdicts {
            let Verdict::Accepted(accepted) = verdict else {
                panic!("each is new");
            };
            ids.push(accepted[0].id);
        }
    }
    let rare: Vec<_> = (0..ids.len())
        .rev()
        .filter(|n| wanted(*n))
        .map(|n| ids[n])
        .collect();
    for alertname in [None, Some("A0".to_owned())] {
        let (mut found, mut parts, mut before) = (Vec::new(), 0, None);
        let mut back_to = Timestamp::MAX;
        loop {
            let filter = Filter {
                route: Some("rare".into()),
                alertname: alertname.clone(),
                limit: 100,
                before,
                ..Filter::default()
            };
            let page = bench.queue.list(filter).await.unwrap();
            found.extend(page.deliveries.iter().map(|delivery| delivery.id));
            parts += 1;
            assert_eq!(page.next.is_some(), page.looked_back_to.is_some());
            let (Some(next), Some(looked)) = (page.next, page.looked_back_to) else {
                break;
            };
            assert!(looked <= back_to && before.is_none_or(|before| next < before));
            (before, back_to) = (Some(next), looked);
        }
        assert_eq!(found, rare, "{alertname:?}");
        assert!(parts > 2, "{parts}");
    }
}

pub(super) async fn a_list_finds_labels_that_have_to_be_equal_and_deliveries_of_one_fingerprint<
    B: Bench,
>() {
    let bench = Harness::<B>::small(Caps::all(0));
    let mut ids = Vec::new();
    for n in 0..12_u64 {
        let mut submission = started(firing("A"), n);
        let pod = format!("p{}", n % 3);
        let labels = [("alertname", "A"), ("pod", pod.as_str())];
        submission.alert.labels = labels.into_iter().collect();
        submission.alert.fingerprint = Fingerprint::of(&submission.alert.labels);
        ids.push(bench.accept_new(submission).await);
        bench.clock.advance(Duration::from_millis(1));
    }
    let list = async |filter: Filter| {
        let page = bench
            .queue
            .list(Filter {
                limit: 100,
                ..filter
            })
            .await
            .unwrap();
        assert_eq!(page.next, None);
        page.deliveries
            .iter()
            .map(|delivery| delivery.id)
            .collect::<Vec<_>>()
    };
    let of_pod = |wanted: usize| -> Vec<_> {
        let all = ids.iter().enumerate().rev();
        all.filter(|(n, _)| n % 3 == wanted)
            .map(|(_, id)| *id)
            .collect()
    };
    let test = LabelTest::new(|labels| labels.get("pod") == Some("p1")).has("pod", "p1");
    let labels = Some(test);
    assert_eq!(
        list(Filter {
            labels,
            ..Filter::default()
        })
        .await,
        of_pod(1)
    );
    // One that says more than it tests is believed: the others are not even read.
    let none = LabelTest::new(|_| true).has("pod", "p9");
    let labels = Some(none);
    assert_eq!(
        list(Filter {
            labels,
            ..Filter::default()
        })
        .await,
        []
    );
    let labels: Labels = [("alertname", "A"), ("pod", "p2")].into_iter().collect();
    let fingerprint = Some(Fingerprint::of(&labels));
    assert_eq!(
        list(Filter {
            fingerprint,
            ..Filter::default()
        })
        .await,
        of_pod(2)
    );
    // The same alert before this one.
    let before = Some(of_pod(2)[1]);
    let earlier = Filter {
        fingerprint,
        before,
        alertname: Some("A".into()),
        ..Filter::default()
    };
    assert_eq!(list(earlier).await, of_pod(2)[2..]);
}

pub(super) async fn lists_of_a_time_begin_and_end_there<B: Bench>() {
    let bench = Harness::<B>::new();
    let mut ids = Vec::new();
    for n in 0..6 {
        ids.push(bench.accept_new(firing(&format!("A{n}"))).await);
        bench.clock.advance(Duration::from_secs(2 * 3_600));
    }
    // The time of day is set back: what comes now was accepted before the last of them, and is listed after it.
    bench
        .clock
        .set_time_of_day(from_millis(START_MS + 9 * 3_600_000));
    let late = bench.accept_new(firing("Late")).await;
    let list = async |from: i64, to: i64| {
        let hour = |hours: i64| Some(from_millis(START_MS + hours * 3_600_000));
        let filter = Filter {
            from: hour(from),
            to: hour(to),
            limit: 100,
            ..Filter::default()
        };
        let page = bench.queue.list(filter).await.unwrap();
        page.deliveries
            .iter()
            .map(|delivery| delivery.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(list(2, 6).await, [ids[2], ids[1]]);
    assert_eq!(list(9, 10).await, [late]);
    assert_eq!(list(8, 100).await, [late, ids[5], ids[4]]);
    assert_eq!(list(100, 200).await, []);
}

pub(super) async fn what_waits_is_listed_by_what_it_waits_for<B: Bench>() {
    let mut bench = Harness::<B>::with(Options::default(), Caps::all(1));
    let [runs, first, second] = [
        bench.accept_new(firing("A")).await,
        bench.accept_new(firing("B")).await,
        bench.accept_new(firing("C")).await,
    ];
    let leased = bench.lease().await;
    assert_eq!(leased.id, runs);
    let list = async |filter: Filter| {
        let page = bench.queue.list(filter).await.unwrap();
        let ids: Vec<_> = page.deliveries.iter().map(|one| one.id).collect();
        (ids, page.next)
    };
    let waits = |waits| Filter {
        waits: Some(waits),
        limit: 10,
        ..Filter::default()
    };
    assert_eq!(
        list(waits(Waits::Permit)).await,
        (vec![second, first], None)
    );
    let of_one = Filter {
        alertname: Some("B".into()),
        ..waits(Waits::Permit)
    };
    assert_eq!(list(of_one).await, (vec![first], None));
    let one = Filter {
        limit: 1,
        ..waits(Waits::Permit)
    };
    assert_eq!(list(one.clone()).await, (vec![second], Some(second)));
    let next = Filter {
        before: Some(second),
        ..one
    };
    assert_eq!(list(next).await, (vec![first], None));
    for other in [Waits::Gate, Waits::Time, Waits::Representative] {
        assert_eq!(list(waits(other)).await, (vec![], None), "{other:?}");
    }
}

pub(super) async fn a_list_goes_back_to_newer_pages_the_way_it_came<B: Bench>() {
    for scan_max in [Duration::from_secs(60), Duration::ZERO] {
        let mut options = Options::default();
        options.bounds.scan_max = scan_max;
        let bench = Harness::<B>::with(options, Caps::all(0));
        let mut submissions = Vec::new();
        for n in 0..1_203 {
            let mut submission = firing(&format!("A{}", n % 2));
            submission.alert.starts_at += Duration::from_secs(n);
            submissions.push(submission);
        }
        let parcel = Parcel::new(submissions, Vec::new());
        let receipt = bench.queue.accept(parcel).await.unwrap();
        let mut ids: Vec<_> = receipt
            .verdicts
            .into_iter()
            .step_by(2)
            .map(|verdict| match verdict {
                Verdict::Accepted(accepted) => accepted[0].id,
                _ => panic!("each is new"),
            })
            .collect();
        ids.reverse();
        let list = async |before, after| {
            let filter = Filter {
                alertname: Some("A0".into()),
                limit: 100,
                before,
                after,
                ..Filter::default()
            };
            let page = bench.queue.list(filter).await.unwrap();
            let found: Vec<_> = page.deliveries.iter().map(|one| one.id).collect();
            (found, page)
        };
        let (first, page) = list(None, None).await;
        assert_eq!((&first[..], page.previous), (&ids[..100], None));
        let (mut seen, mut page) = (first.len(), page);
        while let Some(next) = page.next {
            let (found, next_page) = list(Some(next), None).await;
            assert_eq!(found, ids[seen..seen + found.len()]);
            let (newer, _) = list(None, next_page.previous).await;
            assert!(ids[..seen].ends_with(&newer), "{newer:?}");
            assert!(!newer.is_empty());
            seen += found.len();
            page = next_page;
        }
        assert_eq!(seen, ids.len());
        // All the way back from the oldest one.
        let (mut back, mut after) = (vec![ids[ids.len() - 1]], ids.last().copied());
        while let Some(from) = after {
            let (found, page) = list(None, Some(from)).await;
            assert!(page.next > Some(from), "older ones are reached from it");
            back.splice(0..0, found);
            after = page.previous;
        }
        assert_eq!(back, ids);
    }
}

pub(super) async fn what_waits_is_listed_towards_newer_ones_too<B: Bench>() {
    let bench = Harness::<B>::with(Options::default(), Caps::all(0));
    let mut ids = Vec::new();
    for name in ["A", "B", "C", "D"] {
        ids.push(bench.accept_new(firing(name)).await);
    }
    let filter = Filter {
        waits: Some(Waits::Permit),
        after: Some(ids[0]),
        limit: 2,
        ..Filter::default()
    };
    let page = bench.queue.list(filter).await.unwrap();
    let found: Vec<_> = page.deliveries.iter().map(|one| one.id).collect();
    assert_eq!(found, [ids[2], ids[1]]);
    assert_eq!(page.previous, Some(ids[2]));
}

pub(super) async fn a_list_leaves_out_what_had_ended_before<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let [early, late] = [
        bench.accept_new(firing("A")).await,
        bench.accept_new(firing("B")).await,
    ];
    bench.run(Next::Done).await;
    bench.clock.advance(Duration::from_secs(3_600));
    let ended_from = Some(bench.clock.now());
    bench.run(Next::Dead("why".into())).await;
    bench.set_caps(Caps::all(0));
    let open = bench.accept_new(firing("C")).await;
    let list = async |filter: Filter| {
        let page = bench.queue.list(filter).await.unwrap();
        let found = page.deliveries.iter().map(|one| one.id);
        found.collect::<Vec<_>>()
    };
    let all = Filter {
        limit: 9,
        ..Filter::default()
    };
    assert_eq!(list(all.clone()).await, [open, late, early]);
    let since = Filter { ended_from, ..all };
    assert_eq!(list(since.clone()).await, [open, late]);
    let dead = Filter {
        state: Some(State::Dead),
        ..since
    };
    assert_eq!(list(dead).await, [late]);
}

pub(super) async fn outlines_have_effects_and_leave_out_what_is_not_stored<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let first = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    let read = Entry {
        effect: false,
        ..entry(2)
    };
    let ledger = bench.ledger(&leased, 0);
    ledger.record(vec![entry(0), entry(1), read]).await.unwrap();
    bench.settle(&leased, Next::Done);
    bench.flush().await;
    let second = bench.accept_new(firing("B")).await;
    let unknown = DeliveryId::from_raw(second.as_raw() + 1);
    let outlines = bench.queue.outlines(vec![second, unknown, first]).await;
    let found: Vec<_> = outlines
        .unwrap()
        .into_iter()
        .map(|one| (one.delivery.id, one.effects))
        .collect();
    let expected = [(second, vec![]), (first, vec![(CallKind::Slack, 2)])];
    assert_eq!(found, expected);
}
