//! `host/docs/cli.md` is what the tree of verbs says. `BANDSTAND_UPDATE=1` writes it anew. R8.1

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod bandstand;

use std::path::Path;

use bandstand::Folder;

#[test]
fn the_committed_reference_is_up_to_date() {
    let printed = Folder::new().call(&["docs", "cli"]).expect(0, &[]).stdout;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    if std::env::var_os("BANDSTAND_UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &printed).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == printed, "host/docs/cli.md is out of date: run this test with BANDSTAND_UPDATE=1");
}
