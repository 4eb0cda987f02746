//! A server for the requests that handlers make: answers each one as Slack would and records when it arrived, at almost no
//! cost.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

const ANSWER: &str = r##"{"ok":true,"channel":"C0123456","ts":"1700000000.000100"}"##;

/// The server, on loopback.
pub(crate) struct HttpSink {
    /// Its base URL, without a trailing slash.
    pub(crate) url: String,
    received: Arc<Received>,
}

#[derive(Default)]
struct Received {
    requests: Mutex<Vec<(Instant, String)>>,
    arrived: Notify,
}

impl HttpSink {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let received = Arc::<Received>::default();
        let shared = Arc::clone(&received);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Ok(Self { url, received })
    }

    /// Returns the number of recorded requests.
    pub(crate) fn count(&self) -> usize {
        self.received.requests.lock().len()
    }

    /// Waits until more than `count` requests are recorded.
    pub(crate) async fn wait_for_more_than(&self, count: usize) {
        loop {
            let arrived = self.received.arrived.notified();
            if self.count() > count {
                return;
            }
            arrived.await;
        }
    }

    /// Drops all records but the first `count`.
    pub(crate) fn keep(&self, count: usize) {
        self.received.requests.lock().truncate(count);
    }

    /// Returns the arrival time and the path of each request, and drops the records.
    pub(crate) fn take(&self) -> Vec<(Instant, String)> {
        std::mem::take(&mut *self.received.requests.lock())
    }
}

async fn serve(mut stream: TcpStream, received: Arc<Received>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{ANSWER}",
        ANSWER.len()
    );
    let mut buffer = Vec::with_capacity(8192);
    loop {
        let (path, length) = loop {
            if let Some((path, length)) = request(&buffer)
                && buffer.len() >= length
            {
                break (path, length);
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        buffer.drain(..length);
        received.requests.lock().push((Instant::now(), path));
        received.arrived.notify_waiters();
        stream.write_all(answer.as_bytes()).await?;
    }
}

/// Returns the path and the length of a request with its body, once its head is complete.
fn request(bytes: &[u8]) -> Option<(String, usize)> {
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let path = text.split(' ').nth(1)?.to_owned();
    let length = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok())
        .unwrap_or(0);
    Some((path, head + length))
}
