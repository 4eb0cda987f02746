//! If the answer to a commit is lost, the queue asks for the result, and neither loses nor repeats anything.

use super::kv::{KV_QUOTA, kv_entry, replied};
use super::prelude::*;

const BOTH: [LostAnswer; 2] = [LostAnswer::Stored, LostAnswer::NotStored];

pub(super) async fn what_is_accepted_is_stored_once_or_its_sender_is_to_try_again<B: Bench>()
-> Result<(), Unsupported> {
    for of in BOTH {
        let mut bench = Harness::<B>::new();
        bench.flush().await;
        bench.bench.lose_answer(of)?;
        let parcel = Parcel::new(vec![firing("A")], Vec::new());
        let answer = bench.queue.accept(parcel).await;
        let id = match (of, answer) {
            (LostAnswer::Stored, Ok(receipt)) => match &receipt.verdicts[..] {
                [Verdict::Accepted(accepted)] => accepted[0].id,
                other => panic!("not accepted: {other:?}"),
            },
            (LostAnswer::NotStored, Err(AcceptError::Unavailable(_))) => {
                eventually(async || bench.queue.unwritable().is_none()).await;
                bench.accept_new(firing("A")).await
            }
            (_, other) => panic!("{of:?}: {other:?}"),
        };
        assert_eq!(bench.accept(firing("A")).await, DUPLICATE);
        assert_eq!(bench.run(Next::Done).await, id);
        let bench = bench.crash();
        assert_eq!(bench.queue.counts().depth, 0);
        assert_eq!(bench.state(id).await, State::Done);
    }
    Ok(())
}

pub(super) async fn a_lease_ends_once<B: Bench>() -> Result<(), Unsupported> {
    for of in BOTH {
        let mut bench = Harness::<B>::new();
        let id = bench.accept_new(firing("A")).await;
        let leased = bench.lease().await;
        bench.flush().await;
        bench.bench.lose_answer(of)?;
        bench.settle(&leased, Next::Dead("why".into()));
        bench.flush().await;
        assert_eq!(bench.queue.counts().dead, 1, "{of:?}");
        let bench = bench.crash();
        let story = bench.story(id).await;
        assert_eq!(story.delivery.state, State::Dead);
        assert_eq!((story.delivery.attempts, story.attempts.len()), (1, 1));
        assert_eq!(bench.queue.counts().dead, 1, "{of:?}");
    }
    Ok(())
}

pub(super) async fn calls_are_recorded_once<B: Bench>() -> Result<(), Unsupported> {
    for of in BOTH {
        let mut bench = Harness::<B>::new();
        let id = bench.accept_new(firing("A")).await;
        let leased = bench.lease().await;
        let ledger = bench.ledger(&leased, 0);
        bench.flush().await;
        bench.bench.lose_answer(of)?;
        assert_eq!(ledger.record(vec![entry(0)]).await, Ok(()));
        let recorded = bench.queue.recorded(id, 0).await.unwrap();
        assert_eq!(recorded.entries, [entry(0)]);
    }
    Ok(())
}

pub(super) async fn state_changes_once<B: Bench>() -> Result<(), Unsupported> {
    for of in BOTH {
        let mut bench = Harness::<B>::new();
        let id = bench.accept_new(firing("A")).await;
        let leased = bench.lease().await;
        let ledger = bench.ledger(&leased, 0);
        bench.flush().await;
        bench.bench.lose_answer(of)?;
        let change = KvChange::Increment {
            by: 1,
            ttl_seconds: None,
        };
        let changed = ledger.kv_change("n".into(), change, KV_QUOTA, Vec::new(), kv_entry(0));
        assert_eq!(replied(changed).await, Ok(KvReply::Value(1)));
        let value = ledger.kv_get("n".into()).await;
        assert_eq!(value, Ok(Some(b"1".to_vec())), "{of:?}");
        assert_eq!(bench.recorded(id, 0).await.len(), 1, "{of:?}");
    }
    Ok(())
}

pub(super) async fn a_death_of_the_server_is_counted_once<B: Bench>() -> Result<(), Unsupported> {
    let mut bench = Harness::<B>::new();
    let id = bench.accept_new(firing("A")).await;
    bench.lease().await;
    bench.flush().await;
    bench.bench.lose_answer(LostAnswer::Stored)?;
    let mut bench = bench.crash_unattended();
    assert_eq!(bench.bench.peek(id).unwrap().deaths, 1);
    assert_eq!(bench.queue.recovered().under_lease, 1);
    bench.attend();
    let leased = bench.lease().await;
    assert_eq!((leased.lease.number, leased.after_crash), (2, true));
    Ok(())
}
