//! `host/docs/cli.md` is what the tree of verbs says, `host/docs/metrics.md` what the definitions of metrics do.
//! `BANDSTAND_UPDATE=1` writes them anew. R8.1, R8.4

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod bandstand;

use std::path::Path;

use bandstand::Folder;

#[test]
fn the_committed_reference_is_up_to_date() {
    is_up_to_date("cli");
}

#[test]
fn the_committed_list_of_metrics_is_up_to_date() {
    is_up_to_date("metrics");
}

#[track_caller]
fn is_up_to_date(part: &str) {
    let printed = Folder::new().call(&["docs", part]).expect(0, &[]).stdout;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/{part}.md"));
    if std::env::var_os("BANDSTAND_UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &printed).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == printed,
        "host/docs/{part}.md is out of date: run this test with BANDSTAND_UPDATE=1"
    );
}
