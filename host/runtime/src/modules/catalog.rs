//! Decides which module serves under which name. The catalog reads no file and no clock: its input are the results of
//! loading, its output are decisions.
//!
//! - The first origin that claims a name keeps it, until it is removed, claims another name, or its pin changes. Others that
//!   claim the name are refused, and get it once it is free: the oldest first.
//! - A module is replaced only by a newer one of its own origin. If that one is bad, the old one goes on serving.
//! - A name that is pinned to a hash is served by that module or by none.
//! - A module that its configuration does not fit is not loaded. One that serves already stays if the configuration changes.
//! - The candidates of the first scan are decided together, the oldest first, so that the order of loading does not count.

mod entry;
mod input;
mod pins;
mod terms;

use std::collections::BTreeMap;

use crate::ModuleState;
use crate::modules::load_error::LoadError;
use crate::modules::source::Origin;
use alert_manager_core::alert::HandlerName;
use entry::{Cause, Entry, Newest};
use pins::{pin_error, take_unpinned};

pub(crate) use input::{Claim, Loaded, Offer};
pub use pins::Pins;
pub use terms::Terms;

/// A change, to be logged and published.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The origin's newest module serves from now on.
    Serves(Origin),
    /// The origin has the same module again. It goes on serving.
    Unchanged(Origin),
    /// The origin has another name. The module that serves from it goes on serving.
    Renamed { from: Origin, to: Origin },
    /// The origin's newest bytes are refused. A module that it had before goes on serving.
    Refused { origin: Origin, why: String },
    /// The origin's module no longer serves, because its name is pinned to another hash.
    Withdrawn {
        origin: Origin,
        handler: HandlerName,
        why: String,
    },
    /// The origin was removed, and with it the module that served from it, if one did.
    Removed {
        origin: Origin,
        handler: Option<HandlerName>,
    },
}

/// All origins with their modules.
pub(crate) struct Catalog<M> {
    terms: Terms<M>,
    entries: BTreeMap<Origin, Entry<M>>,
    is_first_scan: bool,
}

/// One origin with its state.
pub(crate) struct Listed<'a, M> {
    pub(crate) origin: &'a Origin,
    pub(crate) state: ModuleState,
    /// The module that serves.
    pub(crate) serving: Option<&'a Loaded<M>>,
    /// The name that a refused module claims, if its bytes are good.
    pub(crate) claimed: Option<&'a HandlerName>,
    /// Why the newest candidate is refused.
    pub(crate) error: Option<&'a str>,
}

impl<M: Claim> Catalog<M> {
    /// Makes an empty catalog before the end of the first scan.
    pub(crate) fn new(terms: impl Into<Terms<M>>) -> Self {
        Self {
            terms: terms.into(),
            entries: BTreeMap::new(),
            is_first_scan: true,
        }
    }

    /// Returns every origin, sorted.
    pub(crate) fn list(&self) -> impl Iterator<Item = Listed<'_, M>> {
        self.entries.iter().map(|(origin, entry)| {
            let serving = entry.serving.as_ref();
            let claimed = match &entry.newest {
                Newest::Refused {
                    cause: Cause::Conflict(loaded),
                    ..
                } => Some(loaded.module.name()),
                _ => None,
            };
            let (state, error) = match (&entry.newest, serving) {
                (Newest::Refused { why, .. }, _) => (ModuleState::Refused, Some(&**why)),
                (_, Some(_)) => (ModuleState::Ready, None),
                (_, None) => (ModuleState::Loading, None),
            };
            Listed {
                origin,
                state,
                serving,
                claimed,
                error,
            }
        })
    }

    /// Returns the module that serves from an origin.
    pub(crate) fn serving(&self, origin: &Origin) -> Option<&Loaded<M>> {
        self.entries.get(origin)?.serving.as_ref()
    }

    /// Returns true until the first scan has ended.
    pub(crate) fn is_first_scan(&self) -> bool {
        self.is_first_scan
    }

    /// Returns true if there is a candidate that could not be loaded and may be incomplete.
    pub(crate) fn has_unsettled(&self) -> bool {
        let mut entries = self.entries.values();
        entries.any(|entry| matches!(entry.newest, Newest::Unsettled(_)))
    }

    /// Returns the origins whose candidates failed to load for a reason other than their bytes, so that they may load now.
    pub(crate) fn may_load_now(&self) -> Vec<Origin> {
        let entries = self.entries.iter();
        let may = entries.filter(|(_, entry)| entry.may_load_now());
        may.map(|(origin, _)| origin.clone()).collect()
    }

    /// Records that the origin has a new candidate, which is being loaded.
    pub(crate) fn offered(&mut self, origin: &Origin, offer: Offer) {
        let before = self.entries.remove(origin);
        let entry = Entry {
            offer,
            newest: Newest::Loading,
            serving: before.and_then(|entry| entry.serving),
        };
        self.entries.insert(origin.clone(), entry);
    }

    /// Decides on the result of loading the origin's candidate.
    pub(crate) fn loaded(
        &mut self,
        origin: &Origin,
        result: Result<Loaded<M>, LoadError>,
    ) -> Vec<Decision> {
        let Some(entry) = self.entries.get_mut(origin) else {
            return Vec::new();
        };
        if self.is_first_scan {
            entry.newest = Newest::Undecided(result);
            return Vec::new();
        }
        let decision = self.decide(origin, result);
        self.with_claims(decision.into_iter().collect())
    }

    /// Forgets the origin's candidate, because its bytes have changed. The module that serves goes on serving.
    pub(crate) fn changed(&mut self, origin: &Origin) {
        self.take_newest(origin);
    }

    /// Records that the origin's candidate is complete. If it could not be loaded, it is refused now.
    pub(crate) fn settled(&mut self, origin: &Origin) -> Vec<Decision> {
        let Some(entry) = self.entries.get_mut(origin) else {
            return Vec::new();
        };
        entry.offer.is_settled = true;
        match std::mem::replace(&mut entry.newest, Newest::Loading) {
            Newest::Unsettled(error) => self.decide(origin, Err(error)).into_iter().collect(),
            newest => {
                entry.newest = newest;
                Vec::new()
            }
        }
    }

    /// Gives an origin another name. Its candidate is forgotten, because it is offered again under the new name.
    pub(crate) fn renamed(&mut self, from: &Origin, to: Origin) -> Vec<Decision> {
        let Some(entry) = self.entries.remove(from) else {
            return Vec::new();
        };
        let entry = Entry {
            newest: Newest::Loading,
            ..entry
        };
        self.entries.insert(to.clone(), entry);
        vec![Decision::Renamed {
            from: from.clone(),
            to,
        }]
    }

    /// Forgets the origin, and gives its name to the next origin that claims it.
    pub(crate) fn removed(&mut self, origin: &Origin) -> Vec<Decision> {
        let Some(entry) = self.entries.remove(origin) else {
            return Vec::new();
        };
        self.with_claims(vec![Decision::Removed {
            origin: origin.clone(),
            handler: entry.serving.map(|loaded| loaded.module.name().clone()),
        }])
    }

    /// Decides on all candidates of the first scan.
    pub(crate) fn end_first_scan(&mut self) -> Vec<Decision> {
        self.is_first_scan = false;
        let is_undecided = |entry: &Entry<M>| matches!(entry.newest, Newest::Undecided(_));
        let mut decisions = Vec::new();
        for origin in self.oldest_first(is_undecided) {
            if let Newest::Undecided(result) = self.take_newest(&origin) {
                decisions.extend(self.decide(&origin, result));
            }
        }
        decisions
    }

    /// Sets the pins for later decisions. Modules that serve already are checked by [`Self::enforce_pins`].
    pub(crate) fn set_terms(&mut self, terms: impl Into<Terms<M>>) {
        self.terms = terms.into();
    }

    /// Withdraws modules that do not match their pins. It is separate from [`Self::set_terms`], so that a file and its pin
    /// can be replaced together: the old module serves until the new one is loaded.
    pub(crate) fn enforce_pins(&mut self) -> Vec<Decision> {
        let mut decisions = Vec::new();
        for (origin, entry) in &mut self.entries {
            let Some((loaded, why)) = take_unpinned(&mut entry.serving, &self.terms.pins) else {
                continue;
            };
            decisions.push(Decision::Withdrawn {
                origin: origin.clone(),
                handler: loaded.module.name().clone(),
                why: why.clone(),
            });
            if matches!(entry.newest, Newest::Serves) {
                let cause = Cause::Conflict(loaded);
                entry.newest = Newest::Refused { why, cause };
            }
        }
        self.with_claims(decisions)
    }

    fn decide(
        &mut self,
        origin: &Origin,
        result: Result<Loaded<M>, LoadError>,
    ) -> Option<Decision> {
        match result {
            Ok(loaded) => Some(match self.conflict(origin, &loaded.module) {
                None => self.serve(origin, loaded),
                Some(why) => self.refuse(origin, why, Cause::Conflict(loaded)),
            }),
            Err(error)
                if self.entries.get(origin)?.offer.is_settled
                    && !matches!(error, LoadError::Changed) =>
            {
                let cause = match error {
                    LoadError::Host(_) => Cause::Host,
                    _ => Cause::Bytes,
                };
                Some(self.refuse(origin, error.to_string(), cause))
            }
            Err(error) => {
                self.entries.get_mut(origin)?.newest = Newest::Unsettled(error);
                None
            }
        }
    }

    /// Returns why a loaded module may not serve from the origin: another owner of its name, or its pin.
    fn conflict(&self, origin: &Origin, module: &M) -> Option<String> {
        let (name, mut entries) = (module.name(), self.entries.iter());
        let is_owner = |(other, entry): &(&Origin, &Entry<M>)| {
            let serving = entry.serving.as_ref();
            *other != origin && serving.is_some_and(|loaded| loaded.module.name() == name)
        };
        match entries.find(is_owner) {
            Some((owner, _)) => Some(format!(
                "the name {name} is already served from {owner}, which was there first: remove one of the two, or change the name in describe()"
            )),
            None => pin_error(&self.terms.pins, module).or_else(|| (self.terms.misfit)(module)),
        }
    }

    fn serve(&mut self, origin: &Origin, loaded: Loaded<M>) -> Decision {
        let Some(entry) = self.entries.get_mut(origin) else {
            return Decision::Unchanged(origin.clone());
        };
        entry.newest = Newest::Serves;
        match &mut entry.serving {
            // Only the file's time or permissions have changed. The old instance is kept, because it has open connections.
            Some(old) if old.module.sha256() == loaded.module.sha256() => {
                old.exposure = loaded.exposure;
                Decision::Unchanged(origin.clone())
            }
            serving => {
                *serving = Some(loaded);
                Decision::Serves(origin.clone())
            }
        }
    }

    fn refuse(&mut self, origin: &Origin, why: String, cause: Cause<M>) -> Decision {
        if let Some(entry) = self.entries.get_mut(origin) {
            if let Cause::Conflict(loaded) = &cause
                && pin_error(&self.terms.pins, &*loaded.module).is_some()
            {
                // The module that serves may have the same bytes, from before the pin was set.
                take_unpinned(&mut entry.serving, &self.terms.pins);
            }
            entry.newest = Newest::Refused {
                why: why.clone(),
                cause,
            };
        }
        Decision::Refused {
            origin: origin.clone(),
            why,
        }
    }

    /// Adds the decisions about origins that were refused for a conflict: they take names that became free, and reasons that
    /// no longer apply are replaced.
    fn with_claims(&mut self, mut decisions: Vec<Decision>) -> Vec<Decision> {
        let is_claim = |entry: &Entry<M>| {
            matches!(
                &entry.newest,
                Newest::Refused {
                    cause: Cause::Conflict(_),
                    ..
                }
            )
        };
        // Restarted after each, because an origin that takes a name may free another, which an earlier one in the list
        // claims.
        while let Some(origin) = self
            .oldest_first(is_claim)
            .into_iter()
            .find(|origin| self.claim(origin).is_some_and(|(_, now)| now.is_none()))
        {
            if let Newest::Refused {
                cause: Cause::Conflict(loaded),
                ..
            } = self.take_newest(&origin)
            {
                decisions.push(self.serve(&origin, loaded));
            }
        }
        for origin in self.oldest_first(is_claim) {
            let Some((why, Some(now))) = self.claim(&origin) else {
                continue;
            };
            if *why != now
                && let Newest::Refused { cause, .. } = self.take_newest(&origin)
            {
                decisions.push(self.refuse(&origin, now, cause));
            }
        }
        decisions
    }

    /// Returns why an origin was refused for a conflict, and why it would be now.
    fn claim(&self, origin: &Origin) -> Option<(&String, Option<String>)> {
        match &self.entries.get(origin)?.newest {
            Newest::Refused {
                why,
                cause: Cause::Conflict(loaded),
            } => Some((why, self.conflict(origin, &loaded.module))),
            _ => None,
        }
    }

    fn oldest_first(&self, is_meant: impl Fn(&Entry<M>) -> bool) -> Vec<Origin> {
        let entries = self.entries.iter();
        let mut meant: Vec<_> = entries.filter(|(_, entry)| is_meant(entry)).collect();
        // The sort is stable, so origins of the same age stay in the order of their names.
        meant.sort_by_key(|(_, entry)| entry.offer.since);
        meant
            .into_iter()
            .map(|(origin, _)| origin.clone())
            .collect()
    }

    fn take_newest(&mut self, origin: &Origin) -> Newest<M> {
        match self.entries.get_mut(origin) {
            Some(entry) => std::mem::replace(&mut entry.newest, Newest::Loading),
            None => Newest::Loading,
        }
    }
}

#[cfg(test)]
mod tests;
