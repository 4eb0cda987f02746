//! Connections that are encrypted, and those that prove who they are.

use std::fs;

use crate::store::StoreError;
use crate::store::postgres::bench::PostgresBench;
use crate::store::postgres::session::{Purpose, Session};
use crate::store::postgres::values::Columns as _;

use super::bench;

/// Connects by TCP as a user, with these parameters.
fn connect(bench: &PostgresBench, user: &str, parameters: &str) -> Result<Session, StoreError> {
    let cluster = bench.cluster();
    let (port, name) = (cluster.port, bench.name());
    let (host, parameters) = match parameters.strip_prefix("127.0.0.1&") {
        Some(parameters) => ("127.0.0.1", parameters),
        None => ("localhost", parameters),
    };
    let url = format!("postgres://{user}@{host}:{port}/{name}?{parameters}");
    let database = url.parse::<crate::Database>().unwrap();
    let database = database.relative_to(&cluster.folder);
    Session::connect(&cluster.io, &database, Purpose::Read)
}

fn is_encrypted(session: &Session) -> bool {
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    session.one(sql, &[]).unwrap().column(0).unwrap()
}

#[test]
fn a_mode_encrypts_and_checks_what_libpq_says() {
    let Some(bench) = bench() else { return };
    for (parameters, encrypted) in [
        ("sslmode=disable", false),
        ("sslmode=prefer", true),
        ("sslmode=require", true),
        ("sslmode=require&sslrootcert=ca.crt", true),
        ("sslmode=verify-ca&sslrootcert=ca.crt", true),
        ("127.0.0.1&sslmode=verify-ca&sslrootcert=ca.crt", true),
        ("sslmode=verify-full&sslrootcert=ca.crt", true),
    ] {
        let session = connect(&bench, "tester", parameters);
        let session = session.unwrap_or_else(|e| panic!("{parameters}: {e}"));
        assert_eq!(is_encrypted(&session), encrypted, "{parameters}");
    }
    for (parameters, why) in [
        ("sslmode=verify-full", "certificate"),
        ("sslmode=verify-ca&sslrootcert=system", "certificate"),
        ("sslmode=require&sslrootcert=client.crt", "certificate"),
        (
            "127.0.0.1&sslmode=verify-full&sslrootcert=ca.crt",
            "certificate",
        ),
        ("sslmode=verify-full&sslrootcert=absent.crt", "cannot read"),
    ] {
        let refused = connect(&bench, "tester", parameters).unwrap_err();
        let refused = refused.to_string();
        assert!(refused.contains(why), "{parameters}: {refused}");
    }
}

#[test]
fn a_certificate_of_the_client_proves_who_it_is() {
    let Some(bench) = bench() else { return };
    bench.make_role("certified", "LOGIN");
    let with = "sslmode=verify-full&sslrootcert=ca.crt&sslcert=client.crt&sslkey=client.key";
    connect(&bench, "certified", with).unwrap();
    let without = connect(&bench, "certified", "sslmode=require").unwrap_err();
    assert!(
        without.to_string().contains("cannot connect to"),
        "{without}"
    );
}

#[test]
fn a_password_is_read_again_when_it_was_changed() {
    let Some(bench) = bench() else { return };
    bench.make_role("locked", "LOGIN PASSWORD 'first'");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let parameters = format!("127.0.0.1&password_file={}", file.display());
    fs::write(&file, "first\n").unwrap();
    connect(&bench, "locked", &parameters).unwrap();
    bench.execute("ALTER ROLE locked PASSWORD 'second-one'", &[]);
    let refused = connect(&bench, "locked", &parameters)
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("check the user and the password"),
        "{refused}"
    );
    assert!(!refused.contains("first"), "{refused}");
    fs::write(&file, "second-one\n").unwrap();
    connect(&bench, "locked", &parameters).unwrap();
}
