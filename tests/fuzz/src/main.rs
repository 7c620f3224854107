//! The fuzzer: libFuzzer around one target, which the environment variable `BANDSTAND_FUZZ` names. Arguments are
//! libFuzzer's own.

#![no_main]
#![allow(clippy::expect_used)] // the fuzzer's command line is its developer's

use std::sync::OnceLock;

use bandstand_fuzz::Target;
use libfuzzer_sys::fuzz_target;

fn target() -> Target {
    static TARGET: OnceLock<Target> = OnceLock::new();
    *TARGET.get_or_init(|| {
        let name = std::env::var("BANDSTAND_FUZZ").expect("BANDSTAND_FUZZ names the target");
        *Target::ALL.iter().find(|target| target.name() == name).expect("BANDSTAND_FUZZ names a target")
    })
}

fuzz_target!(|bytes: &[u8]| target().run(bytes));
