//! What the tests need of the `WebDriver` protocol (<https://www.w3.org/TR/webdriver2/>), as requests to a driver.

use std::sync::Arc;

use reqwest::{Client, Method};
use serde_json::{Value, json};

/// The name under which `WebDriver` passes elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys that are no text.
pub(crate) const ESCAPE: &str = "\u{e00c}";
pub(crate) const TAB: &str = "\u{e004}";
pub(crate) const ENTER: &str = "\u{e007}";

/// A browser that the driver has started.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    http: Client,
    url: Arc<str>,
}

impl Session {
    /// Starts a browser with these capabilities.
    ///
    /// # Errors
    /// What the driver says.
    pub(crate) async fn start(driver: &str, wanted: Value) -> Result<Self, String> {
        let http = Client::new();
        let drivers = Self {
            http: http.clone(),
            url: format!("{driver}/session").into(),
        };
        let wanted = json!({ "capabilities": { "alwaysMatch": wanted } });
        let started = drivers.post("", wanted).await?;
        let id = started["sessionId"].as_str().unwrap_or_default();
        let url = format!("{driver}/session/{id}").into();
        Ok(Self { http, url })
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, String> {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let is_success = answer.status().is_success();
        let mut answer: Value = answer.json().await.map_err(|error| error.to_string())?;
        let value = answer["value"].take();
        match is_success {
            true => Ok(value),
            false => Err(format!("{}: {}", value["error"], value["message"])),
        }
    }

    /// Asks for something.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, String> {
        self.ask(Method::GET, path, None).await
    }

    /// Has the browser do something.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Result<Value, String> {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// Ends the browser.
    pub(crate) async fn quit(self) -> Result<Value, String> {
        self.ask(Method::DELETE, "", None).await
    }

    /// Returns the elements of a selector.
    pub(crate) async fn find_all(&self, selector: &str) -> Result<Vec<Element>, String> {
        let by = json!({ "using": "css selector", "value": selector });
        let found = self.post("/elements", by).await?;
        let found = found.as_array().cloned().unwrap_or_default();
        let element = |one: &Value| Element {
            session: self.clone(),
            path: format!("/element/{}", one[ELEMENT].as_str().unwrap_or_default()),
        };
        Ok(found.iter().map(element).collect())
    }
}

/// An element of a page.
#[derive(Clone, Debug)]
pub(crate) struct Element {
    session: Session,
    path: String,
}

impl Element {
    async fn said(&self, path: &str) -> Result<String, String> {
        let said = self.session.get(&format!("{}{path}", self.path)).await?;
        Ok(said.as_str().unwrap_or_default().to_owned())
    }

    async fn told(&self, path: &str, body: Value) -> Result<(), String> {
        let path = format!("{}{path}", self.path);
        self.session.post(&path, body).await.map(drop)
    }

    pub(crate) async fn text(&self) -> Result<String, String> {
        self.said("/text").await
    }

    pub(crate) async fn tag_name(&self) -> Result<String, String> {
        self.said("/name").await
    }

    pub(crate) async fn attribute(&self, name: &str) -> Result<String, String> {
        self.said(&format!("/attribute/{name}")).await
    }

    pub(crate) async fn click(&self) -> Result<(), String> {
        self.told("/click", json!({})).await
    }

    pub(crate) async fn clear(&self) -> Result<(), String> {
        self.told("/clear", json!({})).await
    }

    pub(crate) async fn type_text(&self, text: &str) -> Result<(), String> {
        self.told("/value", json!({ "text": text })).await
    }
}
