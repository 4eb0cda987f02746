//! A fake HTTP proxy that supports only CONNECT: it connects each target to the address that the test set, and records the
//! requests.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::watched::Watched;

/// What it takes of a request's head.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// The running proxy. Dropping it closes the port.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    asked: Watched<Vec<Connect>>,
    accepting: JoinHandle<()>,
}

/// One request for a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// As in `CONNECT TARGET HTTP/1.1`.
    pub target: String,
    /// The header `Proxy-Authorization`.
    pub authorization: Option<String>,
}

impl Proxy {
    /// Starts on a free port. `targets` maps each target to the address that it is connected to. Any other target gets a 502,
    /// and a request without `authorization`, if that is set, a 407.
    ///
    /// # Panics
    /// If loopback has no free port.
    pub async fn start(targets: &[(&str, &str)], authorization: Option<&str>) -> Self {
        let address = |url: &str| {
            let authority = url.trim_start_matches("http://").split('/').next();
            authority
                .unwrap_or_default()
                .parse::<SocketAddr>()
                .expect("an address")
        };
        let targets: HashMap<String, SocketAddr> = targets
            .iter()
            .map(|(target, url)| ((*target).to_owned(), address(url)))
            .collect();
        let targets = Arc::new(targets);
        let authorization = authorization.map(str::to_owned);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let asked = Watched::new(Vec::new());
        let seen = asked.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (targets, seen) = (Arc::clone(&targets), seen.clone());
                tokio::spawn(serve(stream, targets, authorization.clone(), seen));
            }
        });
        Self {
            addr,
            asked,
            accepting,
        }
    }

    /// Returns `127.0.0.1:PORT`.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns what it was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Connect> {
        self.asked.read(Clone::clone)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    targets: Arc<HashMap<String, SocketAddr>>,
    authorization: Option<String>,
    seen: Watched<Vec<Connect>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_BYTES_MAX {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.lines();
    let target = lines
        .next()
        .and_then(|line| line.strip_prefix("CONNECT "))
        .and_then(|line| line.strip_suffix(" HTTP/1.1"));
    let Some(target) = target else {
        let _ = stream
            .write_all(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
            .await;
        return;
    };
    let given = lines.find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("proxy-authorization")
            .then(|| value.to_owned())
    });
    let is_allowed = authorization.is_none() || given == authorization;
    seen.change(|asked| {
        asked.push(Connect {
            target: target.to_owned(),
            authorization: given,
        });
    });
    let origin = match targets.get(target) {
        _ if !is_allowed => Err("407 Proxy Authentication Required"),
        None => Err("502 Bad Gateway"),
        Some(origin) => TcpStream::connect(origin)
            .await
            .map_err(|_| "502 Bad Gateway"),
    };
    match origin {
        Ok(mut origin) => {
            let _ = stream
                .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .await;
            let _ = copy_bidirectional(&mut stream, &mut origin).await;
        }
        Err(status) => {
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    }
}
