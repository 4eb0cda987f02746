//! What people who watch the page cost the queue: alerts a second and latency with nobody, one and a hundred who watch a view.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::effects::{one_rate, times};
use crate::http_sink::HttpSink;
use crate::load::Client;
use crate::page;
use crate::show::{Figures, Target, ms, quantile};

/// How many deliveries there are.
const DELIVERIES: u64 = 200_000;

/// The views that are watched: what is shown, and its path and query. The last one goes through as many deliveries as a page may.
const VIEWS: [(&str, &str); 3] = [
    ("`/`", "/"),
    ("deliveries", "/deliveries"),
    (
        "an expression that nothing matches",
        "/deliveries?match=namespace%3D~%22none.*%22",
    ),
];

/// How many people watch.
const WATCHING: [usize; 3] = [0, 1, 100];

/// Each number of viewers is measured this often, in turn.
const TURNS: u32 = 3;

/// The number of the first alert whose latency is measured: above those of the rates.
const FIRST: u64 = 10_000_000;

/// What was measured while so many watched.
#[derive(Default)]
struct Measured {
    rate: f64,
    latencies: Vec<Duration>,
    /// How many views were sent.
    views: u64,
}

/// Measures the rates and the latency, with each view.
pub(crate) async fn run(load_time: Duration, figures: &mut Figures) -> anyhow::Result<()> {
    let sink = HttpSink::start().await?;
    let rig = page::filled(&sink, DELIVERIES).await?;
    let server = rig.start()?;
    let numbers = Arc::new(AtomicU64::new(0));
    let mut first = FIRST;
    for (name, path) in VIEWS {
        let mut all = WATCHING.map(|_| Measured::default());
        for _ in 0..TURNS {
            for (measured, count) in all.iter_mut().zip(WATCHING) {
                let viewers = Viewers::start(server.address, path, count).await?;
                let rate = one_rate(&server, &sink, &numbers, load_time / TURNS).await?;
                measured.rate += rate / f64::from(TURNS);
                let timed = times(&server, &sink, first, load_time / TURNS).await?;
                first += timed.len() as u64;
                measured.latencies.extend(timed);
                measured.views += viewers.stop()?;
            }
        }
        show(name, &mut all, figures);
    }
    server.stop();
    Ok(())
}

fn show(name: &str, all: &mut [Measured], figures: &mut Figures) {
    for (measured, count) in all.iter_mut().zip(WATCHING) {
        let who = format!("{count} who watch {name}");
        let rate = format!("{who}: end to end");
        figures.add(&rate, measured.rate, "/s", Target::None);
        measured.latencies.sort();
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let time = ms(quantile(&measured.latencies, share));
            let what = format!("{who}: latency at 200/s, {name}");
            figures.add(&what, time, "ms", Target::None);
        }
        #[allow(clippy::cast_precision_loss, reason = "a figure to read")]
        let views = measured.views as f64;
        figures.add(&format!("{who}: views sent"), views, "", Target::None);
    }
    for (measured, count, target) in [
        (&all[1], "one", Target::AtLeast(0.97)),
        (&all[2], "100", Target::None),
    ] {
        let what = format!("end to end with {count} who watch {name}");
        figures.add(&what, measured.rate / all[0].rate, "x", target);
    }
}

/// People who have a view open: each follows the events, and fetches the view again at a change, as the page's script does.
struct Viewers {
    tasks: JoinSet<anyhow::Result<()>>,
    views: Arc<AtomicU64>,
}

impl Viewers {
    /// Opens the page this often.
    async fn start(address: SocketAddr, path: &'static str, count: usize) -> anyhow::Result<Self> {
        let views = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let events = follow(address).await?;
            tasks.spawn(watch(address, path, events, Arc::clone(&views)));
        }
        Ok(Self { tasks, views })
    }

    /// Closes every page, and returns how many views were sent. Fails if a viewer was cut off.
    fn stop(mut self) -> anyhow::Result<u64> {
        if let Some(ended) = self.tasks.try_join_next() {
            ended??;
            anyhow::bail!("the server cut a viewer off");
        }
        Ok(self.views.load(Ordering::Relaxed))
    }
}

/// Opens the stream of events.
async fn follow(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "GET /api/v1/events HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

/// Fetches the view once for all changes that came while it was fetched.
async fn watch(
    address: SocketAddr,
    path: &str,
    mut events: TcpStream,
    views: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let mut client = Client::connect(address).await?;
    let mut buffer = Vec::with_capacity(16 * 1_024);
    while events.read_buf(&mut buffer).await? > 0 {
        let is_change = buffer.windows(13).any(|part| part == b"event: change");
        buffer.clear();
        if is_change {
            let view = client.get(path).await?;
            anyhow::ensure!(view.contains("</html>"), "no page: {view}");
            views.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}
