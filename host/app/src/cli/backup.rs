//! `bandstand backup`: a copy of the data directory at one moment, while a host goes on. It is a data directory itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bandstand_store::BackupError;
use clap::Args;
use serde_json::json;

use super::context::Context;
use super::exit::{Exit, Failure};
use super::stored;

/// The folder of the plugins that runs pin.
const PLUGINS: &str = "plugins";

/// What `backup` is given.
#[derive(Args, Debug)]
pub struct BackupArgs {
    /// Where the copy goes: a directory that is not there yet, or is empty
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Copies: whole, or not at all.
pub fn execute(args: &BackupArgs, context: &Context) -> Result<Exit, Failure> {
    let reader = stored::open(context)?;
    let cannot =
        |error: io::Error| Failure::other(format!("the copy {} cannot be made: {error}", args.dir.display()));
    if fs::read_dir(&args.dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Failure::usage(format!("{} is not empty", args.dir.display()))
            .help("name a directory that is not there yet"));
    }
    let name = args.dir.file_name().ok_or_else(|| {
        Failure::usage(format!("{} has no name of its own", args.dir.display()))
            .help("name a directory that is not there yet")
    })?;
    let mut part = name.to_owned();
    part.push(".part");
    // Beside it, whatever slash the name ends in.
    let part = args.dir.with_file_name(part);
    // What an earlier try left.
    if part.exists() {
        fs::remove_dir_all(&part).map_err(cannot)?;
    }
    make_private(&part).map_err(cannot)?;
    let copied = copy(&reader, context.data_dir(), &part).and_then(|copied| {
        // An empty directory of that name is replaced.
        fs::rename(&part, &args.dir).map_err(cannot)?;
        Ok(copied)
    });
    if copied.is_err() {
        let _ = fs::remove_dir_all(&part);
    }
    let Copied { store_bytes, plugins } = copied?;
    if context.out.json {
        context.out.json_line(&json!({
            "type": "backup", "directory": args.dir.to_string_lossy(), "store_bytes": store_bytes, "plugins": plugins,
        }));
    } else {
        let dir = args.dir.display();
        context.out.note(&format!("{dir} has the store ({store_bytes} bytes) and {plugins} plugins"));
        context.out.note(&format!("to look into it: bandstand runs list --data {dir}"));
    }
    Ok(Exit::Succeeded)
}

struct Copied {
    store_bytes: u64,
    plugins: usize,
}

fn copy(reader: &bandstand_store::Reader, from: &Path, to: &Path) -> Result<Copied, Failure> {
    let cannot = |error: io::Error| Failure::other(format!("plugins cannot be copied: {error}"));
    // Before the store, since one may be deleted meanwhile, and after it, since one may have come.
    copy_plugins(from, to).map_err(cannot)?;
    let store_bytes = reader.back_up(to)?;
    let plugins = copy_plugins(from, to).map_err(cannot)?;
    Ok(Copied { store_bytes, plugins })
}

/// Copies the plugins that are not there yet; how many there are.
fn copy_plugins(from: &Path, to: &Path) -> io::Result<usize> {
    let (from, to) = (from.join(PLUGINS), to.join(PLUGINS));
    fs::create_dir_all(&to)?;
    let entries = match fs::read_dir(&from) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let name = entry?.file_name();
        let copy = to.join(&name);
        if copy.exists() {
            continue;
        }
        match fs::copy(from.join(&name), &copy) {
            Ok(_) => fs::File::open(&copy)?.sync_all()?,
            // Deleted just now, so no run pins it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(fs::read_dir(&to)?.count())
}

/// It holds what the data directory holds.
fn make_private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent)?;
    }
    fs::DirBuilder::new().mode(0o700).create(dir)
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Failure {
        match error {
            BackupError::Read(error) => error.into(),
            error => Failure::other(error),
        }
    }
}
