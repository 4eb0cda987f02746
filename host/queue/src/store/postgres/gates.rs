//! The gates that a service has closed, and until when: what is left of that holds after a restart.

use alert_manager_core::alert::Timestamp;
use alert_manager_core::gate::GateName;

use crate::store::StoreError;

use super::session::{Call, Session, args};
use super::values::Columns as _;

/// Notes that a gate is closed at least until then, and forgets those that are open again.
pub(super) fn close<'a>(name: &GateName, until_ms: i64, now: Timestamp) -> [Call<'a>; 2] {
    [
        Call::new(
            "DELETE FROM gates WHERE closed_until <= $1",
            args![now.as_millisecond()],
        ),
        Call::new(
            "INSERT INTO gates AS g (name, closed_until) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE
                 SET closed_until = greatest(g.closed_until, excluded.closed_until)",
            args![name.to_string(), until_ms],
        ),
    ]
}

/// Returns the gates that were closed, each with when it opens, in milliseconds since 1970. Those that only a newer version knows
/// are left out.
pub(super) fn closed(session: &Session) -> Result<Vec<(GateName, i64)>, StoreError> {
    let mut closed = Vec::new();
    for row in session.query("SELECT name, closed_until FROM gates ORDER BY name", &[])? {
        if let Ok(name) = row.text(0)?.parse() {
            closed.push((name, row.int(1)?));
        }
    }
    Ok(closed)
}
