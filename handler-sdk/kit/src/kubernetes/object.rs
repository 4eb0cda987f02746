//! Objects of the API, each with typed access to the fields that handlers use. Every field is optional: an object of another
//! version, or one that is written to, is read as far as it goes.

use std::fmt;
use std::ops::Deref;

use handler_sdk::layout::clip;
use handler_sdk::prelude::*;
use handler_sdk::serde_json::Value;

use super::Place;
use crate::name::Name;
use crate::step::Step;
use crate::words::{or_silent, said};

/// An object of the API, whatever its kind.
#[derive(Clone, PartialEq)]
pub struct Object {
    kind: String,
    value: Value,
    /// True if texts that may be the end of a container's log can be shown in the message.
    pub(super) may_quote_log: bool,
}

/// A condition in an object's status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `Ready`, `MemoryPressure`, `Progressing`.
    pub kind: String,
    /// `None` if the status is `Unknown`.
    pub is_true: Option<bool>,
    /// A word: `ProgressDeadlineExceeded`.
    pub reason: String,
    /// For people, masked.
    pub message: String,
    /// Since when it has this status, in seconds since 1970.
    pub since: Option<i64>,
}

impl Condition {
    /// Returns its message, or that there is none.
    pub fn said(&self) -> &str {
        or_silent(&self.message)
    }
}

/// Names a kind of object: how it is called, where it is read, what the credential needs for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource {
    /// `Deployment`.
    pub kind: &'static str,
    /// What it is called in `not fetched: …`.
    pub called: &'static str,
    /// The API's group and version: `/api/v1`, `/apis/apps/v1`.
    pub api: &'static str,
    /// `deployments`.
    pub plural: &'static str,
    /// False for kinds without a namespace.
    pub is_namespaced: bool,
}

/// A kind of object that can be read.
pub trait Kind: From<Object> + Deref<Target = Object> {
    /// Where it is read.
    const RESOURCE: Resource;
}

macro_rules! kinds {
    ($($(#[$about:meta])* $kind:ident($called:literal, $api:literal, $plural:literal, $is_namespaced:literal);)*) => {
        $(
            $(#[$about])*
            #[derive(Debug, Clone, PartialEq)]
            pub struct $kind(Object);

            impl Kind for $kind {
                const RESOURCE: Resource = Resource {
                    kind: stringify!($kind),
                    called: $called,
                    api: $api,
                    plural: $plural,
                    is_namespaced: $is_namespaced,
                };
            }

            impl From<Object> for $kind {
                fn from(mut object: Object) -> Self {
                    // The items of a list do not name their kind.
                    object.kind = stringify!($kind).to_owned();
                    Self(object)
                }
            }

            impl Deref for $kind {
                type Target = Object;

                fn deref(&self) -> &Object {
                    &self.0
                }
            }
        )*
    };
}

kinds! {
    /// A pod.
    Pod("pod", "/api/v1", "pods", true);
    /// A node.
    Node("node", "/api/v1", "nodes", false);
    /// A claim of a volume.
    PersistentVolumeClaim("claim", "/api/v1", "persistentvolumeclaims", true);
    /// A volume.
    PersistentVolume("volume", "/api/v1", "persistentvolumes", false);
    /// A class of volumes.
    StorageClass("storage class", "/apis/storage.k8s.io/v1", "storageclasses", false);
    /// A revision of a Deployment.
    ReplicaSet("workload", "/apis/apps/v1", "replicasets", true);
    /// A Deployment.
    Deployment("workload", "/apis/apps/v1", "deployments", true);
    /// A `StatefulSet`.
    StatefulSet("workload", "/apis/apps/v1", "statefulsets", true);
    /// A `DaemonSet`.
    DaemonSet("workload", "/apis/apps/v1", "daemonsets", true);
    /// A revision of a `StatefulSet` or a `DaemonSet`.
    ControllerRevision("revision", "/apis/apps/v1", "controllerrevisions", true);
    /// A Job.
    Job("workload", "/apis/batch/v1", "jobs", true);
    /// A `CronJob`.
    CronJob("cron job", "/apis/batch/v1", "cronjobs", true);
    /// A `HorizontalPodAutoscaler`.
    HorizontalPodAutoscaler("autoscaler", "/apis/autoscaling/v2", "horizontalpodautoscalers", true);
    /// A `PodDisruptionBudget`.
    PodDisruptionBudget("budget", "/apis/policy/v1", "poddisruptionbudgets", true);
    /// The addresses behind a service.
    EndpointSlice("endpoints", "/apis/discovery.k8s.io/v1", "endpointslices", true);
    /// A certificate of cert-manager.
    Certificate("certificate", "/apis/cert-manager.io/v1", "certificates", true);
    /// A request of cert-manager for a certificate.
    CertificateRequest("certificate request", "/apis/cert-manager.io/v1", "certificaterequests", true);
    /// An order of cert-manager at an ACME server.
    Order("order", "/apis/acme.cert-manager.io/v1", "orders", true);
    /// A challenge of an ACME server.
    Challenge("challenge", "/apis/acme.cert-manager.io/v1", "challenges", true);
}

impl Object {
    pub(crate) fn new(value: Value, may_quote_log: bool) -> Self {
        Self {
            kind: text(&value, "/kind").unwrap_or_default().to_owned(),
            value,
            may_quote_log,
        }
    }

    /// Notes where it was read, if it does not say so itself.
    pub(super) fn is_at(&mut self, place: &Place) {
        let metadata = &mut self.value["metadata"];
        if !metadata["name"].is_string() {
            metadata["name"] = Value::from(&**place.name());
        }
        if let (false, Some(namespace)) = (metadata["namespace"].is_string(), place.namespace()) {
            metadata["namespace"] = Value::from(&**namespace);
        }
    }

    /// Returns the kind: `Deployment`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns the name; empty if it has none.
    pub fn name(&self) -> &str {
        self.text("/metadata/name").unwrap_or_default()
    }

    /// Returns the uid.
    pub fn uid(&self) -> Option<&str> {
        self.text("/metadata/uid")
    }

    /// Returns its place, for commands and reads.
    pub fn place(&self) -> Option<Place> {
        let name = Name::of(self.name())?;
        Some(match self.namespace() {
            Some(namespace) => Place::new(namespace, name),
            None => Place::of_cluster(name),
        })
    }

    /// Returns a command about it: `$namespace` and `$name` in the template are its own. `None` if it has no namespace.
    pub fn command(&self, template: &'static str) -> Option<Step> {
        let place = self.place()?;
        let names = [("namespace", place.namespace()?), ("name", place.name())];
        Some(Step::run(template, &names))
    }

    /// Returns its namespace, if it has one, and its name: `shop/checkout`.
    pub fn full_name(&self) -> String {
        match self.namespace() {
            Some(namespace) => format!("{namespace}/{}", self.name()),
            None => self.name().to_owned(),
        }
    }

    /// Returns the place of another object in its namespace, if the text is a name.
    pub fn beside(&self, name: &str) -> Option<Place> {
        Some(Place::new(self.namespace()?, Name::of(name)?))
    }

    /// Returns the namespace; `None` for an object of the cluster.
    pub fn namespace(&self) -> Option<Name> {
        self.name_at("/metadata/namespace")
    }

    /// Returns when it was made, in seconds since 1970.
    pub fn created(&self) -> Option<i64> {
        self.moment("/metadata/creationTimestamp")
    }

    /// Returns a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.value["metadata"]["labels"][name].as_str()
    }

    /// Returns an annotation.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.value["metadata"]["annotations"][name].as_str()
    }

    /// Returns the kind and the name of the controller that owns it.
    pub fn controller(&self) -> Option<(&str, &str)> {
        let owners = self.items("/metadata/ownerReferences");
        let owner = owners.iter().find(|owner| owner["controller"] == true)?;
        Some((text(owner, "/kind")?, text(owner, "/name")?))
    }

    /// Returns the team or person that owns it, from the usual labels and annotations.
    pub fn owner(&self) -> Option<&str> {
        const NAMES: [&str; 5] = [
            "owner",
            "team",
            "app.kubernetes.io/team",
            "app.kubernetes.io/owner",
            "app.kubernetes.io/managed-by-team",
        ];
        let labelled = NAMES.iter().find_map(|name| self.label(name));
        labelled
            .or_else(|| NAMES.iter().find_map(|name| self.annotation(name)))
            .filter(|owner| !owner.is_empty())
    }

    /// Returns the conditions of its status.
    pub fn conditions(&self) -> Vec<Condition> {
        let conditions = self.items("/status/conditions").iter();
        conditions
            .filter_map(|condition| {
                Some(Condition {
                    kind: text(condition, "/type")?.to_owned(),
                    is_true: match text(condition, "/status")? {
                        "True" => Some(true),
                        "False" => Some(false),
                        _ => None,
                    },
                    reason: clip(text(condition, "/reason").unwrap_or_default(), 60),
                    message: said(text(condition, "/message").unwrap_or_default()),
                    since: moment(condition, "/lastTransitionTime"),
                })
            })
            .collect()
    }

    /// Returns the condition of this type.
    pub fn condition(&self, kind: &str) -> Option<Condition> {
        self.conditions().into_iter().find(|one| one.kind == kind)
    }

    /// Returns the condition of this type, if its status is `True`.
    pub fn holds(&self, kind: &str) -> Option<Condition> {
        self.condition(kind).filter(|one| one.is_true == Some(true))
    }

    /// Returns the condition of this type, if its status is `False`: not if it is unknown.
    pub fn fails(&self, kind: &str) -> Option<Condition> {
        self.condition(kind)
            .filter(|one| one.is_true == Some(false))
    }

    /// Returns the text at a JSON pointer; `None` if it is missing or empty. For text that programs of the cluster wrote, see
    /// [`said`](Self::said).
    pub fn text(&self, pointer: &str) -> Option<&str> {
        text(&self.value, pointer)
    }

    /// Returns text for people at a JSON pointer, such as a condition's message: on one line, cut, with secrets masked.
    pub fn said(&self, pointer: &str) -> Option<String> {
        self.text(pointer).map(said)
    }

    /// Returns the text at a JSON pointer as a name of Kubernetes.
    pub fn name_at(&self, pointer: &str) -> Option<Name> {
        Name::of(self.text(pointer)?)
    }

    /// Returns the whole number at a JSON pointer; a status leaves out a count of zero.
    pub fn count(&self, pointer: &str) -> Option<u64> {
        self.value.pointer(pointer)?.as_u64()
    }

    /// Returns whether the value at a JSON pointer is `true`.
    pub fn is(&self, pointer: &str) -> bool {
        self.value.pointer(pointer) == Some(&Value::Bool(true))
    }

    /// Returns the time at a JSON pointer, in seconds since 1970; `None` if it is not set.
    pub fn moment(&self, pointer: &str) -> Option<i64> {
        moment(&self.value, pointer)
    }

    /// Returns the items of the array at a JSON pointer.
    pub fn items(&self, pointer: &str) -> &[Value] {
        items(&self.value, pointer)
    }

    /// Returns the object as JSON.
    pub const fn value(&self) -> &Value {
        &self.value
    }

    /// Returns the numbers of ready and wanted pods of a workload, as far as its kind has them.
    pub fn readiness(&self) -> Option<(u64, u64)> {
        let (wanted, ready) = match self.kind.as_str() {
            "Deployment" | "StatefulSet" | "ReplicaSet" => {
                ("/spec/replicas", "/status/readyReplicas")
            }
            "DaemonSet" => ("/status/desiredNumberScheduled", "/status/numberReady"),
            _ => return None,
        };
        Some((self.count(ready).unwrap_or(0), self.count(wanted)?))
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name())
    }
}

impl Node {
    /// Returns the conditions that indicate a problem: `NotReady`, `MemoryPressure`.
    pub fn troubles(&self) -> Vec<String> {
        let troubles = self.conditions().into_iter();
        troubles
            .filter_map(
                |condition| match (condition.kind.as_str(), condition.is_true) {
                    ("Ready", Some(true)) => None,
                    ("Ready", _) => Some("NotReady".to_owned()),
                    (_, Some(true)) => Some(condition.kind),
                    _ => None,
                },
            )
            .collect()
    }
}

/// Returns the text at a JSON pointer; `None` if it is missing or empty.
pub fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value
        .pointer(pointer)?
        .as_str()
        .filter(|text| !text.is_empty())
}

/// Returns the time at a JSON pointer, in seconds since 1970; `None` if it is not set.
pub fn moment(value: &Value, pointer: &str) -> Option<i64> {
    let seconds = text(value, pointer)?.parse::<Timestamp>().ok()?.seconds;
    // 1970 and the year 1 mean "not set", in a container runtime and in Go.
    (seconds > 0).then_some(seconds)
}

/// Returns the items of the array at a JSON pointer.
pub fn items<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}
