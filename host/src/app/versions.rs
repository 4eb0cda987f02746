//! Keeps in the store when which version of a handler was swapped in.

use std::collections::HashMap;
use std::sync::Arc;

use super::state::State;
use crate::alert::Timestamp;
use crate::api::What;
use crate::http::answers::Server as _;
use crate::queue::{AuditFilter, Audited};

/// How many earlier changes are looked at for the version that served last: more than a folder has handlers.
const LOOKED_AT: u32 = 10_000;

/// Follows the folder until the server ends. A version that served before a restart is not new after it. Of several servers on one
/// store, the one that has the term notes what serves there.
pub(super) async fn keep(state: Arc<State>) {
    let mut ready = state.ready_changes();
    let mut leads = state.queue.leads();
    if ready.wait_for(|ready| *ready).await.is_err() {
        return;
    }
    while leads.wait_for(|leads| *leads).await.is_ok() {
        tokio::select! {
            () = follow(&state) => return,
            _ = leads.wait_for(|leads| !*leads) => {}
        }
    }
}

/// Notes what serves, and each change of it, until the server ends.
async fn follow(state: &State) {
    let mut changes = state.folder_changes();
    let mut served = served(state).await;
    loop {
        changes.mark_unchanged();
        for module in state.files().iter() {
            let (Some(name), Some(sha256)) = (&module.name, &module.sha256) else {
                continue;
            };
            let version = module.version.as_deref().unwrap_or_default();
            let detail = format!("{sha256} {version}");
            if served.get(name.as_str()) != Some(&detail) {
                served.insert(name.to_string(), detail.clone());
                state.queue.audit(Audited {
                    at: Timestamp::now(),
                    what: What::Swapped.as_str().to_owned(),
                    person: String::new(),
                    subject: name.to_string(),
                    detail,
                });
            }
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Returns the digest and the version of each handler that served last.
async fn served(state: &State) -> HashMap<String, String> {
    let filter = AuditFilter {
        what: Some(What::Swapped.as_str().to_owned()),
        limit: LOOKED_AT,
        ..AuditFilter::default()
    };
    let newest_first = state.queue.audited(filter).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "which versions of handlers served before cannot be read; each counts as new");
        Vec::new()
    });
    let oldest_first = newest_first.into_iter().rev();
    oldest_first.map(|one| (one.subject, one.detail)).collect()
}
