//! Tries a module: its hooks run for an alert through the same [`Runtime`] as on a server, with the same limits and grants, and
//! nothing goes out. What goes out is replaced at its ends: the ledger keeps nothing ([`ledger`]), requests are answered by rules
//! ([`http_rules`]), credentials have made-up secrets, and everything that changes something is held back by the runtime as in
//! any dry run.

mod http_rules;
mod ledger;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) use http_rules::{HttpRule, HttpRules};

use crate::alert::{Alert, DeliveryId, Enrichment, Labels, Priority, StepKind, Timestamp};
use crate::api::{Kept, Lenient, StepOutcome, StepTry, Trial, TrialOutcome, TrialRun, Used};
use crate::description::{Setting, is_declared, undeclared};
use crate::journal::{CallKind, Doubts, Recorded};
use crate::router::Router;
use crate::runtime::{
    Credential, CredentialKind, HeldBack, Invocation, Invoked, Module, Output, Runtime,
    RuntimeError, ServiceOptions, StepFailure,
};
use crate::secret::{Authorization, Secret, SecretSource};
use crate::worker::HandlerSettings;
use ledger::TrialLedger;

/// The secret that credentials have in a trial: none is read.
const NO_SECRET: &str = "not-sent";

/// What a server with a configuration would give the module.
pub(crate) struct Configured {
    /// The grants, limits and settings of the handler.
    pub(crate) settings: Arc<HandlerSettings>,
    /// The routes, with those made from the module's description.
    pub(crate) router: Router,
    /// The channels and the credentials.
    pub(crate) services: ServiceOptions,
}

/// A module with all that it is given.
pub(crate) struct Bench {
    runtime: Arc<Runtime>,
    module: Arc<Module>,
    settings: Arc<HandlerSettings>,
    router: Router,
    rules: Arc<HttpRules>,
}

/// The event that is run, and where it comes from.
struct Event<'a> {
    alert: Arc<Alert>,
    priority: Priority,
    config: Arc<BTreeMap<String, String>>,
    facts: &'a Labels,
}

impl Bench {
    /// Makes a bench for a module. From now on `runtime` sends nothing.
    ///
    /// # Errors
    /// If the runtime cannot be set up.
    pub(crate) fn new(
        runtime: Arc<Runtime>,
        module: Module,
        configured: Configured,
        rules: HttpRules,
    ) -> Result<Self, RuntimeError> {
        let rules = Arc::new(rules);
        let mut services = configured.services;
        services.slack.preview = true;
        services.slack.token = None;
        services.proxy = None;
        services.credentials.values_mut().for_each(make_up);
        services.answers = Some(Arc::clone(&rules) as _);
        runtime.reconfigure(services)?;
        Ok(Self {
            runtime,
            settings: configured.settings,
            router: configured.router,
            module: Arc::new(module),
            rules,
        })
    }

    /// Runs the module for each of the alerts, one after the other. Its key-value store lasts from one to the next.
    pub(crate) async fn run(self, alerts: Vec<Alert>, facts: &Labels) -> Trial {
        let mut runs = Vec::new();
        let mut held_back = HeldBack::default();
        for alert in alerts {
            runs.push(self.run_one(alert, facts, &mut held_back).await);
        }
        let steps = || runs.iter().flat_map(|run: &TrialRun| &run.steps);
        let is_done = steps().all(|step| step.outcome.is(StepOutcome::Done));
        let outcome = match is_done {
            true => TrialOutcome::Done,
            false => TrialOutcome::Failed,
        };
        let calls = steps().flat_map(|step| &step.trace.calls);
        let allow: BTreeSet<_> = calls.filter_map(|call| call.allow.clone()).collect();
        let description = self.module.description();
        Trial {
            handler: description.name.clone(),
            version: description.version.clone(),
            sha256: self.module.sha256().to_owned(),
            outcome: outcome.into(),
            kept: held_back.kv.into_iter().filter_map(kept).collect(),
            unanswered: self.rules.unanswered(),
            allow: allow.into_iter().collect(),
            notes: self.notes(&runs),
            runs,
        }
    }

    async fn run_one(&self, alert: Alert, facts: &Labels, held_back: &mut HeldBack) -> TrialRun {
        let name = self.module.name();
        let places = self.router.matching(&alert.labels).into_iter();
        let mut routes = places.map(|place| (place, &self.router.routes()[place]));
        let route = routes.find(|(_, route)| route.handlers.contains(name));
        let event = Event {
            alert: Arc::new(alert.clone()),
            // Without a route, the severity decides.
            priority: {
                let place = route.map_or(usize::MAX, |(place, _)| place);
                self.router.priority(place, &alert.labels).priority
            },
            config: match route {
                Some((_, route)) => self.settings.config_under(&route.config),
                None => Arc::clone(&self.settings.config),
            },
            facts,
        };
        let description = self.module.description();
        let mut found = Enrichment::default();
        let mut used = Used::default();
        let mut steps = Vec::new();
        for kind in [StepKind::Enrich, StepKind::Act] {
            let is_called = match kind {
                StepKind::Enrich => !description.act_only,
                StepKind::Act => !description.enrich_only,
            };
            if is_called {
                let so_far = (&mut found, &mut *held_back, &mut used);
                let step = self.step(&event, kind, so_far).await;
                steps.push(step);
            }
        }
        TrialRun {
            alert,
            route: route.map(|(_, route)| route.name.to_string()),
            given: event.given(&Enrichment::default()).facts,
            steps,
            used,
        }
    }

    /// Runs one step, and adds what it found, held back and used to that of the steps before it.
    async fn step(
        &self,
        event: &Event<'_>,
        kind: StepKind,
        (found, held_back, used): (&mut Enrichment, &mut HeldBack, &mut Used),
    ) -> StepTry {
        let started_at = Timestamp::now();
        let mut invocation = self.invocation(event, kind, found, started_at);
        invocation.held_back = std::mem::take(held_back);
        let Invoked {
            outcome,
            trace,
            held_back: now,
            ..
        } = self.runtime.invoke(&self.module, invocation).await;
        *held_back = now;
        used.wall_us += trace.wall_us;
        used.cpu_us += trace.cpu_us;
        used.memory_bytes = used.memory_bytes.max(trace.memory_bytes);
        for calls in &trace.counts {
            let count = used.host_calls.entry(calls.kind.as_str().to_owned());
            *count.or_default() += u64::from(calls.count);
        }
        let handler = self.module.name();
        let (facts, blocks) = match &outcome {
            Ok(Output::Enrichment(found)) => (found.facts.clone(), found.blocks.clone()),
            Ok(Output::Facts(facts)) => (facts.clone(), Vec::new()),
            Err(_) => (Labels::default(), Vec::new()),
        };
        let ended = how_it_ended(&outcome);
        let error = outcome.as_ref().err().map(ToString::to_string);
        match (outcome, kind) {
            (Ok(Output::Enrichment(more)), _) => found.add(more),
            (Err(failure), StepKind::Enrich) => {
                found.add(Enrichment::failed(handler, &failure.to_string()));
            }
            _ => {}
        }
        StepTry {
            handler: handler.clone(),
            step: kind.into(),
            module: Some(self.module.label()),
            started_at,
            outcome: ended.into(),
            error,
            not_before: None,
            facts,
            blocks: blocks.into_iter().map(Lenient::from).collect(),
            in_doubt: Vec::new(),
            trace: trace.into(),
        }
    }

    fn invocation(
        &self,
        event: &Event<'_>,
        kind: StepKind,
        found: &Enrichment,
        now: Timestamp,
    ) -> Invocation {
        let limits = self.settings.limits;
        Invocation {
            step: kind,
            delivery: DeliveryId::from_raw(0),
            attempt: 1,
            lease: 1,
            dry_run: true,
            held_back: HeldBack::default(),
            alert: Arc::clone(&event.alert),
            found: Arc::new(event.given(found)),
            config: Arc::clone(&event.config),
            grants: Arc::clone(&self.settings.grants),
            limits,
            time_left: match kind {
                StepKind::Enrich => self.settings.enrich.of(event.priority).within,
                StepKind::Act => limits.wall_max,
            },
            now,
            seed: [0; 32],
            recorded: Recorded::default(),
            doubts: Doubts::default(),
            ledger: Arc::new(TrialLedger),
        }
    }

    /// Returns what is different on a server with this configuration.
    fn notes(&self, runs: &[TrialRun]) -> Vec<String> {
        let name = self.module.name();
        let mut notes = Vec::new();
        if runs.iter().any(|run| run.route.is_none()) {
            notes.push(format!(
                "no route sends this alert to {name}: `alert-manager routes` shows which routes match, and why"
            ));
        }
        for key in self.undeclared_reads(runs) {
            notes.push(undeclared(name, key, self.declared()));
        }
        let is_other = |pin: [u8; 32]| {
            let digits: String = pin.iter().map(|byte| format!("{byte:02x}")).collect();
            digits != self.module.sha256()
        };
        if self.settings.sha256.is_some_and(is_other) {
            notes.push(format!(
                "a server refuses this module: handlers.{name}.sha256 is the digest of another"
            ));
        }
        notes
    }
}

impl Bench {
    /// Returns the settings that the module declares.
    fn declared(&self) -> &[Setting] {
        let declared = self.module.description().settings.as_deref();
        declared.unwrap_or_default()
    }

    /// Returns the settings that were read and that the module does not declare.
    fn undeclared_reads<'a>(&self, runs: &'a [TrialRun]) -> BTreeSet<&'a str> {
        let declared = self.declared();
        let steps = runs.iter().flat_map(|run| &run.steps);
        let calls = steps.flat_map(|step| &step.trace.calls);
        let reads = calls.filter(|call| call.kind.is(CallKind::Config));
        let keys = reads.map(|call| call.request.as_str());
        keys.filter(|key| !is_declared(key, declared)).collect()
    }
}

impl Event<'_> {
    /// Returns what a step is given as found.
    fn given(&self, found: &Enrichment) -> Enrichment {
        let own = [("priority".to_owned(), self.priority.as_str().to_owned())];
        let facts = self.facts.merged(&found.facts);
        Enrichment {
            facts: facts.merged(&Labels::from_iter(own)),
            blocks: found.blocks.clone(),
        }
    }
}

/// Returns how a step ended, of which there is one try.
fn how_it_ended(outcome: &Result<Output, StepFailure>) -> StepOutcome {
    match outcome {
        Ok(_) => StepOutcome::Done,
        Err(StepFailure::Retryable { .. } | StepFailure::Unavailable { .. }) => StepOutcome::Retry,
        Err(_) => StepOutcome::Failed,
    }
}

fn kept((key, value): (String, Option<Vec<u8>>)) -> Option<Kept> {
    let value = value?;
    Some(Kept {
        key,
        bytes: value.len() as u64,
        value: String::from_utf8(value).ok(),
    })
}

/// Replaces the secret of a credential, so that none is read.
fn make_up(credential: &mut Arc<Credential>) {
    *credential = Arc::new(Credential {
        kind: CredentialKind::Authorization(Authorization::Scheme {
            scheme: "Bearer".to_owned(),
            credentials: SecretSource::value(Secret::new(NO_SECRET)),
        }),
        origins: credential.origins.clone(),
    });
}
