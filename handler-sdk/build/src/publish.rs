//! Copies a component into a folder that a server may be watching.

use std::fs;
use std::io;
use std::path::Path;

use crate::{Artifact, BuildError, Event, Options};

/// Copies `built` to `NAME.wasm` in `out_dir`. A reader sees the old file or the new one, never a part. A component that
/// [`Options::check`] rejects replaces nothing. An identical file is left alone, so that a server does not load it again.
/// Reports [`Event::Built`].
pub(crate) fn publish(name: &str, built: &Path, options: &Options) -> Result<Artifact, BuildError> {
    let out_dir = &options.out_dir;
    let component = fs::read(built).map_err(BuildError::io("reading", built))?;
    fs::create_dir_all(out_dir).map_err(BuildError::io("making the folder", out_dir))?;
    let file = format!("{name}.wasm");
    let path = out_dir.join(&file);
    let summary = (options.check)(&file, &component).map_err(|why| BuildError::Refused {
        project: name.to_owned(),
        why,
        kept: path.is_file().then(|| path.clone()),
    })?;
    let changed = !fs::read(&path).is_ok_and(|before| before == component);
    if changed {
        // The temporary file is in the same folder, because a rename does not cross file systems, and has another ending,
        // because a server loads every `.wasm` file.
        let temporary = out_dir.join(format!(".{name}.{}.tmp", std::process::id()));
        let written =
            write_synced(&temporary, &component).and_then(|()| fs::rename(&temporary, &path));
        if let Err(error) = written {
            // The first error is reported; an error of the cleanup is ignored.
            let _ = fs::remove_file(&temporary);
            return Err(BuildError::io("writing", path)(error));
        }
    }
    let artifact = Artifact {
        name: name.to_owned(),
        path,
        bytes: component.len() as u64,
        changed,
        summary,
    };
    (options.progress)(Event::Built(&artifact));
    Ok(artifact)
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    // A crash right after the rename must not leave an empty file under the final name.
    file.sync_all()
}
