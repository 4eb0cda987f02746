//! The network between each server and the database fails: cut, one way only, lossy, slow.
//!
//! The database is a host of its own, in a network namespace, with a cable to each server.

use std::process::{Command, Output};

use tests::dice::{self, Dice};
use tests::postgres::Postgres;

use super::fleet::Fleet;
use super::senders::Senders;

const REPLICAS: usize = 3;

/// What a cable does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Nothing passes.
    Cut,
    /// What the server sends is lost.
    LosesRequests,
    /// What the database sends is lost.
    LosesAnswers,
    /// A tenth of all packets is lost, in both ways.
    Lossy,
    /// It passes 32 kB in a second.
    Slow,
}

/// A host with a cable to each server. Removed when dropped.
struct Host {
    name: String,
    /// The third byte of its addresses.
    net: u32,
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).output();
    let failed = |output: Output| String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{program} {}: {}", args.join(" "), failed(output))),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

impl Host {
    /// Makes the host. None without the rights or the programs, which is reported.
    fn make() -> Option<Self> {
        let process = std::process::id();
        let host = Self {
            name: format!("am{process}"),
            net: process % 250,
        };
        match host.connect() {
            Ok(()) => Some(host),
            Err(why) => {
                tests::skipped(&format!(
                    "SKIPPED: no network namespace can be used here ({why}): run as root, with Debian's packages iproute2 and \
                     iptables. Failures of the network to the database were NOT tested"
                ));
                None
            }
        }
    }

    fn connect(&self) -> Result<(), String> {
        run("iptables", &["--version"])?;
        let name = &*self.name;
        run("ip", &["netns", "add", name])?;
        run("ip", &["-n", name, "link", "set", "lo", "up"])?;
        for n in 0..REPLICAS {
            let (here, there) = (format!("{name}s{n}"), self.cable(n));
            let cable = [
                "link", "add", &here, "type", "veth", "peer", "name", &there, "netns", name,
            ];
            run("ip", &cable)?;
            let (ours, its) = (self.address(n, 2), self.address(n, 1));
            run("ip", &["addr", "add", &format!("{ours}/30"), "dev", &here])?;
            run("ip", &["link", "set", &here, "up"])?;
            run(
                "ip",
                &[
                    "-n",
                    name,
                    "addr",
                    "add",
                    &format!("{its}/30"),
                    "dev",
                    &there,
                ],
            )?;
            run("ip", &["-n", name, "link", "set", &there, "up"])?;
        }
        Ok(())
    }

    /// Returns the name of its end of a cable.
    fn cable(&self, n: usize) -> String {
        format!("{}d{n}", self.name)
    }

    /// Returns an address of a cable, in a range that is for tests of networks (RFC 2544).
    fn address(&self, n: usize, end: usize) -> String {
        format!("198.18.{}.{}", self.net, 4 * n + end)
    }

    fn within(&self, args: &[&str]) -> Result<(), String> {
        run("ip", &[&["netns", "exec", &self.name], args].concat())
    }

    fn drop_packets(&self, chain: &str, n: usize, more: &[&str]) {
        let interface = if chain == "INPUT" { "-i" } else { "-o" };
        let cable = self.cable(n);
        let rule = ["iptables", "-A", chain, interface, &cable];
        let added = self.within(&[&rule[..], more, &["-j", "DROP"]].concat());
        added.expect("a rule");
    }

    /// Has a cable fail.
    fn fail(&self, n: usize, fault: Fault) {
        let some = [
            "-m",
            "statistic",
            "--mode",
            "random",
            "--probability",
            "0.1",
        ];
        match fault {
            Fault::Cut => {
                self.drop_packets("INPUT", n, &[]);
                self.drop_packets("OUTPUT", n, &[]);
            }
            Fault::LosesRequests => self.drop_packets("INPUT", n, &[]),
            Fault::LosesAnswers => self.drop_packets("OUTPUT", n, &[]),
            Fault::Lossy => {
                self.drop_packets("INPUT", n, &some);
                self.drop_packets("OUTPUT", n, &some);
            }
            Fault::Slow => {
                let cable = self.cable(n);
                let slow = ["tbf", "rate", "256kbit", "burst", "16kb", "latency", "1s"];
                let add = ["tc", "qdisc", "add", "dev", &cable, "root"];
                self.within(&[&add[..], &slow].concat()).expect("a rate");
            }
        }
    }

    /// Has all cables work again.
    fn mend(&self) {
        self.within(&["iptables", "-F"]).expect("no rules");
        for n in 0..REPLICAS {
            // It may have none.
            let _ = self.within(&["tc", "qdisc", "del", "dev", &self.cable(n), "root"]);
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = run("ip", &["netns", "del", &self.name]);
    }
}

/// What happens: the long form has each fault at each server.
fn script(dice: &mut Dice) -> Vec<(Fault, bool)> {
    let one_way = [Fault::LosesRequests, Fault::LosesAnswers];
    if std::env::var_os("ALERT_MANAGER_TEST_LONG").is_none() {
        let one_way = one_way[dice.roll(0, 2)];
        return vec![
            (Fault::Cut, true),
            (Fault::Lossy, true),
            (one_way, true),
            (Fault::Slow, true),
        ];
    }
    let all = [Fault::Cut, Fault::Lossy, Fault::Slow];
    let all = all.into_iter().chain(one_way);
    let all = all.flat_map(|fault| [(fault, true), (fault, false)]);
    std::iter::repeat_n(all.collect::<Vec<_>>(), 10)
        .flatten()
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_network_that_is_cut_lossy_slow_or_one_way_loses_and_doubles_nothing_unexplained() {
    let Some(host) = Host::make() else {
        return;
    };
    let started = tokio::task::block_in_place(|| Postgres::start_within(Some(&host.name)));
    let Some(database) = started else {
        return;
    };
    let seed = dice::seed();
    println!("seed {seed}");
    let mut dice = Dice::from_seed(seed);
    let port = database.port();
    let mut fleet = Fleet::over(database, REPLICAS).await;
    for n in 0..REPLICAS {
        fleet.reach_at(n, &host.address(n, 1), port);
    }
    fleet.start_all();
    let mut senders = Senders::start(&fleet.targets());
    let script = script(&mut dice);
    for (fault, is_holder) in &script {
        let holder = fleet.holder().await;
        let at = match is_holder {
            true => holder,
            false => fleet.other_than(holder),
        };
        senders.more(20);
        let acknowledged = senders.count();
        senders.wait_for(acknowledged + dice.roll(3, 10)).await;
        host.fail(at, *fault);
        let is_cut = !matches!(fault, Fault::Lossy | Fault::Slow);
        if is_cut && *is_holder {
            fleet.wait_for_successor(holder).await;
        } else {
            senders.more(20);
            senders.wait_for(senders.count() + 20).await;
        }
        host.mend();
        senders.wait_for_all().await;
        fleet.wait_until_settled().await;
    }
    let history = fleet.history(senders.finish().await).await;
    println!(
        "replicas: {} failures of the network; acknowledged {}, doubled {}, ambiguous {}",
        script.len(),
        history.acknowledged.len(),
        history.doubled().len(),
        history.ambiguous().len()
    );
    assert_eq!(history.complaints(), []);
    drop(fleet);
}
