//! Compiled code is kept, private to the user, and never run when damaged.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use bandstand_sandbox::{Grants, Sandbox, SetupError};
use bandstand_test_guests as guests;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use support::{request, settings};

fn with_cache(dir: &Path) -> Sandbox {
    let mut settings = settings();
    settings.cache_dir = Some(dir.to_owned());
    Sandbox::new(settings).unwrap()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

async fn works(sandbox: &Sandbox) {
    let plugin = sandbox.load(&guests::echo(), &Grants::default()).unwrap();
    let outcome = sandbox.call(&plugin, request("{\"a\":1}")).await;
    assert_eq!(outcome.result.unwrap().output, "{\"a\":1}");
}

#[tokio::test]
async fn code_is_kept_and_used_again() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("compiled");
    works(&with_cache(&dir)).await;
    let kept = files(&dir);
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(dir.metadata().unwrap().mode() & 0o777, 0o700);
    let before = kept[0].metadata().unwrap();
    assert_eq!(before.mode() & 0o777, 0o600);
    works(&with_cache(&dir)).await;
    let after = kept[0].metadata().unwrap();
    assert_eq!(
        (before.ino(), before.mtime_nsec()),
        (after.ino(), after.mtime_nsec()),
        "it was not written anew"
    );
}

#[tokio::test]
async fn damaged_code_is_compiled_anew() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("compiled");
    works(&with_cache(&dir)).await;
    let file = files(&dir).remove(0);
    let whole = std::fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in
        [&flipped[..], &whole[..whole.len() - 1], &whole[..20], b"", b"\x7fELF something else altogether"]
    {
        std::fs::write(&file, damaged).unwrap();
        works(&with_cache(&dir)).await;
        let now = std::fs::read(&file).unwrap();
        assert!(now.len() > 40 && now[..] != *damaged, "it was replaced");
    }
    assert_eq!(files(&dir).len(), 1, "nothing else is left");
}

#[test]
fn a_folder_that_others_may_write_to_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::set_permissions(temp.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let mut settings = settings();
    settings.cache_dir = Some(temp.path().to_owned());
    let Err(error) = Sandbox::new(settings) else { panic!("it was taken") };
    assert!(matches!(error, SetupError::Cache { .. }));
    assert!(error.to_string().contains("chmod 700"), "{error}");
}

#[test]
fn the_same_bytes_are_loaded_once() {
    let sandbox = Sandbox::new(settings()).unwrap();
    let one = sandbox.load(&guests::echo(), &Grants::default()).unwrap();
    let other = sandbox.load(&guests::echo(), &Grants::default()).unwrap();
    assert!(std::ptr::eq(one.digest(), other.digest()));
}
