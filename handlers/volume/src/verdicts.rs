//! What each combination of facts proves about a claim or a volume. The table with the sources is in the README.

use handler_kit::kubernetes::{Events, PersistentVolume, PersistentVolumeClaim};
use handler_kit::prelude::*;
use handler_kit::prometheus::{Space, Unit};
use handler_kit::words::or_silent;

/// What is known of a claim.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) place: &'a Place,
    pub(crate) space: Option<Space>,
    pub(crate) resize: Option<Resize>,
    /// The size that is asked for.
    pub(crate) size: Option<&'a str>,
    pub(crate) class: Option<Class<'a>>,
    /// A pod that uses it.
    pub(crate) user: Option<Name>,
}

/// The storage class of a claim.
#[derive(Debug)]
pub(crate) struct Class<'a> {
    pub(crate) name: &'a str,
    pub(crate) can_grow: bool,
}

/// An expansion that has not ended.
#[derive(Debug, PartialEq)]
pub(crate) enum Resize {
    /// It goes on; Kubernetes' words.
    Pending(String),
    /// It failed; Kubernetes' words.
    Failed(String),
}

/// Returns the expansion of a claim, by its conditions, and by its events if it asks for more than it has.
pub(crate) fn resize(claim: &PersistentVolumeClaim, events: &Events) -> Option<Resize> {
    let first = |kinds: [&str; 2]| kinds.iter().find_map(|kind| claim.holds(kind));
    if let Some(failed) = first(["ControllerResizeError", "NodeResizeError"]) {
        return Some(Resize::Failed(failed.message));
    }
    let pending = first(["FileSystemResizePending", "Resizing"])?;
    let event = events.with_reason(&["VolumeResizeFailed", "FileSystemResizeFailed"]);
    Some(match event.filter(|event| event.last >= pending.since) {
        Some(event) => Resize::Failed(event.message.clone()),
        None => Resize::Pending(pending.message),
    })
}

/// Returns the verdict about a claim; `None` if neither its space nor an expansion is known.
pub(crate) fn of_claim(facts: &Claim<'_>) -> Option<Verdict> {
    let what = "The volume";
    let verdict = facts.space.as_ref().map(|space| space.verdict(what));
    let size = facts.size.unwrap_or("more");
    let verdict = match (&facts.resize, verdict) {
        (Some(Resize::Failed(why)), verdict) => {
            let lead = format!("It can't be expanded to {size}");
            let failed = Verdict::proves("expansion-failed", &lead, or_silent(why));
            match verdict {
                Some(verdict) => failed
                    .short(format!("{}, can't be expanded", verdict.short))
                    .and(left(facts)),
                None => failed,
            }
        }
        (Some(Resize::Pending(why)), Some(verdict)) => {
            let why = format!("Its expansion to {size} has not ended: {}", or_silent(why));
            Verdict {
                kind: "expansion".to_owned(),
                ..verdict.and(why)
            }
        }
        (Some(Resize::Pending(why)), None) => Verdict::proves(
            "expansion",
            &format!("Its expansion to {size} has not ended"),
            or_silent(why),
        ),
        (None, verdict) => growth(verdict?, facts),
    };
    let look = facts
        .user
        .as_ref()
        .zip(facts.place.namespace())
        .map(|(pod, namespace)| {
            let template = match facts.space.as_ref().map(|space| space.unit) {
                Some(Unit::Inodes) => "kubectl -n $namespace exec $pod -- df -i",
                _ => "kubectl -n $namespace exec $pod -- df -h",
            };
            Step::run(template, &[("namespace", namespace), ("pod", pod)])
        });
    Some(verdict.next_if(look))
}

/// Says whether the volume can grow, and how. A filesystem's inodes do not always grow with it.
fn growth(verdict: Verdict, facts: &Claim<'_>) -> Verdict {
    let is_of_bytes = facts
        .space
        .as_ref()
        .is_some_and(|space| space.unit == Unit::Bytes);
    let (Some(class), Some(namespace), true) = (&facts.class, facts.place.namespace(), is_of_bytes)
    else {
        return verdict;
    };
    if !class.can_grow {
        let rest = format!(
            "Its storage class {} does not allow it to be expanded",
            class.name
        );
        return verdict.and(rest);
    }
    let note = Line::from("It can be expanded: raise ")
        .code("spec.resources.requests.storage")
        .text(match facts.size {
            Some(size) => format!(" of the claim, now {size}."),
            None => " of the claim.".to_owned(),
        });
    let names = [("namespace", namespace), ("claim", facts.place.name())];
    verdict
        .next(note)
        .next(Step::run("kubectl -n $namespace edit pvc $claim", &names))
}

fn left(facts: &Claim<'_>) -> String {
    facts.space.as_ref().map(Space::left).unwrap_or_default()
}

/// Returns the verdict about a volume in the phase that the alert is about, or another.
pub(crate) fn of_volume(volume: &PersistentVolume, events: &Events) -> Verdict {
    let said = volume.said("/status/message");
    let event = || Some(events.warnings().next()?.message.clone());
    let why = said
        .or_else(event)
        .unwrap_or_else(|| "neither its status nor an event says why".to_owned());
    let verdict = match volume.text("/status/phase") {
        Some("Failed") => {
            Verdict::proves("reclaim-failed", "The volume could not be reclaimed", why)
                .short("could not be reclaimed")
        }
        Some("Pending") => Verdict::proves("pending", "The volume is not available yet", why)
            .short("not available yet"),
        phase => {
            let phase = phase.unwrap_or("in no phase");
            let rest = format!("its phase is {phase}, no longer the one of the alert");
            return Verdict::proves("other-phase", &format!("The volume is {phase} now"), rest);
        }
    };
    let name = Name::of(volume.name());
    verdict.next_if(name.map(|name| Step::run("kubectl describe pv $volume", &[("volume", &name)])))
}

/// Returns namespace and name of the claim that a volume is or was bound to.
pub(crate) fn claim_of(volume: &PersistentVolume) -> Option<String> {
    let of = |field: &str| volume.text(&format!("/spec/claimRef/{field}"));
    Some(format!("{}/{}", of("namespace")?, of("name")?))
}

/// Returns the verdict about something that does not exist; `what` is `claim` or `volume`.
pub(crate) fn gone(what: &str, name: &Name) -> Verdict {
    let how = format!("Kubernetes has no {what} {name}; it was deleted");
    Verdict::gone(what, how)
}

/// Returns how the alert about a volume ended.
pub(crate) fn end_of_volume(volume: &PersistentVolume) -> End {
    let phase = volume.text("/status/phase").unwrap_or("in no phase");
    let end = End::new("phase", &format!("{phase} now"));
    match (phase, claim_of(volume)) {
        ("Bound", Some(claim)) => end.says("Bound:", format!(" it belongs to the claim {claim}.")),
        ("Available", _) => end.says("Available:", " a claim can use it."),
        ("Failed" | "Pending", _) => End::not_fixed("phase", &format!("still {phase}")).says(
            &format!("Still {phase}:"),
            " the alert ended, but the volume did not change.",
        ),
        _ => end.says(&format!("{phase}."), ""),
    }
}
