//! How soon a module that is dropped in serves its first alert.

use std::time::{Duration, Instant};

use crate::http_sink::HttpSink;
use crate::load::Client;
use crate::rig::{Rig, alert, alertname, module};
use crate::show::{Figures, Target, ms, quantile};

const MODULES: u32 = 20;
const PATIENCE: Duration = Duration::from_secs(10);

/// Copies modules that the cache has never seen into the folder of a running server, one after the other,
/// and waits for the effect of an alert for each.
pub(crate) async fn run(figures: &mut Figures) -> anyhow::Result<()> {
    let sink = HttpSink::start().await?;
    let mut config = "slack: { preview: true }\nhandlers:\n".to_owned();
    for number in 1..=MODULES {
        config.push_str(&format!(
            "  bench-handler-{number:03}: {{ allow: {{ http: [\"{}\"] }} }}\n",
            sink.url
        ));
    }
    let rig = Rig::new(&config)?;
    let server = rig.start()?;
    let mut client = Client::connect(server.address).await?;
    let mut times = Vec::new();
    for number in 1..=MODULES {
        let bytes = module(number);
        rig.put(&format!("bench-{number:03}.wasm"), &bytes)?;
        let copied = Instant::now();
        // What comes before the module has no route yet: so each try is another alert.
        let mut tries = 0;
        while sink.count() == times.len() {
            let url = format!("{}/{number}/{tries}", sink.url);
            let body = alert(&alertname(number), tries, Some(&url));
            client.post("/webhook", &body).await?;
            tries += 1;
            let more = sink.wait_for_more_than(times.len());
            let _ = tokio::time::timeout(Duration::from_millis(5), more).await;
            anyhow::ensure!(copied.elapsed() < PATIENCE, "module {number} never served");
        }
        times.push(copied.elapsed());
        // Later tries of this module may have had an effect too.
        server.settled().await?;
        sink.keep(times.len());
    }
    server.stop();
    times.sort();
    let most = Target::AtMost(500.0);
    figures.add(
        "copied to first alert served, median of 20",
        ms(quantile(&times, 0.5)),
        "ms",
        most,
    );
    figures.add(
        "copied to first alert served, worst of 20",
        ms(quantile(&times, 1.0)),
        "ms",
        most,
    );
    Ok(())
}
