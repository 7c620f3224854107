//! Types in the words of WIT, for people.

use crate::{Function, Kind, Type};
use std::collections::BTreeMap;
use std::fmt::{self, Write};

impl fmt::Display for Type {
    /// Its name, or what it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => self.kind.fmt(f),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Bool => f.write_str("bool"),
            Kind::Integer(integer) => f.write_str(integer.name()),
            Kind::F32 => f.write_str("f32"),
            Kind::F64 => f.write_str("f64"),
            Kind::Char => f.write_str("char"),
            Kind::String => f.write_str("string"),
            Kind::List(item) => write!(f, "list<{item}>"),
            Kind::Tuple(parts) => {
                f.write_str("tuple<")?;
                each(f, parts, |f, part| write!(f, "{part}"))?;
                f.write_char('>')
            }
            Kind::Record(fields) => {
                f.write_str("record { ")?;
                each(f, fields, |f, (name, ty)| write!(f, "{name}: {ty}"))?;
                f.write_str(" }")
            }
            Kind::Variant(cases) => {
                f.write_str("variant { ")?;
                each(f, cases, |f, (name, ty)| match ty {
                    Some(ty) => write!(f, "{name}({ty})"),
                    None => f.write_str(name),
                })?;
                f.write_str(" }")
            }
            Kind::Enum(names) => words(f, "enum", names),
            Kind::Flags(names) => words(f, "flags", names),
            Kind::Option(some) => write!(f, "option<{some}>"),
            Kind::Result { ok: None, err: None } => f.write_str("result"),
            Kind::Result { ok: Some(ok), err: None } => write!(f, "result<{ok}>"),
            Kind::Result { ok: None, err: Some(err) } => write!(f, "result<_, {err}>"),
            Kind::Result { ok: Some(ok), err: Some(err) } => write!(f, "result<{ok}, {err}>"),
            Kind::Opaque(what) => f.write_str(what),
        }
    }
}

fn words(f: &mut fmt::Formatter<'_>, what: &str, names: &[String]) -> fmt::Result {
    write!(f, "{what} {{ {} }}", names.join(", "))
}

fn each<T>(
    f: &mut fmt::Formatter<'_>,
    items: &[T],
    mut write: impl FnMut(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write(f, item)?;
    }
    Ok(())
}

impl Function {
    /// `func(who: person, times: u32) -> result<list<string>, problem>`.
    #[must_use]
    pub fn signature(&self) -> String {
        let params: Vec<String> =
            self.params.iter().map(|param| format!("{}: {}", param.name, param.ty)).collect();
        let result = self.result.as_ref().map(|result| format!(" -> {result}")).unwrap_or_default();
        format!("func({}){result}", params.join(", "))
    }

    /// The named types in its signature and those inside them, by name: `record person { name: string, age: u8 }`.
    #[must_use]
    pub fn definitions(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let types = self.params.iter().map(|param| &param.ty).chain(&self.result);
        types.for_each(|ty| define(ty, &mut found));
        found
    }
}

fn define(ty: &Type, found: &mut BTreeMap<String, String>) {
    if let Some(name) = &ty.name
        && !found.contains_key(&**name)
    {
        let whole = ty.kind.to_string();
        let text = match (&ty.kind, whole.split_once(' ')) {
            (Kind::Record(_) | Kind::Variant(_) | Kind::Enum(_) | Kind::Flags(_), Some((what, body))) => {
                format!("{what} {name} {body}")
            }
            (Kind::Opaque(_), _) => return,
            _ => format!("type {name} = {whole}"),
        };
        found.insert(name.to_string(), text);
    }
    ty.parts().for_each(|part| define(part, found));
}
