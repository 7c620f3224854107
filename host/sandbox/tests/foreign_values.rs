//! R8.5: values of every plain type go through a guest's memory and come back as they were; what fits a type and what is
//! taken as an argument is the same. Types and values are made up from seeds.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use bandstand_sandbox::{Class, Grants, Plugin, Sandbox, inspect};
use bandstand_signature::{Function, Kind, Sketch, Type};
use bandstand_test_guests as guests;
use serde_json::{Map, Value, json};
use support::{request, sandbox};

/// Types that are made up, and values of each.
const TYPES: u64 = 60;
const VALUES: usize = 12;
const NAME: &str = "test:same/it#same";

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, sides: usize) -> usize {
        usize::try_from(self.roll() % sides as u64).unwrap()
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let index = self.below(all.len());
        &all[index]
    }
}

/// A type in WIT; what it needs to be defined is appended.
fn made_up(dice: &mut Dice, depth: usize, definitions: &mut Vec<String>) -> String {
    const PLAIN: &[&str] =
        &["bool", "u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64", "f32", "f64", "char", "string"];
    let kinds = if depth == 0 { 1 } else { 10 };
    let part = |dice: &mut Dice, definitions: &mut Vec<String>| made_up(dice, depth - 1, definitions);
    let parts = 1 + dice.below(3);
    let define = |definitions: &mut Vec<String>, what: &str, body: &str| {
        let name = format!("t{}", definitions.len());
        definitions.push(format!("{what} {name} {{ {body} }}"));
        name
    };
    match dice.below(kinds) {
        1 => format!("list<{}>", part(dice, definitions)),
        2 => format!("option<{}>", part(dice, definitions)),
        3 => {
            let all: Vec<String> = (0..parts).map(|_| part(dice, definitions)).collect();
            format!("tuple<{}>", all.join(", "))
        }
        4 => {
            let all: Vec<String> =
                (0..parts).map(|n| format!("field-{n}: {}", part(dice, definitions))).collect();
            define(definitions, "record", &all.join(", "))
        }
        5 => {
            let all: Vec<String> = (0..=parts)
                .map(|n| {
                    if n == 0 { "none".to_owned() } else { format!("case-{n}({})", part(dice, definitions)) }
                })
                .collect();
            define(definitions, "variant", &all.join(", "))
        }
        6 => {
            let all: Vec<String> = (0..parts).map(|n| format!("word-{n}")).collect();
            define(definitions, "enum", &all.join(", "))
        }
        7 => {
            let count = *dice.pick(&[1, 8, 9, 16, 17, 32]);
            let all: Vec<String> = (0..count).map(|n| format!("flag-{n}")).collect();
            define(definitions, "flags", &all.join(", "))
        }
        8 => {
            let (ok, err) = (part(dice, definitions), part(dice, definitions));
            dice.pick(&[
                format!("result<{ok}, {err}>"),
                format!("result<{ok}>"),
                format!("result<_, {err}>"),
                "result".to_owned(),
            ])
            .clone()
        }
        _ => (*dice.pick(PLAIN)).to_owned(),
    }
}

/// A value of a type: as it is given, and as it comes back.
fn value(dice: &mut Dice, ty: &Type) -> (Value, Value) {
    let both = |value: Value| (value.clone(), value);
    match &ty.kind {
        Kind::Bool => both(json!(dice.below(2) == 1)),
        Kind::Integer(integer) => {
            let (min, max) = integer.range();
            let within = min + i128::from(dice.roll()) % (max - min + 1);
            let number = *dice.pick(&[min, max, 0, within]);
            let text = json!(number.to_string());
            let plain = match (i64::try_from(number), u64::try_from(number)) {
                (Ok(number), _) => json!(number),
                (_, Ok(number)) => json!(number),
                _ => text.clone(),
            };
            let comes = if number.abs() < 1 << 53 { plain.clone() } else { text.clone() };
            (dice.pick(&[plain, text]).clone(), comes)
        }
        Kind::F32 => {
            let number = f32::from_bits(u32::try_from(dice.roll() >> 32).unwrap());
            let number = *dice.pick(&[
                0.1,
                -0.5,
                f32::MAX,
                f32::MIN_POSITIVE,
                if number.is_finite() { number } else { 1.5 },
            ]);
            both(serde_json::from_str(&serde_json::to_string(&number).unwrap()).unwrap())
        }
        Kind::F64 => {
            let number = f64::from_bits(dice.roll());
            both(json!(*dice.pick(&[0.1, -1e300, 5e-324, if number.is_finite() { number } else { 2.5 }])))
        }
        Kind::Char => both(json!(dice.pick(&["a", "\"", "\u{e9}", "\u{1f600}", "\0"]))),
        Kind::String => both(json!(dice.pick(&["", "text", "\\\" \n \u{1f600}", "\u{202e}"]))),
        Kind::List(item) if ty.is_bytes() && dice.below(2) == 0 => {
            let text = *dice.pick(&["", "bytes"]);
            assert!(!item.is_nullable());
            (json!({ "utf8": text }), json!(text.as_bytes()))
        }
        Kind::List(item) => {
            let count = dice.below(4);
            lists((0..count).map(|_| value(dice, item)))
        }
        Kind::Tuple(parts) => lists(parts.iter().map(|part| value(dice, part))),
        Kind::Record(fields) => {
            let (mut given, mut comes) = (Map::new(), Map::new());
            for (name, ty) in fields {
                let (one, other) = value(dice, ty);
                if !one.is_null() || dice.below(2) == 0 {
                    given.insert(name.clone(), one);
                }
                comes.insert(name.clone(), other);
            }
            (given.into(), comes.into())
        }
        Kind::Variant(cases) => {
            let (name, held) = dice.pick(cases);
            case(dice, name, held.as_ref())
        }
        Kind::Result { ok, err } => match dice.below(2) {
            0 => case(dice, "ok", ok.as_deref()),
            _ => case(dice, "err", err.as_deref()),
        },
        Kind::Enum(names) => both(json!(dice.pick(names))),
        Kind::Flags(names) => {
            let set: Vec<&String> = names.iter().filter(|_| dice.below(2) == 0).collect();
            let mut given = set.clone();
            given.reverse();
            (json!(given), json!(set))
        }
        Kind::Option(_) if dice.below(3) == 0 => both(Value::Null),
        Kind::Option(some) if some.is_nullable() => case(dice, "some", Some(some)),
        Kind::Option(some) => value(dice, some),
        Kind::Opaque(what) => panic!("{what} was not asked for"),
    }
}

fn lists(items: impl Iterator<Item = (Value, Value)>) -> (Value, Value) {
    let (given, comes): (Vec<Value>, Vec<Value>) = items.unzip();
    (given.into(), comes.into())
}

fn case(dice: &mut Dice, name: &str, held: Option<&Type>) -> (Value, Value) {
    match held {
        None => (json!(name), json!(name)),
        Some(ty) => {
            let (given, comes) = value(dice, ty);
            (json!({ name: given }), json!({ name: comes }))
        }
    }
}

/// The value with something in it made wrong, or perhaps still right.
fn bent(dice: &mut Dice, value: &Value) -> Value {
    let wrong = [
        json!(null),
        json!(-1),
        json!(1.5),
        json!("none"),
        json!([]),
        json!({}),
        json!(true),
        json!({ "ok": 1 }),
    ];
    match value {
        Value::Array(items) if !items.is_empty() && dice.below(4) > 0 => {
            let mut items = items.clone();
            let at = dice.below(items.len());
            items[at] = bent(dice, &items[at]);
            items.into()
        }
        Value::Object(members) if !members.is_empty() && dice.below(4) > 0 => {
            let mut members = members.clone();
            let keys: Vec<String> = members.keys().cloned().collect();
            let key = dice.pick(&keys).clone();
            let old = members.remove(&key).unwrap();
            match dice.below(6) {
                0 => {}
                1 => drop(members.insert("other".to_owned(), old)),
                _ => drop(members.insert(key, bent(dice, &old))),
            }
            members.into()
        }
        _ => dice.pick(&wrong).clone(),
    }
}

async fn same(sandbox: &Sandbox, plugin: &Plugin, all: &Value) -> Result<Value, (Class, String)> {
    let outcome = sandbox.call(plugin, request(&json!({ "all": all }).to_string())).await;
    let reply = outcome
        .result
        .map_err(|failure| (failure.class, format!("{}: {}", failure.code, failure.message)))?;
    Ok(serde_json::from_str::<Value>(&reply.output).unwrap()["result"].clone())
}

#[tokio::test]
async fn what_goes_in_comes_out() {
    let sandbox = sandbox();
    let (mut refused, mut taken) = (0, 0);
    for seed in 0..TYPES {
        let dice = &mut Dice(seed);
        let mut definitions = Vec::new();
        let ty = made_up(dice, 4, &mut definitions);
        let component = guests::gives_back(&definitions.join(" "), &ty);
        let function: Function = inspect(&component).unwrap().functions.remove(0);
        let Kind::List(item) = &function.params[0].ty.kind else { panic!("{}", function.signature()) };
        let plugin = sandbox.load_function(&component, &Grants::default(), NAME).unwrap();
        let (given, comes): (Vec<Value>, Vec<Value>) = (0..VALUES).map(|_| value(dice, item)).unzip();
        let given = json!(given);
        let said = function.problems(&Sketch::from(&json!({ "all": given })));
        assert!(said.is_empty(), "seed {seed}, {ty}, {definitions:?}: {said:?} of {given}");
        let back = same(&sandbox, &plugin, &given).await;
        // A list of bytes may be given as text, and is a list when it comes.
        assert_eq!(back, Ok(json!(comes)), "seed {seed}, {ty}, {definitions:?}");
        assert_eq!(same(&sandbox, &plugin, &json!(comes)).await, Ok(json!(comes)), "seed {seed}, {ty}");
        for _ in 0..VALUES {
            let wrong = bent(dice, &given);
            let said = function.problems(&Sketch::from(&json!({ "all": wrong })));
            match same(&sandbox, &plugin, &wrong).await {
                Ok(_) => {
                    taken += 1;
                    assert!(said.is_empty(), "seed {seed}, {ty}: {said:?}, but {wrong} was taken");
                }
                Err((class, message)) => {
                    refused += 1;
                    assert!(message.starts_with("bad-arguments"), "seed {seed}: {class}: {message}");
                    assert!(!said.is_empty(), "seed {seed}, {ty}: {wrong} was refused: {message}");
                    assert!(message.contains(&said[0].to_string()[..10]), "{message}");
                }
            }
        }
    }
    assert!(refused > 300 && taken > 20, "{refused} refused, {taken} taken");
}
