//! What each combination of facts proves about a node. The table with the sources is in the README.

use std::collections::BTreeMap;

use handler_kit::prelude::*;
use handler_kit::words;

use crate::resource::Resource;

/// A pod over its request by less than this is within it: usage is measured over minutes.
const OVER_MIN: f64 = 1.1;
/// A pod with less of what all listed pods use is not called the cause.
const SHARE_MIN: f64 = 0.25;
/// A share of CPU time from which it is worth naming.
const STEAL_MIN: f64 = 0.1;
const IOWAIT_MIN: f64 = 0.2;
const BUSY_MIN: f64 = 0.8;

/// What is known of a node.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) resource: Resource,
    /// What the rule compares with its threshold, now.
    pub(crate) level: Option<f64>,
    /// The level two hours before the alert, and when it was last nearer to that than to the level of the alert.
    pub(crate) before: Option<(f64, i64)>,
    pub(crate) device: Option<&'a str>,
    pub(crate) is_node_known: bool,
    pub(crate) details: BTreeMap<String, f64>,
    /// The pods that use most, the largest first.
    pub(crate) users: Vec<User>,
    pub(crate) node: Option<&'a Name>,
}

/// A pod, and what it uses.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct User {
    pub(crate) pod: String,
    pub(crate) uses: f64,
    pub(crate) request: Request,
}

/// What a pod requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Request {
    Unknown,
    None,
    Of(f64),
}

impl User {
    fn is_over(&self) -> bool {
        match self.request {
            Request::Unknown => false,
            Request::None => true,
            Request::Of(request) => self.uses > request * OVER_MIN,
        }
    }
}

/// Returns a pod as a line of the list: `shop/checkout-1: 22GiB, 5.5 × its request of 4GiB`.
pub(crate) fn line(resource: Resource, user: &User) -> Line {
    let request = request_in_words(resource, user);
    Line::from(format!(
        "{}: {}{request}",
        user.pod,
        resource.amount(user.uses)
    ))
}

fn request_in_words(resource: Resource, user: &User) -> String {
    match user.request {
        Request::Unknown => String::new(),
        Request::None => ", requests nothing".to_owned(),
        Request::Of(request) if user.is_over() => {
            format!(
                ", {:.1} × its request of {}",
                user.uses / request,
                resource.amount(request)
            )
        }
        Request::Of(request) => format!(", within its request of {}", resource.amount(request)),
    }
}

/// Returns the verdict; `None` if the level is not known.
pub(crate) fn of(facts: &Facts<'_>) -> Option<Verdict> {
    let verdict = match facts.resource {
        Resource::Memory => of_memory(facts),
        Resource::Cpu => of_cpu(facts),
        Resource::Load => of_load(facts),
        Resource::Disk => of_disk(facts),
    }?;
    // Who uses most CPU or memory is not what these are about.
    let user = match verdict.kind.as_str() {
        "disk" | "load-io" | "memory-outside-pods" => None,
        _ => user(facts),
    };
    let describe = "kubectl describe node $node";
    let describe = facts
        .node
        .map(|node| Step::run(describe, &[("node", node)]));
    Some(verdict.and_if(user).next_if(describe))
}

fn detail(facts: &Facts<'_>, name: &str) -> Option<f64> {
    facts
        .details
        .get(name)
        .copied()
        .filter(|value| value.is_finite())
}

/// Names the pod that uses most, if it uses a large part of what the listed ones do.
fn user(facts: &Facts<'_>) -> Option<String> {
    let first = facts.users.first()?;
    let all: f64 = facts.users.iter().map(|user| user.uses).sum();
    let words = format!(
        "Largest user: {}, {}{}",
        first.pod,
        facts.resource.amount(first.uses),
        request_in_words(facts.resource, first)
    );
    (first.uses >= all * SHARE_MIN).then_some(words)
}

fn of_memory(facts: &Facts<'_>) -> Option<Verdict> {
    let level = facts.level?;
    let used = match detail(facts, "total") {
        Some(total) => format!(
            "{} of {} is used",
            words::percent(level),
            words::bytes(total)
        ),
        None => format!("{} is used", words::percent(level)),
    };
    let kills = detail(facts, "kills").filter(|kills| *kills >= 0.5);
    let used = match kills {
        Some(kills) => format!(
            "{used}, and the kernel killed {kills:.0} processes for memory within the last hour"
        ),
        None => used,
    };
    let short = format!("{} of memory used", words::percent(level));
    let outside = detail(facts, "total")
        .zip(detail(facts, "pods"))
        .and_then(|(total, pods)| {
            let outside = total * level - pods;
            (facts.is_node_known && pods > 0.0 && outside > total * level / 2.0).then_some(outside)
        });
    Some(match outside {
        Some(outside) => {
            let rest = format!("{used}; {} of it are not the pods'", words::bytes(outside));
            Verdict::proves(
                "memory-outside-pods",
                "Most of the memory is used outside of pods",
                rest,
            )
            .short(short)
        }
        None => Verdict::proves("memory", "The node's memory is nearly used up", used).short(short),
    })
}

fn of_cpu(facts: &Facts<'_>) -> Option<Verdict> {
    let level = facts.level?;
    let short = format!("{} of CPU used", words::percent(level));
    let used = match detail(facts, "cpus") {
        Some(cpus) => format!("{} of {cpus:.0} CPUs is used", words::percent(level)),
        None => format!("{} is used", words::percent(level)),
    };
    if let Some(steal) = steal(facts) {
        return Some(stolen(&used, steal));
    }
    let modes = ["system", "irq", "softirq"].iter();
    let kernel: f64 = modes.filter_map(|mode| detail(facts, mode)).sum();
    let verdict = match kernel > level / 2.0 {
        true => {
            let rest = format!("{used}; {} are spent in the kernel", words::percent(kernel));
            Verdict::proves("cpu-kernel", "Most CPU time is the kernel's", rest)
        }
        false => Verdict::proves("cpu", "The node's CPUs are nearly used up", used),
    };
    Some(verdict.short(short))
}

/// Returns the share of CPU time that the hypervisor gave to others, if it is worth naming.
fn steal(facts: &Facts<'_>) -> Option<f64> {
    detail(facts, "steal").filter(|steal| *steal >= STEAL_MIN)
}

fn stolen(used: &str, steal: f64) -> Verdict {
    let steal = words::percent(steal);
    let rest = format!("{used}, and {steal} of the time the hypervisor gave the CPUs to others");
    Verdict::proves("steal", "The machine gets less CPU than it asks for", rest)
        .short(format!("{steal} CPU stolen"))
}

fn of_load(facts: &Facts<'_>) -> Option<Verdict> {
    let level = facts.level?;
    let load = match detail(facts, "cpus") {
        Some(cpus) => format!("the load is {:.0} on {cpus:.0} CPUs", level * cpus),
        None => format!("the load is {level:.1} for each CPU"),
    };
    let short = format!("load {level:.1} for each CPU");
    let idle = detail(facts, "idle");
    let iowait = detail(facts, "iowait").unwrap_or(0.0);
    let busy = idle.map(|idle| (1.0 - idle - iowait).max(0.0));
    let blocked = detail(facts, "blocked").unwrap_or(0.0);
    let waits = blocked >= detail(facts, "cpus").unwrap_or(f64::INFINITY) || iowait >= IOWAIT_MIN;
    if let Some(steal) = steal(facts) {
        return Some(stolen(&load, steal));
    }
    Some(match busy {
        Some(busy) if busy >= BUSY_MIN => {
            let rest = format!("{load}, and {} of CPU time is used", words::percent(busy));
            Verdict::proves(
                "load-cpu",
                "More processes want to run than there are CPUs",
                rest,
            )
            .short(short)
        }
        Some(busy) if waits => {
            let rest = format!(
                "{load}, only {} of CPU time is used, {blocked:.0} processes are blocked by I/O, and the CPUs wait for it {} of the time",
                words::percent(busy),
                words::percent(iowait)
            );
            Verdict::likely("load-io", "waits for disks", rest)
                .short(format!("{short}, waits for disks"))
        }
        Some(busy) => {
            let rest = format!(
                "{load}, but only {} of CPU time is used and {blocked:.0} processes are blocked by I/O at present",
                words::percent(busy)
            );
            Verdict::unknown("load", "What the processes wait for is not known", rest).short(short)
        }
        None => Verdict::unknown("load", "The load is high", load).short(short),
    })
}

fn of_disk(facts: &Facts<'_>) -> Option<Verdict> {
    let level = facts.level?;
    let device = facts.device.unwrap_or("The disk");
    let waiting = format!("{level:.0} requests wait or are served on average");
    let busy = detail(facts, "busy")
        .map(|busy| format!(", it is busy {} of the time", words::percent(busy.min(1.0))));
    let traffic = detail(facts, "read")
        .zip(detail(facts, "written"))
        .map(|(read, written)| {
            format!(
                ", reads {}/s and writes {}/s",
                words::bytes(read),
                words::bytes(written)
            )
        });
    let rest = format!(
        "{waiting}{}{}",
        busy.unwrap_or_default(),
        traffic.unwrap_or_default()
    );
    let [read, written] = ["read", "written"].map(|it| detail(facts, it).unwrap_or(0.0));
    let mostly = if written > read * 2.0 {
        " with writes"
    } else if read > written * 2.0 {
        " with reads"
    } else {
        ""
    };
    let verdict = Verdict::proves("disk", &format!("{device} is saturated{mostly}"), rest);
    Some(verdict.short(format!("{device}: {level:.0} requests wait")))
}

/// Returns what changed: from which level it rose, and when.
pub(crate) fn changed(facts: &Facts<'_>, began: i64) -> Option<String> {
    let (before, rose) = facts.before?;
    let level = facts.level?;
    // Less than a tenth more is no change.
    (level > before * 1.1).then(|| {
        let ago = words::between(rose, began);
        format!(
            "{} two hours before the alert; it went up about {ago} before it",
            facts.resource.level_in_words(before)
        )
    })
}

/// Returns how it ended, by the level now and the highest one.
pub(crate) fn end(resource: Resource, level: Option<f64>, most: Option<f64>) -> End {
    let (Some(level), Some(most)) = (level, most) else {
        return End::not_fixed("no-figures", "no figures any more").says(
            "There are no figures any more:",
            " node_exporter does not report; the node may be gone, which is not the same as fixed.",
        );
    };
    let (now, most) = (
        resource.level_in_words(level),
        resource.level_in_words(most),
    );
    let rest = match resource {
        Resource::Memory => format!(" {now} of memory is used now, {most} at most while it fired."),
        Resource::Cpu => format!(" {now} of CPU is used now, {most} at most while it fired."),
        Resource::Load => format!(" the load is {now} now, {most} at most while it fired."),
        Resource::Disk => format!(" {now} wait or are served now, {most} at most while it fired."),
    };
    let end = End::new("lower", &format!("down to {now}"));
    end.fact("saturation.level", level)
        .says("It is lower:", rest)
}
