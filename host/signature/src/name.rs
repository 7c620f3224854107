//! How a function is named in a workflow file: `ns:pkg/iface@1.2.3#func`, `ns:pkg/iface#func`, or `func` for one that the
//! component exports without an interface.

use crate::Function;
use std::fmt;

/// The longest name. Bytes.
const NAME_BYTES_MAX: usize = 500;

/// A function as a workflow file names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionName<'a> {
    /// The interface without its version. Absent: the component exports the function itself.
    pub interface: Option<&'a str>,
    /// Absent: whichever version the component exports, if it is only one.
    pub version: Option<&'a str>,
    /// The function.
    pub function: &'a str,
}

impl<'a> FunctionName<'a> {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &'a str) -> Result<FunctionName<'a>, &'static str> {
        if text.len() > NAME_BYTES_MAX {
            return Err("it is longer than 500 bytes");
        }
        let (interface, function) = match text.split_once('#') {
            Some(("", function)) => (None, function),
            Some((interface, function)) => (Some(interface), function),
            None if text.contains(['/', ':', '@']) => {
                return Err("there is no `#` before the function's name");
            }
            None => (None, text),
        };
        if function.starts_with('[') {
            return Err(
                "constructors and methods of resources are called on handles, which are no plain data",
            );
        }
        if !is_kebab(function) {
            return Err("the function's name is not in kebab-case");
        }
        let (interface, version) = match interface.map(|name| name.split_once('@').unwrap_or((name, ""))) {
            None => (None, None),
            Some((name, "")) if !interface.is_some_and(|all| all.ends_with('@')) => (Some(name), None),
            Some((name, version)) if is_version(version) => (Some(name), Some(version)),
            Some(_) => return Err("the version after `@` is none, such as `1.2.3`"),
        };
        if interface.is_some_and(|name| !is_interface(name)) {
            return Err("the interface before `#` is none, such as `ns:pkg/iface`");
        }
        Ok(FunctionName { interface, version, function })
    }
}

impl fmt::Display for FunctionName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FunctionName { interface, version, function } = self;
        match (interface, version) {
            (None, _) => f.write_str(function),
            (Some(interface), None) => write!(f, "{interface}#{function}"),
            (Some(interface), Some(version)) => write!(f, "{interface}@{version}#{function}"),
        }
    }
}

fn is_interface(name: &str) -> bool {
    // A world may export an interface of its own under a plain name.
    match name.split_once('/') {
        None => is_kebab(name),
        Some((package, interface)) => {
            package.contains(':') && package.split(':').all(is_kebab) && interface.split('/').all(is_kebab)
        }
    }
}

/// Words of letters and digits with dashes between them, as WIT has it: a word is all in small letters or all in capitals.
fn is_kebab(name: &str) -> bool {
    let word = |word: &str| {
        let mut bytes = word.bytes();
        let small = bytes.clone().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let large = bytes.clone().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        bytes.next().is_some() && (small || large)
    };
    name.starts_with(|first: char| first.is_ascii_alphabetic()) && name.split('-').all(word)
}

fn is_version(version: &str) -> bool {
    let (numbers, _) = version.split_once(['-', '+']).unwrap_or((version, ""));
    let each: Vec<&str> = numbers.split('.').collect();
    let number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+');
    (1..=3).contains(&each.len()) && each.iter().all(number) && version.bytes().all(allowed)
}

/// Why a component has no function of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotFound {
    /// It exports none of that name.
    Unknown,
    /// It exports the interface in several versions; their full names.
    Several(Vec<String>),
}

/// The function that a name means.
///
/// # Errors
/// When there is none, or more than one.
pub fn find<'f>(functions: &'f [Function], name: &FunctionName<'_>) -> Result<&'f Function, NotFound> {
    let is_meant = |function: &&Function| {
        let (interface, version) = match function.interface.as_deref() {
            None => (None, None),
            Some(full) => match full.split_once('@') {
                Some((interface, version)) => (Some(interface), Some(version)),
                None => (Some(full), None),
            },
        };
        function.name == name.function
            && interface == name.interface
            && (name.version.is_none() || name.version == version)
    };
    let mut found = functions.iter().filter(is_meant);
    let first = found.next().ok_or(NotFound::Unknown)?;
    let rest: Vec<String> = found.map(Function::full_name).collect();
    if rest.is_empty() {
        return Ok(first);
    }
    Err(NotFound::Several([vec![first.full_name()], rest].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // R7.2, R8.5
    #[test]
    fn names_are_read_and_written() {
        for good in [
            "a:b/c#d",
            "a:b/c@1.2.3#d-e",
            "a:b/c@0.1.0-rc.1+x#d",
            "plain#d",
            "d",
            "hash-SHA256",
            "a:b:c/d/e#f",
        ] {
            assert_eq!(FunctionName::parse(good).unwrap().to_string(), good);
        }
        assert_eq!(FunctionName::parse("#d").unwrap().to_string(), "d");
        for bad in [
            "",
            "#",
            "a:b/c",
            "a:b/c#",
            "a:b/c#D_d",
            "a:b/c@#d",
            "a:b/c@x#d",
            "a/c#d",
            "A b:c/d#e",
            "a:b/c#[method]d.e",
            "a:b/c#d#e",
            "a:b/c@1.2.3.4#d",
            "-a",
            "a--b",
            "a:b/c#Dd",
        ] {
            assert!(FunctionName::parse(bad).is_err(), "{bad}");
        }
        assert!(FunctionName::parse(&"a".repeat(501)).is_err());
    }

    // R8.5
    #[test]
    fn a_name_without_version_means_the_only_one() {
        let of = |interface: Option<&str>| Function {
            interface: interface.map(str::to_owned),
            ..Function::new("f", Vec::new(), None)
        };
        let all = [of(Some("a:b/c@1.0.0")), of(Some("a:b/c@2.0.0")), of(Some("a:b/d@1.0.0")), of(None)];
        let find = |name| find(&all, &FunctionName::parse(name).unwrap()).map(Function::full_name);
        assert_eq!(find("a:b/d#f").unwrap(), "a:b/d@1.0.0#f");
        assert_eq!(find("a:b/c@2.0.0#f").unwrap(), "a:b/c@2.0.0#f");
        assert_eq!(find("f").unwrap(), "f");
        assert_eq!(find("a:b/d@2.0.0#f"), Err(NotFound::Unknown));
        assert_eq!(find("g"), Err(NotFound::Unknown));
        let both = vec!["a:b/c@1.0.0#f".to_owned(), "a:b/c@2.0.0#f".to_owned()];
        assert_eq!(find("a:b/c#f"), Err(NotFound::Several(both)));
    }
}
