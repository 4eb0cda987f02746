//! The rules of the Kubernetes API: paths, selectors, logs, RBAC, and errors as `Status` objects.

use std::collections::BTreeSet;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::kubernetes_wire::{Status, Target, json_response};
use super::scenario::Cluster;

/// One request, as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub path: String,
    /// Name and decoded value.
    pub query: Vec<(String, String)>,
    pub authorization: Option<String>,
}

/// What the fake holds.
#[derive(Debug, Default)]
pub(super) struct Server {
    pub(super) cluster: Cluster,
    pub(super) token: Option<String>,
    /// Resources (`pods`, `pods/log`, `events`) that RBAC refuses.
    pub(super) forbidden: BTreeSet<String>,
    pub(super) asked: Vec<Asked>,
}

/// What the `ClusterRole` of `host/deploy/kubernetes` grants: resource and verb. All else is refused.
pub(super) const GRANTED: [(&str, &str); 24] = [
    ("pods", "get"),
    ("pods", "list"),
    ("pods/log", "get"),
    ("events", "list"),
    ("nodes", "get"),
    ("nodes", "list"),
    ("persistentvolumeclaims", "get"),
    ("persistentvolumes", "get"),
    ("storageclasses", "get"),
    ("replicasets", "get"),
    ("replicasets", "list"),
    ("deployments", "get"),
    ("controllerrevisions", "list"),
    ("statefulsets", "get"),
    ("daemonsets", "get"),
    ("jobs", "get"),
    ("jobs", "list"),
    ("cronjobs", "get"),
    ("horizontalpodautoscalers", "get"),
    ("poddisruptionbudgets", "get"),
    ("certificates", "get"),
    ("certificaterequests", "list"),
    ("orders", "list"),
    ("challenges", "list"),
];

impl Server {
    pub(super) fn answer(&self, asked: &Asked) -> Result<Response, Status> {
        if let Some(token) = &self.token
            && asked.authorization.as_deref() != Some(&format!("Bearer {token}"))
        {
            let (code, message) = (StatusCode::UNAUTHORIZED, "Unauthorized".to_owned());
            return Err(Status {
                code,
                reason: "Unauthorized",
                message,
                about: None,
            });
        }
        if asked.path == "/version" {
            let version = json!({ "major": "1", "minor": "31", "gitVersion": "v1.31.4", "platform": "linux/amd64" });
            return Ok(json_response(StatusCode::OK, &version));
        }
        let Some(target) = Target::parse(&asked.path) else {
            let (code, message) = (
                StatusCode::NOT_FOUND,
                "the server could not find the requested resource".to_owned(),
            );
            return Err(Status {
                code,
                reason: "NotFound",
                message,
                about: None,
            });
        };
        self.authorize(asked, &target)?;
        if target.name.is_empty() {
            return self.list(asked, &target);
        }
        match target.subresource.as_str() {
            "log" => self.log(asked, &target),
            _ => {
                let object = self.cluster.objects.get(&target.object_path());
                let object = object.ok_or_else(|| Status::not_found(&target))?;
                Ok(json_response(StatusCode::OK, object))
            }
        }
    }

    fn authorize(&self, asked: &Asked, target: &Target) -> Result<(), Status> {
        let verb = match asked.method.as_str() {
            "GET"
                if asked
                    .query
                    .iter()
                    .any(|(name, value)| name == "watch" && value != "false") =>
            {
                "watch"
            }
            "GET" | "HEAD" if target.name.is_empty() => "list",
            "GET" | "HEAD" => "get",
            "POST" => "create",
            "PUT" => "update",
            "PATCH" => "patch",
            _ => "delete",
        };
        let resource = target.rbac_resource();
        if GRANTED.contains(&(resource.as_str(), verb)) && !self.forbidden.contains(&resource) {
            return Ok(());
        }
        let group = &target.group;
        let scope = if target.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace \"{}\"", target.namespace)
        };
        let named = if target.name.is_empty() {
            String::new()
        } else {
            format!(" \"{}\"", target.name)
        };
        let plural = if target.group.is_empty() {
            target.resource.clone()
        } else {
            format!("{}.{group}", target.resource)
        };
        let message = format!(
            "{plural}{named} is forbidden: User \"system:serviceaccount:monitoring:alert-manager\" cannot {verb} \
             resource \"{resource}\" in API group \"{group}\" {scope}"
        );
        let about = Some((target.resource.clone(), target.name.clone()));
        Err(Status {
            code: StatusCode::FORBIDDEN,
            reason: "Forbidden",
            message,
            about,
        })
    }

    fn list(&self, asked: &Asked, target: &Target) -> Result<Response, Status> {
        let (kind, items): (&str, Vec<Value>) = match target.resource.as_str() {
            "events" => ("EventList", self.events(asked, target)?),
            resource => {
                let kind = match resource {
                    "pods" => "PodList",
                    "nodes" => "NodeList",
                    "replicasets" => "ReplicaSetList",
                    "jobs" => "JobList",
                    "controllerrevisions" => "ControllerRevisionList",
                    "certificaterequests" => "CertificateRequestList",
                    "orders" => "OrderList",
                    "challenges" => "ChallengeList",
                    _ => return Err(Status::not_found(target)),
                };
                (kind, self.selected(asked, target)?)
            }
        };
        // Items of a list carry neither kind nor apiVersion in the real API.
        let items: Vec<Value> = items.into_iter().map(without_type).collect();
        let (items, metadata) = page(items, asked)?;
        let body = json!({
            "kind": kind, "apiVersion": target.api_version, "metadata": metadata, "items": items,
        });
        Ok(json_response(StatusCode::OK, &body))
    }

    fn events(&self, asked: &Asked, target: &Target) -> Result<Vec<Value>, Status> {
        let mut wanted = Vec::new();
        for (field, value) in terms(asked, "fieldSelector")? {
            let pointer = match field {
                "involvedObject.uid" => "/involvedObject/uid",
                "involvedObject.name" => "/involvedObject/name",
                "involvedObject.kind" => "/involvedObject/kind",
                "involvedObject.namespace" => "/involvedObject/namespace",
                "type" => "/type",
                "reason" => "/reason",
                _ => {
                    return Err(Status::bad_request(format!(
                        "field label not supported: {field}"
                    )));
                }
            };
            wanted.push((pointer, value));
        }
        let matches = |event: &&Value| {
            let at = |pointer: &str| {
                event
                    .pointer(pointer)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            at("/metadata/namespace") == target.namespace
                && wanted.iter().all(|(pointer, value)| at(pointer) == *value)
        };
        Ok(self
            .cluster
            .events
            .iter()
            .filter(matches)
            .cloned()
            .collect())
    }

    /// Returns the objects of a list that are selected, of one namespace or of all.
    fn selected(&self, asked: &Asked, target: &Target) -> Result<Vec<Value>, Status> {
        let labels = terms(asked, "labelSelector")?;
        let fields = terms(asked, "fieldSelector")?;
        let is_known = |field: &str| target.resource == "pods" && field == "spec.nodeName";
        if let Some((field, _)) = fields.iter().find(|(field, _)| !is_known(field)) {
            return Err(Status::bad_request(format!(
                "field label not supported: {field}"
            )));
        }
        let is_listed = |path: &str| Target::parse(path).is_some_and(|it| it.is_in(target));
        let is_selected = |object: &&Value| {
            let own = &object["metadata"]["labels"];
            labels.iter().all(|(name, value)| own[*name] == *value)
                && fields
                    .iter()
                    .all(|(_, node)| object["spec"]["nodeName"] == *node)
        };
        Ok(self
            .cluster
            .objects
            .iter()
            .filter(|(path, _)| is_listed(path))
            .map(|(_, object)| object)
            .filter(is_selected)
            .cloned()
            .collect())
    }

    fn log(&self, asked: &Asked, target: &Target) -> Result<Response, Status> {
        let path = format!(
            "/api/v1/namespaces/{}/pods/{}",
            target.namespace, target.name
        );
        let pod = self
            .cluster
            .objects
            .get(&path)
            .ok_or_else(|| Status::not_found(target))?;
        let container = self.log_container(asked, target, pod)?;
        let is_previous = query(asked, "previous") == Some("true");
        let status = container_statuses(pod)
            .find(|s| s["name"] == container.as_str())
            .cloned()
            .unwrap_or_default();
        let has_ended = status["lastState"]["terminated"].is_object();
        if is_previous && !has_ended {
            let message = format!(
                "previous terminated container \"{container}\" in pod \"{}\" not found",
                target.name
            );
            return Err(Status::bad_request(message));
        }
        if !is_previous && !has_ended && status["state"]["waiting"].is_object() {
            let why = status["state"]["waiting"]["reason"]
                .as_str()
                .unwrap_or_default();
            let message = format!(
                "container \"{container}\" in pod \"{}\" is waiting to start: {why}",
                target.name
            );
            return Err(Status::bad_request(message));
        }
        // While the container waits, the kubelet shows the log of the one that ended.
        let is_ended_shown = is_previous || status["state"]["waiting"].is_object();
        let log = self.cluster.logs.get(&(path, container, is_ended_shown));
        let text = cut_log(log.map_or("", String::as_str), asked)?;
        Ok(([(header::CONTENT_TYPE, "text/plain")], text).into_response())
    }

    fn log_container(&self, asked: &Asked, target: &Target, pod: &Value) -> Result<String, Status> {
        let names_of = |list: &str| -> Vec<String> {
            let containers = pod["spec"][list].as_array().map_or(&[][..], Vec::as_slice);
            containers
                .iter()
                .filter_map(|c| c["name"].as_str())
                .map(str::to_owned)
                .collect()
        };
        let (main, init) = (names_of("containers"), names_of("initContainers"));
        match query(asked, "container") {
            Some(name) if main.iter().chain(&init).any(|n| n == name) => Ok(name.to_owned()),
            Some(name) => {
                let message = format!("container {name} is not valid for pod {}", target.name);
                Err(Status::bad_request(message))
            }
            None => match main.as_slice() {
                [only] if init.is_empty() => Ok(only.clone()),
                _ => Err(Status::bad_request(format!(
                    "a container name must be specified for pod {}, choose one of: [{}] or one of the init containers: [{}]",
                    target.name,
                    main.join(" "),
                    init.join(" ")
                ))),
            },
        }
    }
}

/// Returns the page of a list that `limit` and `continue` ask for, with the metadata that leads to the next.
fn page(items: Vec<Value>, asked: &Asked) -> Result<(Vec<Value>, Value), Status> {
    let mut metadata = json!({ "resourceVersion": "81734500" });
    let number = |name: &str| {
        query(asked, name)
            .filter(|text| !text.is_empty())
            .map(str::parse)
    };
    let skipped: usize = match number("continue") {
        None => 0,
        Some(Ok(skipped)) => skipped,
        Some(Err(_)) => return Err(Status::bad_request("continue key is not valid".to_owned())),
    };
    let limit = match number("limit") {
        None | Some(Ok(0)) => usize::MAX,
        Some(Ok(limit)) => limit,
        Some(Err(_)) => return Err(Status::bad_request("invalid value for limit".to_owned())),
    };
    let left = items.len().saturating_sub(skipped.saturating_add(limit));
    if left > 0 {
        metadata["continue"] = json!((skipped + limit).to_string());
        metadata["remainingItemCount"] = json!(left);
    }
    let page = items.into_iter().skip(skipped).take(limit).collect();
    Ok((page, metadata))
}

fn container_statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["containerStatuses", "initContainerStatuses"];
    lists
        .into_iter()
        .filter_map(|list| pod["status"][list].as_array())
        .flatten()
}

fn without_type(mut item: Value) -> Value {
    if let Some(map) = item.as_object_mut() {
        map.remove("kind");
        map.remove("apiVersion");
    }
    item
}

fn query<'a>(asked: &'a Asked, name: &str) -> Option<&'a str> {
    asked
        .query
        .iter()
        .find(|(n, _)| n == name)
        .map(|(_, value)| value.as_str())
}

/// Returns the terms of a selector, each a name and the value that it has to have. Other terms are refused.
fn terms<'a>(asked: &'a Asked, selector: &str) -> Result<Vec<(&'a str, &'a str)>, Status> {
    let text = query(asked, selector).unwrap_or_default();
    let terms = text.split(',').filter(|term| !term.is_empty());
    let equal = |term: &'a str| match term.split_once('=') {
        Some((name, value)) if !name.ends_with('!') => Ok((name, value.trim_start_matches('='))),
        _ => Err(Status::bad_request(format!(
            "unable to parse requirement: {term}"
        ))),
    };
    terms.map(equal).collect()
}

/// Keeps the last `tailLines`, then the first `limitBytes` of them: as in the real API, the newest are cut.
fn cut_log(text: &str, asked: &Asked) -> Result<String, Status> {
    let number = |name: &str| -> Result<Option<usize>, Status> {
        let Some(given) = query(asked, name) else {
            return Ok(None);
        };
        given
            .parse()
            .map(Some)
            .map_err(|_| Status::bad_request(format!("invalid value for {name}: {given}")))
    };
    let (tail_lines, limit_bytes) = (number("tailLines")?, number("limitBytes")?);
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let kept = lines[lines.len().saturating_sub(tail_lines.unwrap_or(usize::MAX))..].concat();
    let cut = kept.as_bytes()[..kept.len().min(limit_bytes.unwrap_or(usize::MAX))].to_vec();
    Ok(String::from_utf8_lossy(&cut).into_owned())
}

pub(super) fn decode_query(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(n, v)| (decode(n), decode(v)))
        .collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = tail
            .get(..2)
            .and_then(|h| std::str::from_utf8(h).ok())
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        match (byte, hex) {
            (b'%', Some(value)) => {
                bytes.push(value);
                rest = &tail[2..];
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = tail;
            }
            _ => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
