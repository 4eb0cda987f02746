//! What a node can be short of, and the queries that measure it.

use handler_kit::words;

/// What the alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    Memory,
    Cpu,
    /// The load: processes that run, wait for a CPU or wait for a disk.
    Load,
    /// The requests of a disk that wait.
    Disk,
}

impl Resource {
    /// Returns what an alert is about, by its name.
    pub(crate) fn of(alertname: &str) -> Option<Self> {
        Some(match alertname {
            "NodeMemoryHighUtilization" => Self::Memory,
            "NodeCPUHighUsage" => Self::Cpu,
            "NodeSystemSaturation" => Self::Load,
            "NodeDiskIOSaturation" => Self::Disk,
            _ => return None,
        })
    }

    /// Returns the query of what the alert's rule compares with its threshold.
    pub(crate) const fn level(self) -> &'static str {
        match self {
            Self::Memory => {
                "1 - node_memory_MemAvailable_bytes{instance=$instance} / node_memory_MemTotal_bytes{instance=$instance}"
            }
            Self::Cpu => {
                "sum by (instance) (avg without (cpu) (rate(node_cpu_seconds_total{instance=$instance, mode!~\"idle|iowait\"}[5m])))"
            }
            Self::Load => {
                "sum by (instance) (node_load1{instance=$instance}) / count by (instance) (node_cpu_seconds_total{instance=$instance, mode=\"idle\"})"
            }
            Self::Disk => {
                "rate(node_disk_io_time_weighted_seconds_total{instance=$instance, device=$device}[5m])"
            }
        }
    }

    /// Returns the query of what distinguishes the causes; each series has a label `is`.
    pub(crate) const fn details(self) -> &'static str {
        match self {
            Self::Memory => {
                "label_replace(node_memory_MemTotal_bytes{instance=$instance}, \"is\", \"total\", \"\", \"\") \
                 or label_replace(increase(node_vmstat_oom_kill{instance=$instance}[1h]), \"is\", \"kills\", \"\", \"\") \
                 or label_replace(sum(container_memory_working_set_bytes{node=$node, container!=\"\"}), \"is\", \"pods\", \"\", \"\")"
            }
            Self::Cpu | Self::Load => {
                "label_replace(avg by (mode) (rate(node_cpu_seconds_total{instance=$instance}[5m])), \"is\", \"$1\", \"mode\", \"(.*)\") \
                 or label_replace(count(node_cpu_seconds_total{instance=$instance, mode=\"idle\"}), \"is\", \"cpus\", \"\", \"\") \
                 or label_replace(node_procs_blocked{instance=$instance}, \"is\", \"blocked\", \"\", \"\")"
            }
            Self::Disk => {
                "label_replace(rate(node_disk_io_time_seconds_total{instance=$instance, device=$device}[5m]), \"is\", \"busy\", \"\", \"\") \
                 or label_replace(rate(node_disk_read_bytes_total{instance=$instance, device=$device}[5m]), \"is\", \"read\", \"\", \"\") \
                 or label_replace(rate(node_disk_written_bytes_total{instance=$instance, device=$device}[5m]), \"is\", \"written\", \"\", \"\")"
            }
        }
    }

    /// Returns the query of the five pods that use most.
    pub(crate) const fn pods(self) -> &'static str {
        match self {
            Self::Memory => {
                "topk(5, sum by (namespace, pod) (container_memory_working_set_bytes{node=$node, container!=\"\"}))"
            }
            Self::Cpu | Self::Load => {
                "topk(5, sum by (namespace, pod) (rate(container_cpu_usage_seconds_total{node=$node, container!=\"\"}[5m])))"
            }
            Self::Disk => {
                "topk(5, sum by (namespace, pod) (rate(container_fs_writes_bytes_total{node=$node, pod!=\"\"}[5m])) \
                 + sum by (namespace, pod) (rate(container_fs_reads_bytes_total{node=$node, pod!=\"\"}[5m])))"
            }
        }
    }

    /// Returns the query of what the node's pods request; `None` if that cannot be requested.
    pub(crate) const fn requests(self) -> Option<&'static str> {
        match self {
            Self::Memory => Some(
                "sum by (namespace, pod) (kube_pod_container_resource_requests{node=$node, resource=\"memory\"})",
            ),
            Self::Cpu | Self::Load => Some(
                "sum by (namespace, pod) (kube_pod_container_resource_requests{node=$node, resource=\"cpu\"})",
            ),
            Self::Disk => None,
        }
    }

    /// Returns a level in words: `93 %`.
    pub(crate) fn level_in_words(self, level: f64) -> String {
        match self {
            Self::Memory | Self::Cpu => words::percent(level),
            Self::Load => format!("{level:.1} for each CPU"),
            Self::Disk => format!("{level:.0} requests"),
        }
    }

    /// Returns the amount that a pod uses in words: `22GiB`, `3.4 CPUs`, `48MiB/s`.
    pub(crate) fn amount(self, amount: f64) -> String {
        match self {
            Self::Memory => words::bytes(amount),
            Self::Cpu | Self::Load => format!("{amount:.1} CPUs"),
            Self::Disk => format!("{}/s", words::bytes(amount)),
        }
    }

    /// Returns the title of the list of pods.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Memory => "Pods that use most memory",
            Self::Cpu | Self::Load => "Pods that use most CPU",
            Self::Disk => "Pods that read and write most, on all disks of the node",
        }
    }
}
