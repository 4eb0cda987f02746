//! A load generator that uses as little CPU time as it can, since it shares the machine with the servers that are measured.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Where requests go, and what is in them.
#[derive(Clone)]
pub(crate) struct Target {
    /// Of the server.
    pub(crate) address: SocketAddr,
    /// `/webhook`.
    pub(crate) path: &'static str,
    /// The body of the nth request.
    pub(crate) body: Arc<dyn Fn(u64) -> String + Send + Sync>,
}

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// After this long.
    Elapsed(Duration),
    /// After this many requests in all.
    Requests(u64),
}

/// The result of a run.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Answered 2xx.
    pub(crate) accepted: u64,
    /// Answered otherwise.
    pub(crate) refused: u64,
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
}

impl Outcome {
    /// Accepted requests a second.
    #[allow(clippy::cast_precision_loss, reason = "a rate, shown without decimals")]
    pub(crate) fn per_second(&self) -> f64 {
        self.accepted as f64 / self.elapsed.as_secs_f64()
    }
}

/// Keeps `connections` busy, each with one request at a time.
pub(crate) async fn run(
    target: &Target,
    connections: usize,
    until: Until,
) -> anyhow::Result<Outcome> {
    let next = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            tokio::spawn(connection(
                target.clone(),
                Arc::clone(&next),
                started,
                until,
            ))
        })
        .collect();
    let (mut accepted, mut refused) = (0, 0);
    for task in tasks {
        let (a, r) = task.await??;
        accepted += a;
        refused += r;
    }
    Ok(Outcome {
        accepted,
        refused,
        elapsed: started.elapsed(),
    })
}

async fn connection(
    target: Target,
    next: Arc<AtomicU64>,
    started: Instant,
    until: Until,
) -> anyhow::Result<(u64, u64)> {
    let mut client = Client::connect(target.address).await?;
    let (mut accepted, mut refused) = (0, 0);
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        let stop = match until {
            Until::Elapsed(time) => started.elapsed() >= time,
            Until::Requests(count) => n >= count,
        };
        if stop {
            return Ok((accepted, refused));
        }
        let status = client.post(target.path, &(target.body)(n)).await?;
        if (200..300).contains(&status) {
            accepted += 1;
        } else {
            refused += 1;
        }
    }
}

/// One connection that is kept alive.
pub(crate) struct Client {
    address: SocketAddr,
    /// The server said that it closes the connection: gunicorn does, after each answer.
    is_closed: bool,
    stream: TcpStream,
    buffer: Vec<u8>,
    request: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self {
            address,
            is_closed: false,
            stream: open(address).await?,
            buffer: Vec::with_capacity(4096),
            request: Vec::with_capacity(4096),
        })
    }

    /// Asks for a text.
    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<String> {
        self.request.clear();
        self.request.extend_from_slice(
            format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.address).as_bytes(),
        );
        self.exchange().await?;
        Ok(String::from_utf8_lossy(&self.buffer).into_owned())
    }

    /// Posts a body and returns the answer's status.
    pub(crate) async fn post(&mut self, path: &str, body: &str) -> anyhow::Result<u16> {
        self.request.clear();
        self.request.extend_from_slice(
            format!(
                "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                self.address,
                body.len()
            )
            .as_bytes(),
        );
        self.request.extend_from_slice(body.as_bytes());
        self.exchange().await
    }

    /// Sends the request and reads the whole answer; returns its status.
    async fn exchange(&mut self) -> anyhow::Result<u16> {
        if self.is_closed {
            self.stream = open(self.address).await?;
        }
        self.stream.write_all(&self.request).await?;
        self.buffer.clear();
        loop {
            if let Some(answer) = Answer::read(&self.buffer)
                && self.buffer.len() >= answer.length
            {
                self.is_closed = answer.closes;
                return Ok(answer.status);
            }
            anyhow::ensure!(
                self.stream.read_buf(&mut self.buffer).await? > 0,
                "the server closed the connection"
            );
        }
    }
}

async fn open(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The head of an answer.
struct Answer {
    status: u16,
    /// Of head and body, in bytes.
    length: usize,
    closes: bool,
}

impl Answer {
    /// Reads it once the whole head is there.
    fn read(bytes: &[u8]) -> Option<Self> {
        let head = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
        let text = std::str::from_utf8(&bytes[..head]).ok()?;
        let status = text.get(9..12)?.parse().ok()?;
        let header = |wanted: &str| {
            text.lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
                .map(|(_, value)| value.trim())
        };
        let body = header("content-length").and_then(|length| length.parse::<usize>().ok());
        Some(Self {
            status,
            length: head + body.unwrap_or(0),
            closes: header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
        })
    }
}
