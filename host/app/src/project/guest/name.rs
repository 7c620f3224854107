//! What a new plugin may be called: a name that is good for a file, a package of its language, and a server.

use super::language::Language;
use super::sdk;

/// Longest name, as a server takes it. Characters.
const NAME_CHARS_MAX: usize = 58;

/// What is wrong with the name of a plugin in this language.
pub fn name_problem(name: &str, language: Language) -> Option<String> {
    let form = || {
        format!(
            "a name is lower-case letters, digits and single hyphens between them, beginning with a letter: {:?}",
            kebab(name)
        )
    };
    if name.chars().count() > NAME_CHARS_MAX {
        return Some(format!("it is longer than {NAME_CHARS_MAX} characters"));
    }
    if name == "bandstand" || name.starts_with("bandstand-") {
        return Some("names that begin with `bandstand` are the project's own".to_owned());
    }
    let good = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.ends_with('-')
        && !name.contains("--");
    if good { taken(name, language) } else { Some(form()) }
}

/// Why a name of the right form is none in this language, with a better one.
fn taken(name: &str, language: Language) -> Option<String> {
    let problem = match language {
        Language::Rust if sdk::is_locked(name) => "a crate that the agent is made of is called that",
        Language::Go if DEVICES.contains(&name) => "Go takes no module that is called as a device of Windows",
        _ => return None,
    };
    Some(format!("{problem}; take another one, such as {:?}", format!("{name}-agent")))
}

/// As Go knows them.
const DEVICES: [&str; 22] = [
    "aux", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "con", "lpt1", "lpt2",
    "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9", "nul", "prn",
];

/// The nearest name of the right form.
fn kebab(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars().skip_while(|c| !c.is_ascii_alphabetic()) {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' => name.push(c.to_ascii_lowercase()),
            _ if !name.ends_with('-') => name.push('-'),
            _ => {}
        }
    }
    let name = name.trim_end_matches('-');
    if name.is_empty() { "my-agent".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    // R8.5
    #[test]
    fn names_are_kebab_case() {
        for good in ["a", "a-b", "review-2", "x9", &"a".repeat(58)] {
            for language in Language::ALL {
                assert_eq!(name_problem(good, language), None, "{good}");
            }
        }
        for (bad, told) in [
            ("", "my-agent"),
            ("My Agent", "\"my-agent\""),
            ("a_b", "\"a-b\""),
            ("2nd", "\"nd\""),
            ("a-", "\"a\""),
            ("a--b", "\"a-b\""),
            ("../x", "\"x\""),
            ("bandstand-sdk", "the project's own"),
            (&"a".repeat(59), "58 characters"),
        ] {
            let problem = name_problem(bad, Language::C).unwrap();
            assert!(problem.contains(told), "{bad}: {problem}");
        }
    }

    // R8.5
    #[test]
    fn names_that_tools_of_a_language_stumble_over_are_taken() {
        for (bad, of, told) in [
            ("serde", Language::Rust, "a crate that the agent is made of is called that"),
            ("memchr", Language::Rust, "such as \"memchr-agent\""),
            ("nul", Language::Go, "such as \"nul-agent\""),
        ] {
            for language in Language::ALL {
                let problem = name_problem(bad, language);
                let is_told = problem.as_ref().is_some_and(|problem| problem.contains(told));
                assert_eq!(is_told, language == of, "{bad} in {}: {problem:?}", language.id());
            }
            assert_eq!(name_problem(&format!("{bad}-agent"), of), None);
        }
    }
}
