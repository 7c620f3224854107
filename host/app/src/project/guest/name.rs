//! What a new plugin may be called: a name that is good for a file, a package of every language, and a server.

/// Longest name, as a server takes it. Characters.
const NAME_CHARS_MAX: usize = 58;

/// What is wrong with the name of a plugin.
pub fn name_problem(name: &str) -> Option<String> {
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
    (!good).then(form)
}

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
            assert_eq!(name_problem(good), None, "{good}");
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
            let problem = name_problem(bad).unwrap();
            assert!(problem.contains(told), "{bad}: {problem}");
        }
    }
}
