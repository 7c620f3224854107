//! Secrets that a plugin may use and never sees: it writes `{secret:NAME}` in a header, the host puts the value there
//! on the way out, and takes it out again of what comes back.

use super::origin::{Pattern, Target, origin_problem};
use http::HeaderValue;
use std::collections::BTreeMap;

/// How a placeholder begins. It ends with `}`.
const OPENING: &str = "{secret:";
/// Shorter ones could not be told from ordinary text in an answer. Bytes.
const VALUE_BYTES_MIN: usize = 8;
/// Longer ones belong into no header. Bytes.
const VALUE_BYTES_MAX: usize = 8 << 10;

/// The value of a secret. It cannot be printed, compared or written anywhere: there is no `Debug`, `Display`,
/// `PartialEq` or `Serialize`.
pub struct SecretValue(Box<str>);

impl SecretValue {
    /// Takes a value.
    ///
    /// # Errors
    /// When it is not 8 bytes to 8 KiB of visible ASCII and spaces inside. The message does not hold it.
    pub fn new(text: String) -> Result<SecretValue, String> {
        if !(VALUE_BYTES_MIN..=VALUE_BYTES_MAX).contains(&text.len()) {
            return Err(format!(
                "it has {} bytes; a secret has {VALUE_BYTES_MIN} to {VALUE_BYTES_MAX}, since a shorter one could not \
                 be kept out of what comes back",
                text.len()
            ));
        }
        if text.trim() != text || !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err("it holds something else than visible ASCII, which no header can carry".to_owned());
        }
        Ok(SecretValue(text.into()))
    }

    /// The value, for whoever puts it into a request.
    fn reveal(&self) -> &str {
        &self.0
    }
}

/// One secret of the operator's.
pub struct Secret {
    value: Result<SecretValue, String>,
    origins: Vec<Pattern>,
    /// As the operator wrote them, for messages.
    written: Vec<String>,
}

impl Secret {
    /// A secret that may go to these origins. Without a value, the reason: requests that need it are refused with it.
    ///
    /// # Errors
    /// When an origin is none.
    pub fn new(value: Result<SecretValue, String>, origins: &[String]) -> Result<Secret, String> {
        let parsed = origins
            .iter()
            .map(|text| {
                Pattern::parse(text).ok_or_else(|| origin_problem(text).unwrap_or_else(|| text.clone()))
            })
            .collect::<Result<_, _>>()?;
        Ok(Secret { value, origins: parsed, written: origins.to_vec() })
    }
}

/// The operator's secrets, by name.
pub type Secrets = BTreeMap<String, Secret>;

/// Whether a text holds a placeholder, or something that becomes one when it is decoded.
pub(crate) fn mentions(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains(OPENING) || text.contains("%7bsecret") || text.contains("{secret%3a")
}

/// Puts values in the places of placeholders. `None`: there is none in it. `plain` says that the request goes out
/// without encryption, to another machine perhaps.
///
/// # Errors
/// What the operator is told, when a secret may not go there.
pub(crate) fn fill(
    header: &HeaderValue,
    granted: &[String],
    secrets: &Secrets,
    target: &Target,
    plain: bool,
) -> Result<Option<HeaderValue>, String> {
    // Placeholders are ASCII; a value of other bytes can still hold one.
    let mut rest = header.as_bytes();
    let mut filled: Vec<u8> = Vec::new();
    while let Some(at) = find(rest, OPENING.as_bytes()) {
        let after = &rest[at + OPENING.len()..];
        let Some(end) = after.iter().position(|byte| *byte == b'}') else {
            return Err("a header holds `{secret:` without the `}` that ends a placeholder".to_owned());
        };
        let name = String::from_utf8_lossy(&after[..end]).into_owned();
        let value = allowed(&name, granted, secrets, target, plain)?;
        filled.extend_from_slice(&rest[..at]);
        filled.extend_from_slice(value.reveal().as_bytes());
        rest = &after[end + 1..];
    }
    if filled.is_empty() && rest.len() == header.len() {
        return Ok(None);
    }
    filled.extend_from_slice(rest);
    let mut value = HeaderValue::from_bytes(&filled).map_err(|_| "a header cannot carry it".to_owned())?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn allowed<'a>(
    name: &str,
    granted: &[String],
    secrets: &'a Secrets,
    target: &Target,
    plain: bool,
) -> Result<&'a SecretValue, String> {
    let shown = crate::sanitise::sanitise(name, 100);
    if !granted.iter().any(|granted| granted == name) {
        return Err(format!(
            "the secret `{shown}` is not granted; the plugin needs `grants: {{secrets: [{shown}]}}`"
        ));
    }
    let Some(secret) = secrets.get(name) else {
        return Err(format!(
            "the host has no secret `{shown}`; define it in bandstand.toml: `[secrets.{shown}]` with `env` or `file`, \
             and `hosts`"
        ));
    };
    if !secret.origins.iter().any(|origin| origin.covers(target)) {
        return Err(format!(
            "the secret `{shown}` may go to {} only, not to {target} (`hosts` in bandstand.toml, [secrets.{shown}])",
            secret.written.join(", ")
        ));
    }
    if plain {
        return Err(format!(
            "the secret `{shown}` goes over https only, or to this machine; {target} is neither"
        ));
    }
    secret.value.as_ref().map_err(|why| format!("the secret `{shown}` has no value: {why}"))
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// The bytes of a secret, and those that stand in their place.
type Needle = (Box<[u8]>, Box<[u8]>);

/// Takes secrets out of a stream of bytes, also where one is cut by the border of two pieces. It sees the bytes as they
/// come: a secret that the other side encoded, compressed or took apart goes through.
pub(crate) struct Masker {
    /// Value and placeholder, the longest value first.
    needles: Vec<Needle>,
    /// The beginning of what may become a secret.
    held: Vec<u8>,
}

impl Masker {
    /// For the secrets that a plugin may use. `None`: it may use none.
    pub(crate) fn new(granted: &[String], secrets: &Secrets) -> Option<Masker> {
        let mut needles: Vec<Needle> = granted
            .iter()
            .filter_map(|name| {
                let value = secrets.get(name)?.value.as_ref().ok()?;
                Some((value.reveal().as_bytes().into(), format!("{OPENING}{name}}}").into_bytes().into()))
            })
            .collect();
        needles.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        (!needles.is_empty()).then_some(Masker { needles, held: Vec::new() })
    }

    /// What can go on of everything up to here.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut text = std::mem::take(&mut self.held);
        text.extend_from_slice(piece);
        let mut clean = Vec::with_capacity(text.len());
        let mut rest = text.as_slice();
        while let Some(first) = rest.first() {
            let begun = self
                .needles
                .iter()
                .any(|(value, _)| value[0] == *first && value.len() > rest.len() && value.starts_with(rest));
            if begun {
                self.held = rest.to_vec();
                break;
            }
            let found = self.needles.iter().find(|(value, _)| value[0] == *first && rest.starts_with(value));
            match found {
                Some((value, placeholder)) => {
                    clean.extend_from_slice(placeholder);
                    rest = &rest[value.len()..];
                }
                None => {
                    clean.push(*first);
                    rest = &rest[1..];
                }
            }
        }
        clean
    }

    /// What was held back and did not become a secret. Whole shorter secrets inside it are taken out, too.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let mut clean = Vec::new();
        while !self.held.is_empty() {
            // It cannot become the longer one any more, so its first byte is decided.
            let held = std::mem::take(&mut self.held);
            let found = self.needles.iter().find(|(value, _)| held.starts_with(value));
            let (head, rest) = match found {
                Some((value, placeholder)) => (placeholder.to_vec(), &held[value.len()..]),
                None => (vec![held[0]], &held[1..]),
            };
            clean.extend_from_slice(&head);
            let more = self.push(rest);
            clean.extend_from_slice(&more);
        }
        clean
    }

    /// A header's value without secrets.
    pub(crate) fn header(&self, value: &HeaderValue) -> Option<HeaderValue> {
        let mut masker = Masker { needles: self.needles.clone(), held: Vec::new() };
        let mut clean = masker.push(value.as_bytes());
        clean.extend_from_slice(&masker.finish());
        if clean == value.as_bytes() { None } else { HeaderValue::from_bytes(&clean).ok() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A secret that could be printed would be printed one day.
    const _: fn() = || {
        trait Printable<A> {
            fn it() {}
        }
        struct No;
        impl<T: ?Sized> Printable<()> for T {}
        impl<T: ?Sized + std::fmt::Debug> Printable<No> for T {}
        let _ = <SecretValue as Printable<_>>::it;
        let _ = <Secret as Printable<_>>::it;
    };
    const _: fn() = || {
        trait Printable<A> {
            fn it() {}
        }
        struct No;
        impl<T: ?Sized> Printable<()> for T {}
        impl<T: ?Sized + std::fmt::Display> Printable<No> for T {}
        let _ = <SecretValue as Printable<_>>::it;
    };

    fn secrets(list: &[(&str, &str)]) -> Secrets {
        let hosts = ["https://api.example".to_owned()];
        list.iter()
            .map(|(name, value)| {
                let value = SecretValue::new((*value).to_owned());
                ((*name).to_owned(), Secret::new(value, &hosts).unwrap_or_else(|wrong| panic!("{wrong}")))
            })
            .collect()
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_value_is_put_in_where_it_may_go_and_nowhere_else() {
        let secrets = secrets(&[("A", "value-of-a"), ("B", "value-of-b")]);
        let fill_in = |header: &str, granted: &[&str], to: &str, plain: bool| {
            let target = Target::parse(true, to).unwrap();
            fill(&HeaderValue::from_str(header).unwrap(), &names(granted), &secrets, &target, plain)
                .map(|filled| filled.map(|value| value.to_str().unwrap().to_owned()))
        };
        let to = "api.example";
        assert_eq!(fill_in("Bearer {secret:A}", &["A"], to, false), Ok(Some("Bearer value-of-a".to_owned())));
        assert_eq!(
            fill_in("{secret:A},{secret:B}", &["A", "B"], to, false),
            Ok(Some("value-of-a,value-of-b".to_owned()))
        );
        assert_eq!(fill_in("plain {braces}", &["A"], to, false), Ok(None));
        let refused = |header: &str, granted: &[&str], to: &str, plain: bool, part: &str| {
            let told = fill_in(header, granted, to, plain).unwrap_err();
            assert!(told.contains(part), "{told}");
        };
        refused("{secret:B}", &["A"], to, false, "grants: {secrets: [B]}");
        refused("{secret:A}{secret:B}", &["A"], to, false, "grants: {secrets: [B]}");
        refused("{secret:C}", &["C"], to, false, "no secret `C`");
        refused("{secret:A}", &["A"], "other.example", false, "https://api.example only");
        refused("{secret:A}", &["A"], "api.example:8443", false, "only");
        refused("{secret:A}", &["A"], to, true, "over https only");
        refused("{secret:A", &["A"], to, false, "without the `}`");
    }

    #[test]
    fn a_value_that_cannot_be_kept_out_of_answers_is_refused() {
        for wrong in ["", "short", " with-space-before", "line\nbreak-inside", "b\u{fc}cher-b\u{fc}cher"] {
            assert!(SecretValue::new(wrong.to_owned()).is_err(), "{wrong}");
        }
        assert!(SecretValue::new("long enough!".to_owned()).is_ok());
    }

    fn masked(secrets: &Secrets, granted: &[&str], pieces: &[&str]) -> String {
        let mut masker = Masker::new(&names(granted), secrets).unwrap();
        let mut all = Vec::new();
        for piece in pieces {
            all.extend(masker.push(piece.as_bytes()));
        }
        all.extend(masker.finish());
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn what_comes_back_is_masked_wherever_it_is_cut() {
        let secrets = secrets(&[("A", "aab-aab-aac"), ("LONG", "aab-aab-aac-more"), ("B", "value-of-b")]);
        let all = ["A", "LONG", "B"];
        let text = "x aab-aab-aab-aac y aab-aab-aac-more z aab-aab-aac-mor value-of-";
        let expected = "x aab-{secret:A} y {secret:LONG} z {secret:A}-mor value-of-";
        for cut in 0..=text.len() {
            assert_eq!(masked(&secrets, &all, &[&text[..cut], &text[cut..]]), expected, "{cut}");
        }
        let bytes: Vec<&str> = (0..text.len()).map(|at| &text[at..=at]).collect();
        assert_eq!(masked(&secrets, &all, &bytes), expected);
        assert_eq!(masked(&secrets, &["A"], &["value-of-b"]), "value-of-b", "not one of its own");
        assert!(Masker::new(&[], &secrets).is_none());
    }

    #[test]
    fn placeholders_outside_headers_are_noticed() {
        for text in ["/a?key={secret:A}", "/%7Bsecret:A%7D", "/{secret%3Aa}", "/{SECRET:A}"] {
            assert!(mentions(text), "{text}");
        }
        assert!(!mentions("/secrets/{id}"));
    }
}
