//! How soon a server with 100 modules is ready, and its memory when idle.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tests::modules;
use tests::process::{binary, command};

use crate::rig::{Rig, memory_mib, module};
use crate::show::{Figures, Target, ms, quantile};

const MODULES: u32 = 100;
const STARTS: usize = 9;

/// How often readiness is asked for: the figure is coarser by no more than this.
const POLL: Duration = Duration::from_millis(1);

/// How long a server may take to be ready: it may have to compile a hundred modules with an interpreter.
const READY_MAX: Duration = Duration::from_secs(1_800);

/// Starts a server again and again over a warm cache, and one with the bundled handlers.
pub(crate) fn run(figures: &mut Figures) -> anyhow::Result<()> {
    let _ = binary();
    let rig = Rig::new("slack: { preview: true }\n")?;
    for number in 0..MODULES {
        rig.put(&format!("bench-{number:03}.wasm"), &module(number))?;
    }
    let (cold, server) = start(&rig)?;
    drop(server);
    let mut warm = (0..STARTS)
        .map(|_| Ok(start(&rig)?.0))
        .collect::<anyhow::Result<Vec<_>>>()?;
    warm.sort();
    let most = Target::AtMost(300.0);
    figures.add(
        "ready with 100 modules, cold cache",
        ms(cold),
        "ms",
        Target::None,
    );
    figures.add(
        "ready with 100 modules, warm cache, median of 9",
        ms(quantile(&warm, 0.5)),
        "ms",
        most,
    );
    figures.add(
        "ready with 100 modules, warm cache, worst of 9",
        ms(quantile(&warm, 1.0)),
        "ms",
        most,
    );

    let rig = Rig::new("slack: { preview: true }\n")?;
    for name in ["kube-pod-crash-looping", "slack-notify"] {
        rig.put(&format!("{name}.wasm"), &modules::bytes(name))?;
    }
    for what in ["after compiling them", "from a warm cache"] {
        let (_, server) = start(&rig)?;
        figures.add(
            &format!("resident, idle, bundled handlers, {what}"),
            server.memory_mib("VmRSS")?,
            "MiB",
            Target::AtMost(60.0),
        );
    }
    Ok(())
}

/// A server that is killed when dropped.
pub(crate) struct Running(Child);

impl Running {
    /// Returns a line of its status in MiB: `VmRSS`, `RssAnon`.
    pub(crate) fn memory_mib(&self, name: &str) -> anyhow::Result<f64> {
        memory_mib(self.0.id(), name)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server, and returns how long it took until it was ready.
pub(crate) fn start(rig: &Rig) -> anyhow::Result<(Duration, Running)> {
    // A port that was free a moment ago: with port 0 the address would have to be read from the log, which is written later than
    // the server is ready.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let args = ["serve", "--config.file", "alert-manager.yml"];
    let began = Instant::now();
    let mut command = command(rig.dir.path(), &args);
    command
        .args(["--web.listen-address", &address.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let server = Running(command.spawn()?);
    while !is_ready(address) {
        anyhow::ensure!(began.elapsed() < READY_MAX, "the server does not get ready");
        std::thread::sleep(POLL);
    }
    Ok((began.elapsed(), server))
}

fn is_ready(address: SocketAddr) -> bool {
    let ask = || -> anyhow::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.split(' ').nth(1).context("a status")? == "200")
    };
    ask().unwrap_or(false)
}
