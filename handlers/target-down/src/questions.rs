//! What is asked about the targets of a job, and about the pod of one that is down.

use handler_kit::kubernetes::{Change, Owners, Pod, Trouble};
use handler_kit::prelude::*;
use handler_kit::prometheus::{Query, Sample, Target};

/// The labels that the alert's rule keeps.
const LABELS: [&str; 3] = ["job", "namespace", "service"];
/// The scrape pools that are asked one by one; if more could be meant, all targets are read.
const POOLS_MAX: usize = 3;

/// What was found out.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Whether each target was up when it was scraped last; `None` if that could not be read.
    pub(crate) up: Option<Vec<Sample>>,
    /// The targets that are down, those of which most can be said first.
    pub(crate) down: Vec<Target>,
    /// When the first of these was up last, in the last six hours.
    pub(crate) last_up: Option<i64>,
    /// The pod of the first of these, if it is one's.
    pub(crate) pod: Option<Read<Pod>>,
    pub(crate) trouble: Trouble,
    pub(crate) owners: Owners,
    pub(crate) change: Option<Change>,
}

impl Found {
    pub(crate) fn about_firing(look: &Look<'_>) -> Self {
        let up = up(look);
        let down = match &up {
            Some(up) if up.iter().all(|one| one.value > 0.0) => Vec::new(),
            Some(_) => down(look),
            None => Vec::new(),
        };
        let mut found = Self {
            up,
            down,
            ..Self::default()
        };
        found.last_up = found.worst().and_then(|target| last_up(look, target));
        if let Some(place) = found.worst().and_then(place_of_pod) {
            found.about_pod(look, &place);
        }
        found
    }

    fn about_pod(&mut self, look: &Look<'_>, place: &Place) {
        let kubernetes = look.kubernetes();
        let pod = kubernetes.find::<Pod>(place);
        if let Read::Found(pod) = &pod {
            if !pod.is_ready() {
                self.trouble = kubernetes.trouble(pod);
            }
            self.owners = kubernetes.owners(pod);
            let maker = self.owners.maker.as_ref();
            self.change = maker.and_then(|maker| kubernetes.change(maker));
        }
        self.pod = Some(pod);
    }

    /// Returns the target of which most can be said.
    pub(crate) fn worst(&self) -> Option<&Target> {
        self.down.first()
    }

    pub(crate) fn pod_name(&self) -> Option<&str> {
        let pod = self.worst()?.label("pod");
        (!pod.is_empty()).then_some(pod)
    }

    /// Returns how many targets are down, and how many there are.
    pub(crate) fn counts(&self) -> Option<(usize, usize)> {
        let up = self.up.as_ref()?;
        let down = up.iter().filter(|one| one.value == 0.0);
        Some((down.count(), up.len()))
    }
}

/// Returns whether each target was up when it was scraped last.
pub(crate) fn up(look: &Look<'_>) -> Option<Vec<Sample>> {
    let query = Query::new("up{job=$job, namespace=$namespace, service=$service}");
    // The label is not there if it is empty.
    let query = LABELS.iter().fold(query, |query, name| {
        query.bind(name, look.label(name).unwrap_or_default())
    });
    look.prometheus().instant("targets", &query)
}

/// Returns the targets that are down, with the error of their last scrape.
fn down(look: &Look<'_>) -> Vec<Target> {
    let prometheus = look.prometheus();
    let names = ["service", "job"].map(|name| look.label(name).unwrap_or_default());
    let pools = prometheus.scrape_pools().unwrap_or_default();
    let is_meant = |pool: &&String| pool.split('/').any(|part| names.contains(&part));
    let pools: Vec<&String> = pools.iter().filter(is_meant).collect();
    let mut targets = Vec::new();
    if (1..=POOLS_MAX).contains(&pools.len()) {
        let of_pools = pools
            .iter()
            .filter_map(|pool| prometheus.targets(Some(pool)));
        targets = down_of(look, of_pools.flatten());
    }
    if targets.is_empty() {
        targets = down_of(look, prometheus.targets(None).into_iter().flatten());
    }
    targets.sort_by_key(|target| {
        (
            place_of_pod(target).is_none(),
            target.label("instance").to_owned(),
        )
    });
    targets
}

fn down_of(look: &Look<'_>, targets: impl Iterator<Item = Target>) -> Vec<Target> {
    let is_meant = |target: &Target| {
        let mut labels = LABELS.iter();
        labels.all(|name| look.label(name).unwrap_or_default() == target.label(name))
    };
    targets
        .filter(|target| target.health == "down" && is_meant(target))
        .collect()
}

fn last_up(look: &Look<'_>, target: &Target) -> Option<i64> {
    let query =
        Query::new("max_over_time(timestamp(up{job=$job, instance=$instance} == 1)[6h:1m])")
            .bind("job", target.label("job"))
            .bind("instance", target.label("instance"));
    let at = look.prometheus().number("last up", &query)?;
    Some(at as i64)
}

fn place_of_pod(target: &Target) -> Option<Place> {
    let namespace = Name::of(target.label("namespace"))?;
    Some(Place::new(namespace, Name::of(target.label("pod"))?))
}
