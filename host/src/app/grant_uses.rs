//! Keeps the uses of grants in the store, so that a restart forgets none.

use std::sync::Arc;
use std::time::Duration;

use crate::queue::{GrantUsed, GrantsUsed, Queue};
use crate::runtime::{GrantKind, GrantUse, GrantUses};

/// How often uses are stored, if there are any. A server that is killed loses those since then.
const STORED_EVERY: Duration = Duration::from_secs(60);

/// Counts on from what is stored.
pub(super) fn restore(uses: &GrantUses, stored: &GrantsUsed) {
    let known = stored.uses.iter().filter_map(|stored| {
        // A newer version may know other kinds.
        let kind = GrantKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == stored.kind)?;
        let used = GrantUse {
            calls: stored.calls,
            first: stored.first,
            last: stored.last,
        };
        Some((stored.handler.clone(), kind, stored.grant.clone(), used))
    });
    uses.restore(stored.since, known);
}

/// Stores uses again and again.
pub(super) async fn keep(uses: Arc<GrantUses>, queue: Queue) {
    loop {
        tokio::time::sleep(STORED_EVERY).await;
        store(&uses, &queue);
    }
}

/// Stores the uses that have changed.
pub(super) fn store(uses: &GrantUses, queue: &Queue) {
    let changed = uses.take_changed().into_iter();
    let changed = changed.map(|(handler, kind, grant, used)| GrantUsed {
        handler,
        kind: kind.as_str().to_owned(),
        grant,
        calls: used.calls,
        first: used.first,
        last: used.last,
    });
    queue.keep_grants_used(changed.collect());
}
