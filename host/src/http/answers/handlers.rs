//! The modules that serve, those that were refused, and why.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Answers;
use crate::alert::{HandlerName, Timestamp};
use crate::api::{self, Handler, Limit};
use crate::findings::Finding;
use crate::queue::{Counts, HandlerCounts};
use crate::runtime::{GrantKind, LimitKey, Limits, ModuleInfo, ModuleState, SlackHold, Unit};
use crate::units::format_duration;
use crate::worker::{HandlerSettings, Pause};

impl Answers {
    /// Returns every file of the folder, including refused ones.
    pub(in crate::http) async fn handlers(&self) -> api::Handlers {
        let overview = self.overview().await;
        api::Handlers {
            handlers: self.described(&overview.counts, |_| true),
            disagreements: self.disagreements(),
        }
    }

    /// Describes some files of the folder.
    pub(super) fn described(
        &self,
        counts: &Counts,
        is_wanted: impl Fn(&ModuleInfo) -> bool,
    ) -> Vec<Handler> {
        let files = self.server.files();
        let wanted = files.iter().filter(|module| is_wanted(module));
        wanted
            .map(|module| describe(self, &counts.handlers, module))
            .collect()
    }
}

fn describe(answers: &Answers, counts: &[HandlerCounts], module: &ModuleInfo) -> Handler {
    let name = module.name.as_ref();
    let settings = name.map(|name| answers.handlers.load().of(name));
    let served = name.and_then(|name| answers.registry.get(name));
    let description = served.as_ref().map(|served| served.module.description());
    let findings = name.map(|name| answers.server.findings().about(name));
    let findings = findings.unwrap_or_default();
    let lines = |found: &[Finding]| found.iter().map(ToString::to_string).collect();
    let paused = name.and_then(|name| answers.breakers.paused(name));
    let held = held(answers, module, settings.as_deref());
    let reason = paused
        .as_ref()
        .map(|Pause { step, reason, .. }| format!("{} is paused: {reason}", step.as_str()))
        .or_else(|| {
            let held: Vec<_> = held.iter().map(ToString::to_string).collect();
            (!held.is_empty()).then(|| held.join("\n"))
        });
    Handler {
        name: module.name.clone(),
        version: module.version.clone(),
        summary: module.summary.clone(),
        sha256: module.sha256.clone(),
        file: module.origin.to_string(),
        state: state_of(answers, module).into(),
        serving: module.name.is_some(),
        paused: paused.map(pause),
        alerts: module.alerts.clone(),
        imports: module.imports.clone(),
        missing_grants: answers.server.missing_grants(module, description),
        settings: description.and_then(|description| description.settings.clone()),
        keeps_settings: settings
            .as_ref()
            .is_some_and(|settings| settings.kept.is_some()),
        problems: lines(&findings.problems),
        warnings: lines(&findings.warnings),
        grants: match (name, settings.as_deref()) {
            (Some(name), Some(settings)) => Some(grants(answers, name, settings)),
            _ => None,
        },
        limits: settings.as_deref().map(limits),
        counts: name.map(|name| {
            let now = counts.iter().find(|counts| counts.handler == *name);
            let (done, dead) = answers.metrics.ended(name);
            api::Counts {
                queued: now.map_or(0, |counts| counts.waiting as u64),
                waiting: now.map_or_else(Default::default, |counts| counts.by_priority.into()),
                waiting_since: now.and_then(|counts| counts.oldest),
                coalesced: now.map_or(0, |counts| counts.members as u64),
                running: now.map_or(0, |counts| counts.running.into()),
                done,
                dead,
                since: Some(answers.metrics.since()),
            }
        }),
        used: name.map_or_else(Vec::new, |name| answers.usage.of(name)),
        held: held.into_iter().map(api::Held::from).collect(),
        last_error: module.error.clone().or(reason),
    }
}

/// Returns the state of a file, for which the grants have to be known.
fn state_of(answers: &Answers, module: &ModuleInfo) -> ModuleState {
    match module.state {
        ModuleState::Ready if answers.server.missing_grants(module, None).is_some() => {
            ModuleState::Limited
        }
        state => state,
    }
}

fn pause(pause: Pause) -> api::Paused {
    let left = pause.until.saturating_duration_since(Instant::now());
    api::Paused {
        step: pause.step.into(),
        until: Timestamp::now().checked_add(left).unwrap_or(Timestamp::MAX),
        reason: pause.reason,
    }
}

/// Returns the channels and the token that Slack rejects for this handler.
fn held(
    answers: &Answers,
    module: &ModuleInfo,
    settings: Option<&HandlerSettings>,
) -> Vec<SlackHold> {
    let Some(settings) = settings.filter(|_| module.imports.iter().any(|import| import == "slack"))
    else {
        return Vec::new();
    };
    let granted = |hold: &SlackHold| match &hold.channel {
        Some(channel) => settings.grants.slack(channel).is_ok(),
        None => true,
    };
    let holds = answers.slack_breaker.holds().into_iter();
    holds.filter(granted).collect()
}

fn grants(answers: &Answers, name: &HandlerName, settings: &HandlerSettings) -> api::Grants {
    let grants = &settings.grants;
    let http: Vec<_> = grants.http.iter().map(ToString::to_string).collect();
    let (slack, credentials) = (grants.slack.iter(), grants.credentials.iter());
    let each = http
        .iter()
        .map(|grant| (GrantKind::Http, grant))
        .chain(slack.map(|grant| (GrantKind::Slack, grant)))
        .chain(credentials.map(|grant| (GrantKind::Credential, grant)));
    let uses = each.map(|(kind, grant)| {
        let used = answers.grant_uses.of(name, kind, grant);
        api::GrantUse {
            kind: kind.into(),
            grant: grant.clone(),
            calls: used.map_or(0, |used| used.calls),
            first_used: used.map(|used| used.first),
            last_used: used.map(|used| used.last),
        }
    });
    api::Grants {
        uses: uses.collect(),
        uses_since: Some(answers.grant_uses.since()),
        http,
        slack: grants.slack.clone(),
        credentials: grants.credentials.clone(),
    }
}

/// Returns the limits by their names in the configuration, with the unit added if the name does not have it.
fn limits(settings: &HandlerSettings) -> BTreeMap<String, Limit> {
    let limit = |key: &LimitKey<Limits>| {
        let amount = (key.get)(&settings.limits);
        match key.unit {
            Unit::Size if !key.name.contains("bytes") => {
                (format!("{}_bytes", key.name), Limit::Amount(amount))
            }
            Unit::Time => {
                let time = format_duration(Duration::from_millis(amount));
                (key.name.to_owned(), Limit::Time(time))
            }
            Unit::Size | Unit::Count | Unit::Rate => (key.name.to_owned(), Limit::Amount(amount)),
        }
    };
    Limits::KEYS.iter().map(limit).collect()
}
