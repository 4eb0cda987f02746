//! A firing after its resolved is the next occurrence of its event, which starts from nothing.

use super::prelude::*;

impl<B: Bench> Harness<B> {
    /// Returns the occurrence of a delivery as its handlers see it: absent for the first.
    async fn occurrence(&self, id: DeliveryId) -> Option<String> {
        let alert: Alert = serde_json::from_value(self.story(id).await.alert).unwrap();
        alert.origin.extra.get(OCCURRENCE).map(str::to_owned)
    }

    async fn starts_at(&self, id: DeliveryId) -> Timestamp {
        let alert: Alert = serde_json::from_value(self.story(id).await.alert).unwrap();
        alert.starts_at
    }
}

pub(super) async fn a_firing_after_its_resolved_is_the_next_occurrence_with_a_resolved_of_its_own<
    B: Bench,
>() {
    let mut bench = Harness::<B>::small(Caps::all(8));
    let mut last = None;
    for occurrence in 1..=4 {
        let noted = (occurrence > 1).then(|| occurrence.to_string());
        for submission in [firing("A"), resolved("A")] {
            let id = bench.accept_new(submission.clone()).await;
            assert!(last < Some(id));
            assert_eq!(bench.occurrence(id).await, noted);
            assert_eq!(bench.accept(submission.clone()).await, DUPLICATE);
            let leased = bench.lease().await;
            let of_lease = leased.alert.origin.extra.get(OCCURRENCE);
            assert_eq!((leased.id, of_lease), (id, noted.as_deref()));
            bench.settle(&leased, Next::Done);
            bench.flush().await;
            bench = match occurrence {
                1 => bench.crash(),
                2 => bench.restart().await,
                _ => bench,
            };
            assert_eq!(bench.accept(submission).await, DUPLICATE);
            last = Some(id);
        }
    }
}

pub(super) async fn occurrences_run_in_order<B: Bench>() {
    let mut bench = Harness::<B>::small(Caps::all(8));
    let mut expected = Vec::new();
    for _ in 0..2 {
        expected.push(bench.accept_new(firing("A")).await);
        expected.push(bench.accept_new(resolved("A")).await);
    }
    for id in expected {
        assert_eq!(bench.run(Next::Done).await, id);
    }
}

pub(super) async fn a_firing_that_never_ran_is_stale_for_five_minutes<B: Bench>() {
    let bench = Harness::<B>::small(Caps::all(8));
    bench.accept_new(resolved("A")).await;
    let bench = bench.crash();
    bench.clock.advance(Duration::from_millis(299_999));
    assert_eq!(bench.accept(resolved("A")).await, DUPLICATE);
    assert_eq!(bench.accept(firing("A")).await, Verdict::Stale);
    bench.clock.advance(Duration::from_millis(1));
    let id = bench.accept_new(firing("A")).await;
    assert_eq!(bench.occurrence(id).await.as_deref(), Some("2"));
    assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
}

pub(super) async fn a_clock_that_is_set_back_makes_no_firing_stale_for_long<B: Bench>() {
    let bench = Harness::<B>::small(Caps::all(8));
    bench.accept_new(resolved("A")).await;
    bench
        .clock
        .set_time_of_day(from_millis(START_MS - 86_400_000));
    let bench = bench.crash();
    bench.accept_new(firing("A")).await;
}

pub(super) async fn each_occurrence_counts_its_own_duplicates_and_reminds_by_its_own_time<
    B: Bench,
>() {
    let mut bench = Harness::<B>::small(Caps::all(8));
    let first = bench.accept_new(firing("A")).await;
    bench.accept(firing("A")).await;
    bench.run(Next::Done).await;
    bench.accept_new(resolved("A")).await;
    bench.run(Next::Done).await;
    let repeat_after = firing("A").plans[0].repeat_after;
    bench.clock.advance(repeat_after / 2);
    let second = bench.accept_new(firing("A")).await;
    bench.run(Next::Done).await;
    bench.clock.advance(repeat_after / 2);
    for _ in 0..2 {
        assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
    }
    let mut bench = bench.restart().await;
    assert_eq!(bench.story(first).await.duplicates, 1);
    assert_eq!(bench.story(second).await.duplicates, 2);
    bench.clock.advance(repeat_after / 2);
    let reminder = bench.accept_new(firing("A")).await;
    assert_eq!(bench.occurrence(reminder).await.as_deref(), Some("2"));
    assert_eq!(bench.run(Next::Done).await, reminder);
}

pub(super) async fn a_dead_one_of_an_earlier_occurrence_is_not_revived_by_a_later<B: Bench>() {
    let mut bench = Harness::<B>::small(Caps::all(8));
    let first = bench.accept_new(firing("A")).await;
    bench.run(Next::Dead("why".into())).await;
    bench.accept_new(resolved("A")).await;
    bench.run(Next::Done).await;
    let second = bench.accept_new(firing("A")).await;
    assert_ne!(first, second);
    bench.run(Next::Dead("why".into())).await;
    assert_eq!(bench.accept_new(firing("A")).await, second);
    assert_eq!(bench.state(first).await, State::Dead);
}

pub(super) async fn a_sender_cannot_note_an_occurrence<B: Bench>() {
    let bench = Harness::<B>::small(Caps::all(8));
    for (alertname, note) in [("A", "9"), ("B", "many")] {
        let mut forged = firing(alertname);
        let extra = [(OCCURRENCE, note), ("title", "T")];
        forged.alert.origin.extra = extra.into_iter().collect();
        let id = bench.accept_new(forged).await;
        assert_eq!(bench.occurrence(id).await, None);
        assert_eq!(bench.accept(firing(alertname)).await, DUPLICATE);
    }
}

pub(super) async fn a_resolved_with_a_start_of_nobody_s_ends_the_one_firing_that_is_open<
    B: Bench,
>() {
    let mut bench = Harness::<B>::small(Caps::all(8));
    let began = firing("A").alert.starts_at;
    // Firings that have ended do not count.
    bench.accept_new(started(firing("A"), 50)).await;
    bench.run(Next::Done).await;
    bench.accept_new(started(resolved("A"), 50)).await;
    bench.run(Next::Done).await;
    bench.accept_new(firing("A")).await;
    bench.run(Next::Done).await;
    let moved = started(resolved("A"), 600);
    let id = bench.accept_new(moved.clone()).await;
    let leased = bench.lease().await;
    assert_eq!((leased.id, leased.alert.starts_at), (id, began));
    bench.settle(&leased, Next::Done);
    bench.flush().await;
    assert_eq!(bench.accept(moved.clone()).await, DUPLICATE);
    assert_eq!(bench.accept(resolved("A")).await, DUPLICATE);
    let bench = bench.crash();
    assert_eq!(bench.accept(moved.clone()).await, DUPLICATE);
    let bench = bench.restart().await;
    assert_eq!(bench.accept(moved.clone()).await, DUPLICATE);
    let since_the_crash = 2;
    let before = if B::FORGETS_DUPLICATES { 0 } else { 2 };
    let duplicates = bench.story(id).await.duplicates;
    assert_eq!(duplicates, before + since_the_crash);
    // Its earlier `startsAt` may still become that of a firing.
    let later = bench.accept_new(started(firing("A"), 600)).await;
    assert_eq!(bench.occurrence(later).await, None);
    let its_end = bench.accept_new(moved).await;
    assert_eq!(
        bench.starts_at(its_end).await,
        started(firing("A"), 600).alert.starts_at
    );
    let bench = bench.crash();
    for ended in [firing("A"), started(firing("A"), 600)] {
        let again = bench.accept_new(ended).await;
        assert_eq!(bench.occurrence(again).await.as_deref(), Some("2"));
    }
}

pub(super) async fn what_replaces_another_name_of_an_event_is_known_to_the_rest_of_its_body<
    B: Bench,
>() {
    for (rest, expected) in [
        (resolved("A"), vec![true, false]),
        (firing("A"), vec![true, true]),
    ] {
        let mut bench = Harness::<B>::small(Caps::all(8));
        bench.accept_new(firing("A")).await;
        bench.run(Next::Done).await;
        // It ends the open firing, so its `startsAt` is an alias. Then a firing has the same `startsAt`.
        bench.accept_new(started(resolved("A"), 600)).await;
        bench.run(Next::Done).await;
        bench.accept_new(started(firing("A"), 600)).await;
        bench.run(Next::Done).await;
        let body = vec![started(resolved("A"), 600), started(rest, 600)];
        let accepted = bench.queue.accept(Parcel::new(body, Vec::new())).await;
        let verdicts = accepted.unwrap().verdicts;
        let is_new = |verdict: &Verdict| matches!(verdict, Verdict::Accepted(_));
        let is_new: Vec<_> = verdicts.iter().map(is_new).collect();
        assert_eq!(is_new, expected, "{verdicts:?}");
    }
}

pub(super) async fn a_resolved_that_may_end_several_firings_or_none_is_an_event_of_its_own<
    B: Bench,
>() {
    let bench = Harness::<B>::small(Caps::all(8));
    let none = started(resolved("A"), 5);
    let id = bench.accept_new(none.clone()).await;
    assert_eq!(bench.starts_at(id).await, none.alert.starts_at);
    bench.accept_new(firing("B")).await;
    bench.accept_new(started(firing("B"), 1)).await;
    let either = started(resolved("B"), 5);
    let id = bench.accept_new(either.clone()).await;
    assert_eq!(bench.starts_at(id).await, either.alert.starts_at);
    let bench = bench.restart().await;
    assert_eq!(bench.accept(either).await, DUPLICATE);
    bench.accept_new(resolved("B")).await;
    let the_other = started(resolved("B"), 7);
    let id = bench.accept_new(the_other).await;
    assert_eq!(
        bench.starts_at(id).await,
        started(firing("B"), 1).alert.starts_at
    );
}

pub(super) async fn a_resolved_without_a_start_ends_the_occurrence_that_is_open<B: Bench>() {
    let bench = Harness::<B>::small(Caps::all(8));
    bench.accept_new(firing("A")).await;
    bench.accept_new(resolved("A")).await;
    bench.accept_new(firing("A")).await;
    let bench = bench.restart().await;
    let mut undated = started(resolved("A"), 90);
    undated.starts_at_missing = true;
    let id = bench.accept_new(undated).await;
    assert_eq!(bench.starts_at(id).await, firing("A").alert.starts_at);
    assert_eq!(bench.occurrence(id).await.as_deref(), Some("2"));
}
