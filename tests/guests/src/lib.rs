//! Makes agents for tests: small components, well-behaved and hostile, written as core WebAssembly text and wrapped
//! by the same encoder that real toolchains use. No build tools, no files.
//!
//! Only for tests: everything here panics when a guest is written wrongly.

#![allow(clippy::panic, clippy::unwrap_used, reason = "used by tests only")]

mod foreign;
mod hostile;
mod ordinary;
pub mod powers;

pub use foreign::*;
pub use hostile::*;
pub use ordinary::*;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The interfaces as the repository has them.
pub const AGENT_WIT: &str = include_str!("../../../wit/agent.wit");

/// The parts of WASI that guests of the tests import.
const WASI_IO: &str = "package wasi:io@0.2.0;
interface error { resource error; }
interface poll {
  resource pollable { block: func(); }
  poll: func(in: list<borrow<pollable>>) -> list<u32>;
}
interface streams {
  use error.{error};
  variant stream-error { last-operation-failed(error), closed }
  resource input-stream { blocking-read: func(len: u64) -> result<list<u8>, stream-error>; }
  resource output-stream {
    blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
    write-zeroes: func(len: u64) -> result<_, stream-error>;
  }
}";
const WASI_CLOCKS: &str = "package wasi:clocks@0.2.0;
interface monotonic-clock {
  use wasi:io/poll@0.2.0.{pollable};
  type instant = u64;
  type duration = u64;
  now: func() -> instant;
  resolution: func() -> duration;
  subscribe-instant: func(when: instant) -> pollable;
  subscribe-duration: func(when: duration) -> pollable;
}
interface wall-clock {
  record datetime { seconds: u64, nanoseconds: u32 }
  now: func() -> datetime;
}";
const WASI_RANDOM: &str = "package wasi:random@0.2.0;
interface random { get-random-bytes: func(len: u64) -> list<u8>; get-random-u64: func() -> u64; }
interface insecure { get-insecure-random-u64: func() -> u64; }
interface insecure-seed { insecure-seed: func() -> tuple<u64, u64>; }";
const WASI_CLI: &str = "package wasi:cli@0.2.0;
interface stderr { use wasi:io/streams@0.2.0.{output-stream}; get-stderr: func() -> output-stream; }
interface stdout { use wasi:io/streams@0.2.0.{output-stream}; get-stdout: func() -> output-stream; }
interface exit { exit: func(status: result); }
interface environment { get-environment: func() -> list<tuple<string, string>>; }";
const WASI_FILESYSTEM: &str = "package wasi:filesystem@0.2.0;
interface types {
  use wasi:io/streams@0.2.0.{input-stream, output-stream};
  use wasi:clocks/wall-clock@0.2.0.{datetime};
  type filesize = u64;
  enum descriptor-type {
    unknown, block-device, character-device, directory, fifo, symbolic-link, regular-file, socket
  }
  flags descriptor-flags {
    read, write, file-integrity-sync, data-integrity-sync, requested-write-sync, mutate-directory
  }
  flags path-flags { symlink-follow }
  flags open-flags { create, directory, exclusive, truncate }
  type link-count = u64;
  record descriptor-stat {
    %type: descriptor-type, link-count: link-count, size: filesize, data-access-timestamp: option<datetime>,
    data-modification-timestamp: option<datetime>, status-change-timestamp: option<datetime>
  }
  variant new-timestamp { no-change, now, timestamp(datetime) }
  enum error-code {
    access, would-block, already, bad-descriptor, busy, deadlock, quota, exist, file-too-large,
    illegal-byte-sequence, in-progress, interrupted, invalid, io, is-directory, loop, too-many-links, message-size,
    name-too-long, no-device, no-entry, no-lock, insufficient-memory, insufficient-space, not-directory, not-empty,
    not-recoverable, unsupported, no-tty, no-such-device, overflow, not-permitted, pipe, read-only, invalid-seek,
    text-file-busy, cross-device
  }
  resource descriptor {
    read-via-stream: func(offset: filesize) -> result<input-stream, error-code>;
    write-via-stream: func(offset: filesize) -> result<output-stream, error-code>;
    append-via-stream: func() -> result<output-stream, error-code>;
    set-size: func(size: filesize) -> result<_, error-code>;
    read: func(length: filesize, offset: filesize) -> result<tuple<list<u8>, bool>, error-code>;
    write: func(buffer: list<u8>, offset: filesize) -> result<filesize, error-code>;
    read-directory: func() -> result<directory-entry-stream, error-code>;
    create-directory-at: func(path: string) -> result<_, error-code>;
    stat-at: func(path-flags: path-flags, path: string) -> result<descriptor-stat, error-code>;
    set-times-at: func(path-flags: path-flags, path: string, data-access-timestamp: new-timestamp,
      data-modification-timestamp: new-timestamp) -> result<_, error-code>;
    link-at: func(old-path-flags: path-flags, old-path: string, new-descriptor: borrow<descriptor>, new-path: string)
      -> result<_, error-code>;
    open-at: func(path-flags: path-flags, path: string, open-flags: open-flags, %flags: descriptor-flags)
      -> result<descriptor, error-code>;
    readlink-at: func(path: string) -> result<string, error-code>;
    remove-directory-at: func(path: string) -> result<_, error-code>;
    rename-at: func(old-path: string, new-descriptor: borrow<descriptor>, new-path: string) -> result<_, error-code>;
    symlink-at: func(old-path: string, new-path: string) -> result<_, error-code>;
    unlink-file-at: func(path: string) -> result<_, error-code>;
  }
  resource directory-entry-stream;
}
interface preopens {
  use types.{descriptor};
  get-directories: func() -> list<tuple<descriptor, string>>;
}";
const WASI_SOCKETS: &str = "package wasi:sockets@0.2.0;
interface network {
  enum error-code {
    unknown, access-denied, not-supported, invalid-argument, out-of-memory, timeout, concurrency-conflict,
    not-in-progress, would-block, invalid-state, new-socket-limit, address-not-bindable, address-in-use,
    remote-unreachable, connection-refused, connection-reset, connection-aborted, datagram-too-large,
    name-unresolvable, temporary-resolver-failure, permanent-resolver-failure
  }
  enum ip-address-family { ipv4, ipv6 }
  resource network;
}
interface tcp { resource tcp-socket; }
interface tcp-create-socket {
  use network.{error-code, ip-address-family};
  use tcp.{tcp-socket};
  create-tcp-socket: func(address-family: ip-address-family) -> result<tcp-socket, error-code>;
}";
/// What no host offers.
const WASI_HTTP: &str = "package wasi:http@0.2.0;
interface outgoing-handler { handle: func(); }";
/// What no host offers.
const POWER: &str = "package test:power@1.0.0;
interface teleport { go: func(); }
interface levitate { up: func(); }";
/// All of these, each after what it uses.
const PARTS: &[&str] =
    &[WASI_IO, WASI_CLOCKS, WASI_RANDOM, WASI_CLI, WASI_FILESYSTEM, WASI_SOCKETS, WASI_HTTP, POWER];

/// A component made of a core module. It imports of the agent's interfaces, of a little of WASI 0.2.0 and of the
/// made-up `test:power@1.0.0` exactly what the module imports, under the names of the canonical ABI.
#[must_use]
pub fn component(core: &str) -> Vec<u8> {
    component_of(core, AGENT_WIT)
}

/// As [`component`], for another text of the agent's interfaces.
#[must_use]
pub fn component_of(core: &str, agent_wit: &str) -> Vec<u8> {
    let version = agent_wit
        .lines()
        .find_map(|line| line.strip_prefix("package bandstand:agent@")?.strip_suffix(';'))
        .expect("the WIT names its package");
    let world = format!(
        "package test:guest;
world guest {{
  include bandstand:agent/agent@{version};
  import wasi:io/poll@0.2.0;
  import wasi:clocks/monotonic-clock@0.2.0;
  import wasi:clocks/wall-clock@0.2.0;
  import wasi:random/random@0.2.0;
  import wasi:random/insecure@0.2.0;
  import wasi:random/insecure-seed@0.2.0;
  import wasi:sockets/tcp-create-socket@0.2.0;
  import wasi:http/outgoing-handler@0.2.0;
  import wasi:cli/stderr@0.2.0;
  import wasi:cli/stdout@0.2.0;
  import wasi:cli/exit@0.2.0;
  import wasi:cli/environment@0.2.0;
  import wasi:filesystem/preopens@0.2.0;
  import wasi:filesystem/types@0.2.0;
  import test:power/teleport@1.0.0;
  import test:power/levitate@1.0.0;
}}"
    );
    let mut resolve = Resolve::default();
    for text in PARTS.iter().copied().chain([agent_wit]) {
        resolve.push_str("part.wit", text).expect("the parts of the world are valid WIT");
    }
    let package = resolve.push_str("world.wit", &world).expect("the world is valid WIT");
    let world = resolve.select_world(&[package], None).expect("there is one world");
    let mut module = core_module(core);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .expect("the world fits a module");
    ComponentEncoder::default()
        .module(&module)
        .and_then(|mut encoder| encoder.encode())
        .unwrap_or_else(|error| panic!("the guest does not fit the world: {error:#}\n{core}"))
}

/// A core module's bytes.
#[must_use]
pub fn core_module(core: &str) -> Vec<u8> {
    wat::parse_str(core).unwrap_or_else(|error| panic!("the guest is not valid: {error}\n{core}"))
}

/// An agent whose `run` is `body`; `imports` and `items` go before and after the functions it may use:
///
/// - `$call`: address of the call; `$input_ptr`, `$input_len`: its input;
/// - `$ok` (address, length -> result): a reply with this output;
/// - `$err` (0 recoverable or 1 permanent, code, its length, message, its length -> result): a failure;
/// - `$alloc` (bytes -> address).
///
/// Constants belong between the addresses 2048 and 8192; the result lies at 1024 and may be changed after `$ok`.
#[must_use]
pub fn agent(imports: &str, items: &str, body: &str) -> Vec<u8> {
    component(&agent_core(imports, items, body))
}

/// The core module of [`agent`].
#[must_use]
pub fn agent_core(imports: &str, items: &str, body: &str) -> String {
    agent_module(&format!(
        "{imports}
         {items}
         (func $run (param $call i32) (result i32)
           (local $input_ptr i32) (local $input_len i32) (local $i i32) (local $j i32)
           (local.set $input_ptr (i32.load offset=84 (local.get $call)))
           (local.set $input_len (i32.load offset=88 (local.get $call)))
           {body})"
    ))
}

/// The core module of an agent whose text is written out, from its imports to a function `$run` that takes the address
/// of the call and gives that of the result. Added are its memory, the functions of [`agent`], the export of `$run`, and
/// `cabi_realloc`, unless it has one of its own.
#[must_use]
pub fn agent_module(text: &str) -> String {
    let realloc = if text.contains("\"cabi_realloc\"") { "" } else { REALLOC };
    format!("(module\n{text}\n{MEMORY}\n{realloc}\n(export \"bandstand:agent/node@0.1.0#run\" (func $run)))")
}

const MEMORY: &str = r#"
  (memory (export "memory") 2)
  (global $heap (mut i32) (i32.const 8192))
  (func $alloc (param $bytes i32) (result i32)
    (local $address i32)
    (local.set $address (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (global.set $heap (i32.add (local.get $address) (local.get $bytes)))
    (block $fits
      (br_if $fits (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
      (br_if $fits (i32.ne (i32.const -1) (memory.grow (i32.add (i32.const 1)
        (i32.shr_u (i32.sub (global.get $heap) (i32.mul (memory.size) (i32.const 65536))) (i32.const 16))))))
      unreachable)
    (local.get $address))
  (func $ok (param $output i32) (param $bytes i32) (result i32)
    (i32.store8 (i32.const 1024) (i32.const 0))
    (i32.store (i32.const 1032) (local.get $output))
    (i32.store (i32.const 1036) (local.get $bytes))
    (i32.const 1024))
  (func $err (param $kind i32) (param $code i32) (param $code_bytes i32) (param $message i32)
    (param $message_bytes i32) (result i32)
    (i32.store8 (i32.const 1024) (i32.const 1))
    (i32.store8 (i32.const 1032) (local.get $kind))
    (i32.store (i32.const 1036) (local.get $code))
    (i32.store (i32.const 1040) (local.get $code_bytes))
    (i32.store (i32.const 1044) (local.get $message))
    (i32.store (i32.const 1048) (local.get $message_bytes))
    (i32.const 1024))"#;

const REALLOC: &str = r#"
  (func (export "cabi_realloc") (param $old i32) (param $old_bytes i32) (param $align i32) (param $bytes i32)
    (result i32)
    (local $new i32)
    (local.set $new (call $alloc (local.get $bytes)))
    (memory.copy (local.get $new) (local.get $old) (local.get $old_bytes))
    (local.get $new))"#;

/// A text as a constant of a core module.
#[must_use]
pub fn data(address: usize, text: &str) -> String {
    use std::fmt::Write;
    let mut bytes = String::new();
    for byte in text.bytes() {
        write!(bytes, "\\{byte:02x}").expect("a String takes everything");
    }
    format!("(data (i32.const {address}) \"{bytes}\")")
}
