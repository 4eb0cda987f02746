//! The audit log: what people did, kept in the store for the timeline.

use super::Answers;
use super::person::Person;
use crate::alert::Timestamp;
use crate::api::What;
use crate::queue::Audited;

/// How long a detail is at most, in characters.
const DETAIL_CHARS_MAX: usize = 500;

impl Answers {
    /// Notes that a person has done something.
    pub(super) fn note(&self, person: &Person, what: What, subject: String, detail: &str) {
        self.queue.audit(Audited {
            at: Timestamp::now(),
            what: what.as_str().to_owned(),
            person: name_of(person),
            subject,
            detail: detail.chars().take(DETAIL_CHARS_MAX).collect(),
        });
    }
}

/// Returns by which name a person is found later: that which a proxy or a password vouches for. Any other is what the person has
/// typed, and the address says more.
fn name_of(person: &Person) -> String {
    match &person.name {
        Some(name) if person.is_vouched_for => name.clone(),
        _ => person.to_string(),
    }
}
