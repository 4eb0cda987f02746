//! A TCP proxy between a server and its `PostgreSQL`, which breaks a connection at a COMMIT.
//!
//! It reads what the client sends as the messages of `PostgreSQL`'s protocol, without TLS, to find the COMMIT.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::fakes::watched::Watched;

/// What happens at a COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It does not arrive, and the connection is closed.
    Before,
    /// It arrives, its answer does not, and the connection is closed.
    After,
    /// It arrives, its answer does not, and the connection is reset.
    Reset,
    /// It arrives. Its answer waits for [`Link::mend`].
    Stall,
}

/// The cut of a coming COMMIT.
#[derive(Debug)]
struct Armed {
    cut: Cut,
    /// How many are passed on before.
    after: usize,
}

#[derive(Debug)]
struct State {
    armed: Mutex<Option<Armed>>,
    met: Watched<usize>,
    mended: watch::Sender<u64>,
}

/// The proxy. Dropped, it accepts no more connections.
#[derive(Debug)]
pub struct Link {
    addr: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

impl Link {
    /// Listens on a free port of loopback, for the `PostgreSQL` at this one.
    ///
    /// # Panics
    /// If loopback has no free port.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            armed: Mutex::new(None),
            met: Watched::new(0),
            mended: watch::Sender::new(0),
        });
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await {
                    pass(client, server, &shared);
                }
            }
        });
        Self {
            addr,
            state,
            accepting,
        }
    }

    /// Returns the port at which it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// Cuts one COMMIT, after `after` others have been passed on.
    pub fn cut(&self, cut: Cut, after: usize) {
        *self.state.armed.lock() = Some(Armed { cut, after });
    }

    /// Returns how many were cut so far.
    #[must_use]
    pub fn met(&self) -> usize {
        self.state.met.read(|met| *met)
    }

    /// Waits until so many were cut.
    pub async fn wait_for(&self, cuts: usize) {
        self.state
            .met
            .wait(
                "a COMMIT that is cut",
                |met| (*met >= cuts).then_some(()),
                |met| format!("{met} were cut"),
            )
            .await;
    }

    /// Gives the answers that wait.
    pub fn mend(&self) {
        self.state.mended.send_modify(|times| *times += 1);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl State {
    /// Returns what happens at this COMMIT.
    fn at_commit(&self) -> Option<Cut> {
        let mut armed = self.armed.lock();
        let next = armed.as_mut()?;
        if next.after > 0 {
            next.after -= 1;
            return None;
        }
        let cut = armed.take().map(|armed| armed.cut);
        drop(armed);
        self.met.change(|met| *met += 1);
        cut
    }
}

fn pass(client: TcpStream, server: TcpStream, state: &Arc<State>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (send, cut) = watch::channel(None);
    let shared = Arc::clone(state);
    let stalled = Arc::clone(state);
    tokio::spawn(async move {
        let mut messages = Messages::new(from_client);
        // An error is the end of a connection.
        let _ = requests(&mut messages, to_server, &shared, &send).await;
        // The answers end by themselves, or by this.
        drop(send);
    });
    tokio::spawn(answers(from_server, to_client, stalled, cut));
}

/// Passes on what the client sends.
async fn requests(
    messages: &mut Messages,
    mut server: OwnedWriteHalf,
    state: &State,
    cut: &watch::Sender<Option<Cut>>,
) -> std::io::Result<()> {
    loop {
        let (message, is_commit) = messages.next().await?;
        match is_commit.then(|| state.at_commit()).flatten() {
            Some(Cut::Before) => {
                cut.send_replace(Some(Cut::Before));
                return Ok(());
            }
            Some(Cut::Reset) => {
                cut.send_replace(Some(Cut::Reset));
                return server.write_all(&message).await;
            }
            // Before it arrives, so that its answer is not passed on.
            Some(other) => drop(cut.send_replace(Some(other))),
            None => {}
        }
        server.write_all(&message).await?;
    }
}

/// Passes on what the server sends, until a COMMIT is cut.
async fn answers(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    state: Arc<State>,
    mut cut: watch::Receiver<Option<Cut>>,
) {
    let mut mended = state.mended.subscribe();
    let (mut has_client, mut is_mended) = (true, false);
    let mut bytes = vec![0; 65_536];
    loop {
        let count = tokio::select! {
            biased;
            changed = cut.changed(), if has_client => {
                has_client = changed.is_ok();
                let now = *cut.borrow();
                match now {
                    Some(Cut::Before) => return,
                    Some(Cut::Reset) => return reset(client),
                    None if !has_client => return,
                    _ => continue,
                }
            }
            read = server.read(&mut bytes) => match read {
                Ok(count @ 1..) => count,
                _ => return,
            },
        };
        let now = *cut.borrow();
        match now {
            Some(Cut::Stall) if !is_mended => {
                is_mended = true;
                // An error means that the test has ended.
                let _ = mended.changed().await;
            }
            Some(Cut::After) => return,
            _ => {}
        }
        if client.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

/// Has the connection reset when its other half is dropped.
fn reset(client: OwnedWriteHalf) {
    // Otherwise the client would see the end of the stream.
    let set = client.as_ref().set_zero_linger();
    set.expect("the option is known");
    client.forget();
}

/// The messages of a client.
struct Messages {
    stream: OwnedReadHalf,
    has_begun: bool,
    /// The names of prepared statements that are a COMMIT.
    commits: HashSet<Vec<u8>>,
}

impl Messages {
    fn new(stream: OwnedReadHalf) -> Self {
        Self {
            stream,
            has_begun: false,
            commits: HashSet::new(),
        }
    }

    /// Returns the next message, and whether it runs a COMMIT.
    async fn next(&mut self) -> std::io::Result<(Vec<u8>, bool)> {
        // Only the first message has no type.
        let head = if self.has_begun { 5 } else { 4 };
        self.has_begun = true;
        let mut message = vec![0; head];
        self.stream.read_exact(&mut message).await?;
        let length = message
            .last_chunk::<4>()
            .map(|bytes| u32::from_be_bytes(*bytes));
        let length = usize::try_from(length.unwrap_or_default()).unwrap_or_default();
        message.resize(head + length.saturating_sub(4), 0);
        self.stream.read_exact(&mut message[head..]).await?;
        let is_commit = head == 5 && self.is_commit(&message);
        Ok((message, is_commit))
    }

    fn is_commit(&mut self, message: &[u8]) -> bool {
        let mut texts = message[5..].split(|byte| *byte == 0);
        let (first, second) = (texts.next(), texts.next());
        let (Some(first), Some(second)) = (first, second) else {
            return false;
        };
        match message[0] {
            b'Q' => first == b"COMMIT",
            // Its name, then its text.
            b'P' => {
                if second == b"COMMIT" {
                    self.commits.insert(first.to_owned());
                } else {
                    self.commits.remove(first);
                }
                false
            }
            // The portal, then the statement.
            b'B' => self.commits.contains(second),
            _ => false,
        }
    }
}
