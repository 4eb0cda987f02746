//! Runs an axum router on a loopback port until its fake is dropped.

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// A running fake's listener. Dropping it closes the port and the connections under way: it has a runtime of its
/// own, since axum's connections outlive the task that accepts them.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) addr: SocketAddr,
    runtime: Option<Runtime>,
}

impl Listening {
    /// Serves `router` on `port` of 127.0.0.1; 0 takes a free one.
    pub(crate) async fn start(port: u16, router: Router) -> std::io::Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        runtime.spawn(async move {
            if let Ok(listener) = TcpListener::from_std(listener) {
                // axum's accept loop ends only with its runtime.
                let _ = axum::serve(listener, router).await;
            }
        });
        Ok(Self {
            addr,
            runtime: Some(runtime),
        })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not a plain drop, which would block and so is refused within a test's own runtime.
            runtime.shutdown_background();
        }
    }
}
