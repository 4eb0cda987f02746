//! The paths of the Kubernetes API, and its errors.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// An API error, as Kubernetes sends it.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) code: StatusCode,
    pub(super) reason: &'static str,
    pub(super) message: String,
    /// Kind and name of what it is about.
    pub(super) about: Option<(String, String)>,
}

impl Status {
    pub(super) fn bad_request(message: String) -> Self {
        Self {
            code: StatusCode::BAD_REQUEST,
            reason: "BadRequest",
            message,
            about: None,
        }
    }

    pub(super) fn not_found(target: &Target) -> Self {
        let named = if target.group.is_empty() {
            target.resource.clone()
        } else {
            format!("{}.{}", target.resource, target.group)
        };
        Self {
            code: StatusCode::NOT_FOUND,
            reason: "NotFound",
            message: format!("{named} \"{}\" not found", target.name),
            about: Some((target.resource.clone(), target.name.clone())),
        }
    }

    pub(super) fn into_response(self) -> Response {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code.as_u16(),
        });
        if let Some((kind, name)) = self.about {
            body["details"] = json!({ "name": name, "kind": kind });
        }
        json_response(self.code, &body)
    }
}

pub(super) fn json_response(code: StatusCode, body: &Value) -> Response {
    (
        code,
        [(header::CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response()
}

/// What a path names.
#[derive(Debug)]
pub(super) struct Target {
    /// Empty for the core group.
    pub(super) group: String,
    pub(super) api_version: String,
    pub(super) namespace: String,
    pub(super) resource: String,
    /// Empty if the whole list is asked for.
    pub(super) name: String,
    /// `log`, or empty.
    pub(super) subresource: String,
}

impl Target {
    pub(super) fn parse(path: &str) -> Option<Self> {
        let mut parts = path.trim_start_matches('/').split('/');
        let (group, version) = match parts.next()? {
            "api" => (String::new(), parts.next()?),
            "apis" => (parts.next()?.to_owned(), parts.next()?),
            _ => return None,
        };
        let api_version = if group.is_empty() {
            version.to_owned()
        } else {
            format!("{group}/{version}")
        };
        let mut rest: Vec<&str> = parts.collect();
        let namespaced = rest.len() > 2 && rest[0] == "namespaces";
        let namespace = if namespaced {
            rest[1].to_owned()
        } else {
            String::new()
        };
        if namespaced {
            rest.drain(..2);
        }
        let mut rest = rest.into_iter();
        let resource = rest.next()?.to_owned();
        let (name, subresource) = (
            rest.next().unwrap_or_default(),
            rest.next().unwrap_or_default(),
        );
        if rest.next().is_some() {
            return None;
        }
        let (name, subresource) = (name.to_owned(), subresource.to_owned());
        Some(Self {
            group,
            api_version,
            namespace,
            resource,
            name,
            subresource,
        })
    }

    pub(super) fn rbac_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }

    /// Returns whether this is an object of a list: of its resource, and of its namespace or, if it has none, of any.
    pub(super) fn is_in(&self, list: &Self) -> bool {
        (&self.api_version, &self.resource) == (&list.api_version, &list.resource)
            && (list.namespace.is_empty() || self.namespace == list.namespace)
    }

    pub(super) fn object_path(&self) -> String {
        let root = if self.group.is_empty() {
            "/api"
        } else {
            "/apis"
        };
        let folder = if self.namespace.is_empty() {
            String::new()
        } else {
            format!("/namespaces/{}", self.namespace)
        };
        format!(
            "{root}/{}{folder}/{}/{}",
            self.api_version, self.resource, self.name
        )
    }
}
