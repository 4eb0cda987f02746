//! `check --online`: asks Slack, the granted origins and the database what the configuration alone cannot show.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{modules, process};
use crate::config::Config;
use crate::review::Asked;
use crate::runtime::CredentialKind;

/// How many origins are asked; each takes a connection.
const ORIGINS_MAX: usize = 200;

/// Asks all of them concurrently, within seconds.
pub(super) fn ask(config: &Config) -> anyhow::Result<Asked> {
    process::threads()?.block_on(ask_all(config))
}

async fn ask_all(config: &Config) -> anyhow::Result<Asked> {
    let (runtime, _folder) = modules::sandbox(config, modules::CacheUse::IfThere)?;
    let mut asked = Asked::default();
    let mut origins = JoinSet::new();
    for name in config.handlers.names() {
        let settings = config.handlers.of(name);
        for grant in settings
            .grants
            .http
            .iter()
            .take(ORIGINS_MAX - origins.len())
        {
            let url = grant.url();
            let of_account = settings.grants.credentials.iter().find_map(|name| {
                let credential = config.credentials.get(name)?;
                match &credential.kind {
                    CredentialKind::ServiceAccount { ca_file, .. }
                        if url.as_ref().is_some_and(|url| credential.is_for(url)) =>
                    {
                        Some(ca_file.clone())
                    }
                    _ => None,
                }
            });
            let ca_file = grant.ca_file().map(ToOwned::to_owned).or(of_account);
            let (runtime, name, grant) = (Arc::clone(&runtime), name.clone(), grant.clone());
            origins.spawn(async move {
                let reached = runtime.reach(&grant, ca_file.as_deref()).await;
                (name, grant, reached)
            });
        }
    }
    let store = config.store.clone();
    if let Some(asked_store) = tokio::task::spawn_blocking(move || store.durability()).await? {
        asked.store(config, asked_store);
    }
    match runtime.check_slack().await {
        Some(report) => asked.slack(config, &report),
        None => asked
            .notes
            .push("Slack was not asked: it is in preview, or there is no token".to_owned()),
    }
    let mut reached = origins.join_all().await;
    reached.sort_by_key(|(name, grant, _)| (name.clone(), grant.to_string()));
    for (name, grant, reached) in reached {
        asked.origin(config, &name, &grant, reached);
    }
    Ok(asked)
}
