//! Reviewers' notes as commands to a text. What is no command that is known here is left to a person.

use bandstand_prose::flat;
use serde_json::Value;

use super::sentence;

/// Every note in whatever shape feedback comes: texts, lists, objects with `comments`.
pub(crate) fn all(notes: &Value) -> Vec<String> {
    match notes {
        Value::String(text) => text.lines().map(flat).filter(|line| !line.is_empty()).collect(),
        Value::Array(list) => list.iter().flat_map(all).collect(),
        Value::Object(feedback) => feedback.get("comments").map(all).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// Does what a note says; false where it cannot.
pub(crate) fn follow(note: &str, title: &mut String, text: &mut String) -> bool {
    let lower = note.to_lowercase();
    let behind = |word: &str| {
        lower.starts_with(word).then(|| note[word.len()..].trim().to_owned()).filter(|rest| !rest.is_empty())
    };
    if let Some(addition) = behind("add:") {
        *text = format!("{}\n\n{}\n", text.trim_end(), sentence(&addition));
        return true;
    }
    if let Some(words) = behind("remove:") {
        return remove(text, &words.to_lowercase());
    }
    if let Some(new) = behind("title:") {
        *text = text.replacen(&format!("# {title}\n"), &format!("# {new}\n"), 1);
        *title = new;
        return true;
    }
    if lower.starts_with("replace ") {
        return replace(note, text);
    }
    let shorter = ["shorter", "too long", "shorten"].iter().any(|word| lower.contains(word));
    shorter && shorten(text)
}

fn remove(text: &mut String, words: &str) -> bool {
    let paragraphs: Vec<&str> = text.split("\n\n").collect();
    let kept: Vec<&str> = paragraphs
        .iter()
        .copied()
        .filter(|one| one.starts_with('#') || !one.to_lowercase().contains(words))
        .collect();
    let gone = kept.len() < paragraphs.len();
    // A heading with nothing below it goes, too.
    let filled = |(at, one): (usize, &&str)| {
        !one.starts_with("## ") || kept.get(at + 1).is_some_and(|next| !next.starts_with('#'))
    };
    let kept: Vec<&str> =
        kept.iter().enumerate().filter(|(at, one)| filled((*at, one))).map(|(_, one)| *one).collect();
    if gone {
        *text = kept.join("\n\n");
    }
    gone
}

fn replace(note: &str, text: &mut String) -> bool {
    let parts: Vec<&str> = note.split('"').collect();
    let [_, old, with, new, ..] = parts[..] else { return false };
    let possible = with.trim() == "with" && !old.is_empty() && text.contains(old);
    if possible {
        *text = text.replace(old, new);
    }
    possible
}

/// The first two sentences of every paragraph; false where that is the whole text already.
fn shorten(text: &mut String) -> bool {
    let cut = |paragraph: &str| {
        let end = paragraph.match_indices(". ").nth(1).map(|(at, _)| at + 1);
        end.map_or_else(|| paragraph.to_owned(), |end| paragraph[..end].to_owned())
    };
    let shorter = text.split("\n\n").map(cut).collect::<Vec<_>>().join("\n\n");
    let changed = shorter.len() < text.len();
    *text = shorter;
    changed
}
