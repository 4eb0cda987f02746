//! What a release installs fits together; `.ci/release-test` installs it for real.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use alert_manager::alert::HandlerName;
use alert_manager::config::{Config, Overrides};
use tests::modules::{ENRICHERS, bundled};
use tests::process::run;
use tests::server::folder;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the one value of a key in the systemd unit.
fn unit(key: &str) -> String {
    let unit = read("host/deploy/alert-manager.service");
    let prefix = format!("{key}=");
    let mut values = unit.lines().filter_map(|line| line.strip_prefix(&prefix));
    let value = values.next().unwrap_or_else(|| panic!("no {key}"));
    assert_eq!(values.next(), None, "{key}");
    value.to_owned()
}

fn package_configuration() -> Config {
    let file = root().join("host/deploy/debian/alert-manager.yml");
    Config::load(Some(&file), &Overrides::default(), &|_| None)
        .unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn the_packages_configuration_serves_without_a_secret_and_on_this_machine_alone() {
    let config = package_configuration();
    assert!(config.slack.preview);
    assert!(config.listen.ip().is_loopback());
    for name in bundled() {
        let settings = config.handlers.of(&HandlerName::new(&name));
        let posts = !ENRICHERS.contains(&name.as_str());
        assert_eq!(settings.grants.slack.contains("alerts"), posts, "{name}");
    }
}

#[test]
fn the_unit_serves_the_packages_configuration_from_the_folders_that_the_package_makes() {
    let command = unit("ExecStart");
    assert!(
        command.contains(" --config.file /etc/alert-manager/alert-manager.yml "),
        "{command}"
    );
    let state = PathBuf::from(format!("/var/lib/{}", unit("StateDirectory")));
    let config = package_configuration();
    let cache = config.store.local_path("cache");
    assert_eq!(cache.parent(), Some(state.as_path()));
    assert_eq!(
        config.handlers_dir,
        Path::new("/etc/alert-manager/handlers")
    );

    let scripts = read("host/deploy/debian/postinst") + &read("host/deploy/debian/postrm");
    assert!(scripts.contains(&format!("getent passwd {}", unit("User"))));
    assert!(scripts.contains(&format!("rm -rf {}\n", state.display())));
}

/// With the bundled handlers loaded, so that their settings are checked.
#[test]
fn what_the_package_s_configuration_offers_is_accepted_once_it_is_uncommented() {
    let names = bundled();
    let secrets = folder(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let text = read("host/deploy/debian/alert-manager.yml");
    let uncommented: String = text
        .lines()
        .filter(|line| !line.contains("preview: true"))
        .map(|line| {
            let indent = &line[..line.len() - line.trim_start().len()];
            let offered = line.trim_start().strip_prefix("# ").filter(|rest| {
                let key = rest.trim_start().split(' ').next().unwrap_or_default();
                key.ends_with(':') && key != "alert:" && !rest.ends_with('.')
            });
            match offered {
                Some(key) => format!("{indent}{key}\n"),
                None => format!("{line}\n"),
            }
        })
        .collect();
    for name in [
        "slack",
        "webhook",
        "api",
        "kubernetes-token",
        "kubernetes-ca.crt",
    ] {
        assert!(
            uncommented.contains(&format!("/etc/alert-manager/{name}")),
            "{name}"
        );
        fs::write(secrets.path().join(name), "secret").unwrap();
    }
    let here = uncommented.replace(
        "/etc/alert-manager/",
        &format!("{}/", secrets.path().display()),
    );
    let file = secrets.path().join("alert-manager.yml");
    fs::write(&file, &here).unwrap();
    let config = Config::load(Some(&file), &Overrides::default(), &|_| None)
        .unwrap_or_else(|problems| panic!("{problems}\n{here}"));
    assert!(!config.slack.preview && config.webhook.authorization.is_some());
    let crash_loops = config
        .handlers
        .of(&HandlerName::new("kube-pod-crash-looping"));
    assert!(crash_loops.grants.credentials.contains("kubernetes"));
    let checked = run(secrets.path(), &["check", "--config", "alert-manager.yml"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(!checked.stdout.contains("problem "), "{}", checked.stdout);
    let is_warning = |line: &&str| line.starts_with("warning");
    let warnings: Vec<_> = checked.stdout.lines().filter(is_warning).collect();
    assert_eq!(warnings, [] as [&str; 0]);
}

#[test]
fn the_scripts_of_a_release_are_ones_that_a_shell_reads() {
    let scripts = [
        ("bash", ".ci/run"),
        ("bash", ".ci/release"),
        ("bash", ".ci/release-test"),
        ("sh", "host/deploy/debian/postinst"),
        ("sh", "host/deploy/debian/prerm"),
        ("sh", "host/deploy/debian/postrm"),
    ];
    for (shell, script) in scripts {
        let status = Command::new(shell)
            .arg("-n")
            .arg(root().join(script))
            .status()
            .unwrap();
        assert!(status.success(), "{script}");
    }
}

/// The script empties its folder, so it refuses a folder with other files.
#[test]
fn a_release_goes_into_no_folder_that_has_something_else_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("thesis.txt");
    fs::write(&kept, "all of it").unwrap();
    let release = |args: &[&str]| {
        let said = Command::new(root().join(".ci/release")).args(args).output();
        tests::process::finished(said.unwrap())
    };
    let out = folder.path().to_str().unwrap();
    for args in [&[out][..], &["--quick", out], &[kept.to_str().unwrap()]] {
        let refused = release(args);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains("name another"), "{refused:?}");
    }
    for args in [&["--quik", out][..], &["-q"], &[out, out], &[""]] {
        let refused = release(args);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        let usage = refused.stderr.contains("[--quick] [OUT]");
        assert!(usage, "{refused:?}");
    }
    assert_eq!(fs::read_to_string(&kept).unwrap(), "all of it");
}

#[test]
fn the_manifests_name_the_image_of_this_version() {
    let image = format!(
        "ghcr.io/alert-manager/alert-manager:{}",
        env!("CARGO_PKG_VERSION")
    );
    let manifests = "host/deploy/kubernetes";
    for (file, line) in [
        ("base/deployment.yml", format!("image: {image}\n")),
        ("migrate-store/job.yml", format!("image: {image}\n")),
        (
            "components/modules/Containerfile",
            format!("FROM {image} AS bundled\n"),
        ),
    ] {
        assert!(
            read(&format!("{manifests}/{file}")).contains(&line),
            "{file}: {line}"
        );
    }
}

/// A start that migrates a store takes long, and needs disk space for the store, its copy and the write-ahead log.
#[test]
fn the_manifest_gives_an_upgrade_time_and_room() {
    let manifest = [
        "base/alert-manager.yml",
        "base/deployment.yml",
        "overlays/single/stateful-set.yml",
    ]
    .map(|file| read(&format!("host/deploy/kubernetes/{file}")))
    .concat();
    let number = |text: &str, before: &str, unit: &str| -> u64 {
        let (_, after) = text.split_once(before).expect(before);
        let digits = after.split(|c: char| !c.is_ascii_digit()).next().unwrap();
        assert!(after[digits.len()..].starts_with(unit), "{before}{digits}");
        digits.parse().unwrap()
    };
    let retention = number(&manifest, "retention: { time: 7d, size: ", "GiB");
    let storage = number(&manifest, "requests: { storage: ", "Gi");
    assert!(storage > 3 * retention, "{storage} Gi for {retention} GiB");
    let (_, probe) = manifest.split_once("startupProbe:\n").unwrap();
    let (probe, _) = probe.split_once("livenessProbe:").unwrap();
    assert!(probe.contains("path: /healthz"), "{probe}");
    let seconds =
        number(probe, "periodSeconds: ", "\n") * number(probe, "failureThreshold: ", "\n");
    assert!(seconds >= 1_800, "{seconds} s");
}
