//! What the handlers of Alert Manager share, so that a new one is its questions and its verdicts.
//!
//! A handler on this kit answers an alert with one Slack message. It implements [`Answer`]: [`firing`](Answer::firing) asks
//! questions and returns a [`Report`], [`resolved`](Answer::resolved) returns how it ended, an [`End`]. The kit does the rest:
//! the servers of the alert's own cluster, names and labels that cannot change a path or a query, "not fetched, and why",
//! the layout and its limits, the log and the thread, reminders, the end, storms, and the settings that all share.
//!
//! # A handler
//!
//! ```toml
//! # handlers/claim/Cargo.toml
//! [lib]
//! crate-type = ["cdylib", "rlib"]
//!
//! [dependencies]
//! handler-kit.workspace = true
//! ```
//!
//! ```
//! // src/lib.rs: what it is, and what it asks. (A larger one has `questions.rs` and `verdicts.rs`.)
//! use handler_kit::kubernetes::{PersistentVolumeClaim, Pod, StorageClass};
//! use handler_kit::prelude::*;
//! use handler_kit::prometheus::Query;
//! use handler_kit::words;
//!
//! /// Says when a volume is full, and who uses it.
//! pub struct Claim;
//!
//! impl Answer for Claim {
//!     const SUMMARY: &'static str = "Says when a volume is full.";
//!     const ALERTS: &'static [&'static str] = &["KubePersistentVolumeFillingUp"];
//!     const READS: Reads = Reads::KubernetesAndPrometheus;
//!     const CALLS_MAX: u32 = 8;
//!
//!     fn firing(look: &Look<'_>) -> Report {
//!         // The place of the object that the alert names; if a label is missing, the message says so.
//!         let Some(place) = look.place("persistentvolumeclaim") else {
//!             return Report::new();
//!         };
//!         let kubernetes = look.kubernetes();
//!         // `find` tells "does not exist" from "could not be read"; `get` notes both.
//!         let claim = match kubernetes.find::<PersistentVolumeClaim>(&place) {
//!             Read::Found(claim) => claim,
//!             Read::Gone => return Report::new().verdict(Verdict::gone("claim", "it was deleted")),
//!             Read::Unknown => return Report::new(), // the message says why, and has the alert's own text
//!         };
//!         let class = claim.name_at("/spec/storageClassName");
//!         let class = class.and_then(|class| kubernetes.get::<StorageClass>(&Place::of_cluster(class)));
//!         let pods = kubernetes.list::<Pod>(place.namespace(), &Select::all());
//!         let uses = |pod: &&Pod| {
//!             let mut volumes = pod.items("/spec/volumes").iter();
//!             volumes.any(|volume| volume["persistentVolumeClaim"]["claimName"] == place.name().as_ref())
//!         };
//!         let users: Vec<&str> = pods.iter().filter(uses).map(|pod| pod.name()).collect();
//!         let free = Query::new(
//!             "kubelet_volume_stats_available_bytes{namespace=$namespace, persistentvolumeclaim=$claim}",
//!         )
//!         .bind("namespace", place.namespace().map_or("", |name| name))
//!         .bind("claim", place.name());
//!         let free = look.prometheus().number("free space", &free);
//!
//!         // Not known is not the same as "no": the verdict says nothing of it then.
//!         let can_grow = class.map(|class| class.is("/allowVolumeExpansion"));
//!         Report::new()
//!             .verdict(full(free, can_grow, &claim))
//!             .field_if("Size", claim.text("/spec/resources/requests/storage"))
//!             .field_if("Free", free.map(words::bytes))
//!             .field("Used by", users.join(", "))
//!             .events(kubernetes.events(&claim), None)
//!             .owner(claim.owner())
//!     }
//!
//!     fn resolved(look: &Look<'_>) -> End {
//!         match look.find::<PersistentVolumeClaim>("persistentvolumeclaim") {
//!             Read::Found(_) => End::new("space", "has space again").says("It has space again.", ""),
//!             Read::Gone => End::gone("claim", "it was deleted"),
//!             Read::Unknown => End::unknown("Whether it has space was not found out."),
//!         }
//!     }
//! }
//!
//! // The verdict is a function of the facts, so each combination has a test, and a line in the README's table.
//! fn full(free: Option<f64>, can_grow: Option<bool>, claim: &PersistentVolumeClaim) -> Option<Verdict> {
//!     let free = words::bytes(free?);
//!     let verdict = Verdict::proves("filling-up", "It fills up", format!("{free} are free")).short(format!("{free} free"));
//!     Some(match can_grow {
//!         Some(true) => verdict.next_if(claim.command("kubectl -n $namespace edit pvc $name")),
//!         Some(false) => verdict.next(Line::from("its storage class does not allow it to grow")),
//!         None => verdict,
//!     })
//! }
//!
//! handler_kit::answers!(Claim);
//!
//! // src/tests.rs: one line for all cases in `fixtures/*.json`, with the messages in `snapshots/`.
//! # fn test() {
//! handler_kit::mock::all_cases::<Claim>(env!("CARGO_MANIFEST_DIR"));
//! # }
//! // Or one case at a time, with what the servers answer.
//! # {
//! use handler_kit::mock::{Case, KUBERNETES, PROMETHEUS};
//! # use handler_kit::handler_sdk::serde_json::json;
//! let case = Case::<Claim>::of(&json!({
//!     "now": "2026-11-01T10:06:00Z",
//!     "alert": {
//!         "labels": { "alertname": "KubePersistentVolumeFillingUp", "namespace": "shop", "persistentvolumeclaim": "data-0" },
//!         "annotations": { "summary": "PersistentVolume is filling up." },
//!         "startsAt": "2026-11-01T09:50:00Z",
//!     },
//!     "kubernetes": {
//!         "/api/v1/namespaces/shop/persistentvolumeclaims/data-0": {
//!             "metadata": { "name": "data-0", "namespace": "shop", "uid": "u-1" },
//!             "spec": { "resources": { "requests": { "storage": "10Gi" } } },
//!         },
//!         "/api/v1/namespaces/shop/pods": 403,
//!     },
//!     "prometheus": { "query?kubelet_volume_stats_available_bytes": [{ "metric": {}, "value": [0, "52428800"] }] },
//! }));
//! let post = case.fires();
//! assert_eq!(post.text, "[FIRING] shop/data-0: 50MiB free");
//! let shown = post.visible();
//! assert!(shown.contains("*It fills up:* 50MiB are free.") && shown.contains("*Size:* 10Gi   *Free:* 50MiB"), "{shown}");
//! assert!(shown.contains("not fetched: pod: forbidden (403)"), "{shown}");
//! # }
//! ```
//!
//! # Questions
//!
//! [`Look`] is what a handler asks. [`Look::kubernetes`] and [`Look::prometheus`] are bound to the cluster of the alert's label
//! `cluster`; if no server is configured for it, none is asked, and the message says so. [`Look::label`] returns labels of the
//! alert's subject, never the exporter's own pod or namespace; [`Look::name`] and [`Look::place`] return them as checked
//! names, and [`Look::find`] reads the object that a label names. Reads take a [`Place`], selectors and commands take a [`Name`], and queries bind their values, so untrusted text
//! has no way into a path, a query or a shell.
//!
//! Reads return [`Option`], [`Read`](kubernetes::Read) or [`List`](kubernetes::List), never an error: what is missing is noted
//! with its reason. [`Look::missing_too`] notes what depends on it. Objects have typed methods for what several handlers need
//! ([`Pod::containers`](kubernetes::Pod::containers), [`Object::conditions`](kubernetes::Object::conditions)), and JSON pointers
//! for the rest ([`Object::text`](kubernetes::Object::text)). Shared answers are [`Kubernetes::owners`](kubernetes::Kubernetes::owners),
//! [`Kubernetes::change`](kubernetes::Kubernetes::change) and [`why_not_ready`](kubernetes::why_not_ready). [`Answer::CALLS_MAX`]
//! bounds the requests; the README states it.
//!
//! # Verdicts
//!
//! A [`Verdict`] says what is wrong in one sentence, and what to do next. It is one of [`Verdict::proves`], [`Verdict::likely`]
//! and [`Verdict::unknown`]; a list proves that something is missing only if its [`Extent`](kubernetes::Extent) is `All`. "Gone"
//! is not "fixed": an [`End`] says what was seen.
//!
//! # Text
//!
//! A [`Line`] is escaped and masked, and keeps moments ([`Line::ago`]), which are put into words when the message is posted. Use
//! [`words::said`] for text that programs wrote and that a string takes.
//!
//! # Handlers that only enrich
//!
//! A handler that adds facts for others implements [`Handler`](handler_sdk::Handler) with `enrich_only`, and asks by
//! [`Look::enrich`].
#![warn(missing_docs)]

#[doc(no_inline)]
pub use handler_sdk;

mod answer;
mod bind;
pub mod kubernetes;
mod line;
mod log;
mod look;
mod message;
mod missing;
#[cfg(not(target_family = "wasm"))]
pub mod mock;
mod name;
pub mod prometheus;
mod report;
mod settings;
mod step;
#[cfg(test)]
mod tests;
mod verdict;
pub mod words;

pub use answer::{Answer, Answering, Package, Reads};
pub use kubernetes::Place;
pub use line::Line;
pub use log::Log;
pub use look::Look;
pub use name::Name;
pub use report::{End, Report};
pub use step::Step;
pub use verdict::{Confidence, Verdict};

/// The items that most handlers need: `use handler_kit::prelude::*;`.
pub mod prelude {
    pub use crate::kubernetes::{Place, Read, Select};
    pub use crate::{Answer, End, Line, Log, Look, Name, Reads, Report, Step, Verdict};
    pub use handler_sdk::prelude::*;
}
