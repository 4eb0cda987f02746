//! What is read about a claim or a volume, and how its message is made.

use handler_kit::kubernetes::{PersistentVolume, PersistentVolumeClaim, Pod, StorageClass};
use handler_kit::prelude::*;
use handler_kit::prometheus::{Query, Space, Unit};
use handler_kit::words;

use crate::verdicts::{self, Claim, Class};

const SIX_HOURS: i64 = 6 * 3_600;
/// The pods that use a claim and are named.
const USERS_MAX: usize = 4;
/// What it means if the kubelet reports no figures.
const UNREPORTED: &str = " the kubelet reports none, as for a volume that no running pod uses.";

/// The names of what is asked: what is free, and all of it.
struct Metrics {
    unit: Unit,
    free: &'static str,
    total: &'static str,
}

const BYTES: Metrics = Metrics {
    unit: Unit::Bytes,
    free: "kubelet_volume_stats_available_bytes{namespace=$namespace, persistentvolumeclaim=$claim}",
    total: "kubelet_volume_stats_capacity_bytes{namespace=$namespace, persistentvolumeclaim=$claim}",
};
const INODES: Metrics = Metrics {
    unit: Unit::Inodes,
    free: "kubelet_volume_stats_inodes_free{namespace=$namespace, persistentvolumeclaim=$claim}",
    total: "kubelet_volume_stats_inodes{namespace=$namespace, persistentvolumeclaim=$claim}",
};

fn metrics(look: &Look<'_>) -> Metrics {
    match look.alert().name.contains("Inodes") {
        true => INODES,
        false => BYTES,
    }
}

fn bound(template: &'static str, place: &Place) -> Query {
    let namespace = place.namespace().map_or("", |name| name);
    Query::new(template)
        .bind("namespace", namespace)
        .bind("claim", place.name())
}

/// Reads a claim, its class, its events, the pods that use it, and how full it is: 6 requests, and one more for each further
/// hundred pods of the namespace.
pub(crate) fn of_claim(look: &Look<'_>) -> Report {
    let Some(place) = look.place("persistentvolumeclaim") else {
        return Report::new();
    };
    let kubernetes = look.kubernetes();
    let claim = match kubernetes.find::<PersistentVolumeClaim>(&place) {
        Read::Found(claim) => Some(claim),
        Read::Gone => return Report::new().verdict(verdicts::gone("claim", place.name())),
        Read::Unknown => None,
    };
    let space = space(look, &place);
    let class = claim
        .as_ref()
        .and_then(|claim| claim.name_at("/spec/storageClassName"));
    let class = class.and_then(|class| kubernetes.get::<StorageClass>(&Place::of_cluster(class)));
    let events = claim
        .as_ref()
        .map(|claim| kubernetes.events(claim))
        .unwrap_or_default();
    let pods = kubernetes.list::<Pod>(place.namespace(), &Select::all());
    let users: Vec<&Pod> = pods.iter().filter(|pod| uses(pod, &place)).collect();
    let facts = Claim {
        place: &place,
        space: space.clone(),
        resize: claim
            .as_ref()
            .and_then(|claim| verdicts::resize(claim, &events)),
        size: claim
            .as_ref()
            .and_then(|claim| claim.text("/spec/resources/requests/storage")),
        class: class.as_ref().map(|class| Class {
            name: class.name(),
            can_grow: class.is("/allowVolumeExpansion"),
        }),
        user: users.first().and_then(|pod| Name::of(pod.name())),
    };
    let of_claim = |pointer: &str| claim.as_ref().and_then(|claim| claim.text(pointer));
    let began = look.alert().starts_at.seconds;
    let space = space.as_ref();
    Report::new()
        .verdict(verdicts::of_claim(&facts))
        .changed_line(space.and_then(|space| space.changed(began)))
        .field_if("Size", of_claim("/status/capacity/storage"))
        .field_if(
            "Free 6h ago",
            space.and_then(|space| space.amount_before(SIX_HOURS)),
        )
        .field(
            "Used by",
            words::few(users.iter().map(|pod| pod.name()), USERS_MAX),
        )
        .field_if("Storage class", class.as_ref().map(|class| class.name()))
        .field_if("Volume", of_claim("/spec/volumeName"))
        .without_label("node")
        .without_label("instance")
        .owner(claim.as_ref().and_then(|claim| claim.owner()))
        .fact_if("volume.free", space.map(|space| space.free))
        .fact_if("volume.total", space.map(|space| space.total))
        .events(events, None)
}

fn space(look: &Look<'_>, place: &Place) -> Option<Space> {
    let Metrics { unit, free, total } = metrics(look);
    let series = look
        .prometheus()
        .range("free space", &bound(free, place), SIX_HOURS)?;
    let total = look.prometheus().number("size", &bound(total, place))?;
    Space::of(unit, series.first()?, Some(total), look.now())
}

fn uses(pod: &Pod, claim: &Place) -> bool {
    let is_over = matches!(pod.text("/status/phase"), Some("Succeeded" | "Failed"));
    let mut volumes = pod.items("/spec/volumes").iter();
    !is_over
        && volumes
            .any(|volume| volume["persistentVolumeClaim"]["claimName"] == claim.name().as_ref())
}

/// Reads a volume and its events: 2 requests.
pub(crate) fn of_volume(look: &Look<'_>) -> Report {
    let Some(name) = look.name("persistentvolume") else {
        return Report::new();
    };
    let volume = match look.find::<PersistentVolume>("persistentvolume") {
        Read::Found(volume) => volume,
        Read::Gone => return Report::new().verdict(verdicts::gone("volume", &name)),
        Read::Unknown => return Report::new(),
    };
    let events = look.kubernetes().events(&volume);
    Report::new()
        .verdict(verdicts::of_volume(&volume, &events))
        .field_if("Size", volume.text("/spec/capacity/storage"))
        .field_if("Claim", verdicts::claim_of(&volume))
        .field_if("Storage class", volume.text("/spec/storageClassName"))
        .field_if(
            "On release",
            volume.text("/spec/persistentVolumeReclaimPolicy"),
        )
        .without_label("phase")
        .owner(volume.owner())
        .events(events, None)
}

/// Compares a claim with what it was when the alert began: 3 requests.
pub(crate) fn end_of_claim(look: &Look<'_>) -> End {
    let Some(place) = look.place("persistentvolumeclaim") else {
        return End::unknown("Whether it has space is not known.");
    };
    if look.kubernetes().find::<PersistentVolumeClaim>(&place) == Read::Gone {
        return End::gone("claim", "it was deleted");
    }
    let Metrics { unit, free, total } = metrics(look);
    let (began, now) = (look.alert().starts_at.seconds, look.now());
    let series = |what: &str, template| {
        let range = look
            .prometheus()
            .range(what, &bound(template, &place), now - began)?;
        range.into_iter().next()
    };
    let (free, total) = (series("free space", free), series("size", total));
    Space::end(
        unit,
        free.as_ref(),
        total.as_ref(),
        (began, now),
        UNREPORTED,
    )
}

/// Reads the phase of a volume: 1 request.
pub(crate) fn end_of_volume(look: &Look<'_>) -> End {
    match look.find::<PersistentVolume>("persistentvolume") {
        Read::Found(volume) => verdicts::end_of_volume(&volume),
        Read::Gone => End::gone("volume", "it was deleted"),
        Read::Unknown => End::unknown("What became of the volume is not known."),
    }
}
