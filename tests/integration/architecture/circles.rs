//! Circular imports among the modules of one folder. The submodules of a module count as part of it.
//!
//! A parent and its children are no circle: a module may use its submodules, and they may use what it declares.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::modules::{Dependency, Id, Modules};

/// The uses among the modules of one level, by user and used module.
pub(super) type Level = BTreeMap<(Id, Id), Vec<Dependency>>;

/// Returns the uses among the modules of each level.
pub(super) fn levels(modules: &Modules) -> Vec<Level> {
    let mut levels: BTreeMap<Id, Level> = BTreeMap::new();
    for dependency in modules.dependencies() {
        let from = modules.ancestry(dependency.from);
        let to = modules.ancestry(dependency.to);
        let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
        // One of them is above the other.
        let (Some(user), Some(used)) = (from.get(common), to.get(common)) else {
            continue;
        };
        let level = levels.entry(from[common - 1]).or_default();
        level.entry((*user, *used)).or_default().push(dependency);
    }
    levels.into_values().collect()
}

/// Returns the shortest circle of a level, as the modules on it in order; none if there is no circle.
pub(super) fn circle(edges: &BTreeSet<(Id, Id)>) -> Option<Vec<Id>> {
    let starts: BTreeSet<Id> = edges.iter().map(|(from, _)| *from).collect();
    starts
        .into_iter()
        .filter_map(|start| way_back(edges, start))
        .min_by_key(Vec::len)
}

/// Returns the shortest way from a module to itself.
fn way_back(edges: &BTreeSet<(Id, Id)>, start: Id) -> Option<Vec<Id>> {
    let mut came_from: BTreeMap<Id, Id> = BTreeMap::new();
    let mut next = VecDeque::from([start]);
    while let Some(at) = next.pop_front() {
        for (_, to) in edges.range((at, Id::MIN)..=(at, Id::MAX)) {
            if *to == start {
                let mut way = vec![at];
                while let Some(before) = came_from.get(&way[way.len() - 1]) {
                    way.push(*before);
                }
                way.reverse();
                return Some(way);
            }
            if !came_from.contains_key(to) {
                came_from.insert(*to, at);
                next.push_back(*to);
            }
        }
    }
    None
}
