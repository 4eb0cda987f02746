//! The connection to the database is closed, reset or stalled in the middle of a COMMIT: what was committed is known, and nothing is
//! stored twice.

use tests::link::{Cut, Link};

use super::fleet::Fleet;
use super::senders::Senders;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_commit_that_is_cut_is_looked_up_and_its_alerts_are_stored_once() {
    let Some(mut fleet) = Fleet::new(2).await else {
        return;
    };
    // One link for each server: that of the one with the term, and that of the other one.
    let links = [
        Link::to(fleet.database.port()).await,
        Link::to(fleet.database.port()).await,
    ];
    for (n, link) in links.iter().enumerate() {
        fleet.reach_at(n, "127.0.0.1", link.port());
    }
    fleet.start_all();
    let mut senders = Senders::start(&fleet.targets());
    for (n, cut) in [Cut::Before, Cut::After, Cut::Reset, Cut::Stall]
        .into_iter()
        .enumerate()
    {
        for link in &links {
            // Of the holder, some commits accept, some record and some settle.
            link.cut(cut, 3 * n);
        }
        for link in &links {
            while link.met() == n {
                let acknowledged = senders.count();
                senders.more(2);
                tokio::select! {
                    () = senders.wait_for(acknowledged + 4) => {}
                    () = link.wait_for(n + 1) => {}
                }
            }
        }
        links.iter().for_each(Link::mend);
        senders.wait_for_all().await;
        fleet.wait_until_settled().await;
    }
    let history = fleet.history(senders.finish().await).await;
    let (acknowledged, ambiguous) = (history.acknowledged.len(), history.ambiguous().len());
    println!("replicas: 8 commits cut; acknowledged {acknowledged}, ambiguous {ambiguous}");
    assert_eq!(history.complaints(), []);
}
