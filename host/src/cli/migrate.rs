//! `migrate-store FROM TO`: moves a store to another one.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use serde_json::json;

use super::args::MigrateStoreArgs;
use super::print::{self, Status};
use crate::queue::{MoveProgress, MovedTable, StoreUrl, migrate_store};

/// Moves the store, and prints how many rows each table has.
pub(super) fn run(args: &MigrateStoreArgs) -> anyhow::Result<ExitCode> {
    let passfile = std::env::var_os("PGPASSFILE");
    // The text may hold a password: an error does not repeat it.
    let url = |what: &str, text: &str| {
        let parsed = text.parse::<StoreUrl>();
        let url = parsed.with_context(|| format!("{what} is not the URL of a store"))?;
        anyhow::Ok(match &passfile {
            Some(file) => url.or_passfile(Path::new(file)),
            None => url,
        })
    };
    let (from, to) = (url("FROM", &args.from)?, url("TO", &args.to)?);
    let began = Instant::now();
    let mut status = Status::new();
    let moved = migrate_store(&from, &to, &mut |progress| {
        status.set(&line(progress));
    });
    status.clear();
    let moved = moved?;
    if args.json {
        let table = |table: &MovedTable| json!({ "table": table.table, "rows": table.rows, "digest": table.digest });
        let tables: Vec<_> = moved.iter().map(table).collect();
        print::json(&json!({ "from": from.to_string(), "to": to.to_string(), "tables": tables }));
        return Ok(ExitCode::SUCCESS);
    }
    for table in &moved {
        print::line(&format!("{:>12}  {}", table.rows, table.table));
    }
    print::line(&format!(
        "moved {from} to {to} in {:.1} s; the rows of both were compared and are the same. Set `store` to the new one",
        began.elapsed().as_secs_f64()
    ));
    Ok(ExitCode::SUCCESS)
}

fn line(progress: MoveProgress) -> String {
    let doing = match progress.is_copying {
        true => "copying",
        false => "comparing",
    };
    format!(
        "{doing} {}: {} of {} rows",
        progress.table, progress.rows, progress.rows_in_all
    )
}
