//! Says of which commit a program is, for `--version`, and collects the SDKs that it carries.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=ALERT_MANAGER_COMMIT");
    println!(
        "cargo::rustc-env=ALERT_MANAGER_COMMIT={}",
        commit().unwrap_or_else(|| "unknown".to_owned())
    );
    let out = std::env::var_os("OUT_DIR").expect("cargo sets it");
    carried::write(Path::new(&out));
}

/// Returns the variable that builds outside a clone set, else what git says.
fn commit() -> Option<String> {
    if let Ok(commit) = std::env::var("ALERT_MANAGER_COMMIT")
        && !commit.is_empty()
    {
        return Some(commit);
    }
    // A debug build is of no commit in particular; to say so spares a build of everything after each commit.
    if std::env::var("PROFILE").as_deref() != Ok("release") {
        return Some("of a debug build".to_owned());
    }
    // Sources that were unpacked within another project's clone are not of its commit.
    if !Path::new("../.git").exists() {
        return None;
    }
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    // The file that changes with every commit, checkout and reset.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    if Path::new(&log).exists() {
        println!("cargo::rerun-if-changed={log}");
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

/// Collects the files of the SDKs, which the command `new` writes beside a project.
mod carried {
    use std::fmt::Write as _;
    use std::fs;
    use std::path::{Path, PathBuf};

    /// What an SDK consists of: the name of its folder in a project, where it is here, and what of that is taken.
    const SDKS: [(&str, &str, &[&str]); 3] = [
        ("rust", "../handler-sdk", &["src", "shared"]),
        (
            "python",
            "../handler-sdk/python",
            &["pyproject.toml", "README.md", "src"],
        ),
        (
            "typescript",
            "../handler-sdk/typescript",
            &[
                "package.json",
                "README.md",
                "tsconfig.json",
                "tsconfig.handler.json",
                "guest-globals.d.ts",
                "src",
            ],
        ),
    ];

    /// Writes `sdk.rs`: a list of (folder, path, bytes).
    pub(super) fn write(out: &Path) {
        let mut list = String::from("&[\n");
        for (folder, root, parts) in SDKS {
            for part in parts {
                println!("cargo::rerun-if-changed={root}/{part}");
                for file in files(&Path::new(root).join(part)) {
                    let path = file
                        .strip_prefix(root)
                        .unwrap_or(&file)
                        .display()
                        .to_string();
                    let from = fs::canonicalize(&file).unwrap_or(file);
                    writeln!(
                        list,
                        "    ({folder:?}, {path:?}, include_bytes!({:?})),",
                        from.display().to_string()
                    )
                    .expect("a text takes a line");
                }
            }
        }
        let manifest = out.join("handler-sdk.toml");
        fs::write(&manifest, standing_alone()).expect("the build's folder can be written");
        writeln!(
            list,
            "    (\"rust\", \"Cargo.toml\", include_bytes!({:?})),\n]",
            manifest.display().to_string()
        )
        .expect("a text takes a line");
        fs::write(out.join("sdk.rs"), list).expect("the build's folder can be written");
    }

    /// Returns the files below a path, in order. Missing parts are left out.
    fn files(path: &Path) -> Vec<PathBuf> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_file() {
            return vec![path.to_owned()];
        }
        if name == "__pycache__" || name.starts_with('.') || name.ends_with(".egg-info") {
            return Vec::new();
        }
        let Ok(entries) = fs::read_dir(path) else {
            return Vec::new();
        };
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        paths.iter().flat_map(|path| files(path)).collect()
    }

    /// Returns the manifest of the Rust SDK with what it takes from the workspace written out.
    fn standing_alone() -> String {
        println!("cargo::rerun-if-changed=../Cargo.toml");
        println!("cargo::rerun-if-changed=../handler-sdk/Cargo.toml");
        let read = |path: &str| {
            fs::read_to_string(path).expect("the manifests of the workspace are there")
        };
        let (workspace, manifest) = (read("../Cargo.toml"), read("../handler-sdk/Cargo.toml"));
        let of_workspace = |name: &str| {
            let begin = format!("{name} = ");
            let line = workspace.lines().find(|line| line.starts_with(&begin));
            line.unwrap_or_else(|| panic!("the workspace has no {name}"))
                .to_owned()
        };
        let lines = manifest.lines().map(|line| {
            if let Some((key, _)) = line.split_once(".workspace = true") {
                return of_workspace(key);
            }
            match line.split_once(" = { workspace = true }") {
                Some((name, _)) => of_workspace(name),
                None => line.to_owned(),
            }
        });
        let mut lines: Vec<String> = lines.collect();
        // The lints are for those who work on the SDK.
        if let Some(at) = lines.iter().position(|line| line == "[lints]") {
            lines.truncate(at);
        }
        lines.join("\n").trim_end().to_owned() + "\n"
    }
}
