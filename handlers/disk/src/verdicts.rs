//! What each combination of facts proves about a filesystem. The table with the sources is in the README.

use handler_kit::prelude::*;
use handler_kit::prometheus::{Sample, Space, Unit};
use handler_kit::words;

/// A pod that grew by less within the last hour is not what fills the filesystem.
const GROWTH_SHARE_MIN: f64 = 0.01;

/// What is known of a filesystem.
#[derive(Debug)]
pub(crate) struct Filesystem<'a> {
    pub(crate) unit: Unit,
    pub(crate) mountpoint: &'a str,
    /// Whether `node_exporter` reports it; `None` if that was not found out.
    pub(crate) is_reported: Option<bool>,
    pub(crate) space: Option<Space>,
    /// The pod whose containers' own files grew most within the last hour, and by how many bytes.
    pub(crate) grower: Option<(String, f64)>,
    /// The pod whose logs are the largest on this filesystem, and their size in bytes.
    pub(crate) log: Option<(String, f64)>,
    pub(crate) node: Option<&'a Name>,
}

/// Returns the pod with the largest value, and the value.
pub(crate) fn biggest(samples: &[Sample]) -> Option<(String, f64)> {
    let biggest = samples.iter().max_by(|a, b| a.value.total_cmp(&b.value))?;
    Some((biggest.pod(), biggest.value))
}

/// Returns the verdict; `None` if nothing is known of the filesystem.
pub(crate) fn of(facts: &Filesystem<'_>) -> Option<Verdict> {
    let Some(space) = &facts.space else {
        return (facts.is_reported == Some(false)).then(|| {
            let rest = "node_exporter has no figures of the last 6h for it; it may be unmounted, or the node gone";
            Verdict::unknown("no-figures", "The filesystem is not reported", rest)
        });
    };
    let large = du(facts).map(|du| Line::from("On the node, what is large: ").code(du));
    let pods = "kubectl get pods -A -o wide --field-selector spec.nodeName=$node";
    let pods = facts.node.map(|node| Step::run(pods, &[("node", node)]));
    let verdict = space.verdict(&format!("The filesystem {}", facts.mountpoint));
    Some(
        verdict
            .and_if(cause(facts, space))
            .next_if(large)
            .next_if(pods),
    )
}

/// Names the pod that grew, if it accounts for a part of the whole that counts.
fn cause(facts: &Filesystem<'_>, space: &Space) -> Option<String> {
    if facts.unit == Unit::Inodes {
        return None;
    }
    let is_large = |(_, amount): &&(String, f64)| *amount >= space.total * GROWTH_SHARE_MIN;
    if let Some((pod, by)) = facts.grower.as_ref().filter(is_large) {
        return Some(format!(
            "The containers of {pod} wrote {} of it within the last hour",
            words::bytes(*by)
        ));
    }
    // Their growth is not known.
    let (pod, size) = facts
        .log
        .as_ref()
        .filter(|(_, size)| *size >= space.total * 0.1)?;
    Some(format!(
        "The logs of {pod} alone are {}",
        words::bytes(*size)
    ))
}

/// Returns the command that lists what is large; `None` if the mount point would not be safe to copy into a shell.
fn du(facts: &Filesystem<'_>) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let mountpoint = facts.mountpoint;
    (mountpoint.starts_with('/') && mountpoint.bytes().all(is_plain)).then(|| match facts.unit {
        Unit::Bytes => format!("du -xh -d 3 {mountpoint} | sort -h | tail -20"),
        Unit::Inodes => format!("du -x --inodes -d 3 {mountpoint} | sort -n | tail -20"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_cannot_change_a_command() {
        let of = |mountpoint: &'static str| {
            du(&Filesystem {
                unit: Unit::Bytes,
                mountpoint,
                is_reported: None,
                space: None,
                grower: None,
                log: None,
                node: None,
            })
        };
        assert_eq!(
            of("/var/lib").as_deref(),
            Some("du -xh -d 3 /var/lib | sort -h | tail -20")
        );
        assert_eq!(of("/a; reboot"), None);
        assert_eq!(of("-x"), None);
    }
}
