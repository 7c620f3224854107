//! Components that know nothing of agents: interfaces of their own, with functions of all sorts of types.

use crate::{MEMORY, REALLOC, core_module};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A component of the one world in `wit`, with the functions in `text` under the names of the canonical ABI. Memory,
/// `$alloc` and `cabi_realloc` are added.
#[must_use]
pub fn foreign(wit: &str, text: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package =
        resolve.push_str("foreign.wit", wit).unwrap_or_else(|error| panic!("no WIT: {error:#}\n{wit}"));
    let world = resolve.select_world(&[package], None).expect("there is one world");
    let mut module = core_module(&format!("(module\n{text}\n{MEMORY}\n{REALLOC}\n)"));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .expect("the world fits a module");
    ComponentEncoder::default()
        .module(&module)
        .and_then(|mut encoder| encoder.encode())
        .unwrap_or_else(|error| panic!("the guest does not fit its world: {error:#}\n{text}"))
}

/// A component with the function `test:same/it@1.0.0#same: func(all: list<TYPE>) -> list<TYPE>`, which gives what it takes:
/// values of any type go through the memory of a guest that way. `definitions` are of WIT, before the function.
#[must_use]
pub fn gives_back(definitions: &str, of: &str) -> Vec<u8> {
    let wit = format!(
        "package test:same@1.0.0;
        interface it {{ {definitions} same: func(all: list<{of}>) -> list<{of}>; }}
        world same {{ export it; }}"
    );
    foreign(
        &wit,
        "(func (export \"test:same/it@1.0.0#same\") (param $all i32) (param $count i32) (result i32)
           (i32.store (i32.const 1024) (local.get $all))
           (i32.store (i32.const 1028) (local.get $count))
           (i32.const 1024))",
    )
}

/// The interfaces of [`people`].
pub const PEOPLE_WIT: &str = "package test:people@1.2.0;
interface registry {
  enum mood { calm, cross }
  flags rights { read, write, grant }
  variant contact { none, mail(string), phone(u64) }
  record person {
    full-name: string, age: u8, nick: option<string>, mood: mood, rights: rights, contact: contact, scores: list<f64>,
  }
  variant problem { unknown, code(u32) }
  resource desk { constructor(size: u32); size: func() -> u32; }
  all: func(people: list<person>) -> list<person>;
  first: func(people: list<person>) -> person;
  check: func(code: u32) -> result<_, problem>;
  half: func(of: s32) -> result<s32, string>;
  ratio: func(a: f64, b: f64) -> f64;
  wide: func(number: u64) -> u64;
  count: func(words: list<string>, more: option<u32>) -> u32;
  nothing: func();
  crash: func();
  spin: func();
  open: func() -> desk;
}
world people {
  export registry;
  export add: func(x: u32, y: u32) -> u32;
}";

/// A component of [`PEOPLE_WIT`].
#[must_use]
pub fn people() -> Vec<u8> {
    let text = r#"
      (import "[export]test:people/registry@1.2.0" "[resource-new]desk" (func $new (param i32) (result i32)))
      (data (i32.const 2048) "odd")
      (func (export "test:people/registry@1.2.0#all") (param $all i32) (param $count i32) (result i32)
        (i32.store (i32.const 1024) (local.get $all))
        (i32.store (i32.const 1028) (local.get $count))
        (i32.const 1024))
      (func (export "test:people/registry@1.2.0#first") (param $all i32) (param i32) (result i32) (local.get $all))
      (func (export "test:people/registry@1.2.0#check") (param $code i32) (result i32)
        (i32.store8 (i32.const 1024) (i32.ne (local.get $code) (i32.const 0)))
        (i32.store8 (i32.const 1028) (i32.gt_u (local.get $code) (i32.const 1)))
        (i32.store (i32.const 1032) (local.get $code))
        (i32.const 1024))
      (func (export "test:people/registry@1.2.0#half") (param $of i32) (result i32)
        (i32.store8 (i32.const 1024) (i32.and (local.get $of) (i32.const 1)))
        (if (i32.and (local.get $of) (i32.const 1))
          (then (i32.store (i32.const 1028) (i32.const 2048)) (i32.store (i32.const 1032) (i32.const 3)))
          (else (i32.store (i32.const 1028) (i32.div_s (local.get $of) (i32.const 2)))))
        (i32.const 1024))
      (func (export "test:people/registry@1.2.0#ratio") (param f64 f64) (result f64)
        (f64.div (local.get 0) (local.get 1)))
      (func (export "test:people/registry@1.2.0#wide") (param i64) (result i64) (local.get 0))
      (func (export "test:people/registry@1.2.0#count") (param $words i32) (param $count i32) (param $has i32)
        (param $more i32) (result i32)
        (i32.add (local.get $count) (select (local.get $more) (i32.const 0) (local.get $has))))
      (func (export "test:people/registry@1.2.0#nothing"))
      (func (export "test:people/registry@1.2.0#crash") unreachable)
      (func (export "test:people/registry@1.2.0#spin") (loop $on (br $on)))
      (func (export "test:people/registry@1.2.0#open") (result i32) (call $new (i32.const 1)))
      (func (export "test:people/registry@1.2.0#[constructor]desk") (param i32) (result i32) (call $new (local.get 0)))
      (func (export "test:people/registry@1.2.0#[method]desk.size") (param i32) (result i32) (local.get 0))
      (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))"#;
    foreign(PEOPLE_WIT, text)
}

/// A component that imports an interface of types alone, and one of functions if `with_functions`.
#[must_use]
pub fn imports_types(with_functions: bool) -> Vec<u8> {
    let (import, call) = if with_functions {
        ("import helper;", r#"(import "test:typed/helper@1.0.0" "help" (func $help))"#)
    } else {
        ("", "(func $help)")
    };
    let wit = format!(
        "package test:typed@1.0.0;
        interface types {{ record point {{ x: s32, y: s32 }} }}
        interface helper {{ help: func(); }}
        interface shapes {{ use types.{{point}}; length: func(of: point) -> s32; }}
        world typed {{ {import} export shapes; }}"
    );
    let text = format!(
        "{call}
        (func (export \"test:typed/shapes@1.0.0#length\") (param i32 i32) (result i32)
          (call $help) (i32.add (local.get 0) (local.get 1)))"
    );
    foreign(&wit, &text)
}
