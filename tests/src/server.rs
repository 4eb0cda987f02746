//! The real server in this process, on a free port and in a folder of its own, driven over HTTP.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alert_manager::api;
use alert_manager::app::{App, ConfigSource, Handle};
use alert_manager::config::{Config, Overrides};
use alert_manager::runtime::Compiler;
use parking_lot::Mutex;
use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::modules;

pub use crate::PATIENCE;

/// What a server is started with.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    config: Option<String>,
    variables: HashMap<String, String>,
    modules: Vec<(String, PathBuf)>,
}

impl Setup {
    /// A server without a configuration file and without modules.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds YAML to the configuration file; folder and store are the harness's.
    #[must_use]
    pub fn config(mut self, yaml: &str) -> Self {
        let config = self.config.get_or_insert_default();
        config.push_str(yaml);
        config.push('\n');
        self
    }

    /// Sets an environment variable, as the server sees it.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Points Slack at a fake.
    #[must_use]
    pub fn slack(self, slack: &crate::fakes::Slack) -> Self {
        self.variable("SLACK_API_URL", &slack.api_url())
            .variable("SLACK_TOKEN", crate::fakes::slack::TOKEN)
    }

    /// Puts a built module into the folder before the start.
    #[must_use]
    pub fn module(mut self, name: &str) -> Self {
        self.modules
            .push((format!("{name}.wasm"), modules::path(name)));
        self
    }

    /// Puts a bundled handler into the folder before the start, even if a guest has its name.
    #[must_use]
    pub fn handler(mut self, name: &str) -> Self {
        self.modules
            .push((format!("{name}.wasm"), modules::handler(name)));
        self
    }

    /// Starts the server in a new folder.
    pub async fn start(self) -> Server {
        let dir = tempfile::tempdir().expect("a temporary folder");
        self.start_in(Arc::new(dir)).await
    }

    /// Starts the server in a folder that another has used: a restart.
    pub async fn start_in(self, dir: Arc<TempDir>) -> Server {
        self.try_start_in(dir).await.expect("the server starts")
    }

    /// Starts the server, or says why it does not.
    ///
    /// # Errors
    /// What the command line would print.
    pub async fn try_start_in(self, dir: Arc<TempDir>) -> Result<Server, String> {
        let handlers = dir.path().join("handlers");
        std::fs::create_dir_all(&handlers).expect("a folder for modules");
        for (file, module) in &self.modules {
            drop_in(module, &handlers.join(file));
        }
        let source = self.source(dir.path());
        let config = source().map_err(|problems| problems.to_string())?;
        let previews = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&previews);
        let app = App::start(
            config,
            source,
            Arc::new(move |message: &str| seen.lock().push(message.to_owned())),
            // This program is no server; `integration/compiler.rs` has the real way.
            Compiler::InProcess,
        )
        .await
        .map_err(|error| error.to_string())?;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let shared = app.handle();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(app.run(listener, async move {
            let _ = stopped.await;
        }));
        shared.ready().await;
        Ok(Server {
            url,
            dir,
            shared,
            previews,
            stop: Some(stop),
            task: Some(task),
            http: reqwest::Client::new(),
        })
    }

    fn source(&self, dir: &Path) -> ConfigSource {
        let file = self.config.as_ref().map(|yaml| {
            let path = dir.join("alert-manager.yml");
            let harness = "handlers_dir: handlers\nstore: sqlite:alert-manager.db\n";
            std::fs::write(&path, format!("{harness}{yaml}")).expect("a configuration file");
            path
        });
        let mut variables = self.variables.clone();
        let mut overrides = Overrides::default();
        if file.is_none() {
            overrides.handlers_dir = Some(dir.join("handlers"));
            variables.insert(
                "ALERT_MANAGER_STORE".into(),
                format!("sqlite:{}", dir.join("alert-manager.db").display()),
            );
        }
        Arc::new(move || {
            Config::load(file.as_deref(), &overrides, &|name| {
                variables.get(name).cloned()
            })
        })
    }
}

/// Returns a folder with `handlers/` and these modules in it.
///
/// # Panics
/// If it cannot be made.
#[must_use]
pub fn folder(names: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(dir.path().join("handlers")).expect("a folder in it");
    for name in names {
        drop_in(
            &crate::modules::path(name),
            &dir.path().join(format!("handlers/{name}.wasm")),
        );
    }
    dir
}

/// Copies a module into a folder as a deployment would: whole, under another name, then renamed.
pub fn drop_in(module: &Path, to: &Path) {
    let partial = to.with_extension("partial");
    std::fs::copy(module, &partial).expect("the module is there");
    std::fs::rename(&partial, to).expect("the folder takes it");
}

/// A server under test. Dropped without [`Server::stop`], it is cut off.
pub struct Server {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// Its folder: configuration, store, modules.
    pub dir: Arc<TempDir>,
    /// A handle on it, for events to wait for.
    pub shared: Handle,
    previews: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<Result<(), alert_manager::app::ServeError>>>,
    http: reqwest::Client,
}

impl Server {
    /// Returns the folder of its modules.
    #[must_use]
    pub fn handlers_dir(&self) -> PathBuf {
        self.dir.path().join("handlers")
    }

    /// Returns the messages that were shown instead of posted.
    #[must_use]
    pub fn previews(&self) -> Vec<String> {
        self.previews.lock().clone()
    }

    /// Posts a JSON body to the webhook and returns status and answer.
    pub async fn post(&self, body: &Value) -> (StatusCode, Value) {
        self.post_raw(body.to_string(), "application/json").await
    }

    /// Posts any body to the webhook.
    pub async fn post_raw(
        &self,
        body: impl Into<reqwest::Body>,
        content_type: &str,
    ) -> (StatusCode, Value) {
        let response = self
            .http
            .post(format!("{}/webhook", self.url))
            .header("content-type", content_type)
            .body(body)
            .send()
            .await
            .expect("the server answers");
        let status = response.status();
        (status, response.json().await.expect("an answer in JSON"))
    }

    /// Posts one alert that has to be accepted, and returns the ids of its deliveries.
    pub async fn accept(&self, alert: &Value) -> Vec<String> {
        let (status, answer) = self.post(alert).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        assert_eq!(answer["rejected"], serde_json::json!([]), "{answer}");
        ids(&answer)
    }

    /// Asks the API.
    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        let (status, text) = self.get_text(path).await;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        (status, body)
    }

    /// Asks for a text.
    pub async fn get_text(&self, path: &str) -> (StatusCode, String) {
        let ask = || self.http.get(format!("{}{path}", self.url)).send();
        let response = match ask().await {
            Ok(response) => response,
            // A connection that was kept may have been closed just then: that is no answer, and asking is harmless.
            Err(_) => ask().await.expect("the server answers"),
        };
        (
            response.status(),
            response.text().await.expect("a whole answer"),
        )
    }

    /// Posts nothing to a path of the API.
    pub async fn command(&self, path: &str) -> (StatusCode, Value) {
        let response = self
            .http
            .post(format!("{}{path}", self.url))
            .send()
            .await
            .expect("the server answers");
        let status = response.status();
        let text = response.text().await.expect("a whole answer");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Returns the story of a delivery.
    pub async fn story(&self, id: &str) -> Value {
        let (status, story) = self.get(&format!("/api/v1/deliveries/{id}")).await;
        assert_eq!(status, StatusCode::OK, "{story}");
        story
    }

    /// Returns a delivery with its story, as the API's type.
    pub async fn delivery(&self, id: &str) -> api::Story {
        serde_json::from_value(self.story(id).await).expect("a story")
    }

    /// Returns the handlers, as the API's type.
    pub async fn handlers(&self) -> Vec<api::Handler> {
        let (status, body) = self.get("/api/v1/handlers").await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let body: api::Handlers = serde_json::from_value(body).expect("handlers");
        body.handlers
    }

    /// Waits until the story of a delivery is as wanted, and returns it.
    pub async fn wait_for_story(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut commits = self.shared.commits();
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                commits.mark_unchanged();
                let story = self.story(id).await;
                if wanted(&story) {
                    return story;
                }
                commits.changed().await.expect("the server still runs");
            }
        });
        match waited.await {
            Ok(story) => story,
            Err(_) => panic!("still not as wanted: {:#}", self.story(id).await),
        }
    }

    /// Waits until a delivery is done or dead, and returns its story.
    pub async fn wait_settled(&self, id: &str) -> Value {
        self.wait_for_story(id, |story| {
            story["state"] == "done" || story["state"] == "dead"
        })
        .await
    }

    /// Waits until a module of this name serves in this state.
    pub async fn wait_for_handler(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut changes = self.shared.folder_changes();
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                changes.mark_unchanged();
                let (_, body) = self.get("/api/v1/handlers").await;
                let handlers = body["handlers"].as_array().cloned().unwrap_or_default();
                if let Some(found) = handlers.into_iter().find(|handler| wanted(handler)) {
                    return found;
                }
                changes.changed().await.expect("the server still runs");
            }
        });
        match waited.await {
            Ok(handler) => handler,
            Err(_) => panic!(
                "no handler is as wanted: {:#}",
                self.get("/api/v1/handlers").await.1
            ),
        }
    }

    /// Stops as on SIGTERM and returns the folder, for a restart.
    pub async fn stop(mut self) -> Arc<TempDir> {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let task = self.task.take().expect("stopped once");
        tokio::time::timeout(PATIENCE, task)
            .await
            .expect("the server stops within its bound")
            .expect("without a panic")
            .expect("and without an error");
        Arc::clone(&self.dir)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// Returns the ids of the deliveries in the webhook's answer.
#[must_use]
pub fn ids(answer: &Value) -> Vec<String> {
    answer["deliveries"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|delivery| delivery["id"].as_str().map(str::to_owned))
        .collect()
}
