//! The next steps after a server was started for the first time.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::client::URL_DEFAULT;
use crate::config::Config;

/// The advice that is printed after `ready`.
#[derive(Debug)]
pub(super) struct Next {
    url: String,
    /// The address of the page.
    page: String,
    /// The command that calls this program.
    program: &'static str,
    webhook_is_closed: bool,
    preview: bool,
    has_file: bool,
}

impl Next {
    /// Creates the advice for a server with this configuration that listens on `address`.
    pub(super) fn new(config: &Config, address: SocketAddr) -> Self {
        let scheme = match config.tls_server {
            Some(_) => "https",
            None => "http",
        };
        let address = if address.ip().is_unspecified() {
            SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())
        } else {
            address
        };
        // Cargo sets it for the programs that it runs.
        let program = match std::env::var_os("CARGO") {
            Some(_) => "cargo run -q --",
            None => "alert-manager",
        };
        let url = format!("{scheme}://{address}");
        let external = config.external_url.as_ref();
        Self {
            page: external.map_or_else(|| format!("{url}/"), ToString::to_string),
            url,
            program,
            webhook_is_closed: config.webhook.is_closed(),
            preview: config.slack.preview,
            has_file: config.file.is_some(),
        }
    }
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, program, .. } = self;
        let to = if url == URL_DEFAULT {
            String::new()
        } else {
            format!(" --url {url}")
        };
        writeln!(f, "\nThe page: {}", self.page)?;
        writeln!(f, "Next, in another terminal:")?;
        if !self.webhook_is_closed {
            writeln!(
                f,
                "  curl {url}/webhook -H 'Content-Type: application/json' \\\n    \
                 -d '{{\"status\":\"firing\",\"labels\":{{\"alertname\":\"KubePodCrashLooping\",\"namespace\":\"shop\",\"pod\":\"web-0\"}}}}'"
            )?;
        }
        writeln!(
            f,
            "  {program} send{to}      posts an alert and shows the result"
        )?;
        writeln!(f, "  {program} explain{to}   the story of the newest")?;
        if self.preview {
            let how = if self.has_file {
                "`slack.token_file: FILE` in the configuration instead of `preview: true`"
            } else {
                "SLACK_TOKEN_FILE=FILE SLACK_CHANNEL='#alerts' in front of the command that you started"
            };
            writeln!(f, "To post to Slack: {how} (docs/slack.md)")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next() -> Next {
        Next {
            url: URL_DEFAULT.to_owned(),
            page: format!("{URL_DEFAULT}/"),
            program: "alert-manager",
            webhook_is_closed: false,
            preview: true,
            has_file: false,
        }
    }

    #[test]
    fn what_can_be_done_next_fits_the_configuration() {
        let shown = next().to_string();
        assert!(
            shown.starts_with("\nThe page: http://127.0.0.1:5000/\n"),
            "{shown}"
        );
        assert!(
            shown.contains("curl http://127.0.0.1:5000/webhook"),
            "{shown}"
        );
        assert!(shown.contains("alert-manager send  "), "{shown}");
        assert!(shown.contains("SLACK_TOKEN_FILE"), "{shown}");
        let closed = Next {
            url: "https://127.0.0.1:5001".to_owned(),
            webhook_is_closed: true,
            preview: false,
            ..next()
        };
        let shown = closed.to_string();
        assert!(!shown.contains("curl"), "{shown}");
        assert!(!shown.contains("SLACK"), "{shown}");
        assert!(
            shown.contains("send --url https://127.0.0.1:5001 "),
            "{shown}"
        );
        let with_file = Next {
            has_file: true,
            ..next()
        };
        assert!(with_file.to_string().contains("slack.token_file"));
    }
}
