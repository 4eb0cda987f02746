//! Reports to many waiting cases what became of their deliveries and files, with one query for all of them.
//!
//! A dozen cases that each query the server at each of its commits would overload it.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;
use tests::server::{PATIENCE, Server};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Follows one server's deliveries and modules, until it or the server is gone.
pub(crate) struct Watch {
    /// The deliveries that are not settled; a newer one may be missing.
    unsettled: watch::Receiver<Arc<HashSet<String>>>,
    handlers: watch::Receiver<Arc<Vec<Value>>>,
    tasks: [JoinHandle<()>; 2],
}

impl Watch {
    /// Begins to follow the server at `url`, woken by its commits and by changes of its folder.
    pub(crate) fn start(url: &str, shared: &alert_manager::app::Handle) -> Self {
        let (tell_unsettled, unsettled) = watch::channel(Arc::default());
        let (tell_handlers, handlers) = watch::channel(Arc::default());
        let (mut commits, mut changes) = (shared.commits(), shared.folder_changes());
        let asker = Asker::new(url);
        let deliveries = tokio::spawn(async move {
            while commits.changed().await.is_ok() {
                commits.mark_unchanged();
                let Ok(unsettled) = asker.unsettled().await else {
                    return;
                };
                tell_unsettled.send_replace(Arc::new(unsettled));
            }
        });
        let asker = Asker::new(url);
        let modules = tokio::spawn(async move {
            loop {
                changes.mark_unchanged();
                let Ok(listed) = asker.list("/api/v1/handlers", "handlers").await else {
                    return;
                };
                tell_handlers.send_replace(Arc::new(listed));
                if changes.changed().await.is_err() {
                    return;
                }
            }
        });
        Self {
            unsettled,
            handlers,
            tasks: [deliveries, modules],
        }
    }

    /// Waits until a delivery is done or dead, and returns its story.
    pub(crate) async fn settled(&self, server: &Server, id: &str) -> Value {
        let mut news = self.unsettled.clone();
        let wait = async {
            loop {
                let is_open = news.borrow_and_update().contains(id);
                if !is_open {
                    let story = server.story(id).await;
                    if story["state"] == "done" || story["state"] == "dead" {
                        return story;
                    }
                }
                news.changed().await.expect("the watch goes on");
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        waited.unwrap_or_else(|_| panic!("the delivery {id} is never settled"))
    }

    /// Waits for a module that is as wanted.
    pub(crate) async fn handler(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut news = self.handlers.clone();
        let wait = async {
            loop {
                let listed = Arc::clone(&news.borrow_and_update());
                if let Some(found) = listed.iter().find(|handler| wanted(handler)) {
                    return found.clone();
                }
                news.changed().await.expect("the watch goes on");
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        waited.unwrap_or_else(|_| panic!("{what} is never listed as wanted"))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

struct Asker {
    url: String,
    http: reqwest::Client,
}

impl Asker {
    fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            http: reqwest::Client::new(),
        }
    }

    async fn unsettled(&self) -> reqwest::Result<HashSet<String>> {
        let mut ids = HashSet::new();
        for state in ["queued", "retrying", "running"] {
            let path = format!("/api/v1/deliveries?limit=1000&state={state}");
            let listed = self.list(&path, "deliveries").await?;
            ids.extend(
                listed
                    .iter()
                    .filter_map(|d| d["id"].as_str().map(str::to_owned)),
            );
        }
        Ok(ids)
    }

    async fn list(&self, path: &str, name: &str) -> reqwest::Result<Vec<Value>> {
        let url = format!("{}{path}", self.url);
        let mut body: Value = self.http.get(url).send().await?.json().await?;
        match body[name].take() {
            Value::Array(listed) => Ok(listed),
            other => panic!("{path} answers {other}"),
        }
    }
}
