//! `replicas`: the servers that have one store open.

use std::process::ExitCode;

use super::args::RemoteArgs;
use super::client::Client;
use super::explain::moment;
use super::print::{self, Paint, one_line};
use crate::api::{Disagreement, Replica, ServedBy};

/// How many digits of a digest are shown, by which people tell versions apart.
const DIGITS: usize = 12;

/// Lists the servers.
pub(super) fn run(args: &RemoteArgs) -> anyhow::Result<ExitCode> {
    let answer = Client::new(&args.server)?.replicas()?;
    if args.json {
        print::json(answer.json());
        return Ok(ExitCode::SUCCESS);
    }
    let listed = answer.read()?;
    let rows: Vec<_> = listed.replicas.iter().map(row).collect();
    let header = [
        "HOST",
        "VERSION",
        "STATE",
        "TERM SINCE",
        "STARTED",
        "LAST BEAT",
        "HANDLERS",
        "ID",
    ];
    print::out(&print::table(&header, &rows));
    let paint = Paint::for_stdout();
    if !listed.replicas.iter().any(|replica| replica.term) {
        print::line(&format!(
            "\n{} no replica has the term: alerts are accepted, and run once one has taken it",
            paint.yellow("warning")
        ));
    }
    show_disagreements(&listed.disagreements, paint);
    Ok(ExitCode::SUCCESS)
}

fn row(replica: &Replica) -> Vec<String> {
    let state = match (replica.alive, replica.term) {
        (false, _) => "silent",
        (true, true) => "has the term",
        (true, false) => "accepts",
    };
    let handlers = replica.handlers.as_ref();
    let this = if replica.this { " (answers)" } else { "" };
    vec![
        format!("{}{this}", one_line(&replica.host)),
        one_line(&replica.version),
        state.to_owned(),
        replica
            .term_since
            .map_or_else(|| "-".to_owned(), |at| moment(&at.to_string())),
        moment(&replica.started_at.to_string()),
        format!("{:.1}s ago", replica.last_beat_seconds),
        handlers.map_or_else(|| "-".to_owned(), |served| served.len().to_string()),
        one_line(&replica.id),
    ]
}

/// Prints the handlers that do not serve in the same version everywhere.
pub(super) fn show_disagreements(disagreements: &[Disagreement], paint: Paint) {
    for Disagreement { handler, versions } in disagreements {
        let versions: Vec<_> = versions.iter().map(served_by).collect();
        print::line(&format!(
            "\n{} replicas disagree: {}",
            paint.yellow(&format!("{}:", one_line(handler.as_str()))),
            versions.join("; ")
        ));
    }
}

/// Returns a version and where it serves: `1.2.0 (9f86d081884c) on a, b`.
fn served_by(served: &ServedBy) -> String {
    let hosts: Vec<_> = served.replicas.iter().map(|host| one_line(host)).collect();
    let hosts = hosts.join(", ");
    let version = served.version.as_deref().map(one_line);
    let digest = served.sha256.as_deref().map(one_line).unwrap_or_default();
    let digits: String = digest.chars().take(DIGITS).collect();
    match version {
        Some(version) => format!("{version} ({digits}) on {hosts}"),
        None => format!("missing on {hosts}"),
    }
}
