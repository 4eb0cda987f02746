//! The next steps after a server was started for the first time.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use handler_build::shell_word;

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
    /// The alert of the one project that is served.
    alert: Option<PathBuf>,
}

impl Next {
    /// Creates the advice for a server with this configuration that listens on `address`. `alert` is a file with an alert that its
    /// handlers answer; without it the README's alert is named.
    pub(super) fn new(config: &Config, address: SocketAddr, alert: Option<PathBuf>) -> Self {
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
            alert,
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
        let alert = self.alert.as_deref().map(shell_word);
        if !self.webhook_is_closed {
            let body = match &alert {
                Some(file) => format!("-d @{file}"),
                None => r#"-d '{"status":"firing","labels":{"alertname":"KubePodCrashLooping","namespace":"shop","pod":"web-0"}}'"#.to_owned(),
            };
            writeln!(
                f,
                "  curl {url}/webhook -H 'Content-Type: application/json' \\\n    {body}"
            )?;
        }
        let file = alert.map(|file| format!(" --alert {file} --again"));
        writeln!(
            f,
            "  {program} send{to}{}      posts an alert and shows the result",
            file.unwrap_or_default()
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
            alert: None,
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
        let of_a_project = Next {
            alert: Some("disk-full/alert.json".into()),
            ..next()
        };
        let shown = of_a_project.to_string();
        assert!(shown.contains("-d @disk-full/alert.json"), "{shown}");
        assert!(
            shown.contains("send --alert disk-full/alert.json --again "),
            "{shown}"
        );
        assert!(!shown.contains("KubePodCrashLooping"), "{shown}");
    }
}
