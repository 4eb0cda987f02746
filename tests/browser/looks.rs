//! What every view looks like, and that everybody can use it.

use serde_json::Value;
use tests::modules::workspace;
use tests::node;
use tests::server::{Server, Setup};

use crate::World;
use crate::day::Day;
use crate::driver::{Browser, Look, Scheme};

/// The rules of WCAG 2.2 at the levels A and AA, as axe names them.
const WCAG: &str = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']";

/// The pictures that the documentation shows: the view, the look, the file below `docs/`.
const SHOWN: [(&str, Look, &str); 2] = [
    ("now", Look::DESK, "page.png"),
    ("done", Look::DESK_AT_NIGHT, "page-delivery.png"),
];

/// A view of the day.
struct View {
    name: &'static str,
    url: String,
    /// What its heading is or, of a delivery, what is to be seen of it.
    subject: &'static str,
    /// The link of the navigation that is current; empty if there is none.
    tab: &'static str,
}

/// Returns every view, as it is in the evening.
fn views(day: &Day, locked: &Server) -> Vec<View> {
    let view = |name, path: &str, subject, tab| View {
        name,
        url: format!("{}{path}", day.url),
        subject,
        tab,
    };
    let delivery =
        |name, id: &str, subject| view(name, &format!("/deliveries/{id}"), subject, "Deliveries");
    let alert = "%7Balertname%3D%22KubePodCrashLooping%22%2C+severity%3D%22critical%22%7D";
    vec![
        view("now", "/", "Now", "Now"),
        view("deliveries", "/deliveries", "Deliveries", "Deliveries"),
        view(
            "dead",
            "/deliveries?state=dead&match=severity%3D%22warning%22",
            "Deliveries",
            "Deliveries",
        ),
        view(
            "none",
            "/deliveries?alertname=Nothing",
            "Deliveries",
            "Deliveries",
        ),
        delivery("done", &day.done, "KubePodCrashLooping"),
        delivery("storm", &day.storm, "KubeNodeNotReady"),
        delivery("member", &day.member, "KubeNodeNotReady"),
        delivery("refused", &day.dead[1], "RefundFailed"),
        delivery("ambiguous", &day.ambiguous, "PaymentQueueStuck"),
        delivery("crashed", &day.crashed, "LedgerDiffers"),
        delivery("waiting", &day.waiting, "DiskFull"),
        view("handlers", "/handlers", "Handlers", "Handlers"),
        view("handler", "/handlers/effects", "effects", "Handlers"),
        view(
            "handler-limited",
            "/handlers/kube-pod-crash-looping",
            "kube-pod-crash-looping",
            "Handlers",
        ),
        view("routes", "/routes", "Routes", "Routes"),
        view(
            "routes-explained",
            &format!("/routes?alert={alert}"),
            "Routes",
            "Routes",
        ),
        view("timeline", "/timeline", "Timeline", "Timeline"),
        view(
            "mistake",
            "/deliveries?state=nonsense",
            "Deliveries",
            "Deliveries",
        ),
        view("not-found", "/deliveries/0000000000000", "Not Found", ""),
        View {
            name: "sign-in",
            url: format!("{}/deliveries", locked.url),
            subject: "Sign in",
            tab: "",
        },
    ]
}

async fn locked() -> Server {
    let setup = Setup::new().config("slack: { preview: true }");
    let token = "api: { authorization: { credentials: a-token } }";
    setup.config(token).start().await
}

/// Returns what is wrong with a view wherever it is looked at.
async fn faults(browser: &Browser, view: &View) -> Vec<String> {
    let (subject, tab) = (view.subject, view.tab);
    let script = format!(
        "const faults = [];
        const expect = (holds, what) => {{ if (!holds) faults.push(what); }};
        const headings = [...document.querySelectorAll('h1')];
        expect(headings.length === 1 && document.querySelector('main').innerText.includes('{subject}'), `h1: ${{headings.map((h) => h.innerText)}}`);
        expect(document.querySelectorAll('main').length === 1, 'no main');
        const current = document.querySelector('header nav [aria-current=page]')?.innerText ?? '';
        expect(current === '{tab}' || '{tab}' === '', `current: ${{current}}`);
        const page = document.documentElement;
        // A view that is too wide makes the window of a phone wider, so that it is compared with the screen too.
        const width = screen.width < 500 ? screen.width : innerWidth;
        expect(page.scrollWidth <= width, `${{page.scrollWidth}} px are wider than ${{width}}`);
        const right = (element) => element.getBoundingClientRect().right;
        if (page.scrollWidth > width)
          for (const wide of document.querySelectorAll('main *'))
            if (right(wide) > width + 1 && !wide.parentElement.closest('.sheet, pre')) faults.push(wide.outerHTML.slice(0, 120));
        expect(document.querySelector('[style]') === null, 'an inline style');
        expect(document.querySelector('script:not([src])') === null, 'an inline script');
        return faults;"
    );
    let mut faults: Vec<String> = browser.run(&script).await;
    faults.extend(browser.complaints().await);
    faults
        .iter()
        .map(|fault| format!("{}: {fault}", view.name))
        .collect()
}

pub(crate) async fn every_view_is_whole_in_light_and_dark_on_a_desk_and_on_a_phone(world: &World) {
    let (day, locked) = (world.day().await, locked().await);
    let browser = world.browser(Look::DESK).await;
    let mut wrong = Vec::new();
    // Two machines draw letters differently, so that pictures are written on request, and never compared.
    let is_update = std::env::var_os("UPDATE_PICTURES").is_some();
    for look in [
        Look::DESK,
        Look::DESK_AT_NIGHT,
        Look::PHONE,
        Look::PHONE_AT_NIGHT,
    ] {
        browser.look(look).await;
        for view in views(day, &locked) {
            browser.open(&view.url).await;
            wrong.extend(faults(&browser, &view).await);
            let name = format!("{}-{}-{}", view.name, look.scheme.as_str(), look.width_px);
            browser.picture(&name).await;
            if is_update && let Some(file) = shown_as(&view, look) {
                let picture = browser.picture("shown").await;
                std::fs::copy(picture, workspace().join("docs").join(file)).unwrap();
            }
        }
        let ground: String = browser
            .run("return getComputedStyle(document.body).backgroundColor")
            .await;
        let is_dark = brightness(&ground) < 128;
        assert_eq!(is_dark, look.scheme == Scheme::Dark, "{look:?}: {ground}");
    }
    browser.close().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (_, _, file) in SHOWN {
        let shown =
            std::fs::read(workspace().join("docs").join(file)).expect("UPDATE_PICTURES=1 makes it");
        assert!(shown.starts_with(b"\x89PNG"), "{file}");
    }
}

/// Returns the file below `docs/` that shows a view in this look, if one does.
fn shown_as(view: &View, look: Look) -> Option<&'static str> {
    let mut shown = SHOWN.iter();
    let (_, _, file) = shown.find(|(name, shown, _)| *name == view.name && *shown == look)?;
    Some(file)
}

/// Returns how bright a colour is, of 255, from `rgb(R, G, B)`.
fn brightness(colour: &str) -> u32 {
    let numbers = colour.trim_start_matches("rgb(").trim_end_matches(')');
    let numbers: Vec<u32> = numbers.split(", ").map(|n| n.parse().unwrap()).collect();
    numbers.iter().sum::<u32>() / 3
}

pub(crate) async fn every_view_can_be_used_by_everybody(world: &World) {
    let Some(axe) = axe() else { return };
    let (day, locked) = (world.day().await, locked().await);
    let browser = world.browser(Look::DESK).await;
    let mut wrong = Vec::new();
    for look in [Look::DESK, Look::DESK_AT_NIGHT, Look::PHONE] {
        browser.look(look).await;
        for view in views(day, &locked) {
            browser.open(&view.url).await;
            for violation in violations(&browser, &axe).await {
                wrong.push(format!("{} {look:?}: {violation}", view.name));
            }
        }
    }
    // Rules that run, find what is wrong: without that, no violation would mean nothing.
    let worsen =
        "document.querySelector('main').innerHTML = '<img src=x><a href=x></a><button></button>'";
    browser
        .run::<Value>(&format!("{worsen}; return null"))
        .await;
    let found = violations(&browser, &axe).await.join("\n");
    assert!(
        found.contains("image-alt") && found.contains("link-name"),
        "{found}"
    );
    browser.close().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns the rules that a page breaks, with what breaks them.
async fn violations(browser: &Browser, axe: &str) -> Vec<String> {
    let script = format!(
        "{axe};
        const options = {{ runOnly: {{ type: 'tag', values: {WCAG} }}, rules: {{ 'target-size': {{ enabled: true }} }} }};
        axe.run(document, options).then((result) => done({{
          passes: result.passes.length,
          violations: result.violations.map((rule) =>
            `${{rule.id}}: ${{rule.nodes.map((node) => `${{node.html}} ${{node.failureSummary}}`).join(' | ')}}`),
        }}), (error) => done({{ passes: 0, violations: [String(error)] }}));"
    );
    let result = browser.run_until_done(&script).await;
    assert!(result["passes"].as_u64() > Some(5), "{result}");
    let violations = result["violations"].as_array().unwrap().iter();
    violations
        .map(|one| one.as_str().unwrap().to_owned())
        .collect()
}

/// Returns the source of axe, or says what is skipped. Where there is a network for certain, nothing is.
fn axe() -> Option<String> {
    match tokio::task::block_in_place(|| node::package("tests/browser/axe")) {
        Ok(dir) => {
            let file = dir.join("node_modules/axe-core/axe.min.js");
            Some(std::fs::read_to_string(file).expect("npm has installed it"))
        }
        Err(error) if std::env::var_os("GITHUB_ACTIONS").is_some() => panic!("{error:#}"),
        Err(error) => {
            tests::skipped(&format!(
                "SKIPPED: the rules of WCAG were not checked: {error:#}"
            ));
            None
        }
    }
}

pub(crate) async fn a_printed_view_has_nothing_to_click(world: &World) {
    let day = world.day().await;
    let browser = world.browser(Look::DESK_AT_NIGHT).await;
    browser
        .open(&format!("{}/deliveries/{}", day.url, day.crashed))
        .await;
    browser
        .devtools(
            "Emulation.setEmulatedMedia",
            serde_json::json!({ "media": "print" }),
        )
        .await;
    let shown: Vec<String> = browser
        .run(
            "return [...document.querySelectorAll('header, nav, button, form')]
                .filter((element) => element.checkVisibility()).map((element) => element.outerHTML.slice(0, 80))",
        )
        .await;
    assert_eq!(shown, Vec::<String>::new());
    let shown = browser.text("main").await;
    assert!(shown.contains("LedgerDiffers"), "{shown}");
    let colours: (String, String) = browser
        .run("const style = getComputedStyle(document.body); return [style.color, style.backgroundColor]")
        .await;
    assert_eq!(
        (brightness(&colours.0), brightness(&colours.1)),
        (0, 255),
        "black on white"
    );
    browser.picture("print").await;
    // A list has its rows, and nothing of the form around them.
    browser.open(&format!("{}/deliveries", day.url)).await;
    let (rows, controls): (usize, usize) = browser
        .run(
            "const seen = (selector) => [...document.querySelectorAll(selector)].filter((one) => one.checkVisibility()).length;
            return [seen('.deliveries tbody tr'), seen('header, nav, button, input, select')]",
        )
        .await;
    assert!(rows > 10, "{rows} rows");
    assert_eq!(controls, 0);
    browser.picture("print-list").await;
    browser.close().await;
}
