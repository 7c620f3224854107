//! A Rust for wasm out of Debian's packages, for machines where rustup cannot fetch: rustc and the sources of its
//! `std` are downloaded, unpacked (not installed) into one folder of the user's cache, and `std` is compiled there once.
//!
//! Debian ships the compiler of its browsers as `rustc-web`, kept new, and its sources; what it ships compiled for wasm
//! is years older, hence the build. Nothing outside the folder changes, except for apt's package lists.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::shell::{output, run, say, text};
use crate::toolchain::{TARGET, on_path};

/// Older compilers do not build the plugins' dependencies.
const MINOR_VERSION_MIN: u32 = 88;

/// Where [`unpack_and_build`] leaves the compiler.
pub(crate) fn rustc_in(folder: &Path) -> PathBuf {
    folder.join("bin/rustc")
}

/// Has this machine what the way needs?
pub(crate) fn is_at_hand() -> bool {
    ["apt-get", "apt-cache", "dpkg-deb", "tar"].iter().all(|program| on_path(program))
}

/// Fills `folder`, in one step at the end, so that a half-made one is never used. Takes 1 to 2 minutes of CPU and
/// 600 MB. `linker_of` is a rustc whose `rust-lld` may be borrowed.
pub(crate) fn unpack_and_build(folder: &Path, linker_of: &Path) -> Result<()> {
    say("making a compiler from Debian's packages, once (1 to 2 minutes)");
    let version = version()?;
    let parent = folder.parent().context("the folder has no parent")?;
    let part = parent.join(format!("wasm-rust.part-{}", std::process::id()));
    fs::create_dir_all(part.join("packages")).with_context(|| format!("cannot create {}", part.display()))?;
    let made = make(&part, folder, &version, linker_of);
    let moved = made.and_then(|()| {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        fs::rename(&part, folder)
            .with_context(|| format!("cannot rename {} to {}", part.display(), folder.display()))
    });
    if moved.is_err() {
        let _ = fs::remove_dir_all(&part);
    }
    moved
}

fn make(part: &Path, folder: &Path, version: &str, linker_of: &Path) -> Result<()> {
    download(&part.join("packages"), version)?;
    unpack(part)?;
    fs::remove_dir_all(part.join("packages")).context("cannot remove the unpacked packages")?;
    borrow_linker(part, linker_of)?;
    write_wrapper(part, part)?;
    build_std(part)?;
    // From here on it is called where it will be found.
    write_wrapper(part, folder)
}

/// The version that apt offers, after fetching its lists if they are missing or too old and we may.
fn version() -> Result<String> {
    if let Some(version) = candidate()? {
        return Ok(version);
    }
    update_lists()?;
    candidate()?.with_context(|| {
        format!("apt offers no rustc-web of 1.{MINOR_VERSION_MIN} or newer: is this Debian 12 or newer, with its security updates?")
    })
}

fn candidate() -> Result<Option<String>> {
    let policy = text(Command::new("apt-cache").args(["policy", "rustc-web"]).env("LC_ALL", "C"))?;
    Ok(candidate_of(&policy)
        .filter(|version| minor_version(version) >= Some(MINOR_VERSION_MIN))
        .map(str::to_owned))
}

fn candidate_of(policy: &str) -> Option<&str> {
    let line = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"))?;
    Some(line.trim()).filter(|version| !version.is_empty() && *version != "(none)")
}

/// `96` of `1.96.0+dfsg1-1~deb12u2`.
fn minor_version(version: &str) -> Option<u32> {
    version.strip_prefix("1.")?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn update_lists() -> Result<()> {
    let is_root = text(Command::new("id").arg("-u"))?.trim() == "0";
    if !is_root {
        bail!(
            "apt's package lists are missing or old. Type `sudo apt-get update`, then the same `cargo xtask` again"
        );
    }
    run(Command::new("apt-get").args(["update", "-qq"]).stdout(Stdio::null()))
}

fn download(into: &Path, version: &str) -> Result<()> {
    let minor = minor_version(version).context("no Rust version")?;
    let runtime = format!("libstd-rust-web-1.{minor}");
    // The compiler finds the sources of its own `std` by version: one version for all of them.
    let mut wanted: Vec<String> = ["rustc-web", "libstd-rust-web-dev", runtime.as_str(), "rust-web-src"]
        .iter()
        .map(|name| format!("{name}={version}"))
        .collect();
    let about = text(Command::new("apt-cache").args(["show", &format!("{runtime}={version}")]))?;
    wanted.extend(llvm_of(&about).map(str::to_owned));
    let fetch = || {
        run(Command::new("apt-get")
            // Its own user cannot write into the cache folder: without this apt warns of that.
            .args(["-o", "APT::Sandbox::User=root", "download", "-qq"])
            .args(&wanted)
            .current_dir(into))
    };
    // Lists older than the archive name files that are gone: fetch the lists once, then it must do.
    fetch().or_else(|_| update_lists().and_then(|()| fetch()))
}

/// The LLVM library among a package's dependencies.
fn llvm_of(package: &str) -> Option<&str> {
    let depends = package.lines().find_map(|line| line.strip_prefix("Depends:"))?;
    depends
        .split(',')
        .map(|one| one.split_whitespace().next().unwrap_or(""))
        .find(|name| name.starts_with("libllvm"))
}

fn unpack(part: &Path) -> Result<()> {
    for entry in fs::read_dir(part.join("packages"))? {
        let package = entry?.path();
        let is_source =
            package.file_name().is_some_and(|name| name.to_string_lossy().starts_with("rust-web-src_"));
        if !is_source {
            output(Command::new("dpkg-deb").arg("-x").arg(&package).arg(part))?;
            continue;
        }
        // Of 2 GB of compiler sources only the library is needed: unpack just that.
        let mut listing = Command::new("dpkg-deb")
            .arg("--fsys-tarfile")
            .arg(&package)
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start dpkg-deb")?;
        let archive = listing.stdout.take().context("dpkg-deb gave no stdout")?;
        output(
            Command::new("tar")
                .args(["-x", "-C"])
                .arg(part)
                .args(["--wildcards", "./usr/src/rustc-*/library*", "./usr/lib/rustlib/src/*"])
                .stdin(archive),
        )?;
        if !listing.wait().context("cannot wait for dpkg-deb")?.success() {
            bail!("dpkg-deb cannot read {}", package.display());
        }
    }
    Ok(())
}

/// Debian's compiler looks for `rust-lld` in its own folder. Every rustup toolchain has one; else Debian's `lld` does.
fn borrow_linker(part: &Path, linker_of: &Path) -> Result<()> {
    let host = host_of(&text(Command::new(linker_of).arg("-vV"))?)?;
    let sysroot = text(Command::new(linker_of).args(["--print", "sysroot"]))?;
    let folder = |base: &Path| base.join("lib/rustlib").join(&host).join("bin");
    let own = folder(&part.join("usr"));
    fs::create_dir_all(&own)?;
    let borrowed = folder(Path::new(sysroot.trim())).join("rust-lld");
    let system = Path::new("/usr/bin/lld");
    let linker = [borrowed.as_path(), system].into_iter().find(|path| path.is_file());
    let Some(linker) = linker else {
        bail!(
            "there is no rust-lld in the active toolchain. Type `sudo apt-get install lld`, then the same `cargo xtask` again"
        );
    };
    std::os::unix::fs::symlink(linker, own.join("rust-lld")).context("cannot link rust-lld")
}

fn host_of(verbose_version: &str) -> Result<String> {
    let host = verbose_version.lines().find_map(|line| line.strip_prefix("host:"));
    Ok(host.context("`rustc -vV` names no host")?.trim().to_owned())
}

/// `bin/rustc` in `part`, which calls the compiler at `home` with the libraries that lie beside it.
fn write_wrapper(part: &Path, home: &Path) -> Result<()> {
    let libraries = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let home = home.display().to_string().replace('\'', "'\\''");
    let script = format!(
        "#!/bin/sh\n# Written by `cargo xtask`.\nLD_LIBRARY_PATH='{home}/{libraries}' exec '{home}/usr/bin/rustc' \"$@\"\n"
    );
    let path = rustc_in(part);
    fs::create_dir_all(path.parent().unwrap_or(part))?;
    fs::write(&path, script).with_context(|| format!("cannot write {}", path.display()))?;
    output(Command::new("chmod").arg("755").arg(&path)).map(drop)
}

/// Compiles `std` for [`TARGET`] by building an empty crate with cargo's build-std, and puts it where rustc looks.
fn build_std(part: &Path) -> Result<()> {
    let seed = part.join("seed");
    fs::create_dir_all(seed.join("src"))?;
    fs::write(
        seed.join("Cargo.toml"),
        "[package]\nname = \"seed\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[profile.release]\npanic = \"abort\"\n\n[workspace]\n",
    )?;
    fs::write(seed.join("src/lib.rs"), "//! Empty: only its standard library is wanted.\n#![no_std]\n")?;
    // Bitcode must stay in, or a plugin built with LTO finds none. The paths of this machine must stay out.
    let flags = ["-Cembed-bitcode=yes".to_owned(), format!("--remap-path-prefix={}=/std", part.display())]
        .into_iter()
        .chain(cargo_home().map(|home| format!("--remap-path-prefix={}=/cargo", home.display())))
        .collect::<Vec<_>>()
        .join("\u{1f}");
    run(Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "build",
            "--quiet",
            "--release",
            "-Zbuild-std=std,panic_abort",
            "--target",
            TARGET,
            "--target-dir",
        ])
        .arg(seed.join("target"))
        .current_dir(&seed)
        .env("RUSTC", rustc_in(part))
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .env_remove("RUSTFLAGS"))?;
    let into = part.join("usr/lib/rustlib").join(TARGET).join("lib");
    fs::create_dir_all(&into)?;
    for entry in fs::read_dir(seed.join("target").join(TARGET).join("release/deps"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".rlib") && !name.starts_with("libseed") {
            fs::copy(&path, into.join(&name)).with_context(|| format!("cannot copy {name}"))?;
        }
    }
    fs::remove_dir_all(&seed).context("cannot remove the seed crate")
}

/// Where cargo keeps the sources of dependencies.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_s_answers_are_read() {
        let policy =
            "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n  Version table:\n";
        assert_eq!(candidate_of(policy), Some("1.96.0+dfsg1-1~deb12u2"));
        assert_eq!(candidate_of("rustc-web:\n  Installed: (none)\n  Candidate: (none)\n"), None);
        assert_eq!(candidate_of(""), None);
        assert_eq!(minor_version("1.96.0+dfsg1-1~deb12u2"), Some(96));
        assert_eq!(minor_version("2.0"), None);
        let package =
            "Package: x\nDepends: libc6 (>= 2.34), libgcc-s1 (>= 4.2), libllvm22, libstdc++6 (>= 11)\n";
        assert_eq!(llvm_of(package), Some("libllvm22"));
        assert_eq!(llvm_of("Package: x\n"), None);
    }

    #[test]
    fn the_host_is_read_from_rustc() {
        let answer = "rustc 1.95.0\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.95.0\n";
        assert_eq!(host_of(answer).unwrap(), "x86_64-unknown-linux-gnu");
        assert!(host_of("nothing").unwrap_err().to_string().contains("names no host"));
    }

    #[test]
    fn the_wrapper_survives_odd_folders() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("it's here");
        fs::create_dir_all(home.join("usr/bin")).unwrap();
        fs::write(home.join("usr/bin/rustc"), "#!/bin/sh\necho \"said $1\"\n").unwrap();
        output(Command::new("chmod").arg("755").arg(home.join("usr/bin/rustc"))).unwrap();
        write_wrapper(folder.path(), &home).unwrap();
        assert_eq!(text(Command::new(rustc_in(folder.path())).arg("two words")).unwrap(), "said two words\n");
    }
}
