//! Transactions that have met others are repeated, so that nobody is asked to send again.

use crate::conformance::prelude::firing;
use crate::store::postgres::bench::PostgresBench;
use crate::store::postgres::values::Columns as _;
use crate::{AcceptError, Verdict};

use super::bench;
use super::replicas::{pair, parcel, run, server};

/// Makes the next writes to a table fail as those do that have met another transaction.
fn meets(bench: &PostgresBench, table: &str, code: &str, times: i64) {
    bench.execute("CREATE SEQUENCE IF NOT EXISTS bench_met", &[]);
    bench.execute("ALTER SEQUENCE bench_met RESTART", &[]);
    bench.execute(
        &format!(
            "CREATE OR REPLACE FUNCTION bench_meet() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF nextval('bench_met') <= {times} THEN
                     RAISE EXCEPTION 'met another' USING ERRCODE = '{code}';
                 END IF;
                 RETURN NULL;
             END $$"
        ),
        &[],
    );
    bench.execute(
        &format!("CREATE TRIGGER bench_meet AFTER INSERT ON {table} EXECUTE FUNCTION bench_meet()"),
        &[],
    );
}

/// Returns how often a write has met another transaction, and ends that.
fn met(bench: &PostgresBench, table: &str) -> i64 {
    let rows = bench.query("SELECT last_value FROM bench_met", &[]);
    bench.execute(&format!("DROP TRIGGER bench_meet ON {table}"), &[]);
    rows[0].int(0).unwrap()
}

#[tokio::test]
async fn a_deadlock_or_a_lock_that_is_held_too_long_repeats_the_transaction() {
    let Some(bench) = bench() else { return };
    let (queue, mut leases) = server(bench.database());
    for (n, code) in ["40P01", "55P03", "40001"].into_iter().enumerate() {
        meets(&bench, "alerts", code, 2);
        let alert = format!("A{n}");
        let receipt = queue.accept(parcel(firing(&alert))).await.unwrap();
        assert!(matches!(receipt.verdicts[..], [Verdict::Accepted(_)]));
        assert!(met(&bench, "alerts") > 2, "{code}");
        assert_eq!(run(&queue, &mut leases, 1).await[0].0, alert);
    }
    let stored = bench.query("SELECT count(*) FROM deliveries", &[]);
    assert_eq!(stored[0].int(0).unwrap(), 3);
}

#[tokio::test]
async fn one_that_meets_others_again_and_again_is_answered_as_a_store_that_fails() {
    let Some(bench) = bench() else { return };
    let (queue, _leases) = server(bench.database());
    meets(&bench, "alerts", "40P01", i64::MAX);
    let refused = queue.accept(parcel(firing("A"))).await;
    assert!(
        matches!(refused, Err(AcceptError::Unavailable(_))),
        "{refused:?}"
    );
    met(&bench, "alerts");
}

#[tokio::test]
async fn a_server_without_the_term_repeats_too() {
    let Some(bench) = bench() else { return };
    let [(first, mut leases), (second, _idle)] = pair(&bench);
    meets(&bench, "arrivals", "40P01", 2);
    second.accept(parcel(firing("A"))).await.unwrap();
    assert!(met(&bench, "arrivals") > 2);
    assert_eq!(run(&first, &mut leases, 1).await[0].0, "A");
}
