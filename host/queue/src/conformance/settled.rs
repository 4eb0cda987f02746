//! Settled deliveries are reported in order once they are stored. Reports that nobody received are counted.

use super::prelude::*;

pub(super) async fn what_is_settled_is_reported_in_order_as_it_is_listed<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let mut reports = bench.queue.settled();
    let done = bench.accept_new(firing("Done")).await;
    bench.run(Next::Done).await;
    let dead = bench.accept_new(firing("Dead")).await;
    bench.run(Next::Dead("why".into())).await;
    let mut unrouted = firing("Unrouted");
    unrouted.plans.clear();
    let unrouted = bench.accept_new(unrouted).await;
    for id in [done, dead, unrouted] {
        let report = reports.recv().await.unwrap();
        assert_eq!(report.missed, 0);
        let listed = bench.story(id).await.delivery;
        assert_eq!(report.deliveries, [listed]);
    }
    bench.queue.shutdown().await;
    assert!(reports.recv().await.is_none(), "it ends with the queue");
}

pub(super) async fn a_transaction_that_fails_reports_nothing<B: Bench>() {
    let mut bench = Harness::<B>::new();
    let mut reports = bench.queue.settled();
    let id = bench.accept_new(firing("A")).await;
    let leased = bench.lease().await;
    bench.flush().await;
    bench.fail_writes(true);
    bench.settle(&leased, Next::Done);
    eventually(async || bench.queue.unwritable().is_some()).await;
    assert!(reports.try_recv().is_err());
    bench.fail_writes(false);
    let report = reports.recv().await.unwrap();
    assert_eq!(report.deliveries[0].id, id);
}

pub(super) async fn reports_that_nobody_takes_are_counted<B: Bench>() {
    let mut options = Options::default();
    options.bounds.settled_reports_max = 1;
    let mut bench = Harness::<B>::with(options, Caps::all(8));
    let mut reports = bench.queue.settled();
    let mut settle = async |alertname: &str| {
        let id = bench.accept_new(firing(alertname)).await;
        bench.run(Next::Done).await;
        id
    };
    let first = settle("A").await;
    settle("B").await;
    settle("C").await;
    let report = reports.recv().await.unwrap();
    assert_eq!((report.deliveries[0].id, report.missed), (first, 0));
    let fourth = settle("D").await;
    let report = reports.recv().await.unwrap();
    assert_eq!((report.deliveries[0].id, report.missed), (fourth, 2));
}
