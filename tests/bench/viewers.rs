//! What people who watch the page cost the queue: alerts a second and latency with nobody, one and a hundred who watch.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::effects::{one_rate, rig, times};
use crate::http_sink::HttpSink;
use crate::load::Client;
use crate::show::{Figures, Target, ms, quantile};

/// How many people watch.
const WATCHING: [usize; 3] = [0, 1, 100];

/// Each number of viewers is measured this often, in turn.
const TURNS: u32 = 3;

/// Measures the rates and the latency.
pub(crate) async fn run(load_time: Duration, figures: &mut Figures) -> anyhow::Result<()> {
    let sink = HttpSink::start().await?;
    let rig = rig(&sink, 64)?;
    let server = rig.start()?;
    let numbers = Arc::new(AtomicU64::new(0));
    let mut rates = [0.0; WATCHING.len()];
    let (mut latencies, mut views) = (vec![Vec::new(); WATCHING.len()], [0; WATCHING.len()]);
    for turn in 0..TURNS {
        for (at, &count) in WATCHING.iter().enumerate() {
            let viewers = Viewers::start(server.address, count).await?;
            let rate = one_rate(&server, &sink, &numbers, load_time / TURNS).await?;
            rates[at] += rate / f64::from(TURNS);
            let first = 10_000_000 * (1 + u64::from(turn) * WATCHING.len() as u64 + at as u64);
            let timed = times(&server, &sink, first, load_time / TURNS).await?;
            latencies[at].extend(timed);
            views[at] += viewers.stop()?;
        }
    }
    server.stop();
    for (at, &count) in WATCHING.iter().enumerate() {
        let who = format!("{count} who watch `/`");
        figures.add(&format!("{who}: end to end"), rates[at], "/s", Target::None);
        let times = &mut latencies[at];
        times.sort();
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let time = ms(quantile(times, share));
            figures.add(
                &format!("{who}: latency at 200/s, {name}"),
                time,
                "ms",
                Target::None,
            );
        }
        #[allow(clippy::cast_precision_loss, reason = "a figure to read")]
        let views = views[at] as f64;
        figures.add(&format!("{who}: views sent"), views, "", Target::None);
    }
    figures.add(
        "end to end with one who watches",
        rates[1] / rates[0],
        "x",
        Target::AtLeast(0.97),
    );
    figures.add(
        "end to end with 100 who watch",
        rates[2] / rates[0],
        "x",
        Target::None,
    );
    Ok(())
}

/// People who have `/` open: each follows the events, and fetches the view again at a change, as the page's script does.
struct Viewers {
    tasks: JoinSet<anyhow::Result<()>>,
    views: Arc<AtomicU64>,
}

impl Viewers {
    /// Opens the page this often.
    async fn start(address: SocketAddr, count: usize) -> anyhow::Result<Self> {
        let views = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let events = follow(address).await?;
            tasks.spawn(watch(address, events, Arc::clone(&views)));
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
    mut events: TcpStream,
    views: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let mut client = Client::connect(address).await?;
    let mut buffer = Vec::with_capacity(16 * 1_024);
    while events.read_buf(&mut buffer).await? > 0 {
        let is_change = buffer.windows(13).any(|part| part == b"event: change");
        buffer.clear();
        if is_change {
            let view = client.get("/").await?;
            anyhow::ensure!(view.contains("</html>"), "no page: {view}");
            views.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}
