//! The state that the host calls of one invocation share: the caller, its grants, and what is left of each budget.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::calls::held_back::HeldBack;
use crate::calls::interfaces::{CallsMax, INTERFACES};
use crate::calls::setting_reads::SettingReads;
use crate::grant_uses::GrantKind;
use crate::limits::quota::{LimitHit, LimitName, Limits};
use crate::outbound::egress::Clients;
use crate::outbound::prepare::Requester;
use crate::outbound::rates::Rates;
use crate::sandbox::clock::StepClock;
use crate::services::Services;
use crate::slack::compose::Author;
use crate::trace::recorder::Recorder;
use alert_manager_core::alert::{Alert, DeliveryId, Enrichment, HandlerName, StepKind, Timestamp};
use alert_manager_core::journal::{CallKind, Ledger, RecordUse, Replay};
use alert_manager_core::policy::Grants;

/// The host context of one invocation of `enrich` or `act`.
pub(crate) struct HostContext {
    pub(crate) handler: HandlerName,
    pub(crate) delivery: DeliveryId,
    pub(crate) step: StepKind,
    /// True if effects are shown instead of made.
    pub(crate) dry_run: bool,
    pub(crate) alert: Arc<Alert>,
    pub(crate) found: Arc<Enrichment>,
    pub(crate) config: Arc<BTreeMap<String, String>>,
    pub(crate) grants: Arc<Grants>,
    pub(crate) limits: Limits,
    pub(crate) deadline: Instant,
    /// The guest's wall clock. Its time is recorded with each call.
    pub(crate) clock: StepClock,
    pub(crate) replay: Replay,
    /// The size of the records of the delivery's other steps.
    pub(crate) recorded_elsewhere: RecordUse,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) clients: Arc<Clients>,
    pub(crate) rates: Arc<Rates>,
    pub(crate) setting_reads: Arc<SettingReads>,
    pub(crate) services: Arc<Services>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) counts: Counts,
    /// What a dry run has held back.
    pub(crate) held_back: HeldBack,
}

/// The number of calls so far, by interface, and the bytes that they brought into the sandbox and took out of it.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    calls: [u32; INTERFACES.len()],
    bytes_in: u64,
    bytes_out: u64,
}

impl HostContext {
    /// Counts a call that takes this many bytes out of the sandbox.
    ///
    /// # Errors
    /// The limit that is used up.
    pub(super) fn count(&mut self, kind: CallKind, bytes_out: usize) -> Result<(), LimitHit> {
        let (counts, limits) = (&mut self.counts, &self.limits);
        let mut interfaces = INTERFACES.iter().zip(&mut counts.calls);
        let interface = interfaces.find(|(interface, _)| interface.kind == Some(kind));
        if let Some((interface, used)) = interface
            && let Some(CallsMax { limit, of }) = interface.calls_max
        {
            let max = of(limits);
            if *used >= max {
                return Err(LimitHit {
                    limit,
                    used: u64::from(*used) + 1,
                    max: max.into(),
                    detail: format!("all {max} calls of this step are used up"),
                });
            }
            *used += 1;
        }
        let (used, max) = (counts.bytes_out + bytes_out as u64, limits.bytes_out_max);
        if used > max {
            return Err(LimitHit {
                limit: LimitName::BytesOut,
                used,
                max,
                detail: format!(
                    "with this call the host calls of this step would take out {used} bytes, {max} are allowed"
                ),
            });
        }
        counts.bytes_out = used;
        Ok(())
    }

    /// Checks that calls may still bring bytes into the sandbox.
    ///
    /// # Errors
    /// The limit that is used up.
    pub(super) fn check_in(&self) -> Result<(), LimitHit> {
        let (used, max) = (self.counts.bytes_in, self.limits.bytes_in_max);
        if self.bytes_in_left() > 0 {
            return Ok(());
        }
        Err(LimitHit {
            limit: LimitName::BytesIn,
            used,
            max,
            detail: format!(
                "the host calls of this step have brought in all of the {max} bytes that are allowed"
            ),
        })
    }

    /// Counts the bytes that a call brought into the sandbox.
    pub(super) fn count_in(&mut self, bytes: usize) {
        self.counts.bytes_in += bytes as u64;
    }

    /// Returns the bytes that calls may still bring into the sandbox.
    pub(super) fn bytes_in_left(&self) -> u64 {
        let max = self.limits.bytes_in_max;
        max.saturating_sub(self.counts.bytes_in)
    }

    /// Returns the time that is left for the step.
    pub(super) fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Returns the policy and the clients for outgoing requests.
    pub(super) fn requester(&self) -> Requester<'_> {
        Requester {
            handler: &self.handler,
            grants: &self.grants,
            config: &self.config,
            credentials: &self.services.credentials,
            clients: &self.clients,
            proxy: self.services.proxy.as_ref(),
            answered: self.services.answered.as_ref(),
        }
    }

    /// Counts the use of a grant by a call that is about to be made.
    pub(super) fn note_grant(&self, kind: GrantKind, grant: &str) {
        let uses = &self.services.grant_uses;
        uses.note(&self.handler, kind, grant, Timestamp::now());
    }

    /// Returns the author of Slack messages.
    pub(super) fn author(&self) -> Author<'_> {
        Author {
            handler: &self.handler,
            delivery: self.delivery,
            alert: &self.alert,
            found: &self.found,
            grants: &self.grants,
            dry_run: self.dry_run,
        }
    }
}
