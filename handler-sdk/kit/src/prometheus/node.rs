//! Which node an exporter's address belongs to.

use std::collections::BTreeSet;

use super::{Prometheus, Query, Sample};
use crate::name::Name;

/// The addresses of nodes are in kube-state-metrics, the host names in `node_exporter`. In kube-prometheus the instance of
/// `node_exporter` is the node's name.
const NODE: &str = "kube_node_info{internal_ip=$address} or kube_node_info{node=$address} or node_uname_info{instance=$instance}";

impl Prometheus<'_> {
    /// Returns the name of the node that `node_exporter` reports on: the alert's label `node`, or the node with the address of
    /// its label `instance`, or the host name that `node_exporter` gives. If it is not known, or several nodes have the
    /// address, that is noted. At most one request.
    pub fn node(&self) -> Option<Name> {
        let labelled = ["node", "nodename"]
            .iter()
            .find_map(|label| self.look.label(label));
        if let Some(name) = labelled.and_then(Name::of) {
            return Some(name);
        }
        let Some(instance) = self.look.label("instance") else {
            self.look
                .missing("node", "the alert has no label `instance`");
            return None;
        };
        let query = Query::new(NODE)
            .bind("address", address(instance))
            .bind("instance", instance);
        let found = self.instant("node", &query)?;
        // A host name is the node's name unless the kubelet was started with another one.
        let names = Some(names(&found, "node")).filter(|names| !names.is_empty());
        let mut names = names.unwrap_or_else(|| names_of_hosts(&found)).into_iter();
        match (names.next(), names.len()) {
            (Some(name), 0) => return Name::of(name),
            (Some(_), others) => {
                let why = format!("{} nodes have the address of {instance}", others + 1);
                self.look.missing("node", &why);
            }
            (None, _) => {
                let why =
                    format!("no series of kube_node_info or node_uname_info is of {instance}");
                self.look.missing("node", &why);
            }
        }
        None
    }
}

fn names<'s>(samples: &'s [Sample], label: &str) -> BTreeSet<&'s str> {
    let names = samples.iter().map(|sample| sample.label(label));
    names.filter(|name| !name.is_empty()).collect()
}

fn names_of_hosts(samples: &[Sample]) -> BTreeSet<&str> {
    names(samples, "nodename")
}

/// Returns the host of `10.0.4.17:9100` or `[fd00::17]:9100`.
fn address(instance: &str) -> &str {
    let host = match instance.rsplit_once(':') {
        Some((host, port))
            if port.bytes().all(|byte| byte.is_ascii_digit()) && !port.is_empty() =>
        {
            // Without brackets, an IPv6 address has no port.
            let is_bare = host.contains(':') && !host.ends_with(']');
            if is_bare { instance } else { host }
        }
        _ => instance,
    };
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_no_part_of_an_address() {
        for (instance, host) in [
            ("10.0.4.17:9100", "10.0.4.17"),
            ("[fd00::17]:9100", "fd00::17"),
            ("fd00::17", "fd00::17"),
            ("node-1", "node-1"),
            ("node-1:9100", "node-1"),
        ] {
            assert_eq!(address(instance), host);
        }
    }
}
