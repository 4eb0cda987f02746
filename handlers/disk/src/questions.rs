//! What Prometheus is asked about a filesystem, and how its message is made.

use handler_kit::prelude::*;
use handler_kit::prometheus::{Query, Sample, Space, Unit};
use handler_kit::words;

use crate::verdicts::{self, Filesystem};

const SIX_HOURS: i64 = 6 * 3_600;
/// Where the kubelet keeps what the containers write to their output.
const LOGS: &str = "/var/log/pods";
/// What it means if there are no figures.
const UNREPORTED: &str =
    " node_exporter reports this filesystem no longer; it may be unmounted, or the node gone.";

/// What identifies the filesystem of the alert.
struct Asked<'a> {
    unit: Unit,
    instance: &'a str,
    device: &'a str,
    mountpoint: &'a str,
}

impl<'a> Asked<'a> {
    fn of(look: &Look<'a>) -> Option<Self> {
        let label = |name: &str| {
            let value = look.label(name);
            if value.is_none() {
                look.missing("filesystem", &format!("the alert has no label `{name}`"));
            }
            value
        };
        Some(Self {
            unit: match look.alert().name.as_str() {
                "NodeFilesystemFilesFillingUp" | "NodeFilesystemAlmostOutOfFiles" => Unit::Inodes,
                _ => Unit::Bytes,
            },
            instance: label("instance")?,
            device: label("device")?,
            mountpoint: label("mountpoint")?,
        })
    }

    fn bind(&self, template: &'static str) -> Query {
        Query::new(template)
            .bind("instance", self.instance)
            .bind("device", self.device)
            .bind("mountpoint", self.mountpoint)
    }

    /// Returns the query of what is free.
    fn free(&self) -> Query {
        self.bind(match self.unit {
            Unit::Bytes => "node_filesystem_avail_bytes{instance=$instance, device=$device, mountpoint=$mountpoint}",
            Unit::Inodes => "node_filesystem_files_free{instance=$instance, device=$device, mountpoint=$mountpoint}",
        })
    }

    /// Returns the query of the whole, of all filesystems of the node: their mount points say which of them has the logs.
    fn totals(&self) -> Query {
        self.bind(match self.unit {
            Unit::Bytes => "node_filesystem_size_bytes{instance=$instance}",
            Unit::Inodes => "node_filesystem_files{instance=$instance}",
        })
    }

    fn total_of_it(&self) -> Query {
        self.bind(match self.unit {
            Unit::Bytes => {
                "node_filesystem_size_bytes{instance=$instance, device=$device, mountpoint=$mountpoint}"
            }
            Unit::Inodes => {
                "node_filesystem_files{instance=$instance, device=$device, mountpoint=$mountpoint}"
            }
        })
    }

    fn total(&self, totals: &[Sample]) -> Option<f64> {
        let is_it = |sample: &&Sample| {
            sample.label("device") == self.device && sample.label("mountpoint") == self.mountpoint
        };
        Some(totals.iter().find(is_it)?.value)
    }

    /// Returns whether it is the filesystem of the deepest mount point above the logs.
    fn has_logs(&self, totals: &[Sample]) -> bool {
        let is_above = |mountpoint: &&str| {
            let rest = LOGS.strip_prefix(mountpoint.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let mountpoints = totals.iter().map(|sample| sample.label("mountpoint"));
        let deepest = mountpoints
            .filter(is_above)
            .max_by_key(|mountpoint| mountpoint.len());
        deepest == Some(self.mountpoint)
    }
}

/// Asks how full a filesystem is, which node it is of, and which pods use it: at most 6 requests.
pub(crate) fn firing(look: &Look<'_>) -> Report {
    let Some(asked) = Asked::of(look) else {
        return Report::new();
    };
    let prometheus = look.prometheus();
    let free = prometheus.range("free space", &asked.free(), SIX_HOURS);
    let totals = prometheus
        .instant("size", &asked.totals())
        .unwrap_or_default();
    let space = free
        .as_ref()
        .and_then(|free| Space::of(asked.unit, free.first()?, asked.total(&totals), look.now()));
    let node = prometheus.node();
    // Nothing counts the inodes of a pod.
    let counted = node.as_ref().filter(|_| asked.unit == Unit::Bytes);
    let of_node = |what: &str, template: &'static str| {
        let query = asked.bind(template).bind("node", counted?);
        prometheus.instant(what, &query)
    };
    // The containers' own files, by the device that they are on. What is in volumes is not among them.
    let users = of_node(
        "users of the filesystem",
        "topk(5, sum by (namespace, pod) (container_fs_usage_bytes{node=$node, device=$device, pod!=\"\"}))",
    );
    let growth = of_node(
        "growth by pod",
        "topk(1, sum by (namespace, pod) (delta(container_fs_usage_bytes{node=$node, device=$device, pod!=\"\"}[1h])))",
    );
    let logs = match asked.has_logs(&totals) {
        true => of_node(
            "size of logs",
            "topk(3, sum by (namespace, pod) (kubelet_container_log_filesystem_used_bytes{node=$node}))",
        ),
        false => None,
    };
    let facts = Filesystem {
        unit: asked.unit,
        mountpoint: asked.mountpoint,
        is_reported: free.as_ref().map(|free| !free.is_empty()),
        grower: growth.as_deref().and_then(verdicts::biggest),
        log: logs.as_deref().and_then(verdicts::biggest),
        node: node.as_ref(),
        space,
    };
    let began = look.alert().starts_at.seconds;
    let whose = node.as_ref().map_or(asked.instance, |node| node);
    let space = facts.space.as_ref();
    Report::new()
        .verdict(verdicts::of(&facts))
        .place(format!("{whose}:{}", asked.mountpoint))
        .who(format!("{whose} {}", asked.mountpoint))
        .changed_line(space.and_then(|space| space.changed(began)))
        .node(node.as_ref())
        .field(
            "Filesystem",
            format!("{} at {}", asked.device, asked.mountpoint),
        )
        .field_if(
            "Free 6h ago",
            space.and_then(|space| space.amount_before(SIX_HOURS)),
        )
        .without_label("fstype")
        .without_label("device")
        .without_label("mountpoint")
        .list(
            "Files of containers on it",
            users.iter().flatten().map(line),
        )
        .list("Logs of containers on it", logs.iter().flatten().map(line))
        .fact_if("disk.free", space.map(|space| space.free))
        .fact_if("disk.total", space.map(|space| space.total))
}

fn line(sample: &Sample) -> Line {
    Line::from(format!("{}: {}", sample.pod(), words::bytes(sample.value)))
}

/// Compares the filesystem with what it was when the alert began: 2 requests.
pub(crate) fn end(look: &Look<'_>) -> End {
    let Some(asked) = Asked::of(look) else {
        return End::unknown("Whether it has space is not known.");
    };
    let (began, now) = (look.alert().starts_at.seconds, look.now());
    let range = |what: &str, query| look.prometheus().range(what, &query, now - began);
    let Some(free) = range("free space", asked.free()) else {
        return End::unknown("Whether it has space was not found out.");
    };
    let total = range("size", asked.total_of_it()).unwrap_or_default();
    Space::end(
        asked.unit,
        free.first(),
        total.first(),
        (began, now),
        UNREPORTED,
    )
}
