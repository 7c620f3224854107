//! Components that are too large or too odd for text: an ordinary agent with sections appended to it. Written by hand,
//! as the encoders refuse some of it.

use bandstand_test_guests as guests;
use wasmparser::{Parser, Payload};

/// Header of a component.
const HEADER: [u8; 8] = [0, b'a', b's', b'm', 0x0d, 0, 1, 0];
const CORE_MODULE: u8 = 1;
const CORE_INSTANCE: u8 = 2;
const COMPONENT: u8 = 4;
const TYPE: u8 = 7;
const IMPORT: u8 = 10;

/// An agent with a core module of this text, made an instance so many times.
#[must_use]
pub fn with_instances(module: &str, instances: u32) -> Vec<u8> {
    add_instances(guests::echo(), module, instances)
}

/// The same of any agent.
#[must_use]
pub fn add_instances(mut bytes: Vec<u8>, module: &str, instances: u32) -> Vec<u8> {
    let index = core_modules(&bytes);
    section(&mut bytes, CORE_MODULE, &wat::parse_str(module).unwrap());
    // Each: instantiate (0) this module with nothing (0).
    let mut each = vec![0];
    number(&mut each, index);
    each.push(0);
    section(&mut bytes, CORE_INSTANCE, &vector(instances, |_| each.clone()));
    bytes
}

/// An agent with a core module of this text that nobody uses; it is compiled all the same.
#[must_use]
pub fn with_module(module: &str) -> Vec<u8> {
    let mut bytes = guests::echo();
    section(&mut bytes, CORE_MODULE, &wat::parse_str(module).unwrap());
    bytes
}

/// An agent with so many types, each a record of ten numbers.
#[must_use]
pub fn with_types(types: u32) -> Vec<u8> {
    let mut bytes = guests::echo();
    let record = |_| {
        let mut record = vec![0x72, 10];
        for field in 0..10 {
            record.extend([2, b'a', b'0' + field, 0x77]);
        }
        record
    };
    section(&mut bytes, TYPE, &vector(types, record));
    bytes
}

/// An agent beside a component, never made an instance, with a list of a list of a list, so deep.
#[must_use]
pub fn with_deep_type(depth: u32) -> Vec<u8> {
    let list = |index: u32| {
        let mut list = vec![0x70];
        if index == 0 {
            list.push(0x7d)
        } else {
            signed(&mut list, index - 1)
        }
        list
    };
    let mut inner = HEADER.to_vec();
    section(&mut inner, TYPE, &vector(depth, list));
    let mut bytes = guests::echo();
    section(&mut bytes, COMPONENT, &inner);
    bytes
}

/// No agent: a function `f` that gives a pair of pairs of pairs, so often, which a few bytes say.
#[must_use]
pub fn with_doubled_type(times: u32) -> Vec<u8> {
    use std::fmt::Write;
    let mut types = String::from("(type $t0 (tuple u8 u8))");
    for index in 1..=times {
        write!(types, "(type $t{index} (tuple $t{0} $t{0}))", index - 1).expect("a String takes everything");
    }
    let text = format!(
        "(component {types}
           (core module $m (memory (export \"memory\") 1) (func (export \"f\") (param i32) (result i32) i32.const 0))
           (core instance $i (instantiate $m))
           (func (export \"f\") (param \"a\" u32) (result $t{times})
             (canon lift (core func $i \"f\") (memory (core memory $i \"memory\")))))"
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("the component is not valid: {error}"))
}

/// An agent beside a component in a component in a component, so deep.
#[must_use]
pub fn with_deep_component(depth: u32) -> Vec<u8> {
    let mut inner = HEADER.to_vec();
    for _ in 0..depth {
        let mut outer = HEADER.to_vec();
        section(&mut outer, COMPONENT, &inner);
        inner = outer;
    }
    let mut bytes = guests::echo();
    section(&mut bytes, COMPONENT, &inner);
    bytes
}

/// An agent beside so many empty components.
#[must_use]
pub fn with_components(components: u32) -> Vec<u8> {
    let mut bytes = guests::echo();
    (0..components).for_each(|_| section(&mut bytes, COMPONENT, &HEADER));
    bytes
}

/// An agent beside so many empty core modules.
#[must_use]
pub fn with_modules(modules: u32) -> Vec<u8> {
    let mut bytes = guests::echo();
    (0..modules).for_each(|_| section(&mut bytes, CORE_MODULE, &[0, b'a', b's', b'm', 1, 0, 0, 0]));
    bytes
}

/// An agent that imports so many functions under names of its own choice.
#[must_use]
pub fn with_imports(imports: u32, name: impl Fn(u32) -> String) -> Vec<u8> {
    let mut bytes = guests::echo();
    let index = component_types(&bytes);
    // A function without parameters and without a result.
    section(&mut bytes, TYPE, &[1, 0x40, 0, 1, 0]);
    let import = |number_of: u32| {
        let name = name(number_of);
        let mut import = vec![0];
        number(&mut import, u32::try_from(name.len()).unwrap());
        import.extend(name.bytes());
        import.push(1);
        number(&mut import, index);
        import
    };
    section(&mut bytes, IMPORT, &vector(imports, import));
    bytes
}

/// A module of functions that take a compiler long: each keeps many values alive across many branches.
#[must_use]
pub fn slow_module(functions: usize) -> String {
    use std::fmt::Write;
    let mut text = String::from("(module\n");
    for _ in 0..functions {
        text.push_str("(func (param i64) (result i64)");
        for local in 1..60 {
            let _ = write!(text, " (local $v{local} i64)");
        }
        for step in 0..600 {
            let (a, b, c) = (step * 7 % 59 + 1, step * 13 % 59 + 1, step * 29 % 59 + 1);
            let _ = write!(
                text,
                "\n(if (i64.gt_s (local.get $v{a}) (local.get $v{b}))
                   (then (local.set $v{c} (i64.mul (local.get $v{a}) (local.get 0))))
                   (else (local.set $v{a} (i64.add (local.get $v{c}) (local.get $v{b})))))"
            );
        }
        text.push_str("\n(local.get $v1))\n");
    }
    text.push(')');
    text
}

fn core_modules(bytes: &[u8]) -> u32 {
    payloads(bytes)
        .filter(|payload| matches!(payload, Payload::ModuleSection { .. }))
        .count()
        .try_into()
        .unwrap()
}

/// Types of the component itself: defined, and made by aliases and exports.
fn component_types(bytes: &[u8]) -> u32 {
    let mut count = 0;
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.unwrap() {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) if depth > 0 => depth -= 1,
            Payload::ComponentTypeSection(types) if depth == 0 => count += types.count(),
            Payload::ComponentAliasSection(aliases) if depth == 0 => {
                for alias in aliases {
                    let is_type = matches!(
                        alias.unwrap(),
                        wasmparser::ComponentAlias::InstanceExport {
                            kind: wasmparser::ComponentExternalKind::Type,
                            ..
                        } | wasmparser::ComponentAlias::Outer {
                            kind: wasmparser::ComponentOuterAliasKind::Type,
                            ..
                        }
                    );
                    count += u32::from(is_type);
                }
            }
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    count += u32::from(matches!(import.unwrap().ty, wasmparser::ComponentTypeRef::Type(_)));
                }
            }
            _ => {}
        }
    }
    count
}

fn payloads(bytes: &[u8]) -> impl Iterator<Item = Payload<'_>> {
    Parser::new(0).parse_all(bytes).map(|payload| payload.unwrap())
}

fn section(bytes: &mut Vec<u8>, id: u8, content: &[u8]) {
    bytes.push(id);
    number(bytes, u32::try_from(content.len()).unwrap());
    bytes.extend(content);
}

fn vector(count: u32, item: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    let mut bytes = Vec::new();
    number(&mut bytes, count);
    (0..count).for_each(|index| bytes.extend(item(index)));
    bytes
}

/// LEB128.
fn number(bytes: &mut Vec<u8>, mut value: u32) {
    while value > 0x7f {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// The same where a sign is possible: the second highest bit of the last byte is one.
fn signed(bytes: &mut Vec<u8>, mut value: u32) {
    while value > 0x3f {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}
