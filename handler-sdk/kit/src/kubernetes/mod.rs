//! Reads from the Kubernetes API of the alert's cluster: one object, lists to their end, events, logs, and what owns a pod.

mod change;
mod differences;
mod events;
mod logs;
mod object;
mod owners;
mod pod;
mod rollouts;
mod select;
mod trouble;
mod waiting;

use std::ops::Deref;

use handler_sdk::http::encode;
use handler_sdk::serde_json::Value;

use crate::look::Look;
use crate::missing::Unread;
use crate::name::Name;

pub use crate::log::Log;
pub use crate::settings::KUBERNETES as SETTINGS;
pub use change::Change;
pub use events::{Event, Events};
pub use object::{
    Certificate, CertificateRequest, Challenge, Condition, ControllerRevision, CronJob, DaemonSet,
    Deployment, EndpointSlice, HorizontalPodAutoscaler, Job, Kind, Node, Object, Order,
    PersistentVolume, PersistentVolumeClaim, Pod, PodDisruptionBudget, ReplicaSet, Resource,
    StatefulSet, StorageClass, items, moment, text,
};
pub(crate) use owners::name_of_labels;
pub use owners::{Owners, Workload};
pub use pod::{Container, Exit, LimitSource, Role};
pub use rollouts::Rollout;
pub use select::Select;
pub use trouble::{Trouble, worst};
pub use waiting::why_not_ready;

/// The pages of a list that are read; the message says if there are more.
const PAGES_MAX: usize = 3;
/// The objects of a page. A Deployment keeps ten `ReplicaSets` by default, and repeated events are one object.
const PAGE_ITEMS: &str = "100";

/// Where an object is: its namespace, if it has one, and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    namespace: Option<Name>,
    name: Name,
}

impl Place {
    /// Returns the place of an object in a namespace.
    pub const fn new(namespace: Name, name: Name) -> Self {
        Self {
            namespace: Some(namespace),
            name,
        }
    }

    /// Returns the place of an object of the cluster, such as a node.
    pub const fn of_cluster(name: Name) -> Self {
        Self {
            namespace: None,
            name,
        }
    }

    /// Returns the place of another name in the same namespace.
    #[must_use]
    pub fn beside(&self, name: Name) -> Self {
        Self {
            namespace: self.namespace.clone(),
            name,
        }
    }

    /// Returns the namespace.
    pub const fn namespace(&self) -> Option<&Name> {
        self.namespace.as_ref()
    }

    /// Returns the name.
    pub const fn name(&self) -> &Name {
        &self.name
    }
}

/// The answer to a read of one object.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Read<K> {
    /// It exists.
    Found(K),
    /// There is no such object (404).
    Gone,
    /// It is not known; the reason is noted.
    #[default]
    Unknown,
}

impl<K> Read<K> {
    /// Returns the object, if it was found.
    pub fn found(self) -> Option<K> {
        match self {
            Self::Found(object) => Some(object),
            Self::Gone | Self::Unknown => None,
        }
    }

    /// Converts the object, if it was found.
    pub fn map<T>(self, convert: impl FnOnce(K) -> T) -> Read<T> {
        match self {
            Self::Found(object) => Read::Found(convert(object)),
            Self::Gone => Read::Gone,
            Self::Unknown => Read::Unknown,
        }
    }
}

/// How much of a list was read. Only a complete list proves that it does not contain something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Extent {
    /// It could not be read; the reason is noted.
    #[default]
    Nothing,
    /// Its beginning; that is noted.
    Part,
    /// All of it.
    All,
}

/// A list of objects; it dereferences to a slice.
#[derive(Debug, Clone, PartialEq)]
pub struct List<K> {
    /// The objects that were read.
    pub items: Vec<K>,
    /// How much of the list they are.
    pub read: Extent,
}

impl<K> Default for List<K> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            read: Extent::Nothing,
        }
    }
}

impl<K> Deref for List<K> {
    type Target = [K];

    fn deref(&self) -> &[K] {
        &self.items
    }
}

impl Look<'_> {
    /// Returns the place of the object that a label names, in the namespace of the alert. If either label is missing or no
    /// name of Kubernetes, that is noted.
    pub fn place(&self, label: &str) -> Option<Place> {
        Some(Place::new(self.name("namespace")?, self.name(label)?))
    }

    /// Reads the object that a label names: that of the alert's namespace, or of the cluster. If a label is missing or no name of
    /// Kubernetes, that is noted.
    pub fn find<K: Kind>(&self, label: &str) -> Read<K> {
        let place = match K::RESOURCE.is_namespaced {
            true => self.place(label),
            false => self.name(label).map(Place::of_cluster),
        };
        match place {
            Some(place) => self.kubernetes().find(&place),
            None => Read::Unknown,
        }
    }

    /// Returns the client for the API server of the alert's cluster.
    pub const fn kubernetes(&self) -> Kubernetes<'_> {
        Kubernetes { look: self }
    }
}

/// A read-only client for the API server of the alert's cluster. It lists and gets; it never watches or executes, and it has
/// no kind for Secrets and `ConfigMaps`.
#[derive(Debug, Clone, Copy)]
pub struct Kubernetes<'a> {
    look: &'a Look<'a>,
}

impl Kubernetes<'_> {
    /// Reads an object. If it could not be read, or does not exist, that is noted.
    pub fn get<K: Kind>(&self, place: &Place) -> Option<K> {
        let read = self.read::<K>(place);
        self.noted::<K, _>(read, "get").map(K::from)
    }

    /// Reads an object of which it says something that it does not exist, such as the alert's own.
    pub fn find<K: Kind>(&self, place: &Place) -> Read<K> {
        match self.read::<K>(place) {
            Err(unread) if unread.status == Some(404) => Read::Gone,
            read => match self.noted::<K, _>(read, "get") {
                Some(object) => Read::Found(K::from(object)),
                None => Read::Unknown,
            },
        }
    }

    /// Reads an object that is shown only if the credential may read it; nothing is noted.
    pub fn optional<K: Kind>(&self, place: &Place) -> Option<K> {
        self.read::<K>(place).ok().map(K::from)
    }

    /// Lists objects, in pages of 100 and at most 300. If there are more, that is noted. Without a namespace, lists those of
    /// the whole cluster.
    pub fn list<'n, K: Kind>(
        &self,
        namespace: impl Into<Option<&'n Name>>,
        select: &Select,
    ) -> List<K> {
        let resource = K::RESOURCE;
        let path = path(&resource, namespace.into(), None);
        let listed = self.listed(&path, select);
        self.noted::<K, _>(listed, "list")
            .map(|(items, is_cut)| self.counted(resource.called, items, is_cut))
            .unwrap_or_default()
    }

    fn counted<K: From<Object>>(&self, what: &str, items: Vec<Value>, is_cut: bool) -> List<K> {
        if is_cut {
            let why = format!("only the first {} were read", items.len());
            self.look.missing(what, &why);
        }
        let objects = items.into_iter().map(|item| K::from(self.object(item)));
        List {
            items: objects.collect(),
            read: if is_cut { Extent::Part } else { Extent::All },
        }
    }

    /// Returns the items of all pages, and whether there are more.
    fn listed(&self, path: &str, select: &Select) -> Result<(Vec<Value>, bool), Unread> {
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut query = select.query();
            query.push(("limit", PAGE_ITEMS));
            query.extend(after.as_deref().map(|after| ("continue", after)));
            let mut page = match self.json(path, &query) {
                Ok(page) => page,
                // The list has changed too much, or the server is slow: the earlier pages are used.
                Err(_) if after.is_some() => return Ok((found, true)),
                Err(unread) => return Err(unread),
            };
            if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
                found.extend(items);
            }
            after = text(&page, "/metadata/continue").map(str::to_owned);
            if after.is_none() {
                return Ok((found, false));
            }
        }
        Ok((found, true))
    }

    fn read<K: Kind>(&self, place: &Place) -> Result<Object, Unread> {
        let path = path(&K::RESOURCE, place.namespace(), Some(place.name()));
        let mut object = self.object(self.json(&path, &[])?);
        object.is_at(place);
        Ok(object)
    }

    fn object(&self, value: Value) -> Object {
        let may_quote_log = self.look.settings.logs == crate::settings::Logs::Message;
        Object::new(value, may_quote_log)
    }

    fn json(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Unread> {
        let server = self.look.kubernetes_server();
        let answer = self.look.get(server, path, query)?;
        answer
            .json()
            .map_err(|error| self.look.unread(server, error))
    }

    fn noted<K: Kind, T>(&self, read: Result<T, Unread>, verb: &str) -> Option<T> {
        let Resource { called, plural, .. } = K::RESOURCE;
        self.look.noted(called, &format!("{plural}: {verb}"), read)
    }
}

fn path(resource: &Resource, namespace: Option<&Name>, name: Option<&Name>) -> String {
    let mut path = resource.api.to_owned();
    if let Some(namespace) = namespace.filter(|_| resource.is_namespaced) {
        path.push_str(&format!("/namespaces/{}", encode(namespace)));
    }
    path.push_str(&format!("/{}", resource.plural));
    if let Some(name) = name {
        path.push_str(&format!("/{}", encode(name)));
    }
    path
}
