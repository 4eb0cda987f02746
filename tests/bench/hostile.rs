//! An honest handler's delays, quiet and under a flood of slow connections and of hostile modules at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tests::modules;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::effects::open_loop;
use crate::http_sink::HttpSink;
use crate::load::Client;
use crate::rig::{HANDLER, Rig, Server, module};
use crate::show::{Figures, Target, ms, quantile};

/// Honest alerts, in an open loop.
const HONEST_PER_SECOND: u32 = 50;
/// Hostile alerts, all modules together.
const HOSTILE_PER_SECOND: u32 = 40;
/// Connections that send a byte of their headers now and then, and never complete them.
const SLOW_CONNECTIONS: usize = 1_000;
/// The time between two bytes of such a connection, shorter than each timeout of the server that counts from the last byte.
const SLOW_PAUSE: Duration = Duration::from_secs(2);
/// How much worse than quiet the p99 may be.
const RATIO_MAX: f64 = 5.0;

/// What the hostile modules do, two of each. `burn-a-little` stays within its limits, so that no breaker pauses it.
const MODES: [&str; 8] = [
    "loop",
    "burn-a-little",
    "memory",
    "sleep",
    "log-flood",
    "call-flood",
    "kv-flood",
    "gigabyte",
];
const OF_EACH_MODE: usize = 2;

/// Measures the honest handler without and with the flood, and prints the ratio of the delays.
pub(crate) async fn run(load_time: Duration, figures: &mut Figures) -> anyhow::Result<()> {
    let sink = HttpSink::start().await?;
    let rig = Rig::new(&config(&sink.url))?;
    rig.put(&format!("{HANDLER}.wasm"), &module(0))?;
    for name in names() {
        rig.put(&format!("{name}.wasm"), &modules::named("hostile", &name))?;
    }
    let server = rig.start()?;
    let half = load_time / 2;
    let mut numbers = 0..;
    let quiet = honest(&server, &sink, half, &mut numbers).await?;

    let flood = Flood::start(server.address);
    flood.is_up().await;
    let flooded = honest(&server, &sink, half, &mut numbers).await?;
    let (open, sent) = flood.end().await;
    let ratio = ms(quantile(&flooded, 0.99)) / ms(quantile(&quiet, 0.99));
    for (when, times) in [("quiet", &quiet), ("under the flood", &flooded)] {
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let what = format!("webhook to effect at {HONEST_PER_SECOND}/s, {when}, {name}");
            figures.add(&what, ms(quantile(times, share)), "ms", Target::None);
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "counts, shown as figures")]
    for (what, count) in [("slow connections", open), ("hostile alerts", sent)] {
        figures.add(&format!("{what} meanwhile"), count as f64, "", Target::None);
    }
    figures.add("ratio of the p99", ratio, "x", Target::AtMost(RATIO_MAX));
    let memory = server.memory_mib("VmHWM")?;
    figures.add("most memory held meanwhile", memory, "MiB", Target::None);
    server.stop();
    Ok(())
}

fn names() -> impl Iterator<Item = String> {
    let each = |n: usize| MODES.iter().map(move |mode| format!("{mode}-{n}"));
    (0..OF_EACH_MODE).flat_map(each)
}

fn config(sink: &str) -> String {
    use std::fmt::Write as _;
    let mut routes =
        format!("  - {{ matchers: ['alertname=\"Bench000\"'], handlers: [{HANDLER}] }}\n");
    let mut handlers = format!("  {HANDLER}: {{ allow: {{ http: [\"{sink}\"] }} }}\n");
    for name in names() {
        let _ = writeln!(
            routes,
            "  - {{ matchers: ['alertname=\"{name}\"'], handlers: [{name}] }}"
        );
        // The defaults except for the wall time, so that calls that hang do so for the whole run.
        let _ = writeln!(
            handlers,
            "  {name}: {{ limits: {{ wall: 10s }}, retry: {{ max_attempts: 2, max_age: 10s }} }}"
        );
    }
    // The limit allows all slow connections besides the others, so that they are not simply evicted.
    format!(
        "slack: {{ preview: true }}\nweb: {{ connections_max: 2000 }}\n\
         routes:\n{routes}handlers:\n{handlers}"
    )
}

/// Sends honest alerts, each at its scheduled time, and returns the sorted times until their effects.
async fn honest(
    server: &Server,
    sink: &HttpSink,
    time: Duration,
    numbers: &mut impl Iterator<Item = u64>,
) -> anyhow::Result<Vec<Duration>> {
    sink.take();
    let count = usize::try_from(u64::from(HONEST_PER_SECOND) * time.as_secs().max(1))?;
    let sent = open_loop(server, sink, HONEST_PER_SECOND, numbers.take(count)).await?;
    let arrived = sink.wait_for_more_than(sent.len() - 1);
    let arrived = tokio::time::timeout(Duration::from_secs(60), arrived).await;
    anyhow::ensure!(
        arrived.is_ok(),
        "{} of {} effects",
        sink.count(),
        sent.len()
    );
    let mut times: Vec<_> = sink
        .take()
        .iter()
        .filter_map(|(at, path)| Some(at.saturating_duration_since(*sent.get(path)?)))
        .collect();
    anyhow::ensure!(times.len() == sent.len(), "{} effects", times.len());
    times.sort();
    Ok(times)
}

/// The hostile clients and handlers, until they are stopped.
struct Flood {
    tasks: JoinSet<()>,
    open: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
    ends: Arc<AtomicBool>,
}

impl Flood {
    fn start(server: SocketAddr) -> Self {
        let (open, sent) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let ends = Arc::<AtomicBool>::default();
        let mut tasks = JoinSet::new();
        for n in 0..SLOW_CONNECTIONS {
            let (open, ends) = (Arc::clone(&open), Arc::clone(&ends));
            tasks.spawn(async move {
                // Spread over time, as a thousand independent clients would be.
                let offset = SLOW_PAUSE * u32::try_from(n).unwrap_or(0) / 1_000;
                tokio::time::sleep(offset).await;
                while !ends.load(Ordering::Relaxed) {
                    // A connection that was closed is opened again.
                    slow(server, n, &open, &ends).await.ok();
                }
            });
        }
        let (sent_too, ends_too) = (Arc::clone(&sent), Arc::clone(&ends));
        tasks.spawn(async move { hostile(server, &sent_too, &ends_too).await });
        Self {
            tasks,
            open,
            sent,
            ends,
        }
    }

    /// Waits until every connection is open and every hostile module has had an alert.
    async fn is_up(&self) {
        let each = MODES.len() * OF_EACH_MODE;
        while self.open.load(Ordering::Relaxed) < SLOW_CONNECTIONS * 9 / 10
            || self.sent.load(Ordering::Relaxed) < each
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops it, and returns how many connections were open and how many alerts were sent.
    async fn end(mut self) -> (usize, usize) {
        let open = self.open.load(Ordering::Relaxed);
        self.ends.store(true, Ordering::Relaxed);
        self.tasks.shutdown().await;
        (open, self.sent.load(Ordering::Relaxed))
    }
}

/// One connection that never finishes: a third of them do not complete the headers, a third the body, and a third do not
/// read the answer.
async fn slow(
    server: SocketAddr,
    n: usize,
    open: &AtomicUsize,
    ends: &AtomicBool,
) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(server).await?;
    let head: &[u8] = match n % 3 {
        0 => b"POST /webhook HTTP/1.1\r\nhost: slow\r\nx-slow: ",
        1 => b"POST /webhook HTTP/1.1\r\nhost: slow\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n",
        _ => b"GET /metrics HTTP/1.1\r\nhost: slow\r\n\r\n",
    };
    stream.write_all(head).await?;
    open.fetch_add(1, Ordering::Relaxed);
    let result = async {
        while !ends.load(Ordering::Relaxed) {
            tokio::time::sleep(SLOW_PAUSE).await;
            match n % 3 {
                2 => {
                    if stream.read(&mut [0; 1]).await? == 0 {
                        break;
                    }
                }
                _ => stream.write_all(b" ").await?,
            }
        }
        Ok(())
    }
    .await;
    open.fetch_sub(1, Ordering::Relaxed);
    result
}

/// Sends alerts to the hostile modules, round robin.
async fn hostile(server: SocketAddr, sent: &AtomicUsize, ends: &AtomicBool) {
    let names: Vec<_> = names().collect();
    let mut tick = tokio::time::interval(Duration::from_secs(1) / HOSTILE_PER_SECOND);
    let mut client = None;
    for n in 0.. {
        tick.tick().await;
        if ends.load(Ordering::Relaxed) {
            return;
        }
        let name = &names[n % names.len()];
        let (mode, _) = name.rsplit_once('-').unwrap_or((name, ""));
        let labels = [("mode", mode), ("n", &n.to_string())];
        let body = tests::alerts::firing(name, &labels).to_string();
        if client.is_none() {
            client = Client::connect(server).await.ok();
        }
        let Some(connected) = &mut client else {
            continue;
        };
        match connected.post("/webhook", &body).await {
            Ok(_) => {
                sent.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => client = None,
        }
    }
}
