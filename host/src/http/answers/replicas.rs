//! The servers that have one store open, and where they disagree about handlers.

use std::collections::BTreeSet;

use super::Answers;
use crate::alert::HandlerName;
use crate::api::{Disagreement, Replica, Replicas, Served, ServedBy};
use crate::queue::{ListedReplica, ServedHandler};

impl Answers {
    /// Returns the servers of the store, as this one sees them.
    pub(in crate::http) fn replicas(&self) -> Replicas {
        let listed = self.queue.replicas();
        Replicas {
            disagreements: disagreements(&listed),
            replicas: listed.into_iter().map(replica).collect(),
        }
    }

    /// Returns the handlers that do not serve in the same version everywhere.
    pub(super) fn disagreements(&self) -> Vec<Disagreement> {
        disagreements(&self.queue.replicas())
    }
}

fn replica(listed: ListedReplica) -> Replica {
    let alive = listed.is_alive();
    let served = |handler: ServedHandler| Served {
        name: handler.name,
        version: handler.version,
        sha256: handler.sha256,
    };
    let handlers = listed.about.handlers;
    Replica {
        id: listed.id,
        host: listed.about.host,
        version: listed.about.version,
        started_at: listed.since,
        this: listed.is_this,
        alive,
        term: listed.term_since.is_some(),
        term_since: listed.term_since,
        last_beat_seconds: (listed.beat_age.as_secs_f64() * 1_000.0).round() / 1_000.0,
        handlers: handlers.map(|handlers| handlers.into_iter().map(served).collect()),
    }
}

fn disagreements(listed: &[ListedReplica]) -> Vec<Disagreement> {
    let mut compared: Vec<_> = listed
        .iter()
        .filter(|replica| replica.is_alive())
        .filter_map(|replica| Some((replica, replica.about.handlers.as_ref()?)))
        .collect();
    // The one with the term first: what serves there is what runs.
    compared.sort_by_key(|(replica, _)| replica.term_since.is_none());
    let names = compared.iter().flat_map(|(_, handlers)| handlers.iter());
    let names: BTreeSet<&HandlerName> = names.map(|handler| &handler.name).collect();
    let disagreement = |handler: &HandlerName| {
        let mut versions: Vec<ServedBy> = Vec::new();
        for (replica, handlers) in &compared {
            let here = handlers.iter().find(|served| served.name == *handler);
            let sha256 = here.map(|served| served.sha256.clone());
            let who = name_of(replica, listed);
            match versions.iter_mut().find(|known| known.sha256 == sha256) {
                Some(known) => known.replicas.push(who),
                None => versions.push(ServedBy {
                    version: here.map(|served| served.version.clone()),
                    sha256,
                    replicas: vec![who],
                }),
            }
        }
        (versions.len() > 1).then(|| Disagreement {
            handler: handler.clone(),
            versions,
        })
    };
    names.into_iter().filter_map(disagreement).collect()
}

/// Returns by which name a replica is known: its host, and its id if another one has the same.
fn name_of(replica: &ListedReplica, all: &[ListedReplica]) -> String {
    let host = &replica.about.host;
    let same = all.iter().filter(|other| other.about.host == *host);
    match same.count() {
        1 => host.clone(),
        _ => format!("{host} ({})", replica.id),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::alert::Timestamp;
    use crate::queue::ReplicaAbout;

    fn listed(host: &str, handlers: Option<&[(&str, &str)]>) -> ListedReplica {
        let served = |(name, sha256): &(&str, &str)| ServedHandler {
            name: HandlerName::new(name),
            version: format!("1.{sha256}"),
            sha256: (*sha256).to_owned(),
        };
        ListedReplica {
            id: format!("id of {host}"),
            about: ReplicaAbout {
                host: host.to_owned(),
                version: "1".to_owned(),
                handlers: handlers.map(|handlers| handlers.iter().map(served).collect()),
            },
            since: Timestamp::UNIX_EPOCH,
            is_this: false,
            term_since: None,
            beat_age: Duration::ZERO,
        }
    }

    fn by(sha256: Option<&str>, replicas: &[&str]) -> ServedBy {
        ServedBy {
            version: sha256.map(|sha256| format!("1.{sha256}")),
            sha256: sha256.map(str::to_owned),
            replicas: replicas.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn replicas_disagree_about_a_handler_of_another_version_and_one_that_is_missing() {
        let mut all = [
            listed("a", Some(&[("same", "1"), ("other", "1")])),
            listed("b", Some(&[("same", "1"), ("other", "2"), ("new", "1")])),
            listed("c", None),
            listed("dead", Some(&[("same", "9")])),
        ];
        all[1].term_since = Some(Timestamp::UNIX_EPOCH);
        all[3].beat_age = Duration::from_secs(60);
        let found = disagreements(&all);
        let names: Vec<_> = found.iter().map(|one| one.handler.as_str()).collect();
        assert_eq!(names, ["new", "other"]);
        assert_eq!(found[0].versions, [by(Some("1"), &["b"]), by(None, &["a"])]);
        let other = [by(Some("2"), &["b"]), by(Some("1"), &["a"])];
        assert_eq!(found[1].versions, other);
        assert!(disagreements(&all[..1]).is_empty());
    }

    #[test]
    fn replicas_of_one_host_are_named_by_their_ids() {
        let mut all = [
            listed("a", Some(&[("h", "1")])),
            listed("a", Some(&[("h", "2")])),
        ];
        all[1].id = "second".to_owned();
        let found = disagreements(&all);
        assert_eq!(found[0].versions[0].replicas, ["a (id of a)"]);
        assert_eq!(found[0].versions[1].replicas, ["a (second)"]);
    }
}
