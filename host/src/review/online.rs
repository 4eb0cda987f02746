//! Turns the results of asking Slack and the granted origins into findings.

use crate::alert::HandlerName;
use crate::config::Config;
use crate::findings::{Finding, Findings, Problem};
use crate::policy::HttpGrant;
use crate::queue::{Durability, OpenError};
use crate::runtime::{ChannelState, SlackReport, TokenProblem};

/// What came of asking.
#[derive(Debug, Default)]
pub struct Asked {
    /// What is wrong.
    pub findings: Findings,
    /// What is right, and what could not be checked, for people.
    pub notes: Vec<String>,
}

impl Asked {
    /// Adds Slack's results.
    pub fn slack(&mut self, config: &Config, report: &SlackReport) {
        let place = |path: &str| config.spots.place(path);
        let finding = |path: &str, message: String, advice: &str| {
            Finding::from(Problem {
                place: place(path),
                message,
                advice: advice.to_owned(),
            })
        };
        let bot = match &report.bot {
            Ok(bot) => bot,
            Err(TokenProblem::Unreachable(why)) => {
                let message = format!("Slack could not be asked: {why}");
                let advice = "messages wait until it answers; check the connection to it (proxy_url, slack.api_url)";
                self.findings
                    .warnings
                    .push(finding("slack", message, advice));
                return;
            }
            Err(TokenProblem::Refused(why)) => {
                let message = format!("Slack refuses the token: {why}");
                self.findings.problems.push(finding("slack", message, ""));
                return;
            }
        };
        let who = format!("@{}", bot.user);
        if bot.lacks("chat:write") {
            let message =
                format!("the token of {who} lacks the scope chat:write: nothing can be posted");
            let advice = "add the scope under OAuth & Permissions, and install the app again";
            self.findings
                .problems
                .push(finding("slack", message, advice));
        }
        let mut states = Vec::new();
        for (name, state) in &report.channels {
            let channel = config.slack.channels.get(name).map_or("", String::as_str);
            let path = format!("slack.channels.{name}");
            let shown = match channel {
                text if text.starts_with('#') => text.to_owned(),
                text => format!("{name} ({text})"),
            };
            let (said, problem) = match state {
                ChannelState::Fine => ("ok".to_owned(), None),
                ChannelState::NotMember => {
                    let invite = format!("/invite {who}");
                    (
                        format!("not a member: {invite}"),
                        Some((
                            format!("{path}: {who} is not a member of {channel}"),
                            format!("type {invite} in that channel"),
                        )),
                    )
                }
                ChannelState::Missing => (
                    "no such channel".to_owned(),
                    Some((
                        format!("{path}: Slack has no channel {channel}"),
                        format!("correct it, or create the channel and type /invite {who} there"),
                    )),
                ),
                ChannelState::Archived => (
                    "archived".to_owned(),
                    Some((
                        format!("{path}: {channel} is archived"),
                        "unarchive it, or name another".to_owned(),
                    )),
                ),
                ChannelState::Unchecked(why) => {
                    self.notes.push(format!("{path} was not checked: {why}"));
                    ("not checked".to_owned(), None)
                }
            };
            states.push(format!("{shown} {said}"));
            if let Some((message, advice)) = problem {
                self.findings
                    .problems
                    .push(finding(&path, message, &advice));
            }
        }
        let states = if states.is_empty() {
            String::new()
        } else {
            format!("; {}", states.join(", "))
        };
        self.notes.insert(
            0,
            format!("Slack: bot {who} in workspace {}{states}", bot.team),
        );
    }

    /// Adds whether the database can be used, and whether what it commits outlives a fail-over.
    pub fn store(&mut self, config: &Config, answered: Result<Durability, OpenError>) {
        let finding = |message: String, advice: &str| {
            Finding::from(Problem {
                place: config.spots.place("store"),
                message,
                advice: advice.to_owned(),
            })
        };
        match answered {
            Ok(Durability::Synchronous) => self.notes.push(
                "the database commits to a synchronous standby: what was accepted outlives a fail-over".to_owned(),
            ),
            Ok(Durability::Alone) => self.notes.push(
                "the database has no synchronous standby: after a fail-over, alerts of the last moments may be missing until they are sent again; synchronous_standby_names sets one".to_owned(),
            ),
            Ok(Durability::NoStandby) => {
                let message = "the database waits for a synchronous standby, and none is connected: nothing can be committed";
                let advice = "start the standby, or name another in synchronous_standby_names";
                self.findings
                    .problems
                    .push(finding(message.to_owned(), advice));
            }
            Err(error) => {
                let advice = "if the server runs elsewhere, ask there";
                self.findings
                    .warnings
                    .push(finding(error.to_string(), advice));
            }
        }
    }

    /// Adds whether an origin could be reached. An origin that is unreachable from here may be reachable from elsewhere.
    pub fn origin(
        &mut self,
        config: &Config,
        handler: &HandlerName,
        grant: &HttpGrant,
        reached: Option<Result<(), String>>,
    ) {
        match reached {
            None => self
                .notes
                .push(format!("{grant} was not asked: it names no single host")),
            Some(Ok(())) => self.notes.push(format!("{grant} answers")),
            Some(Err(why)) => self.findings.warnings.push(Finding {
                handler: Some(handler.clone()),
                problem: Problem {
                    place: config
                        .spots
                        .place(&format!("handlers.{handler}.allow.http")),
                    message: format!("{grant} cannot be reached from here: {why}"),
                    advice: "if the server runs elsewhere, ask there; else correct the grant"
                        .to_owned(),
                },
                lines: String::new(),
                is_misfit: false,
            }),
        }
    }
}
