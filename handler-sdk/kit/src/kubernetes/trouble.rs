//! The pod that is worst off, and why it is not ready.

use super::object::{Node, Pod};
use super::pod::Container;
use super::waiting::{is_only_waiting, why_not_ready};
use super::{Events, Kubernetes, Place};
use crate::log::Log;
use crate::verdict::Verdict;

/// Why a pod is not ready, with what shows it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trouble {
    /// The verdict; `None` if the pod is ready.
    pub verdict: Option<Verdict>,
    /// The container that keeps the pod from being ready.
    pub container: Option<Container>,
    /// The pod's events.
    pub events: Events,
    /// The node that it is on, if the credential may read it.
    pub node: Option<Node>,
    /// The container's log, if it ran.
    pub log: Option<Log>,
}

impl Kubernetes<'_> {
    /// Finds out why a pod is not ready: its events, its node and the log of the container that is not ready, which are at
    /// most 8 requests and usually 3.
    pub fn trouble(&self, pod: &Pod) -> Trouble {
        let events = self.events(pod);
        let node = pod.name_at("/spec/nodeName").map(Place::of_cluster);
        let node = node.and_then(|place| self.optional::<Node>(&place));
        let verdict = why_not_ready(pod, &events, node.as_ref());
        let is_done = |one: &Container| {
            let exit = one.last_exit.as_ref().filter(|_| one.is_exit_present);
            one.is_ready || exit.is_some_and(|exit| exit.code == 0)
        };
        let container = pod.containers().into_iter().find(|one| !is_done(one));
        let ran = |one: &&Container| one.running_since.is_some() || one.last_exit.is_some();
        let log = container.as_ref().filter(ran).filter(|_| verdict.is_some());
        let log = log.and_then(|container| {
            let log = self.log(pod, container)?;
            Some(log.titled(format!("of {}", container.name)))
        });
        Trouble {
            verdict,
            container,
            events,
            node,
            log,
        }
    }
}

/// Returns the pod of which most can be said, among those that are not ready; `None` if all are ready.
pub fn worst<'p>(pods: impl IntoIterator<Item = &'p Pod>) -> Option<&'p Pod> {
    let rank = |pod: &Pod| {
        let containers = pod.containers();
        let waits = containers.iter().filter_map(|one| one.waiting.as_ref());
        let says_why = |(reason, _): &(String, String)| !is_only_waiting(reason);
        let restarts: u64 = containers.iter().map(|one| one.restarts).sum();
        let is_unschedulable = pod
            .condition("PodScheduled")
            .is_some_and(|condition| condition.is_true == Some(false));
        (
            waits.clone().any(says_why),
            is_unschedulable,
            waits.count() > 0,
            restarts,
        )
    };
    let waiting = pods.into_iter().filter(|pod| !pod.is_ready());
    waiting.max_by_key(|pod| rank(pod))
}
