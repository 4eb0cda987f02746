//! What a handler costs in each language, with the projects that `new` writes and `build` builds.

mod copies;
mod first_alert;
mod loaded;
mod project;
mod saves;
mod step;

use handler_build::Language;

use crate::show::{Figures, Target};
use project::Project;

pub(crate) use first_alert::run as first_alert;
pub(crate) use saves::run as saves;

/// The languages, the peer of the others first.
const LANGUAGES: [Language; 3] = [Language::Rust, Language::Python, Language::TypeScript];

/// Builds a handler in each language, runs it, and starts servers with many of it.
pub(crate) fn run(figures: &mut Figures) -> anyhow::Result<()> {
    let mut built = Vec::new();
    for language in LANGUAGES {
        let project = Project::new(language)?;
        let first = project.build()?;
        project.change(1)?;
        let again = project.build()?;
        let module = project.module()?;
        #[allow(clippy::cast_precision_loss, reason = "a size, shown in MiB")]
        let mib = module.len() as f64 / f64::from(1 << 20);
        let mut add = |what: &str, value, unit| {
            figures.add(&format!("{language}: {what}"), value, unit, Target::None);
        };
        add("size of the component", mib, "MiB");
        add("build, the first of a project", first.as_secs_f64(), "s");
        add("build, after a change", again.as_secs_f64(), "s");
        built.push((language, module));
    }
    step::run(&built, figures)?;
    for (language, module) in &built {
        loaded::run(*language, module, figures)?;
    }
    Ok(())
}
