//! Who sees the page, and what a browser may do with it.

use reqwest::StatusCode;
use tests::alerts;
use tests::server::{Server, Setup};

use super::{Browser, Page};

const PREVIEW: &str = "slack: { preview: true }";
const WITH_TOKEN: &str = "api: { authorization: { credentials: a-token } }";

async fn server(config: &str) -> Server {
    Setup::new().config(PREVIEW).config(config).start().await
}

/// Signs in and returns the cookie as a browser sends it.
async fn signed_in(server: &Server, name: &str) -> String {
    let fields = [
        ("credentials", "a-token"),
        ("name", name),
        ("to", "/deliveries"),
    ];
    let page = Browser::new(server).post("/sign-in", &fields).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.text("main"));
    assert_eq!(page.header("location"), "./deliveries");
    let cookie = page.header("set-cookie");
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "Max-Age=604800; Path=/; HttpOnly; SameSite=Lax");
    pair.to_owned()
}

fn is_sign_in(page: &Page) -> bool {
    page.status == StatusCode::UNAUTHORIZED
        && page.text("h1") == "Sign in"
        && page.elements("nav").is_empty()
        && page.elements("[data-root]").is_empty()
}

#[tokio::test]
async fn every_page_has_a_policy_and_loads_only_what_is_the_servers() {
    let server = server("").await;
    server.accept(&alerts::firing("A", &[])).await;
    let browser = Browser::new(&server);
    for (path, status) in [
        ("/", 200),
        ("/deliveries", 200),
        ("/deliveries?state=dead", 200),
        ("/deliveries?nothing=1", 400),
        ("/deliveries/0000000000000", 404),
        ("/deliveries/x", 400),
    ] {
        let page = browser.get(path).await;
        assert_eq!(page.status, status, "{path}");
        assert_eq!(page.faults(), Vec::<String>::new(), "{path}: {}", page.body);
        assert_eq!(
            page.header("content-security-policy"),
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
             form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
            "{path}"
        );
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("referrer-policy"), "same-origin");
        assert_eq!(page.header("cache-control"), "no-store", "{path}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    }
}

#[tokio::test]
async fn files_of_the_page_are_kept_for_as_long_as_they_are_the_same() {
    let server = server("").await;
    let browser = Browser::new(&server);
    let page = browser.see("/deliveries").await;
    let mut files = page.attributes("script", "src");
    files.extend(page.attributes("link", "href"));
    assert_eq!(files.len(), 3, "{files:?}");
    for file in files {
        let path = file.strip_prefix('.').expect("relative");
        let asset = browser.see(path).await;
        let kept = asset.header("cache-control");
        assert_eq!(kept, "public, max-age=31536000, immutable", "{file}");
        assert_eq!(asset.header("x-content-type-options"), "nosniff");
        let kind = asset.header("content-type");
        let expected = match file.rsplit_once('.').unwrap().1 {
            "css" => "text/css; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            _ => "image/svg+xml; charset=utf-8",
        };
        assert_eq!(kind, expected);
    }
    let old = browser.get("/assets/page-000000000000.css").await;
    assert_eq!(old.status, StatusCode::NOT_FOUND);
    assert_eq!(old.header("cache-control"), "no-store");
}

#[tokio::test]
async fn without_proof_there_is_nothing_but_a_form_for_the_token() {
    let server = server(WITH_TOKEN).await;
    let ids = server.accept(&alerts::firing("SecretName", &[])).await;
    let browser = Browser::new(&server);
    let story = format!("/deliveries/{}", ids[0]);
    for path in ["/", "/deliveries", "/deliveries?state=dead", &story] {
        let page = browser.get(path).await;
        assert!(is_sign_in(&page), "{path}: {}", page.body);
        assert_eq!(page.header("www-authenticate"), "Bearer");
        assert_eq!(page.attributes("input[name=to]", "value"), [path]);
        assert_eq!(
            page.elements("input[name=credentials][type=password]")
                .len(),
            1
        );
        assert!(!page.body.contains("SecretName"), "{path}");
        assert_eq!(page.faults(), Vec::<String>::new(), "{path}");
    }
    let token = Browser::new(&server).with("authorization", "Bearer a-token");
    assert!(
        token
            .see("/deliveries")
            .await
            .text("table")
            .contains("SecretName")
    );
    let wrong = Browser::new(&server).with("authorization", "Bearer another");
    assert!(is_sign_in(&wrong.get("/deliveries").await));
}

#[tokio::test]
async fn whoever_signs_in_sees_what_they_wanted_to_see_over_a_restart_too() {
    let server = server(WITH_TOKEN).await;
    server.accept(&alerts::firing("A", &[])).await;
    let cookie = signed_in(&server, "Anna").await;
    let browser = Browser::new(&server).with("cookie", &cookie);
    let page = browser.see("/deliveries").await;
    assert!(page.text("table").contains('A'));
    assert_eq!(page.text(".who span"), "Anna");
    // The script of the page reads the API, and cannot change anything by it.
    browser.see("/api/v1/deliveries").await;
    let reload = browser.post("/-/reload", &[]).await;
    assert_eq!(reload.status, StatusCode::UNAUTHORIZED);
    // The credentials of a program count alone.
    let wrong = Browser::new(&server).with("cookie", &cookie);
    let wrong = wrong.with("authorization", "Bearer another");
    assert!(is_sign_in(&wrong.get("/deliveries").await));

    let dir = server.stop().await;
    let setup = |config: &str| Setup::new().config(PREVIEW).config(config);
    let server = setup(WITH_TOKEN).start_in(dir).await;
    let browser = Browser::new(&server).with("cookie", &cookie);
    browser.see("/deliveries").await;

    let dir = server.stop().await;
    let changed = WITH_TOKEN.replace("a-token", "another-token");
    let server = setup(&changed).start_in(dir).await;
    let browser = Browser::new(&server).with("cookie", &cookie);
    assert!(is_sign_in(&browser.get("/deliveries").await));
}

#[tokio::test]
async fn a_wrong_token_signs_nobody_in_and_leads_nowhere() {
    let server = server(WITH_TOKEN).await;
    let browser = Browser::new(&server);
    for token in ["", "a-toke", "a-token2", "A-TOKEN"] {
        let page = browser.post("/sign-in", &[("credentials", token)]).await;
        assert!(is_sign_in(&page), "{token:?}: {}", page.body);
        assert_eq!(page.header("set-cookie"), "");
        assert!(page.text("[role=alert]").contains("the token is wrong"));
    }
    let mistyped = [
        ("credentials", "a-toke"),
        ("to", "/deliveries?state=dead"),
        ("name", "Anna"),
    ];
    let page = browser.post("/sign-in", &mistyped).await;
    assert_eq!(page.attributes("#name", "value"), ["Anna"]);
    let to = page.attributes("input[name=to]", "value");
    assert_eq!(to, ["/deliveries?state=dead"]);
    // A form that was posted without a session leads to where it can be posted from.
    let page = browser.post("/deliveries/apply", &[("id", "x")]).await;
    assert!(is_sign_in(&page), "{}", page.body);
    assert_eq!(page.attributes("input[name=to]", "value"), ["/deliveries"]);
    let elsewhere = [("credentials", "a-token"), ("to", "//evil.example/")];
    let page = browser.post("/sign-in", &elsewhere).await;
    assert_eq!(page.header("location"), "./evil.example/");
    let foreign = Browser::new(&server).with("origin", "http://evil.example");
    let page = foreign
        .post("/sign-in", &[("credentials", "a-token")])
        .await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert_eq!(page.header("set-cookie"), "");
    let https = Browser::new(&server)
        .with("origin", "https://localhost")
        .with("host", "localhost");
    let page = https.post("/sign-in", &[("credentials", "a-token")]).await;
    assert!(
        page.header("set-cookie").ends_with("; Secure"),
        "{:?}",
        page.headers
    );
}

#[tokio::test]
async fn signing_out_ends_the_session_of_the_browser() {
    let server = server(WITH_TOKEN).await;
    let cookie = signed_in(&server, "").await;
    let browser = Browser::new(&server).with("cookie", &cookie);
    let token = browser.see("/deliveries").await.token();
    let refused = browser.post("/sign-out", &[("token", "another")]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.header("set-cookie"), "");
    let page = browser.post("/sign-out", &[("token", &token)]).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    assert!(page.header("set-cookie").contains("=; Max-Age=0;"));
}

#[tokio::test]
async fn with_basic_authentication_the_browser_asks() {
    let server = server("api: { basic_auth: { username: anna, password: p } }").await;
    let page = Browser::new(&server).get("/deliveries").await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    let challenge = page.header("www-authenticate");
    assert!(challenge.starts_with("Basic realm="), "{challenge}");
    assert!(page.elements("input").is_empty());
    // anna:p
    let browser = Browser::new(&server).with("authorization", "Basic YW5uYTpw");
    let page = browser.see("/deliveries").await;
    assert_eq!(page.text(".who"), "anna");
    let page = browser.get("/sign-in").await;
    assert_eq!(
        page.status,
        StatusCode::SEE_OTHER,
        "there is no token to give"
    );
}

#[tokio::test]
async fn a_proxy_names_the_person_if_it_is_trusted() {
    let config = |proxies: &str| {
        format!("api: {{ user_header: X-Forwarded-User, trusted_proxies: [{proxies}] }}")
    };
    for (proxies, expected) in [
        ("127.0.0.1", "anna <b>"),
        ("127.0.0.0/8", "anna <b>"),
        ("10.0.0.0/8", ""),
    ] {
        let server = server(&config(proxies)).await;
        let browser = Browser::new(&server).with("x-forwarded-user", "anna <b>");
        let page = browser.see("/deliveries").await;
        assert_eq!(page.text(".who"), expected, "{proxies}");
        assert_eq!(page.text("b"), "");
    }
    let server = self::server(&config("127.0.0.1")).await;
    let twice = Browser::new(&server)
        .with("x-forwarded-user", "mallory")
        .with("x-forwarded-user", "anna");
    let page = twice.see("/deliveries").await;
    assert_eq!(page.text(".who"), "", "the first may be the client's own");
    let both = "api: { user_header: X-Forwarded-User }";
    let dir = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let refused = Setup::new()
        .config(PREVIEW)
        .config(both)
        .try_start_in(dir)
        .await;
    let refused = refused.map(|_| ()).unwrap_err();
    assert!(refused.contains("trusted_proxies"), "{refused}");
}

#[tokio::test]
async fn behind_a_path_of_a_proxy_the_cookie_is_for_that_path() {
    let config = format!("external_url: https://ops.example/alerts/\n{WITH_TOKEN}");
    let server = server(&config).await;
    for (origin, expected) in [
        (Some("https://ops.example"), "; Path=/alerts; "),
        (None, "; Path=/; "),
    ] {
        let mut browser = Browser::new(&server);
        if let Some(origin) = origin {
            browser = browser.with("origin", origin);
        }
        let page = browser
            .post("/sign-in", &[("credentials", "a-token")])
            .await;
        let cookie = page.header("set-cookie");
        assert!(cookie.contains(expected), "{origin:?}: {cookie}");
    }
}

#[tokio::test]
async fn a_name_that_was_typed_is_kept_with_the_address_and_found_without_it() {
    let server = Setup::new()
        .module("probe")
        .config(PREVIEW)
        .config("dead_letter: { handlers: [] }\nroutes: [{ name: rest, handlers: [probe] }]")
        .config("handlers: { probe: { config: { script: panic boom }, retry: { min_backoff: 1ms, max_backoff: 1ms } } }")
        .config(WITH_TOKEN)
        .start()
        .await;
    let ids = server.accept(&alerts::firing("A", &[])).await;
    let cookie = signed_in(&server, "anna").await;
    let browser = Browser::new(&server).with("cookie", &cookie);
    let token = browser.see("/deliveries").await.token();
    let fields = [
        ("token", token.as_str()),
        ("action", "cancel"),
        ("id", &ids[0]),
    ];
    // It may have ended already: only who asked for it counts here.
    browser.apply(&fields).await;
    let retry = [
        ("token", token.as_str()),
        ("action", "retry"),
        ("id", &ids[0]),
    ];
    browser.apply(&retry).await;
    for person in ["anna", "anna (127.0.0.1)"] {
        let person: String = url::form_urlencoded::byte_serialize(person.as_bytes()).collect();
        let path = format!("/timeline?person={person}");
        let mut rows = browser.see(&path).await.texts(".timeline tbody tr");
        // An entry is stored a moment later.
        for _ in 0..600 {
            if !rows.is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            rows = browser.see(&path).await.texts(".timeline tbody tr");
        }
        assert!(!rows.is_empty(), "{person}");
        assert!(
            rows.iter().all(|row| row.contains("anna (127.0.0.1)")),
            "{rows:?}"
        );
    }
    let other = browser.see("/timeline?person=ann").await;
    assert!(other.elements(".timeline tbody tr").is_empty());
}
