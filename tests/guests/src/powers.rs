//! Agents that use what is lent to them: files, environment, clocks, random numbers. Each does what it is told and answers
//! `{"told":[...]}` with what came of it, step by step.

use crate::{agent, data};
use std::fmt::Write;

/// One step of a [`files`] agent. Descriptors lie in slots: those of its directories from 0, in the order of their names.
/// A step tells `ok`, what it found, or the number of the error code of WASI with an `e` before it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names are those of wasi:filesystem")]
pub enum Step {
    /// How many directories there are.
    Directories,
    /// The name of a directory.
    Name(u32),
    Open {
        at: u32,
        path: String,
        follow: bool,
        how: u32,
        flags: u32,
        to: u32,
    },
    Close(u32),
    /// So many zeroes.
    Write {
        to: u32,
        bytes: u32,
        offset: u64,
    },
    WriteText {
        to: u32,
        text: String,
        offset: u64,
    },
    /// At most 4096 zeroes through a stream at an offset; `None`: at the end.
    Stream {
        to: u32,
        bytes: u32,
        offset: Option<u64>,
    },
    /// Opens a stream for writing, and keeps it.
    KeepStream(u32),
    Read {
        from: u32,
        offset: u64,
    },
    ReadStream {
        from: u32,
        offset: u64,
    },
    SetSize {
        of: u32,
        size: u64,
    },
    Mkdir {
        at: u32,
        path: String,
    },
    Rmdir {
        at: u32,
        path: String,
    },
    Unlink {
        at: u32,
        path: String,
    },
    Rename {
        at: u32,
        path: String,
        to: u32,
        new: String,
    },
    Link {
        at: u32,
        path: String,
        to: u32,
        new: String,
    },
    Symlink {
        at: u32,
        target: String,
        path: String,
    },
    Readlink {
        at: u32,
        path: String,
    },
    /// Sets both times to now.
    Touch {
        at: u32,
        path: String,
    },
    /// Its size, and which of its three times are known: `5 010`.
    Stat {
        at: u32,
        path: String,
    },
    /// Lists the directory; tells nothing of it.
    List(u32),
    /// Without telling anything.
    Repeat(u32, Vec<Step>),
    /// Ends the call as a panic would.
    Trap,
    /// Sleeps. Milliseconds.
    Sleep(u64),
}

/// `open-flags`.
pub const CREATE: u32 = 1;
/// `open-flags`.
pub const DIRECTORY: u32 = 2;
/// `open-flags`.
pub const TRUNCATE: u32 = 8;
/// `descriptor-flags`.
pub const READ: u32 = 1;
/// `descriptor-flags`.
pub const WRITE: u32 = 2;

/// Opens for reading, following links.
#[must_use]
pub fn open(at: u32, path: &str, to: u32) -> Step {
    Step::Open { at, path: path.to_owned(), follow: true, how: 0, flags: READ, to }
}

/// Makes a file if there is none, and opens it for reading and writing.
#[must_use]
pub fn create(at: u32, path: &str, to: u32) -> Step {
    Step::Open { at, path: path.to_owned(), follow: true, how: CREATE, flags: READ | WRITE, to }
}

const FILES: &str = r#"
  (import "wasi:filesystem/preopens@0.2.0" "get-directories" (func $dirs (param i32)))
  (import "wasi:filesystem/types@0.2.0" "[resource-drop]descriptor" (func $close (param i32)))
  (import "wasi:filesystem/types@0.2.0" "[resource-drop]directory-entry-stream" (func $unlist (param i32)))
  (import "wasi:filesystem/types@0.2.0" "[method]descriptor.open-at"
    (func $open (param i32 i32 i32 i32 i32 i32 i32)))
  (import "wasi:filesystem/types@0.2.0" "[method]descriptor.write" (func $write (param i32 i32 i32 i64 i32)))
  (import "wasi:filesystem/types@0.2.0" "[method]descriptor.read" (func $read (param i32 i64 i64 i32)))
  (import "wasi:filesystem/types@0.2.0" "[method]descriptor.write-via-stream" (func $writer (param i32 i64 i32)))
  (import "wasi:filesystem/types@0.2.0" "[method]descriptor.append-via-stream" (func $appender (param i32 i32)))
  (import "wasi:filesystem/types@0.2.0" "[method]descriptor.read-via-stream" (func $reader (param i32 i64 i32)))
  (import "wasi:filesystem/types@0.2.0" "[method]descriptor.set-size" (func $set_size (param i32 i64 i32)))
  (import "wasi:filesystem/types@0.2.0" "[method]descriptor.create-directory-at"
    (func $mkdir (param i32 i32 i32 i32)))
  (import "wasi:filesystem/types@0.2.0" "[method]descriptor.remove-directory-at"
    (func $rmdir (param i32 i32 i32 i32)))
  (import "wasi:filesystem/types@0.2.0" "[method]descriptor.unlink-file-at"
    (func $unlink (param i32 i32 i32 i32)))
  (import "wasi:filesystem/types@0.2.0" "[method]descriptor.rename-at"
    (func $rename (param i32 i32 i32 i32 i32 i32 i32)))
  (import "wasi:filesystem/types@0.2.0" "[method]descriptor.link-at"
    (func $link (param i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "wasi:filesystem/types@0.2.0" "[method]descriptor.symlink-at"
    (func $symlink (param i32 i32 i32 i32 i32 i32)))
  (import "wasi:filesystem/types@0.2.0" "[method]descriptor.readlink-at" (func $readlink (param i32 i32 i32 i32)))
  (import "wasi:filesystem/types@0.2.0" "[method]descriptor.set-times-at"
    (func $touch (param i32 i32 i32 i32 i32 i64 i32 i32 i64 i32 i32)))
  (import "wasi:filesystem/types@0.2.0" "[method]descriptor.stat-at" (func $stat (param i32 i32 i32 i32 i32)))
  (import "wasi:filesystem/types@0.2.0" "[method]descriptor.read-directory" (func $list (param i32 i32)))
  (import "wasi:io/streams@0.2.0" "[resource-drop]output-stream" (func $end_writer (param i32)))
  (import "wasi:io/streams@0.2.0" "[resource-drop]input-stream" (func $end_reader (param i32)))
  (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
    (func $flush (param i32 i32 i32 i32)))
  (import "wasi:io/streams@0.2.0" "[method]input-stream.blocking-read" (func $blocking_read (param i32 i64 i32)))
  (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $after (param i64) (result i32)))
  (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#;

/// What all of them need: an answer in the making from 131072 on.
const TELLING: &str = r#"
  (global $end (mut i32) (i32.const 131072))
  (global $quiet (mut i32) (i32.const 0))
  (func $byte (param $byte i32)
    (i32.store8 (global.get $end) (local.get $byte))
    (global.set $end (i32.add (global.get $end) (i32.const 1))))
  (func $bytes (param $at i32) (param $length i32)
    (memory.copy (global.get $end) (local.get $at) (local.get $length))
    (global.set $end (i32.add (global.get $end) (local.get $length))))
  (func $number (param $n i64)
    (if (i64.ge_u (local.get $n) (i64.const 10)) (then (call $number (i64.div_u (local.get $n) (i64.const 10)))))
    (call $byte (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $n) (i64.const 10))))))
  (func $text (param $at i32) (param $length i32)
    (if (global.get $quiet) (then (return)))
    (call $byte (i32.const 34)) (call $bytes (local.get $at) (local.get $length))
    (call $byte (i32.const 34)) (call $byte (i32.const 44)))
  (func $telling_number (param $n i64)
    (if (global.get $quiet) (then (return)))
    (call $byte (i32.const 34)) (call $number (local.get $n))
    (call $byte (i32.const 34)) (call $byte (i32.const 44)))
  (func $error (param $code i32)
    (if (global.get $quiet) (then (return)))
    (call $byte (i32.const 34)) (call $byte (i32.const 101))
    (call $number (i64.extend_i32_u (local.get $code)))
    (call $byte (i32.const 34)) (call $byte (i32.const 44)))
  (func $done (param $code_at i32)
    (if (i32.load8_u (i32.const 1280))
      (then (call $error (i32.load8_u (local.get $code_at))))
      (else (call $text (i32.const 2048) (i32.const 2)))))
  (func $slot (param $slot i32) (result i32)
    (i32.load (i32.add (i32.const 1536) (i32.shl (local.get $slot) (i32.const 2)))))
  (func $keep (param $slot i32) (param $handle i32)
    (i32.store (i32.add (i32.const 1536) (i32.shl (local.get $slot) (i32.const 2))) (local.get $handle)))
  (func $begin
    (drop (memory.grow (i32.const 64)))
    (call $bytes (i32.const 2050) (i32.const 9)))
  (func $answer (result i32)
    (global.set $end (i32.sub (global.get $end) (i32.const 1)))
    (call $byte (i32.const 93)) (call $byte (i32.const 125))
    (call $ok (i32.const 131072) (i32.sub (global.get $end) (i32.const 131072))))"#;

/// An agent that does these steps.
#[must_use]
pub fn files(steps: &[Step]) -> Vec<u8> {
    let mut script = Script { constants: data(2048, "ok{\"told\":["), end: 2_100, labels: 0 };
    let body: String = steps.iter().map(|step| script.step(step)).collect();
    let items = format!("{TELLING}\n{}", script.constants);
    let body = format!(
        "(call $begin)
         (call $dirs (i32.const 1280))
         (local.set $j (i32.load (i32.const 1284)))
         (i32.store (i32.const 1400) (local.get $j))
         (i32.store (i32.const 1404) (i32.load (i32.const 1280)))
         (block $none (br_if $none (i32.eqz (local.get $j)))
           (loop $on
             (call $keep (local.get $i)
               (i32.load (i32.add (i32.load (i32.const 1404)) (i32.mul (local.get $i) (i32.const 12)))))
             (local.set $i (i32.add (local.get $i) (i32.const 1)))
             (br_if $on (i32.lt_u (local.get $i) (local.get $j)))))
         {body}
         (call $answer)"
    );
    agent(FILES, &items, &body)
}

struct Script {
    constants: String,
    end: usize,
    labels: u32,
}

impl Script {
    /// The text as an address and a length.
    fn text(&mut self, text: &str) -> String {
        let at = self.end;
        self.constants.push_str(&data(at, text));
        self.end += text.len().max(1);
        assert!(self.end < 8_192, "the texts of the steps are too long");
        format!("(i32.const {at}) (i32.const {})", text.len())
    }

    fn step(&mut self, step: &Step) -> String {
        const DONE: &str = "(call $done (i32.const 1281))";
        let fd = |slot: &u32| format!("(call $slot (i32.const {slot}))");
        match step {
            Step::Directories => {
                "(call $telling_number (i64.extend_i32_u (i32.load (i32.const 1400))))".to_owned()
            }
            Step::Name(slot) => format!(
                "(call $text (i32.load (i32.add (i32.load (i32.const 1404)) (i32.const {})))
                   (i32.load (i32.add (i32.load (i32.const 1404)) (i32.const {}))))",
                slot * 12 + 4,
                slot * 12 + 8
            ),
            Step::Open { at, path, follow, how, flags, to } => {
                let path = self.text(path);
                format!(
                    "(call $open {} (i32.const {}) {path} (i32.const {how}) (i32.const {flags}) (i32.const 1280))
                     (call $done (i32.const 1284))
                     (if (i32.eqz (i32.load8_u (i32.const 1280)))
                       (then (call $keep (i32.const {to}) (i32.load (i32.const 1284)))))",
                    fd(at),
                    u32::from(*follow)
                )
            }
            Step::Close(slot) => format!("(call $close {})", fd(slot)),
            Step::Write { to, bytes, offset } => format!(
                "(call $write {} (i32.const 262144) (i32.const {bytes}) (i64.const {offset}) (i32.const 1280))
                 (call $done (i32.const 1288))",
                fd(to)
            ),
            Step::WriteText { to, text, offset } => {
                let text = self.text(text);
                format!(
                    "(call $write {} {text} (i64.const {offset}) (i32.const 1280)) (call $done (i32.const 1288))",
                    fd(to)
                )
            }
            Step::Stream { to, bytes, offset } => {
                let open = match offset {
                    Some(offset) => {
                        format!("(call $writer {} (i64.const {offset}) (i32.const 1280))", fd(to))
                    }
                    None => format!("(call $appender {} (i32.const 1280))", fd(to)),
                };
                format!(
                    "{open}
                     (if (i32.load8_u (i32.const 1280)) (then (call $error (i32.load8_u (i32.const 1284)))) (else
                       (local.set $j (i32.load (i32.const 1284)))
                       (call $flush (local.get $j) (i32.const 262144) (i32.const {bytes}) (i32.const 1280))
                       (call $done (i32.const 1284))
                       (call $end_writer (local.get $j))))"
                )
            }
            Step::KeepStream(to) => {
                format!("(call $writer {} (i64.const 0) (i32.const 1280)) (call $done (i32.const 1284))", fd(to))
            }
            Step::Read { from, offset } => format!(
                "(call $read {} (i64.const 4096) (i64.const {offset}) (i32.const 1280))
                 (if (i32.load8_u (i32.const 1280)) (then (call $error (i32.load8_u (i32.const 1284))))
                   (else (call $text (i32.load (i32.const 1284)) (i32.load (i32.const 1288)))))",
                fd(from)
            ),
            Step::ReadStream { from, offset } => format!(
                "(call $reader {} (i64.const {offset}) (i32.const 1280))
                 (if (i32.load8_u (i32.const 1280)) (then (call $error (i32.load8_u (i32.const 1284)))) (else
                   (local.set $j (i32.load (i32.const 1284)))
                   (call $blocking_read (local.get $j) (i64.const 4096) (i32.const 1280))
                   (if (i32.load8_u (i32.const 1280)) (then (call $error (i32.const 99)))
                     (else (call $text (i32.load (i32.const 1284)) (i32.load (i32.const 1288)))))
                   (call $end_reader (local.get $j))))",
                fd(from)
            ),
            Step::SetSize { of, size } => {
                format!("(call $set_size {} (i64.const {size}) (i32.const 1280)) {DONE}", fd(of))
            }
            Step::Mkdir { at, path } => self.at("mkdir", *at, path),
            Step::Rmdir { at, path } => self.at("rmdir", *at, path),
            Step::Unlink { at, path } => self.at("unlink", *at, path),
            Step::Rename { at, path, to, new } => {
                let (path, new) = (self.text(path), self.text(new));
                format!("(call $rename {} {path} {} {new} (i32.const 1280)) {DONE}", fd(at), fd(to))
            }
            Step::Link { at, path, to, new } => {
                let (path, new) = (self.text(path), self.text(new));
                format!("(call $link {} (i32.const 0) {path} {} {new} (i32.const 1280)) {DONE}", fd(at), fd(to))
            }
            Step::Symlink { at, target, path } => {
                let (target, path) = (self.text(target), self.text(path));
                format!("(call $symlink {} {target} {path} (i32.const 1280)) {DONE}", fd(at))
            }
            Step::Readlink { at, path } => {
                let path = self.text(path);
                format!(
                    "(call $readlink {} {path} (i32.const 1280))
                     (if (i32.load8_u (i32.const 1280)) (then (call $error (i32.load8_u (i32.const 1284))))
                       (else (call $text (i32.load (i32.const 1284)) (i32.load (i32.const 1288)))))",
                    fd(at)
                )
            }
            Step::Touch { at, path } => {
                let path = self.text(path);
                let now = "(i32.const 1) (i64.const 0) (i32.const 0)";
                format!("(call $touch {} (i32.const 1) {path} {now} {now} (i32.const 1280)) {DONE}", fd(at))
            }
            Step::Stat { at, path } => {
                let path = self.text(path);
                format!(
                    "(call $stat {} (i32.const 1) {path} (i32.const 1280))
                     (if (i32.load8_u (i32.const 1280)) (then (call $error (i32.load8_u (i32.const 1288)))) (else
                       (call $byte (i32.const 34)) (call $number (i64.load (i32.const 1304)))
                       (call $byte (i32.const 32))
                       (call $number (i64.load8_u (i32.const 1312))) (call $number (i64.load8_u (i32.const 1336)))
                       (call $number (i64.load8_u (i32.const 1360)))
                       (call $byte (i32.const 34)) (call $byte (i32.const 44))))",
                    fd(at)
                )
            }
            Step::List(slot) => format!(
                "(call $list {} (i32.const 1280)) (call $done (i32.const 1284))
                 (if (i32.eqz (i32.load8_u (i32.const 1280))) (then (call $unlist (i32.load (i32.const 1284)))))",
                fd(slot)
            ),
            Step::Repeat(times, steps) => {
                self.labels += 1;
                let label = self.labels;
                let counter = 1_700 + 4 * label;
                let mut body = String::new();
                for step in steps {
                    let _ = write!(body, "{}", self.step(step));
                }
                format!(
                    "(global.set $quiet (i32.add (global.get $quiet) (i32.const 1)))
                     (i32.store (i32.const {counter}) (i32.const {times}))
                     (loop $repeat_{label}
                       {body}
                       (i32.store (i32.const {counter}) (i32.sub (i32.load (i32.const {counter})) (i32.const 1)))
                       (br_if $repeat_{label} (i32.load (i32.const {counter}))))
                     (global.set $quiet (i32.sub (global.get $quiet) (i32.const 1)))"
                )
            }
            Step::Trap => "unreachable".to_owned(),
            Step::Sleep(ms) => format!("(call $block (call $after (i64.const {})))", ms * 1_000_000),
        }
    }

    fn at(&mut self, function: &str, slot: u32, path: &str) -> String {
        let path = self.text(path);
        format!(
            "(call ${function} (call $slot (i32.const {slot})) {path} (i32.const 1280)) (call $done (i32.const 1281))"
        )
    }
}

/// Tells its environment: names and values in turn.
#[must_use]
pub fn tells_environment() -> Vec<u8> {
    agent(
        r#"(import "wasi:cli/environment@0.2.0" "get-environment" (func $env (param i32)))"#,
        &format!("{TELLING}\n{}", data(2048, "ok{\"told\":[")),
        "(call $begin)
         (call $env (i32.const 1280))
         (local.set $j (i32.mul (i32.load (i32.const 1284)) (i32.const 2)))
         (call $telling_number (i64.extend_i32_u (i32.load (i32.const 1284))))
         (block $none (br_if $none (i32.eqz (local.get $j)))
           (loop $on
             (call $text
               (i32.load (i32.add (i32.load (i32.const 1280)) (i32.mul (local.get $i) (i32.const 8))))
               (i32.load offset=4 (i32.add (i32.load (i32.const 1280)) (i32.mul (local.get $i) (i32.const 8)))))
             (local.set $i (i32.add (local.get $i) (i32.const 1)))
             (br_if $on (i32.lt_u (local.get $i) (local.get $j)))))
         (call $answer)",
    )
}

/// Tells the clocks, sleeps for so long by a duration and then by an instant, and tells them again: monotonic, seconds
/// and nanoseconds of the wall clock, and both resolutions at the end. Nanoseconds.
#[must_use]
pub fn tells_time(sleep_ms: u64) -> Vec<u8> {
    let look = "(call $telling_number (call $now))
         (call $wall (i32.const 1280))
         (call $telling_number (i64.load (i32.const 1280)))
         (call $telling_number (i64.extend_i32_u (i32.load (i32.const 1288))))";
    let sleep = sleep_ms * 1_000_000;
    agent(
        r#"(import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))
           (import "wasi:clocks/monotonic-clock@0.2.0" "resolution" (func $step (result i64)))
           (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $after (param i64) (result i32)))
           (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-instant" (func $at (param i64) (result i32)))
           (import "wasi:clocks/wall-clock@0.2.0" "now" (func $wall (param i32)))
           (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#,
        &format!("{TELLING}\n{}", data(2048, "ok{\"told\":[")),
        &format!(
            "(call $begin)
             {look}
             (call $block (call $after (i64.const {sleep})))
             {look}
             (call $block (call $at (i64.add (call $now) (i64.const {sleep}))))
             {look}
             (call $telling_number (call $step))
             (call $answer)"
        ),
    )
}

/// Tells random numbers of each kind: two of `random`, two bytes of it, two of `insecure`, and the seed.
#[must_use]
pub fn tells_random() -> Vec<u8> {
    agent(
        r#"(import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))
           (import "wasi:random/random@0.2.0" "get-random-bytes" (func $random_bytes (param i64 i32)))
           (import "wasi:random/insecure@0.2.0" "get-insecure-random-u64" (func $insecure (result i64)))
           (import "wasi:random/insecure-seed@0.2.0" "insecure-seed" (func $seed (param i32)))"#,
        &format!("{TELLING}\n{}", data(2048, "ok{\"told\":[")),
        "(call $begin)
         (call $telling_number (call $random))
         (call $telling_number (call $random))
         (call $random_bytes (i64.const 8) (i32.const 1280))
         (call $telling_number (i64.load (i32.load (i32.const 1280))))
         (call $telling_number (call $insecure))
         (call $telling_number (call $insecure))
         (call $seed (i32.const 1280))
         (call $telling_number (i64.load (i32.const 1280)))
         (call $answer)",
    )
}
