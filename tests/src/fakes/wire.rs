//! A peer on bare TCP that means harm: bodies without an end, bombs, drips, heads that no server sends.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What is sent again and again.
static BLOCK: [u8; 64 << 10] = [b'x'; 64 << 10];
/// Between two bytes of a drip.
const DRIP: Duration = Duration::from_millis(100);
/// What one request's head may take.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// The running peer. What it does is chosen by the path.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Wire {
    /// Starts on a free port.
    ///
    /// # Panics
    /// If loopback has no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let shared = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let asked = Arc::clone(&shared);
                // The error of a client that hung up has no receiver.
                tokio::spawn(async move { serve(stream, &asked).await.ok() });
            }
        });
        Self {
            address,
            asked,
            task,
        }
    }

    /// Returns `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the heads of the requests that came, as they came.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, asked: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|w| w == b"\r\n\r\n") && head.len() < HEAD_BYTES_MAX {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    asked.lock().push(head.clone());
    if path == "/mirror" {
        let length = head.len();
        let whole = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{head}");
        return stream.write_all(whole.as_bytes()).await;
    }
    answer(&mut stream, path.trim_start_matches('/')).await
}

async fn answer(stream: &mut TcpStream, path: &str) -> std::io::Result<()> {
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\n";
    match path {
        // Truly sent, as far as the other end takes it.
        "gigabyte" => {
            stream.write_all(OK).await?;
            stream
                .write_all(b"content-length: 1073741824\r\n\r\n")
                .await?;
            for _ in 0..(1 << 30) / BLOCK.len() {
                stream.write_all(&BLOCK).await?;
            }
            Ok(())
        }
        "endless" => {
            stream.write_all(OK).await?;
            stream
                .write_all(b"transfer-encoding: chunked\r\n\r\n")
                .await?;
            loop {
                stream.write_all(b"10000\r\n").await?;
                stream.write_all(&BLOCK).await?;
                stream.write_all(b"\r\n").await?;
            }
        }
        "drip" => {
            stream.write_all(OK).await?;
            drip(stream, b"content-length: 1000000\r\n\r\n", b"x").await
        }
        "drip-head" => drip(stream, b"HTTP/1.1 200 OK\r\nx: ", b"x").await,
        "bomb" => {
            static BOMB: LazyLock<Vec<u8>> = LazyLock::new(gzip_bomb);
            let length = BOMB.len();
            stream.write_all(OK).await?;
            let head = format!("content-encoding: gzip\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&BOMB).await
        }
        "silence" => hold(stream).await,
        "headers" => {
            stream.write_all(OK).await?;
            let lines = b"x-again: and again\r\n".repeat(1_000);
            loop {
                stream.write_all(&lines).await?;
            }
        }
        "big-header" => {
            stream.write_all(OK).await?;
            stream.write_all(b"x-big: ").await?;
            loop {
                stream.write_all(&BLOCK).await?;
            }
        }
        "continue" => loop {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        },
        "short" => {
            stream.write_all(OK).await?;
            stream
                .write_all(b"content-length: 1000\r\n\r\nonly this")
                .await
        }
        "garbage" => {
            stream
                .write_all(b"\x16\x03\x01 SSH-2.0 !!\r\n\r\n\0\0")
                .await
        }
        "close" => Ok(()),
        "huge-chunk" => {
            stream.write_all(OK).await?;
            let chunk = b"transfer-encoding: chunked\r\n\r\nffffffffffffffff1\r\n";
            stream.write_all(chunk).await?;
            hold(stream).await
        }
        "lengths" => {
            stream.write_all(OK).await?;
            let both = b"content-length: 5\r\ncontent-length: 50000\r\n\r\nhello";
            stream.write_all(both).await
        }
        "upgrade" => {
            let switch =
                b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n";
            stream.write_all(switch).await?;
            hold(stream).await
        }
        _ => match path.strip_prefix("redirect/") {
            Some(to) => {
                let head =
                    format!("HTTP/1.1 307 Go\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(head.as_bytes()).await
            }
            None => {
                stream.write_all(OK).await?;
                stream.write_all(b"content-length: 2\r\n\r\nok").await
            }
        },
    }
}

/// Sends `head`, then `again` for ever, a little at a time.
async fn drip(stream: &mut TcpStream, head: &[u8], again: &[u8]) -> std::io::Result<()> {
    stream.write_all(head).await?;
    loop {
        stream.write_all(again).await?;
        tokio::time::sleep(DRIP).await;
    }
}

/// Says nothing until the other end hangs up.
async fn hold(stream: &mut TcpStream) -> std::io::Result<()> {
    while stream.read(&mut [0; 1_024]).await? > 0 {}
    Ok(())
}

/// Returns 256 KiB of gzip that unpack to 41 MB: one zero, and "the last byte 258 times more" over and over, in
/// Deflate's fixed code (RFC 1951, 3.2.6). Its check at the end is wrong, which is found only after unpacking.
fn gzip_bomb() -> Vec<u8> {
    const AGAIN: &str = "1100010100000";
    let mut bits = String::from("110"); // the last block, in the fixed code
    bits.push_str("00110000"); // a zero
    bits.push_str(&AGAIN.repeat((2 << 20) / AGAIN.len()));
    bits.push_str("0000000"); // the end
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    bytes.extend(bits.as_bytes().chunks(8).map(|byte| {
        byte.iter()
            .rev()
            .fold(0, |whole, bit| whole << 1 | (bit - b'0'))
    }));
    bytes.extend([0; 8]);
    bytes
}
