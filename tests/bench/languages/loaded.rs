//! How soon a server with many handlers of one language is ready, and the memory that they take.

use handler_build::Language;

use super::copies::copy;
use crate::rig::Rig;
use crate::show::{Figures, Target, ms, quantile};
use crate::start::start;

const STARTS: usize = 3;

/// How many handlers a server has. One in Python takes seconds to compile and 18 MB.
fn count(language: Language) -> usize {
    match language {
        Language::Python => 10,
        _ => 100,
    }
}

/// Starts a server over an empty cache, and again over the full one.
pub(super) fn run(language: Language, module: &[u8], figures: &mut Figures) -> anyhow::Result<()> {
    let count = count(language);
    let rig = Rig::new("slack: { preview: true }\n")?;
    let (_, server) = start(&rig)?;
    let (empty, empty_own) = (server.memory_mib("VmRSS")?, server.memory_mib("RssAnon")?);
    drop(server);
    for number in 0..count {
        rig.put(&format!("handler-{number:03}.wasm"), &copy(module, number))?;
    }
    let mut add = |what: &str, value, unit| {
        let what = format!("{language}: {count} handlers, {what}");
        figures.add(&what, value, unit, Target::None);
    };
    let (cold, server) = start(&rig)?;
    drop(server);
    add("cold cache, start to ready", cold.as_secs_f64(), "s");
    let mut warm = Vec::new();
    let mut memory = (0.0, 0.0);
    for _ in 0..STARTS {
        let (time, server) = start(&rig)?;
        warm.push(time);
        memory = (server.memory_mib("VmRSS")?, server.memory_mib("RssAnon")?);
    }
    warm.sort();
    add(
        "warm cache, start to ready, median of 3",
        ms(quantile(&warm, 0.5)),
        "ms",
    );
    add("resident memory that they add", memory.0 - empty, "MiB");
    add(
        "of it, what is not a page of a file",
        memory.1 - empty_own,
        "MiB",
    );
    Ok(())
}
