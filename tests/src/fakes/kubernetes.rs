//! A stand-in for the Kubernetes API server: read-only, with its shapes, its `Status` errors and its RBAC refusals.

use std::collections::BTreeSet;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::faults::Faults;
use super::scenario::Cluster;
use super::serve::Listening;
use super::watched::Watched;

/// One request, as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub at: Instant,
    pub method: String,
    pub path: String,
    /// Name and decoded value.
    pub query: Vec<(String, String)>,
    pub authorization: Option<String>,
}

#[derive(Debug, Default)]
struct Server {
    cluster: Cluster,
    token: Option<String>,
    /// Resources (`pods`, `pods/log`, `events`) that RBAC refuses.
    forbidden: BTreeSet<String>,
    asked: Vec<Asked>,
}

/// The running stand-in. Faults go by path.
#[derive(Debug)]
pub struct Kubernetes {
    listening: Listening,
    shared: Shared,
}

#[derive(Debug, Clone)]
struct Shared {
    server: Watched<Server>,
    faults: Faults,
}

impl Kubernetes {
    /// Starts on a free port, open to everyone until [`Kubernetes::require_token`].
    ///
    /// # Panics
    /// Where loopback has no free port.
    pub async fn start(cluster: Cluster) -> Self {
        Self::start_on(0, cluster)
            .await
            .expect("a free port on 127.0.0.1")
    }

    /// Starts on `port`.
    ///
    /// # Errors
    /// Where the port is in use.
    pub async fn start_on(port: u16, cluster: Cluster) -> std::io::Result<Self> {
        let server = Watched::new(Server {
            cluster,
            ..Server::default()
        });
        let shared = Shared {
            server,
            faults: Faults::default(),
        };
        let router = Router::new().fallback(endpoint).with_state(shared.clone());
        let listening = Listening::start(port, router).await?;
        Ok(Self { listening, shared })
    }

    /// Returns `http://127.0.0.1:PORT`, which is also the origin to grant.
    pub fn url(&self) -> String {
        format!("http://{}", self.listening.addr)
    }

    /// The faults to script; paths as in the request, without the query.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Puts another cluster in the place of the present one.
    pub fn set(&self, cluster: Cluster) {
        self.shared.server.change(|s| s.cluster = cluster);
    }

    /// Answers 401 to whoever does not carry this bearer token.
    pub fn require_token(&self, token: &str) {
        self.shared
            .server
            .change(|s| s.token = Some(token.to_owned()));
    }

    /// Answers 403 for a resource (`pods`, `pods/log`, `events`, `replicasets`), as RBAC does.
    pub fn forbid(&self, resource: &str) {
        self.shared
            .server
            .change(|s| s.forbidden.insert(resource.to_owned()));
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.server.read(|s| s.asked.clone())
    }

    /// Waits until at least `n` requests have arrived, and returns all.
    pub async fn wait_for_count(&self, n: usize) -> Vec<Asked> {
        let found = |s: &Server| (s.asked.len() >= n).then(|| s.asked.clone());
        let account = |s: &Server| {
            s.asked
                .iter()
                .map(|a| format!("{} {}\n", a.method, a.path))
                .collect()
        };
        self.shared
            .server
            .wait(&format!("{n} requests to Kubernetes"), found, account)
            .await
    }

    /// Waits, without a limit, until more than `n` requests have arrived, and returns all.
    pub async fn wait_for_more(&self, n: usize) -> Vec<Asked> {
        self.shared
            .server
            .next(|s| (s.asked.len() > n).then(|| s.asked.clone()))
            .await
    }
}

async fn endpoint(State(shared): State<Shared>, request: Request) -> Response {
    let authorization = request.headers().get(header::AUTHORIZATION);
    let asked = Asked {
        at: Instant::now(),
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: decode_query(request.uri().query().unwrap_or_default()),
        authorization: authorization
            .and_then(|v| v.to_str().ok())
            .map(str::to_owned),
    };
    let fault = shared.faults.take(&asked.path);
    shared.server.change(|s| s.asked.push(asked.clone()));
    let usual = || {
        shared
            .server
            .read(|s| s.answer(&asked).unwrap_or_else(Status::into_response))
    };
    shared.faults.answer(fault, usual).await
}

/// An API error, as Kubernetes sends it.
#[derive(Debug)]
struct Status {
    code: StatusCode,
    reason: &'static str,
    message: String,
    /// Kind and name of what it is about.
    about: Option<(String, String)>,
}

impl Status {
    fn bad_request(message: String) -> Self {
        Self {
            code: StatusCode::BAD_REQUEST,
            reason: "BadRequest",
            message,
            about: None,
        }
    }

    fn not_found(target: &Target) -> Self {
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

    fn into_response(self) -> Response {
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

fn json_response(code: StatusCode, body: &Value) -> Response {
    (
        code,
        [(header::CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response()
}

/// What a path names.
#[derive(Debug)]
struct Target {
    /// Empty for the core group.
    group: String,
    api_version: String,
    namespace: String,
    resource: String,
    /// Empty where the whole list is asked for.
    name: String,
    /// `log`, or empty.
    subresource: String,
}

impl Target {
    fn parse(path: &str) -> Option<Self> {
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

    fn rbac_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }

    fn object_path(&self) -> String {
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

/// What the role of a handler that explains crash loops grants: resource and verb. All else is refused.
const GRANTED: [(&str, &str); 11] = [
    ("pods", "get"),
    ("pods/log", "get"),
    ("events", "list"),
    ("replicasets", "get"),
    ("replicasets", "list"),
    ("deployments", "get"),
    ("statefulsets", "get"),
    ("daemonsets", "get"),
    ("jobs", "get"),
    ("nodes", "get"),
    ("namespaces", "get"),
];

impl Server {
    fn answer(&self, asked: &Asked) -> Result<Response, Status> {
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
        let (group, namespace) = (&target.group, &target.namespace);
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
             resource \"{resource}\" in API group \"{group}\" in the namespace \"{namespace}\""
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
            "replicasets" => ("ReplicaSetList", self.labelled(asked, target)),
            _ => return Err(Status::not_found(target)),
        };
        // Items of a list carry neither kind nor apiVersion in the real API.
        let items: Vec<Value> = items.into_iter().map(without_type).collect();
        let body = json!({
            "kind": kind, "apiVersion": target.api_version, "metadata": { "resourceVersion": "81734500" }, "items": items,
        });
        Ok(json_response(StatusCode::OK, &body))
    }

    fn events(&self, asked: &Asked, target: &Target) -> Result<Vec<Value>, Status> {
        let selector = query(asked, "fieldSelector").unwrap_or_default();
        let mut wanted = Vec::new();
        for term in selector.split(',').filter(|term| !term.is_empty()) {
            let (field, value) = term.split_once('=').unwrap_or((term, ""));
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
            wanted.push((pointer, value.trim_start_matches('=')));
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

    fn labelled(&self, asked: &Asked, target: &Target) -> Vec<Value> {
        let selector = query(asked, "labelSelector").unwrap_or_default();
        let terms: Vec<(&str, &str)> = selector
            .split(',')
            .filter_map(|term| term.split_once('='))
            .collect();
        let folder = target.object_path();
        let objects = self
            .cluster
            .objects
            .range(folder.clone()..)
            .take_while(|(path, _)| path.starts_with(&folder));
        objects
            .map(|(_, object)| object)
            .filter(|object| {
                let labels = &object["metadata"]["labels"];
                terms
                    .iter()
                    .all(|(name, value)| labels[*name] == value.trim_start_matches('='))
            })
            .cloned()
            .collect()
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

fn decode_query(query: &str) -> Vec<(String, String)> {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::raw_http::{Answer, get, request};
    use super::super::scenario::CrashLoop;
    use super::*;

    const NOW: i64 = 1_780_542_727;
    const POD: &str = "/api/v1/namespaces/customer/pods/customer-rs-transformer-9b75b488c-cpfd7";

    async fn ask(kubernetes: &Kubernetes, path: &str) -> Answer {
        get(kubernetes.listening.addr, path).await.unwrap()
    }

    #[tokio::test]
    async fn the_crash_loop_is_told_in_the_apis_own_shapes() {
        let kubernetes = Kubernetes::start(CrashLoop::oom_killed(NOW).cluster()).await;
        let pod = ask(&kubernetes, POD).await.json();
        assert_eq!(pod["kind"], "Pod");
        let status = &pod["status"]["containerStatuses"][0];
        assert_eq!(status["lastState"]["terminated"]["reason"], "OOMKilled");
        assert_eq!(status["state"]["waiting"]["reason"], "CrashLoopBackOff");

        let apps = "/apis/apps/v1/namespaces/customer";
        let sets = ask(
            &kubernetes,
            &format!(
                "{apps}/replicasets?labelSelector=app.kubernetes.io%2Fname%3Dcustomer-rs-transformer"
            ),
        );
        let sets = sets.await.json();
        assert_eq!(
            (
                sets["kind"].as_str(),
                sets["items"].as_array().unwrap().len()
            ),
            (Some("ReplicaSetList"), 2)
        );
        let deployment = ask(
            &kubernetes,
            &format!("{apps}/deployments/customer-rs-transformer"),
        )
        .await
        .json();
        assert_eq!(deployment["status"]["readyReplicas"], 2);

        let uid = pod["metadata"]["uid"].as_str().unwrap();
        let selector = format!("fieldSelector=involvedObject.uid%3D{uid}%2Ctype%3DWarning");
        let events = ask(
            &kubernetes,
            &format!("/api/v1/namespaces/customer/events?{selector}"),
        )
        .await
        .json();
        assert_eq!(events["items"].as_array().unwrap().len(), 1);
        assert_eq!(events["items"][0]["reason"], "BackOff");
    }

    #[tokio::test]
    async fn logs_are_cut_as_the_real_api_cuts_them() {
        let kubernetes = Kubernetes::start(CrashLoop::exit(NOW, 1, "the end").cluster()).await;
        let log = |query: &str| format!("{POD}/log?container=rs-transformer&previous=true&{query}");
        let tail = ask(&kubernetes, &log("tailLines=2")).await;
        assert_eq!(tail.body.lines().collect::<Vec<_>>().len(), 2);
        assert!(tail.body.ends_with("the end\n"));
        // The newest are cut, which is why a client has to trim for itself.
        assert_eq!(
            ask(&kubernetes, &log("tailLines=2&limitBytes=5"))
                .await
                .body,
            "level"
        );
        let other = ask(&kubernetes, &format!("{POD}/log?container=nobody")).await;
        assert_eq!(
            other.json()["message"],
            "container nobody is not valid for pod customer-rs-transformer-9b75b488c-cpfd7"
        );
    }

    #[tokio::test]
    async fn errors_are_status_objects() {
        let crash_loop = CrashLoop::oom_killed(NOW);
        let kubernetes = Kubernetes::start(crash_loop.cluster_without_pod()).await;
        let gone = ask(&kubernetes, POD).await.json();
        assert_eq!(
            (&gone["kind"], &gone["code"], &gone["reason"]),
            (&json!("Status"), &json!(404), &json!("NotFound"))
        );
        let secrets = ask(&kubernetes, "/api/v1/namespaces/customer/secrets")
            .await
            .json();
        assert_eq!(
            (&secrets["code"], &secrets["reason"]),
            (&json!(403), &json!("Forbidden"))
        );
        kubernetes.set(crash_loop.cluster());
        kubernetes.forbid("pods/log");
        assert_eq!(ask(&kubernetes, &format!("{POD}/log")).await.status, 403);
        let written = request(kubernetes.listening.addr, "DELETE", POD, &[], "")
            .await
            .unwrap();
        assert_eq!(written.status, 403);
        kubernetes.require_token("secret");
        assert_eq!(ask(&kubernetes, POD).await.status, 401);
        let bearer = [("Authorization", "Bearer secret")];
        assert_eq!(
            request(kubernetes.listening.addr, "GET", POD, &bearer, "")
                .await
                .unwrap()
                .status,
            200
        );
    }

    #[tokio::test]
    async fn a_log_that_is_not_there_yet_is_a_bad_request() {
        let kubernetes = Kubernetes::start(CrashLoop::init_container(NOW).cluster()).await;
        let init = ask(
            &kubernetes,
            &format!("{POD}/log?container=wait-for-db&previous=true"),
        )
        .await;
        assert!(init.body.contains("connection refused"));
        let main = ask(
            &kubernetes,
            &format!("{POD}/log?container=rs-transformer&previous=true"),
        )
        .await;
        assert_eq!(main.status, 400);
        let unnamed = ask(&kubernetes, &format!("{POD}/log")).await.json();
        assert!(
            unnamed["message"]
                .as_str()
                .unwrap()
                .starts_with("a container name must be specified")
        );
    }
}
