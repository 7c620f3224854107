//! Every seed and every finding goes through its target. What a fuzzer found stays mended.

use std::path::{Path, PathBuf};

use bandstand_fuzz::Target;

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// R7.3
#[test]
fn seeds_and_findings_pass_their_targets() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for target in Target::ALL {
        let mut inputs = files(&here.join("found").join(target.name()));
        for folder in bandstand_fuzz::seeds(*target) {
            inputs.extend(files(&here.join("../..").join(folder)));
        }
        assert!(!inputs.is_empty(), "{} has no seeds", target.name());
        for input in inputs {
            let bytes = std::fs::read(&input).unwrap_or_else(|error| panic!("{}: {error}", input.display()));
            println!("{} {}", target.name(), input.display());
            target.run(&bytes);
        }
    }
}

/// R7.3: a little of what a fuzzer does, in every build: each input with its bytes cut off, dropped, doubled and changed.
#[test]
fn broken_seeds_pass_their_targets() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for target in Target::ALL {
        let folders = bandstand_fuzz::seeds(*target);
        let inputs = folders.iter().flat_map(|folder| files(&here.join("../..").join(folder)));
        for input in inputs.chain(files(&here.join("found").join(target.name()))) {
            let bytes = std::fs::read(&input).unwrap_or_else(|error| panic!("{}: {error}", input.display()));
            let Some(last) = bytes.len().checked_sub(1) else { continue };
            let mut seed = number_of(&input);
            for _ in 0..bandstand_fuzz::breaks(*target) {
                let mut broken = bytes.clone();
                let at = (next(&mut seed) as usize) % bytes.len();
                match next(&mut seed) % 5 {
                    0 => broken.truncate(at),
                    1 => drop(broken.remove(at)),
                    2 => broken.insert(at, (next(&mut seed) & 0xff) as u8),
                    3 => broken[at] ^= 1 << (next(&mut seed) % 8),
                    _ => {
                        let end = at + (next(&mut seed) as usize % 64).min(last - at);
                        let piece = broken[at..end].to_vec();
                        broken.splice(at..at, piece);
                    }
                }
                if std::panic::catch_unwind(|| target.run(&broken)).is_err() {
                    let kept =
                        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-finding", target.name()));
                    let _ = std::fs::write(&kept, &broken);
                    panic!("{}, broken: the bytes are in {}", input.display(), kept.display());
                }
            }
        }
    }
}

/// A number of its own for each file, the same on every machine.
fn number_of(path: &Path) -> u64 {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// xorshift64*.
fn next(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
}
