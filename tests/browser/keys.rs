//! The page with the keyboard alone.

use serde::Deserialize;
use tests::alerts;
use tests::server::{Server, Setup};

use crate::World;
use crate::driver::{Browser, Look};
use crate::webdriver::{ENTER, ESCAPE, TAB};

async fn server() -> Server {
    let server = Setup::new()
        .config("slack: { preview: true }")
        .start()
        .await;
    for name in ["First", "Second", "Third"] {
        server.accept(&alerts::firing(name, &[])).await;
    }
    server
}

/// Returns the alert of the row that is current, and whether its link has the focus.
async fn current(browser: &Browser) -> (String, bool) {
    browser
        .run(
            "const link = document.querySelector('tr.current td.alert a');
            return [link?.innerText ?? '', link !== null && link === document.activeElement]",
        )
        .await
}

pub(crate) async fn the_keys_filter_move_open_select_and_retry(world: &World) {
    let server = server().await;
    let browser = world.browser(Look::DESK).await;
    browser.open(&format!("{}/deliveries", server.url)).await;

    browser.press("?").await;
    browser
        .wait("document.querySelector('dialog[open]') !== null")
        .await;
    let help = browser.text("dialog").await;
    assert!(
        help.contains("retries") && help.contains("next row"),
        "{help}"
    );
    browser.picture("keys").await;
    browser.press(ESCAPE).await;
    browser
        .wait("document.querySelector('dialog[open]') === null")
        .await;

    browser.press("jj").await;
    assert_eq!(current(&browser).await, ("Second".to_owned(), true));
    browser.press("k").await;
    assert_eq!(current(&browser).await, ("Third".to_owned(), true));
    browser.press("kk").await;
    assert_eq!(current(&browser).await.0, "Third", "there is none before");

    browser.press("x").await;
    let selected: Vec<String> = browser
        .run("return [...document.querySelectorAll('input:checked')].map((box) => box.getAttribute('aria-label'))")
        .await;
    assert!(
        selected.len() == 1 && selected[0].contains("Third"),
        "{selected:?}"
    );
    browser.press_and_follow("r").await;
    assert_eq!(browser.text("h1").await, "Retry deliveries?");

    browser.open(&format!("{}/deliveries", server.url)).await;
    browser.press("j").await;
    browser.press_and_follow(ENTER).await;
    let shown = browser.text("main").await;
    assert!(
        shown.contains("Third") && !shown.contains("Second"),
        "{shown}"
    );

    browser.open(&format!("{}/deliveries", server.url)).await;
    browser.press("/").await;
    // In a field, keys are text.
    browser.press("alertname=\"Second\"").await;
    let typed: String = browser.run("return document.activeElement.value").await;
    assert_eq!(typed, "alertname=\"Second\"");
    browser.press_and_follow(ENTER).await;
    let address = browser.address().await;
    assert!(
        address.contains("match=alertname%3D%22Second%22"),
        "{address}"
    );
    browser.press("j").await;
    assert_eq!(current(&browser).await.0, "Second");
    browser.close().await;
}

/// Where the focus is.
#[derive(Debug, Deserialize)]
struct Stop {
    html: String,
    /// Its place among the elements of the document; -1 for the document itself.
    place: i64,
    is_outlined: bool,
    is_in_sight: bool,
}

const STOP: &str = "const at = document.activeElement;
    const box = at.getBoundingClientRect();
    const style = getComputedStyle(at);
    const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
    const top = document.elementFromPoint(Math.min(x, innerWidth - 1), Math.min(Math.max(y, 0), innerHeight - 1));
    return {
      html: at.outerHTML.slice(0, 100),
      place: at === document.body ? -1 : [...document.querySelectorAll('*')].indexOf(at),
      is_outlined: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
      is_in_sight: top !== null && (at.contains(top) || top.contains(at)),
    };";

pub(crate) async fn the_tab_key_reaches_everything_in_order_and_shows_where_it_is(world: &World) {
    let server = server().await;
    // More rows than fit, so that something is below the fold.
    for n in 0..30 {
        server
            .accept(&alerts::firing("Many", &[("n", &n.to_string())]))
            .await;
    }
    let browser = world.browser(Look::DESK).await;
    for path in ["/", "/deliveries", "/routes", "/timeline", "/handlers"] {
        browser.open(&format!("{}{path}", server.url)).await;
        browser.press(TAB).await;
        let first: Stop = browser.run(STOP).await;
        assert!(first.html.contains("Skip to content"), "{path}: {first:?}");
        let mut stops = vec![first];
        loop {
            browser.press(TAB).await;
            let stop: Stop = browser.run(STOP).await;
            // Past the last, the focus leaves the page or begins again.
            if stop.place <= 0 || stop.place == stops[0].place {
                break;
            }
            stops.push(stop);
            assert!(stops.len() < 500, "{path}: {stops:?}");
        }
        for pair in stops.windows(2) {
            assert!(pair[0].place < pair[1].place, "{path}: {pair:?}");
        }
        let hidden: Vec<_> = stops
            .iter()
            .filter(|stop| !stop.is_outlined || !stop.is_in_sight)
            .collect();
        assert!(hidden.is_empty(), "{path}: {hidden:#?}");
        let reachable: usize = browser
            .run(
                "return [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary')]
                    .filter((element) => element.checkVisibility()).length",
            )
            .await;
        assert!(
            stops.len() >= reachable,
            "{path}: {} of {reachable}",
            stops.len()
        );
    }
    browser.open(&server.url).await;
    browser.press(TAB).await;
    browser.press(ENTER).await;
    browser.press(TAB).await;
    let is_within: bool = browser
        .run("return document.activeElement.closest('main') !== null")
        .await;
    assert!(is_within, "the bar is skipped");
    browser.close().await;
}
