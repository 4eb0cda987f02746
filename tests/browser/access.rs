//! What a browser lets pages of others, and text that was smuggled in, do to the page: nothing.

use std::time::Duration;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use serde_json::Value;
use tests::alerts;
use tests::server::{Server, Setup};
use tokio::net::TcpListener;

use crate::World;
use crate::driver::{Browser, Look};

/// A page of another site. It is on this machine as well, under another name than the server.
struct Elsewhere {
    url: String,
    serving: tokio::task::JoinHandle<()>,
}

impl Elsewhere {
    async fn start(html: String) -> Self {
        let script = "document.documentElement.dataset.smuggled = 'from elsewhere'";
        let page = get(|| async move { Html(html) });
        let script = get(move || async move { ([("content-type", "text/javascript")], script) });
        let router = Router::new().route("/", page).route("/script.js", script);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url: format!("http://localhost:{port}"),
            serving,
        }
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A server with a delivery that has died, and can be retried.
async fn with_a_dead_one(config: &str) -> (Server, String) {
    let server = Setup::new()
        .module("probe")
        .config("slack: { preview: true }")
        .config("routes: [{ name: rest, handlers: [probe] }]\ndead_letter: { handlers: [] }")
        .config("handlers: { probe: { config: { script: panic boom }, retry: { min_backoff: 1ms, max_backoff: 1ms } } }")
        .config(config)
        .start()
        .await;
    let id = server.accept(&alerts::firing("Open", &[])).await.remove(0);
    let died = async {
        while story(&server, &id).await["state"] != "dead" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), died).await;
    waited.expect("the delivery dies");
    (server, id)
}

/// Asks for a delivery as one who has the token, if there is one.
async fn story(server: &Server, id: &str) -> Value {
    let url = format!("{}/api/v1/deliveries/{id}", server.url);
    let asked = reqwest::Client::new().get(url).bearer_auth("a-token");
    asked.send().await.unwrap().json().await.unwrap()
}

async fn server(config: &str) -> Server {
    let setup = Setup::new().config("slack: { preview: true }");
    setup.config(config).start().await
}

const WITH_TOKEN: &str = "api: { authorization: { credentials: a-token } }";

async fn sign_in(browser: &Browser, server: &Server) {
    browser.open(&format!("{}/deliveries", server.url)).await;
    assert_eq!(browser.text("h1").await, "Sign in");
    browser.fill("#credentials", "a-token").await;
    browser.fill("#name", "Anna").await;
    browser.follow("main button").await;
    assert_eq!(browser.text("h1").await, "Deliveries");
    assert_eq!(browser.text(".who span").await, "Anna");
}

pub(crate) async fn a_token_is_exchanged_for_a_cookie_that_no_script_reads(world: &World) {
    let server = server(WITH_TOKEN).await;
    server.accept(&alerts::firing("Secret", &[])).await;
    let browser = world.browser(Look::DESK).await;
    browser.open(&format!("{}/deliveries", server.url)).await;
    browser.fill("#credentials", "a-mistake").await;
    browser.follow("main button").await;
    assert_eq!(browser.text("h1").await, "Sign in");
    assert!(browser.cookies().await.is_empty());

    sign_in(&browser, &server).await;
    let cookies = browser.cookies().await;
    assert_eq!(cookies.len(), 1);
    assert_eq!(cookies[0]["httpOnly"], true);
    assert_eq!(cookies[0]["sameSite"], "Lax");
    assert_eq!(cookies[0]["path"], "/");
    assert!(cookies[0]["expiry"].is_number());
    assert!(!cookies[0]["value"].as_str().unwrap().contains("a-token"));
    let readable: String = browser.run("return document.cookie").await;
    assert_eq!(readable, "");
    // The script follows as the person who has signed in.
    browser
        .wait("document.querySelector('.live')?.innerText === 'live'")
        .await;
    server.accept(&alerts::firing("Another", &[])).await;
    browser
        .wait("document.querySelector('main').innerText.includes('Another')")
        .await;

    browser.follow(".who button").await;
    assert_eq!(browser.text("h1").await, "Sign in");
    assert!(browser.cookies().await.is_empty());
    browser.open(&format!("{}/deliveries", server.url)).await;
    assert_eq!(browser.text("h1").await, "Sign in");
    browser.close().await;
}

pub(crate) async fn a_link_of_another_page_arrives_signed_in(world: &World) {
    let server = server(WITH_TOKEN).await;
    let id = server
        .accept(&alerts::firing("Linked", &[]))
        .await
        .remove(0);
    let link = format!("<a href='{}/deliveries/{id}'>Linked</a>", server.url);
    let elsewhere = Elsewhere::start(link).await;
    let browser = world.browser(Look::DESK).await;
    sign_in(&browser, &server).await;
    browser.open(&elsewhere.url).await;
    browser.follow("a").await;
    assert!(browser.address().await.ends_with(&id));
    let shown = browser.text("main").await;
    assert!(shown.contains("Linked"), "{shown}");
    browser.close().await;
}

pub(crate) async fn a_form_of_another_page_does_nothing(world: &World) {
    for config in ["", WITH_TOKEN] {
        let (server, id) = with_a_dead_one(config).await;
        let attempts = story(&server, &id).await["attempts"].clone();
        let browser = world.browser(Look::DESK).await;
        if config == WITH_TOKEN {
            sign_in(&browser, &server).await;
        }
        browser.open(&format!("{}/routes", server.url)).await;
        let token = browser.one("input[name=token]").await;
        let token = token.attribute("value").await.unwrap();
        // Even with a token that it cannot know.
        let form = format!(
            "<form method=post action='{0}/deliveries/apply'><input name=token value='{token}'>\
             <input name=action value=retry><input name=id value={id}><button>Win a prize</button></form>",
            server.url,
        );
        let elsewhere = Elsewhere::start(form).await;
        browser.open(&elsewhere.url).await;
        browser.follow("button").await;
        assert!(browser.address().await.ends_with("/deliveries/apply"));
        let said = browser.text("body").await;
        assert!(
            !said.contains("1 retried") && !said.contains("Open"),
            "{said}"
        );
        let story = story(&server, &id).await;
        assert_eq!(story["attempts"], attempts, "nothing was retried");

        browser.open(&elsewhere.url).await;
        for path in ["/", "/api/v1/deliveries", "/deliveries/apply"] {
            let method = if path.ends_with("apply") {
                "POST"
            } else {
                "GET"
            };
            let script = format!(
                "fetch('{}{path}', {{ method: '{method}', credentials: 'include' }})
                    .then((answer) => answer.text()).then((text) => done('read: ' + text), () => done('nothing'));",
                server.url
            );
            assert_eq!(
                browser.run_until_done(&script).await,
                Value::from("nothing"),
                "{path}"
            );
        }
        let framed = format!(
            "const frame = document.createElement('iframe'); frame.src = '{}/deliveries';
            frame.onload = () => done(frame.contentDocument === null ? 'nothing' : 'read');
            document.body.append(frame);",
            server.url
        );
        assert_eq!(
            browser.run_until_done(&framed).await,
            Value::from("nothing")
        );
        // The same form retries it on a page of the server itself.
        browser
            .open(&format!("{}/deliveries/{id}", server.url))
            .await;
        browser.follow("form.actions button").await;
        browser.follow("form.next button").await;
        assert!(browser.text("main").await.contains("1 retried"));
        browser.close().await;
    }
}

pub(crate) async fn a_script_that_was_smuggled_in_does_not_run(world: &World) {
    let server = server("").await;
    server.accept(&alerts::firing("A", &[])).await;
    let elsewhere = Elsewhere::start(String::new()).await;
    let browser = world.browser(Look::DESK).await;
    browser.open(&format!("{}/deliveries", server.url)).await;
    let smuggle = format!(
        "const blocked = new Set();
        document.addEventListener('securitypolicyviolation', (event) => {{
          blocked.add(event.effectiveDirective);
          if (blocked.size === 6) done([...blocked].sort());
        }});
        const add = (name, set, to = document.body) => {{
          const element = document.createElement(name);
          set(element);
          to.append(element);
          return element;
        }};
        const flag = \"document.documentElement.dataset.smuggled = 'inline'\";
        add('script', (script) => {{ script.textContent = flag; }});
        add('script', (script) => {{ script.src = '{0}/script.js'; }});
        add('b', (b) => {{ b.setAttribute('onclick', flag); }}).click();
        add('style', (style) => {{ style.textContent = 'body {{ display: none }}'; }});
        add('b', (b) => {{ b.setAttribute('style', 'color: red'); }});
        add('img', (img) => {{ img.src = '{0}/x.png'; }});
        fetch('{0}/').catch(() => {{}});
        add('form', (form) => {{ form.action = '{0}/'; form.method = 'post'; }}).submit();",
        elsewhere.url
    );
    let blocked = browser.run_until_done(&smuggle).await;
    let blocked: Vec<&str> = blocked
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    for directive in [
        "script-src-elem",
        "script-src-attr",
        "style-src-elem",
        "img-src",
        "connect-src",
    ] {
        assert!(blocked.contains(&directive), "{directive}: {blocked:?}");
    }
    let ran: bool = browser
        .run("return 'smuggled' in document.documentElement.dataset")
        .await;
    assert!(!ran);
    assert!(
        browser.address().await.starts_with(&server.url),
        "the form went nowhere"
    );
    assert_eq!(browser.text("h1").await, "Deliveries");
    browser.close().await;
}
