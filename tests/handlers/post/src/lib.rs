//! Makes one POST request if the alert has the label `post_to`, one kv write if it has the label `count`, and nothing else: what
//! is measured is the cost of the server.

use handler_sdk::prelude::*;

/// The handler.
#[derive(Debug)]
pub struct Post;

impl Handler for Post {
    fn describe() -> Description {
        Description::new(
            "post",
            env!("CARGO_PKG_VERSION"),
            "Posts to `post_to`, and counts.",
        )
        .alerts(["Bench000"])
        .act_only()
    }

    fn act(cx: &Cx, alert: &Alert, _: &Enrichment) -> Result<Facts, Failure> {
        if let Some(url) = alert.label("post_to") {
            cx.http()
                .post(url)
                .body(alert.name.clone())
                .send()?
                .error_for_status()?;
        }
        if let Some(key) = alert.label("count") {
            cx.kv().increment(key, 1, None)?;
        }
        Ok(Facts::new())
    }
}

handler_sdk::export!(Post);
