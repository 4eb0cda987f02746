//! The gates that a service has closed, and until when: what is left of that holds after a restart.

use rusqlite::{Connection, params};

use alert_manager_core::alert::Timestamp;
use alert_manager_core::gate::GateName;

/// Notes that a gate is closed at least until then, and forgets those that are open again.
pub(super) fn close(
    conn: &Connection,
    name: &GateName,
    until_ms: i64,
    now: Timestamp,
) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM gates WHERE closed_until <= ?1")?
        .execute([now.as_millisecond()])?;
    conn.prepare_cached(
        "INSERT INTO gates (name, closed_until) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET closed_until = max(closed_until, excluded.closed_until)",
    )?
    .execute(params![name.to_string(), until_ms])?;
    Ok(())
}

/// Returns the gates that were closed, each with when it opens, in milliseconds since 1970. Those that only a newer version knows
/// are left out.
pub(super) fn closed(conn: &Connection) -> rusqlite::Result<Vec<(GateName, i64)>> {
    let mut statement = conn.prepare("SELECT name, closed_until FROM gates ORDER BY name")?;
    let mut rows = statement.query([])?;
    let mut closed = Vec::new();
    while let Some(row) = rows.next()? {
        if let Ok(name) = row.get_ref(0)?.as_str()?.parse() {
            closed.push((name, row.get(1)?));
        }
    }
    Ok(closed)
}
