//! `inspect`: what a module is before anybody trusts it, and that nothing of it runs but `describe`.

use std::fs;

use alert_manager::api::Inspection;
use serde_json::Value;
use tests::modules;
use tests::process::run;
use tests::server::{drop_in, folder};

fn inspected(name: &str) -> Inspection {
    let dir = tempfile::tempdir().unwrap();
    let path = modules::path(name);
    let told = run(dir.path(), &["inspect", path.to_str().unwrap(), "--json"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    serde_json::from_str(&told.stdout).unwrap()
}

#[test]
fn a_module_is_described_with_what_its_code_imports() {
    let kube = inspected("kube-pod-crash-looping");
    let imports: Vec<_> = kube.imports.iter().map(|i| i.name.as_str()).collect();
    assert_eq!(imports, ["config", "http", "kv", "log", "slack"]);
    assert!(kube.imports.iter().all(|i| !i.about.is_empty()));
    assert_eq!(
        kube.bytes,
        modules::bytes("kube-pod-crash-looping").len() as u64
    );
    assert_eq!(kube.alerts, ["KubePodCrashLooping"]);
    assert!(kube.contract.starts_with("0.1."), "{}", kube.contract);
    let steps: Vec<_> = kube.steps.iter().map(|step| step.to_text()).collect();
    assert_eq!(steps, ["enrich", "act"]);
    assert!(kube.settings.unwrap().len() > 5);
    // It declares nothing, and calls `describe` alone.
    let probe = inspected("probe");
    assert_eq!((probe.settings, probe.storm.as_str()), (None, "each"));
}

/// Each interface of the contract, so that none is shown without saying what it is for.
#[test]
fn every_interface_has_a_phrase() {
    let wit = fs::read_to_string(modules::workspace().join("wit/handler.wit")).unwrap();
    let world = wit.split("world handler").nth(1).unwrap();
    let imported = world
        .lines()
        .filter_map(|line| line.trim().strip_prefix("import "));
    let described = inspected("probe").imports;
    for interface in imported.map(|line| line.trim_end_matches(';')) {
        let known = described.iter().find(|import| import.name == interface);
        assert!(
            known.is_some_and(|i| !i.about.is_empty()),
            "{interface}: the probe imports all"
        );
    }
}

#[test]
fn the_configuration_to_paste_is_a_whole_file() {
    for name in ["kube-pod-crash-looping", "slack-notify", "guest-owner"] {
        let dir = folder(&[name]);
        let config = inspected(name).configuration;
        fs::write(dir.path().join("am.yml"), &config).unwrap();
        let told = run(dir.path(), &["check", "--config", "am.yml"]);
        assert_eq!(told.code, Some(0), "{config}\n{told:?}");
    }
}

#[test]
fn the_configuration_to_paste_is_what_check_accepts() {
    for name in [
        "kube-pod-crash-looping",
        "slack-notify",
        "probe",
        "guest-owner",
    ] {
        let module = inspected(name);
        let dir = folder(&[name]);
        let config = format!(
            "slack: {{ preview: true, channels: {{ alerts: \"#alerts\" }} }}\nroutes:\n  - handlers: [{}]\n{}",
            module.name,
            module
                .configuration
                .replacen("slack: { preview: true }\n", "", 1)
                .replacen("# sha256:", "sha256:", 1)
        );
        fs::write(dir.path().join("am.yml"), &config).unwrap();
        let told = run(dir.path(), &["check", "--config", "am.yml", "--json"]);
        let found: Value = serde_json::from_str(&told.stdout).unwrap();
        assert_eq!(told.code, Some(0), "{config}\n{found:#}");
        // The pin is that of the module: another is refused.
        fs::write(
            dir.path().join("am.yml"),
            config.replace(&module.sha256, &"0".repeat(64)),
        )
        .unwrap();
        let told = run(dir.path(), &["check", "--config", "am.yml"]);
        assert_eq!(told.code, Some(1), "{told:?}");
    }
}

#[test]
fn it_is_readable_without_colours_when_it_is_no_terminal() {
    let dir = tempfile::tempdir().unwrap();
    drop_in(&modules::path("slack-notify"), &dir.path().join("n.wasm"));
    let told = run(dir.path(), &["inspect", "n.wasm"]);
    assert_eq!(told.code, Some(0));
    for part in [
        "slack-notify 0.1.0\n",
        "  alerts    * (any that no other handler names)\n",
        "  slack   posts and updates messages in Slack channels that are granted\n",
        "  channel         channel  alerts",
        "handlers:\n  # slack-notify 0.1.0: ",
    ] {
        assert!(told.stdout.contains(part), "{part}\n{}", told.stdout);
    }
    assert!(!told.stdout.contains('\u{1b}'), "no colours");
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing is written");
}
