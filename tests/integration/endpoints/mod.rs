//! The server's endpoints and connections: access, timeouts and refusals.

mod access;
mod connections;
mod heartbeats;
mod tls;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use tests::server::{PATIENCE, Server, Setup};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PREVIEW: &str = "slack: { preview: true }";

async fn server(config: &str) -> Server {
    Setup::new().config(PREVIEW).config(config).start().await
}

/// A raw TCP client that can be slow and break the protocol.
struct Peer(TcpStream);

impl Peer {
    async fn connect(server: &Server) -> Self {
        let address = server.url.trim_start_matches("http://");
        Self(TcpStream::connect(address).await.unwrap())
    }

    async fn asking(server: &Server, request: &str) -> Self {
        let mut peer = Self::connect(server).await;
        peer.send(request).await;
        peer
    }

    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until what came contains `part`.
    async fn hears(&mut self, part: &str) -> String {
        let mut heard = String::new();
        tokio::time::timeout(PATIENCE, async {
            while !heard.contains(part) {
                let mut bytes = [0; 4096];
                let n = self.0.read(&mut bytes).await.unwrap();
                assert_ne!(n, 0, "closed before {part:?}: {heard}");
                heard.push_str(&String::from_utf8_lossy(&bytes[..n]));
            }
        })
        .await
        .expect("it is said in time");
        heard
    }

    /// Reads until the server closes the connection.
    async fn heard_until_closed(mut self) -> String {
        let mut heard = Vec::new();
        tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut heard))
            .await
            .expect("it is closed in time")
            .ok();
        String::from_utf8_lossy(&heard).into_owned()
    }
}

/// Returns the signature of a text as Grafana sends it.
fn signed(secret: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    let bytes = mac.finalize().into_bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
