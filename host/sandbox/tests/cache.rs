//! R7.1: compiled code is kept, private to the user, and never run unless this installation made it for this component and
//! this engine.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use bandstand_sandbox::{Grants, KeptCode, Sandbox, Settings, SetupError};
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
    assert_eq!(before.ino(), after.ino(), "it was not written anew");
}

/// Loads it anew: the file that was there is refused with this reason, and replaced by one that is good.
async fn is_refused(dir: &Path, reason: &str) {
    let digest = bandstand_sandbox::inspect(&guests::echo()).unwrap().digest;
    let sandbox = with_cache(dir);
    match sandbox.kept_code(&digest) {
        KeptCode::Refused { reason: found, .. } => assert!(found.contains(reason), "{found}, not {reason}"),
        other => panic!("{reason}: {other:?}"),
    }
    works(&sandbox).await;
    assert!(matches!(sandbox.kept_code(&digest), KeptCode::Authentic { .. }), "{reason}");
}

/// The folder with the code of `echo`, and the file.
async fn kept(temp: &Path) -> (PathBuf, PathBuf) {
    let dir = temp.join("compiled");
    works(&with_cache(&dir)).await;
    let file = files(&dir).remove(0);
    (dir, file)
}

#[tokio::test]
async fn one_flipped_bit_anywhere_is_found() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, file) = kept(temp.path()).await;
    let whole = std::fs::read(&file).unwrap();
    let digest = bandstand_sandbox::inspect(&guests::echo()).unwrap().digest;
    let sandbox = with_cache(&dir);
    // Every byte of the head, and bytes all over the code.
    let places = (0..40).chain((40..whole.len()).step_by(whole.len() / 60)).chain([whole.len() - 1]);
    for place in places {
        let mut flipped = whole.clone();
        flipped[place] ^= 1 << (place % 8);
        std::fs::write(&file, &flipped).unwrap();
        assert!(matches!(sandbox.kept_code(&digest), KeptCode::Refused { .. }), "byte {place}");
    }
    let mut longer = whole.clone();
    longer.push(0);
    std::fs::write(&file, &longer).unwrap();
    is_refused(&dir, "damaged").await;
}

#[tokio::test]
async fn code_of_another_component_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, file) = kept(temp.path()).await;
    with_cache(&dir).load(&guests::traps(), &Grants::default()).unwrap();
    let other = files(&dir).into_iter().find(|path| *path != file).unwrap();
    std::fs::rename(other, &file).unwrap();
    is_refused(&dir, "not made by this installation for this plugin").await;
}

#[tokio::test]
async fn code_of_another_installation_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, file) = kept(temp.path()).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let (_, foreign) = kept(elsewhere.path()).await;
    std::fs::copy(foreign, &file).unwrap();
    is_refused(&dir, "not made by this installation").await;
}

#[tokio::test]
async fn code_of_the_layout_before_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, file) = kept(temp.path()).await;
    let mut old = b"bandstn\x01".to_vec();
    old.extend_from_slice(&std::fs::read(&file).unwrap()[8..]);
    std::fs::write(&file, old).unwrap();
    is_refused(&dir, "another layout").await;
}

/// Another engine's code has another name, and a name is not believed.
#[tokio::test]
async fn code_named_for_another_engine_is_not_looked_at() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, file) = kept(temp.path()).await;
    let stale = dir.join(file.file_name().unwrap().to_str().unwrap().replace('-', "-0"));
    std::fs::rename(&file, &stale).unwrap();
    let digest = bandstand_sandbox::inspect(&guests::echo()).unwrap().digest;
    assert_eq!(with_cache(&dir).kept_code(&digest), KeptCode::None);
    works(&with_cache(&dir)).await;
    assert!(stale.exists() && file.exists(), "a newer and an older host share the folder");
}

#[tokio::test]
async fn a_file_that_is_not_private_or_not_a_file_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, file) = kept(temp.path()).await;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o620)).unwrap();
    is_refused(&dir, "others may read or write it").await;
    let aside = temp.path().join("aside");
    std::fs::rename(&file, &aside).unwrap();
    std::os::unix::fs::symlink(&aside, &file).unwrap();
    is_refused(&dir, "symbolic link").await;
    assert!(aside.exists(), "what the link led to is left alone");
    // Who may not give files away cannot make this one, and neither can an attacker.
    if std::os::unix::fs::chown(&file, Some(12_345), None).is_ok() {
        is_refused(&dir, "another user").await;
    }
}

#[tokio::test]
async fn a_pipe_in_place_of_a_file_holds_nobody_up() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, file) = kept(temp.path()).await;
    std::fs::remove_file(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg("-m600").arg(&file).status().unwrap().success());
    is_refused(&dir, "not a file").await;
}

fn key(dir: &Path) -> PathBuf {
    dir.with_file_name("compiled.key")
}

#[tokio::test]
async fn the_key_is_private_and_one_that_is_not_is_replaced() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, _) = kept(temp.path()).await;
    let key = key(&dir);
    let first = std::fs::read(&key).unwrap();
    assert_eq!((first.len(), key.metadata().unwrap().mode() & 0o777), (32, 0o600));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    is_refused(&dir, "not made by this installation").await;
    let second = std::fs::read(&key).unwrap();
    assert!(first != second && key.metadata().unwrap().mode() & 0o777 == 0o600);
    // A link to a file whose content somebody knows.
    let known = temp.path().join("known");
    std::fs::rename(&key, &known).unwrap();
    std::os::unix::fs::symlink(&known, &key).unwrap();
    is_refused(&dir, "not made by this installation").await;
    assert!(std::fs::read(&key).unwrap() != second);
    std::fs::write(&key, b"short").unwrap();
    is_refused(&dir, "not made by this installation").await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_costs_speed_only() {
    let temp = tempfile::tempdir().unwrap();
    // No folder can be made below a file.
    let file = temp.path().join("file");
    std::fs::write(&file, "").unwrap();
    works(&with_cache(&file.join("compiled"))).await;
    // Nor a key where a folder is.
    let dir = temp.path().join("keyless");
    std::fs::create_dir_all(temp.path().join("keyless.key/full")).unwrap();
    works(&with_cache(&dir)).await;
    assert!(files(&dir).is_empty());
    // Nor a file.
    let (dir, file) = kept(temp.path()).await;
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir_all(file.join("full")).unwrap();
    works(&with_cache(&dir)).await;
    assert_eq!(files(&dir), [file], "no draft is left");
}

// What was not used for longest goes when there is too much; what was just written stays, however large.
#[tokio::test]
async fn the_folder_keeps_what_was_used_last() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("compiled");
    let with = |cache_bytes_max| {
        Sandbox::new(Settings { cache_dir: Some(dir.clone()), cache_bytes_max, ..settings() }).unwrap()
    };
    let ours = |sandbox: &Sandbox, bytes: &[u8]| {
        sandbox.load(bytes, &Grants::default()).unwrap().digest()[7..].to_owned()
    };
    let all = with(u64::MAX);
    let first = ours(&all, &guests::echo());
    let second = ours(&all, &guests::traps());
    let size: u64 = files(&dir).iter().map(|file| file.metadata().unwrap().len()).sum();
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3_700);
    for file in files(&dir) {
        std::fs::File::open(file).unwrap().set_modified(hour_ago).unwrap();
    }
    std::fs::write(dir.join("draft-1-1"), "left").unwrap();
    std::fs::File::open(dir.join("draft-1-1")).unwrap().set_modified(hour_ago).unwrap();
    std::fs::write(dir.join("draft-1-2"), "being written").unwrap();
    // Used again, so the other one is older.
    let some = with(size + 1_000);
    assert_eq!(ours(&some, &guests::echo()), first);
    let third = ours(&some, &guests::endless_loop());
    let names: Vec<String> =
        files(&dir).iter().map(|file| file.file_name().unwrap().to_string_lossy().into_owned()).collect();
    let has = |part: &str| names.iter().any(|name| name.starts_with(part));
    assert!(has(&first) && has(&third) && !has(&second), "{names:?}");
    assert!(has("draft-1-2") && !has("draft-1-1"), "{names:?}");
    let fourth = ours(&with(1), &guests::traps());
    assert!(fourth == second && files(&dir).len() == 2, "the newest, and a draft");
    works(&with(1)).await;
}

#[tokio::test]
async fn who_only_reads_changes_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("compiled");
    let reading = || {
        Sandbox::new(Settings { cache_dir: Some(dir.clone()), cache_read_only: true, ..settings() }).unwrap()
    };
    works(&reading()).await;
    assert_eq!(files(temp.path()), Vec::<PathBuf>::new());
    let (_, file) = kept(temp.path()).await;
    std::fs::write(&file, "damaged").unwrap();
    works(&reading()).await;
    assert_eq!(std::fs::read(&file).unwrap(), b"damaged");
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
