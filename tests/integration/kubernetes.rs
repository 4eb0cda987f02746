//! The manifests for Kubernetes and the page about them. `.ci/kubernetes` checks in addition what the schemas of Kubernetes say.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const MANIFESTS: &str = "host/deploy/kubernetes";

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the code blocks of the page that follow a mark.
fn blocks(mark: &str) -> Vec<String> {
    let page = read("docs/kubernetes.md");
    let found: Vec<String> = page
        .split(&format!("<!-- {mark} -->"))
        .skip(1)
        .map(|after| {
            let mut lines = after.lines().skip_while(|line| !line.starts_with("```"));
            lines.next();
            let block = lines.take_while(|line| !line.starts_with("```"));
            block.map(|line| format!("{line}\n")).collect()
        })
        .collect();
    assert!(!found.is_empty(), "no block is marked {mark}");
    found
}

fn folders(below: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(MANIFESTS).join(below)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &place),
            false => drop(fs::copy(entry.path(), place).unwrap()),
        }
    }
}

/// Returns what `kubectl kustomize` renders from a kustomization beside the manifests and a configuration; nothing if this machine
/// has no kubectl that can.
fn render(kustomization: &str) -> Option<String> {
    render_in(".", kustomization)
}

/// The same, from a folder beside the manifests.
#[allow(clippy::print_stderr, reason = "a test that checked nothing says so")]
fn render_in(within: &str, kustomization: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    copy(&root().join(MANIFESTS), &folder.path().join("kubernetes"));
    let config = folder.path().join("alert-manager.yml");
    fs::copy(
        root().join(MANIFESTS).join("base/alert-manager.yml"),
        config,
    )
    .unwrap();
    let folder_of = folder.path().join(within);
    fs::create_dir_all(&folder_of).unwrap();
    fs::write(folder_of.join("kustomization.yaml"), kustomization).unwrap();
    let kubectl = || Command::new("kubectl");
    let can = kubectl()
        .args(["kustomize", "--help"])
        .output()
        .is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains("--enable-helm"));
    if !can {
        eprintln!(
            "SKIPPED: the manifests for Kubernetes were not rendered, since there is no kubectl that knows components. Install kubectl 1.21 or newer"
        );
        return None;
    }
    let said = kubectl().arg("kustomize").arg(&folder_of).output();
    let said = said.unwrap();
    assert!(said.status.success(), "{said:?}\n{kustomization}");
    assert!(said.stderr.is_empty(), "{said:?}\n{kustomization}");
    Some(String::from_utf8(said.stdout).unwrap())
}

/// Returns a kustomization of an overlay with components.
fn kustomization<'a>(overlay: &str, components: impl IntoIterator<Item = &'a String>) -> String {
    let components: String = components
        .into_iter()
        .map(|name| format!("  - kubernetes/components/{name}\n"))
        .collect();
    format!(
        "namespace: monitoring\nresources: [kubernetes/overlays/{overlay}]\ncomponents:\n{components}"
    )
}

/// Returns how often a line is in what is rendered.
fn count(rendered: &str, line: &str) -> usize {
    let lines = rendered
        .lines()
        .map(|line| line.trim_start_matches(['-', ' ']));
    lines.filter(|found| *found == line).count()
}

#[test]
fn every_container_of_every_overlay_is_confined() {
    let components = folders("components");
    for overlay in folders("overlays") {
        let Some(rendered) = render(&kustomization(&overlay, &components)) else {
            return;
        };
        let images = rendered
            .lines()
            .filter(|line| line.trim_start_matches(['-', ' ']).starts_with("image: "))
            .count();
        assert_eq!(images, 2, "{overlay}: the server and the modules");
        for line in [
            "allowPrivilegeEscalation: false",
            "readOnlyRootFilesystem: true",
            "capabilities:",
            "drop:",
            "ALL",
        ] {
            assert_eq!(count(&rendered, line), images, "{overlay}: {line}");
        }
        for line in [
            "runAsNonRoot: true",
            "type: RuntimeDefault",
            "enableServiceLinks: false",
        ] {
            assert_eq!(count(&rendered, line), 1, "{overlay}: {line}");
        }
        for refused in [
            "hostPath:",
            "privileged: true",
            "hostNetwork: true",
            "runAsUser: 0",
        ] {
            assert!(!rendered.contains(refused), "{overlay}: {refused}");
        }
    }
}

#[test]
fn one_server_has_a_volume_and_several_have_a_disruption_budget() {
    let none: [String; 0] = [];
    let Some(single) = render(&kustomization("single", &none)) else {
        return;
    };
    let replicated = render(&kustomization("replicated", &none)).unwrap();
    for (what, in_single, in_replicated) in [
        ("kind: StatefulSet", 1, 0),
        ("kind: Deployment", 0, 1),
        ("ReadWriteOnce", 1, 0),
        ("kind: PodDisruptionBudget", 0, 1),
        ("topologySpreadConstraints:", 0, 1),
        ("replicas: 1", 1, 0),
        ("replicas: 2", 0, 1),
    ] {
        assert_eq!(count(&single, what), in_single, "single: {what}");
        assert_eq!(
            count(&replicated, what),
            in_replicated,
            "replicated: {what}"
        );
    }
}

/// The operator needs its own kind of object around the rules. `UPDATE_SNAPSHOTS=1` writes it.
#[test]
fn the_operator_s_rules_are_those_of_the_file_for_prometheus() {
    let file = format!("{MANIFESTS}/components/monitoring/prometheus-rule.yml");
    let rules = read("host/deploy/alert-manager.rules.yml");
    let (_, rules) = rules.split_once("\ngroups:\n").unwrap();
    let within: String = format!("groups:\n{rules}")
        .lines()
        .map(|line| match line.is_empty() {
            true => "\n".to_owned(),
            false => format!("  {line}\n"),
        })
        .collect();
    let current = read(&file);
    let (head, _) = current.split_once("\nspec:\n").unwrap();
    let expected = format!("{head}\nspec:\n{within}");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(root().join(&file), &expected).unwrap();
        return;
    }
    assert!(current == expected, "{file} is not current");
}

#[test]
fn the_kustomizations_of_the_page_render_what_it_says() {
    for (mark, kind, name) in [
        ("single", "StatefulSet", "value: sqlite:/var/lib/"),
        (
            "modules",
            "StatefulSet",
            "registry.example.com/alert-manager-modules:1",
        ),
        (
            "migrate-store",
            "Job",
            "postgres://am@db.example.com/alerts?",
        ),
        (
            "replicated",
            "Deployment",
            "postgres://am@db.example.com/alerts?",
        ),
    ] {
        let blocks = blocks(&format!("kustomization {mark}"));
        let within = if mark == "migrate-store" { "move" } else { "." };
        let Some(rendered) = render_in(within, &blocks[0]) else {
            return;
        };
        assert_eq!(count(&rendered, &format!("kind: {kind}")), 1, "{mark}");
        assert!(rendered.contains(name), "{mark}: {name}");
        let namespaces = rendered
            .lines()
            .filter(|line| line.trim() == "namespace: monitoring");
        assert!(namespaces.count() >= 1, "{mark}");
    }
}

/// Names in commands are those of the manifests, and files are there.
#[test]
fn the_commands_of_the_page_name_what_there_is() {
    let commands = blocks("kubernetes").concat().replace("\\\n", " ");
    let deployment = read(&format!("{MANIFESTS}/base/deployment.yml"))
        + &read(&format!("{MANIFESTS}/overlays/replicated/deployment.yml"));
    let config = read(&format!("{MANIFESTS}/base/alert-manager.yml"));
    let mut checked = 0;
    for line in commands.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        for word in &words {
            if let Some(file) = word.strip_prefix("deploy/kubernetes") {
                let path: PathBuf = root().join(format!("{MANIFESTS}{file}"));
                assert!(path.exists(), "{line}");
                checked += 1;
            }
            if let Some((kind, name)) = word.split_once('/')
                && ["statefulset", "deployment", "job"].contains(&kind)
            {
                let named = read(&match kind {
                    "job" => format!("{MANIFESTS}/migrate-store/job.yml"),
                    _ => format!("{MANIFESTS}/base/deployment.yml"),
                });
                let name = format!("  name: {name}\n");
                assert!(named.contains(&name), "{line}");
                checked += 1;
            }
            if let Some(secret) = word.strip_prefix("--from-literal=") {
                let name = secret.split('=').next().unwrap();
                assert!(
                    config.contains(&format!("/etc/alert-manager/secrets/{name}")),
                    "{line}"
                );
                checked += 1;
            }
            if let Some(secret) = word.strip_prefix("--from-file=") {
                let name = secret.split('=').next().unwrap();
                assert!(
                    deployment.contains(&format!("/etc/alert-manager/database/{name}")),
                    "{line}"
                );
                checked += 1;
            }
        }
        if let ["kubectl", "create", "secret", "generic", name, ..] = words[..] {
            assert!(
                deployment.contains(&format!("secretName: {name},")),
                "{line}"
            );
            checked += 1;
        }
    }
    assert!(checked >= 12, "{checked}");
    let page = read("docs/kubernetes.md");
    for component in folders("components") {
        assert!(
            page.contains(&format!("\n| `{component}` |")),
            "{component}"
        );
    }
    for overlay in folders("overlays") {
        assert!(page.contains(&format!("\n| `{overlay}` |")), "{overlay}");
    }
}

/// Otherwise the replicas would begin with another store than the one that was moved.
#[test]
fn the_job_moves_from_the_single_servers_store_to_the_replicas_store() {
    let store = |file: &str| {
        let text = read(&format!("{MANIFESTS}/{file}"));
        let (_, after) = text.split_once("value: \"postgres://").unwrap();
        after.split('"').next().unwrap().to_owned()
    };
    let job = read(&format!("{MANIFESTS}/migrate-store/job.yml"));
    assert_eq!(
        store("overlays/replicated/deployment.yml"),
        store("migrate-store/job.yml")
    );
    let single = read(&format!("{MANIFESTS}/overlays/single/stateful-set.yml"));
    let (_, file) = single.split_once("value: \"sqlite:").unwrap();
    let file = file.split('"').next().unwrap();
    assert!(job.contains(&format!("\"sqlite:{file}\"")), "{file}");
    assert!(
        single.contains("        name: store\n")
            && job.contains("claimName: store-alert-manager-0")
    );
}

/// Otherwise the kernel would cut off the deliveries that the server lets finish.
#[test]
fn the_grace_period_is_longer_than_the_drain() {
    let deployment = read(&format!("{MANIFESTS}/base/deployment.yml"));
    let (_, after) = deployment
        .split_once("terminationGracePeriodSeconds: ")
        .unwrap();
    let grace: u64 = after.lines().next().unwrap().parse().unwrap();
    let operating = read("docs/operating.md");
    let (_, after) = operating.split_once("Running deliveries have ").unwrap();
    let drain: u64 = after.split(' ').next().unwrap().parse().unwrap();
    assert!(grace > drain, "{grace} s for a drain of {drain} s");
}
