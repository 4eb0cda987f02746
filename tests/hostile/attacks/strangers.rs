//! Unauthenticated clients that send slow bodies: honest senders still get through.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hmac::{Hmac, Mac as _};
use reqwest::RequestBuilder;
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::target::{Bounds, Target};
use super::{Attack, sized};

pub(super) const ATTACKS: &[Attack] = attacks![
    slow_bodies_without_a_proof_do_not_shut_the_endpoint_that_asks_for_a_signature,
    slow_bodies_do_not_shut_the_open_endpoint_on_loopback,
];

const MIB: u64 = 1 << 20;

/// Connections that the server takes, and those that strangers keep busy: more than it keeps for its own machine besides.
const CONNECTIONS_MAX: usize = 64;
const STRANGERS: usize = 2 * CONNECTIONS_MAX;

/// The bytes of its body that each sends at first, and the length that it declares.
const SENT_BYTES: usize = 2 << 20;
const BODY_BYTES: usize = 8 << 20;

/// After them, one byte at a time.
const PAUSE: Duration = Duration::from_millis(500);

/// The honest sender's secret, which the strangers do not know.
const SECRET: &str = "only the honest sender knows this";

fn lasts() -> Duration {
    sized(Duration::from_secs(5), Duration::from_secs(60))
}

fn signed(request: RequestBuilder, body: &str) -> RequestBuilder {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let signature = mac.finalize().into_bytes();
    let signature: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
    request.header("X-Grafana-Alerting-Signature", signature)
}

/// One connection after the other, each with a body that does not end.
async fn stranger(server: SocketAddr, open: Arc<AtomicUsize>, ends: Arc<AtomicBool>) {
    while !ends.load(Ordering::Relaxed) {
        let _ = body_without_an_end(server, &open, &ends).await;
        // A refused connection is not opened again at once, since a flood of connections is not what is tested here.
        tokio::time::sleep(PAUSE / 5).await;
    }
}

async fn body_without_an_end(
    server: SocketAddr,
    open: &AtomicUsize,
    ends: &AtomicBool,
) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(server).await?;
    let signature = "0".repeat(64);
    let head = format!(
        "POST /webhook HTTP/1.1\r\nhost: {server}\r\ncontent-type: application/json\r\n\
         x-grafana-alerting-signature: {signature}\r\ncontent-length: {BODY_BYTES}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&vec![b' '; SENT_BYTES]).await?;
    open.fetch_add(1, Ordering::Relaxed);
    let (mut answer, mut body) = stream.split();
    let trickle = async {
        while !ends.load(Ordering::Relaxed) {
            tokio::time::sleep(PAUSE).await;
            body.write_all(b" ").await?;
        }
        Ok(())
    };
    let mut head = [0; 1];
    let result = tokio::select! {
        result = trickle => result,
        // An answer, or the end: either way it is over.
        read = answer.read(&mut head) => read.map(|_| ()),
    };
    open.fetch_sub(1, Ordering::Relaxed);
    result
}

async fn attack(name: &str, target: Target, resident_bytes_max: u64) {
    let server: SocketAddr = target
        .process
        .url
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    let open = Arc::<AtomicUsize>::default();
    let ends = Arc::<AtomicBool>::default();
    let mut strangers = JoinSet::new();
    for _ in 0..STRANGERS {
        strangers.spawn(stranger(server, Arc::clone(&open), Arc::clone(&ends)));
    }
    // The duration of the attack, in which the honest sender's delays are measured.
    let ((), honest) = target.under(tokio::time::sleep(lasts())).await;
    ends.store(true, Ordering::Relaxed);
    strangers.shutdown().await;
    let bounds = Bounds {
        resident_bytes_max,
        // The honest sender's alerts, and the log at its bound.
        store_bytes_max: 80 * MIB,
    };
    target.judge(name, honest, bounds);
}

async fn slow_bodies_without_a_proof_do_not_shut_the_endpoint_that_asks_for_a_signature() {
    let config = format!(
        "web: {{ connections_max: {CONNECTIONS_MAX} }}\nwebhook: {{ hmac: {{ secret: \"{SECRET}\" }} }}"
    );
    let target = Target::start_signed(&config, "", signed).await;
    // Unauthenticated bodies have a quarter of the budget of all (`web.bodies_bytes_max`), and their buffers take as much again
    // or more, depending on the load of the machine: 192 to 249 MiB in seven runs. Without that bound it is twice the budget
    // of all bodies.
    attack("slow bodies, signature missing", target, 320 * MIB).await;
}

async fn slow_bodies_do_not_shut_the_open_endpoint_on_loopback() {
    let config = format!("web: {{ connections_max: {CONNECTIONS_MAX} }}");
    let target = Target::start(&config, "").await;
    // No authentication is required, so bodies can take the whole budget of 256 MiB; and a buffer that grows allocates up to
    // twice its content.
    attack("slow bodies, open loopback", target, 576 * MIB).await;
}
