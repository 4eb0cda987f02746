//! Where a person goes on from the message.

use crate::message::Source;

const LINKS_CHARS_MAX: usize = 800;

impl Source<'_> {
    /// Returns titles and addresses, as many as fit.
    pub(crate) fn links(&self) -> Vec<(&'static str, String)> {
        let alert = self.alert;
        let runbook = alert.runbook_url().map(str::to_owned).or_else(|| {
            let base = self.settings.runbook_base.as_deref()?;
            Some(format!("{base}/{}", handler_sdk::http::encode(&alert.name)))
        });
        let all = [
            ("Runbook", runbook),
            (
                "Dashboard",
                alert
                    .dashboard_url()
                    .or(alert.panel_url())
                    .map(str::to_owned),
            ),
            ("Query", alert.query_url().map(str::to_owned)),
            ("Silence", self.silence_url()),
            ("Story", self.settings.story_url.clone()),
        ];
        let mut left = LINKS_CHARS_MAX;
        let mut links = Vec::new();
        for (title, url) in all {
            let Some(url) = url else { continue };
            let chars = url.chars().count() + title.len() + 5;
            if chars <= left {
                left -= chars;
                links.push((title, url));
            }
        }
        links
    }

    /// All labels in a silence make a link that is longer than the rest of the message.
    fn silence_url(&self) -> Option<String> {
        let mut alert = self.alert.clone();
        alert.labels.retain(|(name, _)| {
            ["alertname", "cluster", "namespace", "pod", "container"].contains(&name.as_str())
        });
        alert.silence_url()
    }
}
