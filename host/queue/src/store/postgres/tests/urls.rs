//! URLs of databases.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::store::postgres::database::{Database, InvalidDatabase};

fn parsed(url: &str) -> Database {
    url.parse().unwrap_or_else(|e| panic!("{url}: {e}"))
}

#[test]
fn a_url_is_read_as_libpq_reads_it_and_shown_without_its_password() {
    for (url, shown) in [
        ("postgres://u:pw@h/db", "postgres://u@h/db"),
        ("postgresql://u@h:6000/db", "postgres://u@h:6000/db"),
        ("postgres://h", "postgres://h/"),
        ("postgres:///db", "postgres://localhost/db"),
        ("postgres://a:1,b,[::1]:2/db", "postgres://a:1,b,[::1]:2/db"),
        (
            "postgres:///db?host=a,b&port=1,2&user=u",
            "postgres://u@a:1,b:2/db",
        ),
        ("postgres://%2Frun%2Fpg/db", "postgres:///run/pg/db"),
        (
            "postgres://u%40corp:p%3Aw@h/d%2Fb",
            "postgres://u@corp@h/d/b",
        ),
        ("postgres://u:a@b@h/db", "postgres://u@h/db"),
    ] {
        assert_eq!(parsed(url).to_string(), shown, "{url}");
        assert!(!format!("{:?}", parsed(url)).contains("pw"), "{url}");
    }
}

#[test]
fn a_url_that_cannot_be_used_is_refused_without_being_repeated() {
    for (url, why) in [
        ("postgres:h/db", "write postgres://USER@HOST/DATABASE"),
        (
            "postgres://h/db?sslmode",
            "write postgres://USER@HOST/DATABASE",
        ),
        ("postgres://h/db%00", "write postgres://USER@HOST/DATABASE"),
        (
            "postgres://u:hunter2?@h/db",
            "write postgres://USER@HOST/DATABASE",
        ),
        (
            "postgres://h/db?hunter2=1",
            "a parameter that is not supported",
        ),
        (
            "postgres://h/db?sslmode=allow",
            "sslmode has to be disable, prefer",
        ),
        (
            "postgres://h:0/db",
            "port has to be a number from 1 to 65535",
        ),
        (
            "postgres://h:x/db",
            "port has to be a number from 1 to 65535",
        ),
        ("postgres://h/db?connect_timeout=61", "seconds from 1 to 60"),
        (
            "postgres://h/db?target_session_attrs=standby",
            "read-write or any",
        ),
        ("postgres://h/db?sslcert=a", "sslcert and sslkey"),
        (
            "postgres://u:hunter2@h/db?password_file=a",
            "one of a password, password_file",
        ),
        ("postgres://a/db?host=b", "name the hosts once"),
        (
            "postgres:///db?host=a,b,c&port=1,2",
            "as many as host has hosts",
        ),
    ] {
        let refused: InvalidDatabase = url.parse::<Database>().unwrap_err();
        let refused = refused.to_string();
        assert!(refused.contains(why), "{url}: {refused}");
        assert!(!refused.contains("hunter2"), "{refused}");
    }
}

fn password_of(database: &Database) -> Option<String> {
    let config = database.config().unwrap();
    let password = config.get_password();
    password.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_password_in_a_file_is_read_again_at_each_connection() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    private(&file, "first\n");
    let database = parsed("postgres://u@h/db?password_file=password").relative_to(folder.path());
    assert_eq!(password_of(&database).as_deref(), Some("first"));
    private(&file, "second, and longer");
    assert_eq!(
        password_of(&database).as_deref(),
        Some("second, and longer")
    );
    fs::remove_file(&file).unwrap();
    let missing = database.config().unwrap_err().to_string();
    assert!(missing.contains("cannot read"), "{missing}");
}

#[test]
fn a_file_of_passwords_is_read_as_libpq_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pgpass");
    private(
        &file,
        "# a comment\nother:5432:db:u:wrong\nh:5432:db:v:wrong\nh:5432:*:u:ri\\:ght\nh:*:*:*:late\n",
    );
    let of = |url: &str| password_of(&parsed(url).or_passfile(&file));
    assert_eq!(of("postgres://u@h/db").as_deref(), Some("ri:ght"));
    assert_eq!(of("postgres://w@h:1/db").as_deref(), Some("late"));
    assert_eq!(of("postgres://u@elsewhere/db"), None);
    assert_eq!(of("postgres://u:own@h/db").as_deref(), Some("own"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let open = parsed("postgres://u@h/db").or_passfile(&file).config();
    let open = open.unwrap_err().to_string();
    assert!(open.contains("chmod 600"), "{open}");
}
