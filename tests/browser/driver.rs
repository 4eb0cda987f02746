//! Chromium, driven over `WebDriver` by Debian's `chromedriver`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::PATIENCE;
use tests::modules::workspace;

use crate::webdriver::{Element, Session};

/// The names of Chromium, of Debian and of others.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// The driver, which starts browsers. All that they write is in a folder that goes with it.
pub(crate) struct Driver {
    process: Child,
    /// The program that it starts.
    browser: PathBuf,
    port: u16,
    _dir: TempDir,
}

/// How a browser looks at pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) width_px: u32,
    pub(crate) scheme: Scheme,
    pub(crate) script: Script,
}

/// The colours that the system of the person has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Light,
    Dark,
}

/// The tallest picture.
const PICTURE_PX_MAX: f64 = 6_000.0;

/// Whether pages may run a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    On,
    Off,
}

impl Scheme {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

impl Look {
    pub(crate) const DESK: Self = Self {
        width_px: 1280,
        scheme: Scheme::Light,
        script: Script::On,
    };
    pub(crate) const DESK_AT_NIGHT: Self = Self {
        scheme: Scheme::Dark,
        ..Self::DESK
    };
    pub(crate) const PHONE: Self = Self {
        width_px: 390,
        ..Self::DESK
    };
    pub(crate) const PHONE_AT_NIGHT: Self = Self {
        scheme: Scheme::Dark,
        ..Self::PHONE
    };
    pub(crate) const WITHOUT_SCRIPT: Self = Self {
        script: Script::Off,
        ..Self::DESK
    };

    fn height_px(self) -> u32 {
        if self.width_px < 600 { 844 } else { 900 }
    }
}

impl Driver {
    /// Starts the driver on a free port.
    ///
    /// # Errors
    /// What is missing, and which package of Debian brings it.
    pub(crate) fn start() -> Result<Self, String> {
        let browser = found(&BROWSERS)?;
        let program = found(&["chromedriver"])?;
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut process = Command::new(program)
            .arg("--port=0")
            .env("HOME", dir.path())
            .env("TMPDIR", dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let mut said = BufReader::new(process.stdout.take().expect("piped"));
        let mut line = String::new();
        let port = loop {
            line.clear();
            let read = said.read_line(&mut line).expect("what it says");
            assert_ne!(read, 0, "chromedriver ended");
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim().trim_end_matches('.').parse().expect("a port");
            }
        };
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Ok(Self {
            process,
            browser,
            port,
            _dir: dir,
        })
    }

    /// Opens a browser with a new profile.
    pub(crate) async fn browser(&self, look: Look) -> Browser {
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--lang=en-GB",
        ];
        let mut options = json!({ "binary": self.browser, "args": arguments });
        if look.script == Script::Off {
            options["prefs"] = json!({ "profile.managed_default_content_settings.javascript": 2 });
        }
        let wanted = json!({
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "script": PATIENCE.as_millis() },
        });
        let url = format!("http://127.0.0.1:{}", self.port);
        let driver = Session::start(&url, wanted).await;
        let driver = driver.expect("a browser starts");
        let browser = Browser { driver };
        browser.look(look).await;
        browser
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It ends the browsers that a failed test has left.
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
            let _ = stream.set_read_timeout(Some(PATIENCE));
            let _ = write!(stream, "GET /shutdown HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
            let _ = stream.read(&mut [0; 1024]);
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the first of these programs that is installed.
///
/// # Errors
/// Which packages of Debian bring them.
fn found(programs: &[&str]) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs: Vec<_> = std::env::split_paths(&path).collect();
    let all = programs
        .iter()
        .flat_map(|program| dirs.iter().map(move |dir| dir.join(program)));
    let mut installed = all.filter(|file| file.is_file());
    installed.next().ok_or_else(|| {
        format!(
            "{} is missing: apt-get install chromium chromium-driver",
            programs[0]
        )
    })
}

/// A browser with one tab.
pub(crate) struct Browser {
    driver: Session,
}

impl Browser {
    /// Looks at pages in another way from now on.
    pub(crate) async fn look(&self, look: Look) {
        let screen = json!({
            "width": look.width_px, "height": look.height_px(), "deviceScaleFactor": 1, "mobile": look.width_px < 600,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", screen)
            .await;
        let scheme = look.scheme.as_str();
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// Calls Chromium's own protocol, for what `WebDriver` has no word for.
    pub(crate) async fn devtools(&self, method: &str, parameters: Value) -> Value {
        let answer = self
            .driver
            .post(
                "/goog/cdp/execute",
                json!({ "cmd": method, "params": parameters }),
            )
            .await;
        answer.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Goes to a page and waits until it is loaded.
    pub(crate) async fn open(&self, url: &str) {
        let opened = self.driver.post("/url", json!({ "url": url })).await;
        opened.unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// Runs a script outside the page's policy and returns what it returns.
    pub(crate) async fn run<T: DeserializeOwned>(&self, script: &str) -> T {
        let result = self
            .driver
            .post("/execute/sync", json!({ "script": script, "args": [] }))
            .await;
        let result = result.unwrap_or_else(|error| panic!("{script}: {error}"));
        serde_json::from_value(result).unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Runs a script that calls `done` with its result.
    pub(crate) async fn run_until_done(&self, script: &str) -> Value {
        let script = format!("const done = arguments[arguments.length - 1]; {script}");
        let result = self
            .driver
            .post("/execute/async", json!({ "script": script, "args": [] }))
            .await;
        result.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Waits until an expression is true, which a change of the document makes it.
    pub(crate) async fn wait(&self, expression: &str) {
        let script = format!(
            "const done = arguments[arguments.length - 1];
            const holds = () => {expression};
            const look = () => {{ if (holds()) {{ watcher.disconnect(); done(true); }} }};
            const watcher = new MutationObserver(look);
            watcher.observe(document, {{ subtree: true, childList: true, characterData: true, attributes: true }});
            look();"
        );
        let waited = self
            .driver
            .post("/execute/async", json!({ "script": script, "args": [] }))
            .await;
        if let Err(error) = waited {
            let text: String = self.run("return document.body.innerText").await;
            panic!("never: {expression} ({error}): {text}");
        }
    }

    /// Returns where the tab is.
    pub(crate) async fn address(&self) -> String {
        self.driver
            .get("/url")
            .await
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Returns the elements of a selector.
    pub(crate) async fn all(&self, selector: &str) -> Vec<Element> {
        self.driver.find_all(selector).await.unwrap()
    }

    /// Returns the first element of a selector.
    pub(crate) async fn one(&self, selector: &str) -> Element {
        let found = self.driver.find_all(selector).await;
        match found.map(|found| found.into_iter().next()) {
            Ok(Some(element)) => element,
            error => {
                let shown: String = self.run("return document.body.innerText").await;
                panic!("{selector}: {error:?}: {shown}")
            }
        }
    }

    /// Returns the text of an element, as it is shown.
    pub(crate) async fn text(&self, selector: &str) -> String {
        self.one(selector).await.text().await.unwrap()
    }

    /// Clicks the first element of a selector.
    pub(crate) async fn click(&self, selector: &str) {
        let clicked = self.one(selector).await.click().await;
        clicked.unwrap_or_else(|error| panic!("{selector}: {error}"));
    }

    /// Clicks a link or a button of a form, and waits until the next page has come. A browser does not report it, so it is polled.
    pub(crate) async fn follow(&self, selector: &str) {
        let before = self.one("html").await;
        self.click(selector).await;
        self.leave(before).await;
    }

    /// As [`Self::follow`], with a key.
    pub(crate) async fn press_and_follow(&self, keys: &str) {
        let before = self.one("html").await;
        self.press(keys).await;
        self.leave(before).await;
    }

    async fn leave(&self, before: Element) {
        let left = async {
            // An element of a page that was left is stale.
            while before.tag_name().await.is_ok() {
                tokio::task::yield_now().await;
            }
            while self.all("main, body > *").await.is_empty() {
                tokio::task::yield_now().await;
            }
        };
        let left = tokio::time::timeout(PATIENCE, left).await;
        assert!(left.is_ok(), "{} is still shown", self.address().await);
    }

    /// Types into a field, in the place of what it has.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        let field = self.one(selector).await;
        field.clear().await.unwrap();
        field.type_text(text).await.unwrap();
    }

    /// Presses keys, wherever the focus is.
    pub(crate) async fn press(&self, keys: &str) {
        let presses = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|what| json!({ "type": what, "value": key })));
        let presses: Vec<_> = presses.collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": presses });
        let pressed = json!({ "actions": [keyboard] });
        self.driver.post("/actions", pressed).await.unwrap();
    }

    pub(crate) async fn cookies(&self) -> Vec<Value> {
        let cookies = self.driver.get("/cookie").await.unwrap();
        cookies.as_array().unwrap().clone()
    }

    /// Returns what the console has said since this was last asked: mistakes of the page, and what its policy has blocked.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let of_browser = json!({ "type": "browser" });
        let entries = self.driver.post("/se/log", of_browser).await.unwrap();
        let entries = entries.as_array().unwrap().iter();
        let messages = entries.filter_map(|entry| {
            let message = entry["message"].as_str().unwrap_or_default();
            // That a page has an error's status is no mistake of the page.
            let is_status = message.contains("Failed to load resource");
            let is_grave = entry["level"] != "INFO" && entry["level"] != "DEBUG";
            (is_grave && !is_status).then(|| message.to_owned())
        });
        messages.collect()
    }

    /// Returns whether a dialog of the page is open, and closes it.
    pub(crate) async fn has_dialog(&self) -> bool {
        let is_open = self.driver.get("/alert/text").await.is_ok();
        if is_open {
            let closed = self.driver.post("/alert/dismiss", json!({})).await;
            closed.unwrap();
        }
        is_open
    }

    /// Takes a picture of the whole page and leaves it in `target/pictures`.
    pub(crate) async fn picture(&self, name: &str) -> PathBuf {
        let (width, screen, page): (f64, f64, f64) = self
            .run("return [innerWidth, innerHeight, Math.ceil(document.documentElement.scrollHeight)]")
            .await;
        let height = page.max(screen).min(PICTURE_PX_MAX);
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        let wanted = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let picture = self.devtools("Page.captureScreenshot", wanted).await;
        let bytes = decoded(picture["data"].as_str().expect("a picture"));
        let dir = workspace().join("target/pictures");
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join(format!("{name}.png"));
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Ends the browser.
    pub(crate) async fn close(self) {
        self.driver.quit().await.unwrap();
    }
}

fn decoded(base64: &str) -> Vec<u8> {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::STANDARD;
    engine.decode(base64).expect("base64")
}
