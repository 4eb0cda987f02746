//! The JSON of the response to `GET /api/v1/replicas`: the servers that have one store open.

use serde::{Deserialize, Serialize};

use crate::alert::{HandlerName, Timestamp};

/// The servers that have one store open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replicas {
    /// One for each, in the order of their starts. One that has stopped without saying so is listed for some minutes.
    pub replicas: Vec<Replica>,
    /// The handlers that do not serve in the same version everywhere. Only replicas that are alive are compared.
    #[serde(default)]
    pub disagreements: Vec<Disagreement>,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replica {
    /// What distinguishes it from every other start of a server.
    pub id: String,
    /// The name of its machine, or of its pod.
    pub host: String,
    /// Its version.
    pub version: String,
    /// When it was started.
    pub started_at: Timestamp,
    /// True for the one that answers.
    pub this: bool,
    /// False if it has stopped showing that it is alive.
    pub alive: bool,
    /// True for the one that has the term: it decides and runs, the others accept for it.
    pub term: bool,
    /// Since when it has the term; null if it has not.
    pub term_since: Option<Timestamp>,
    /// How long ago it has last shown that it is alive, as the one that answers has seen it.
    pub last_beat_seconds: f64,
    /// The handlers that serve there; null until it has read its folder.
    pub handlers: Option<Vec<Served>>,
}

/// A handler that serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// Its name.
    pub name: HandlerName,
    /// Its version from `describe`.
    pub version: String,
    /// The digest of its module.
    pub sha256: String,
}

/// A handler that does not serve in the same version everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disagreement {
    /// Its name.
    pub handler: HandlerName,
    /// Its versions, that of the replica with the term first.
    pub versions: Vec<ServedBy>,
}

/// A version of a handler, and where it serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedBy {
    /// The version from `describe`; null if the handler does not serve there.
    pub version: Option<String>,
    /// The digest of the module; null if the handler does not serve there.
    pub sha256: Option<String>,
    /// The hosts of the replicas; with the id if several replicas have one host.
    pub replicas: Vec<String>,
}
