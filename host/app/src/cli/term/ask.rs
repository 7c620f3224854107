//! Asks whoever sits at the terminal about a review: approve, edit, reject, or later.
//! Whether anybody can be asked, and what becomes of the answer, is the caller's business.

use std::io::{BufRead, Write};

use bandstand_engine::input::Verdict;
use serde_json::Value;

use super::out::{Out, Tone};
use super::{safe, words};
use crate::cli::context::now;
use crate::cli::exit::Failure;
use crate::cli::json_input;
use crate::host::AnswerRequest;
use crate::view::{ReviewDetail, moment};

/// What the person wants.
pub enum Asked {
    /// This.
    Answer(Box<AnswerRequest>),
    /// Nothing now.
    Later,
}

/// Shows the review and asks until there is an answer. An end of input means later.
pub async fn review(out: &Out, review: &ReviewDetail, name: &str) -> Result<Asked, Failure> {
    for line in lines(out, review) {
        out.error_line(&line);
    }
    let (out, review, name) = (out.clone(), review.clone(), name.to_owned());
    // Reading from a terminal blocks for as long as a person thinks.
    tokio::task::spawn_blocking(move || question(&out, &review, &name))
        .await
        .map_err(|error| Failure::other(format!("the question could not be asked: {error}")))
}

/// The review for people.
pub fn lines(out: &Out, review: &ReviewDetail) -> Vec<String> {
    let opened = &review.review;
    let mut lines = vec![
        String::new(),
        format!(
            "{} {}",
            out.paint_err(Tone::Attention, "Review:"),
            out.paint_err(Tone::Strong, &safe::line(&opened.title))
        ),
    ];
    lines.extend(safe::block(&opened.reason).lines().map(|line| format!("  {line}")));
    lines.push(format!(
        "  id {}, expires {} ({})",
        opened.review_id,
        words::relative(moment(&opened.deadline), now()),
        safe::line(&opened.on_timeout)
    ));
    if !opened.reviewers.is_empty() {
        lines.push(format!("  asks {}", safe::line(&opened.reviewers.join(", "))));
    }
    if opened.quorum > 1 {
        lines.push(format!("  needs {} approvals; {} answered", opened.quorum, review.answers.len()));
    }
    lines.push("  proposed:".to_owned());
    lines.extend(safe::json_pretty(&review.proposed).lines().map(|line| format!("    {line}")));
    lines
}

fn question(out: &Out, review: &ReviewDetail, name: &str) -> Asked {
    let mut answer = AnswerRequest {
        run_id: review.review.run_id.clone(),
        review_id: review.review.review_id.clone(),
        reviewer: name.to_owned(),
        groups: Vec::new(),
        decision: Verdict::Approved,
        comments: String::new(),
        changes: None,
        saw: review.answers.iter().rev().find(|answer| !answer["changes"].is_null()).and_then(edit_id),
        confidence: None,
        request_id: None,
    };
    loop {
        // Whoever has the token is known to the server only.
        let whose = if name.is_empty() { String::new() } else { format!("As {name}: ") };
        let Some(choice) = prompt(&format!("{whose}[a]pprove, [e]dit, [r]eject, [l]ater? ")) else {
            return Asked::Later;
        };
        match choice.trim().to_lowercase().as_str() {
            "a" | "approve" | "y" | "yes" => {}
            "r" | "reject" | "n" | "no" => answer.decision = Verdict::Rejected,
            "e" | "edit" => match edit(&review.proposed) {
                Ok(Some(changes)) => answer.changes = Some(changes),
                Ok(None) => {
                    out.error_line("nothing was changed");
                    continue;
                }
                Err(problem) => {
                    out.error_line(&out.paint_err(Tone::Bad, &safe::block(&problem)));
                    continue;
                }
            },
            "l" | "later" | "q" => return Asked::Later,
            _ => continue,
        }
        answer.comments = prompt("Comments (may be empty): ").unwrap_or_default().trim().to_owned();
        return Asked::Answer(Box::new(answer));
    }
}

fn edit_id(answer: &Value) -> Option<String> {
    answer["id"].as_str().map(str::to_owned)
}

/// Asks a question that only `y` or `yes` answers with yes.
pub fn yes(question: &str) -> bool {
    prompt(question).is_some_and(|answer| ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

/// `None`: the input has ended.
fn prompt(question: &str) -> Option<String> {
    let mut err = std::io::stderr();
    // Not locked while the person thinks: whoever is interrupted meanwhile says so there.
    write!(err, "{question}").and_then(|()| err.flush()).ok()?;
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line).ok()?;
    (read > 0).then_some(line)
}

/// Lets the person edit the value and gives the merge patch that leads there; none: nothing changed.
fn edit(proposed: &Value) -> Result<Option<Value>, String> {
    let editor =
        ["VISUAL", "EDITOR"].into_iter().find_map(|name| std::env::var(name).ok().filter(|e| !e.is_empty()));
    let edited = match editor {
        Some(editor) => in_editor(&editor, proposed)?,
        None => {
            // Without an editor a patch is less to type than the whole value.
            let line = prompt("Changes as a JSON merge patch, in one line (set EDITOR to edit the whole): ");
            let text = line.unwrap_or_default();
            if text.trim().is_empty() {
                return Ok(None);
            }
            return json_input::parse(&text).map(Some);
        }
    };
    if edited == *proposed { Ok(None) } else { merge_patch(proposed, &edited).map(Some) }
}

fn in_editor(editor: &str, proposed: &Value) -> Result<Value, String> {
    let path = std::env::temp_dir().join(format!("bandstand-review-{}-{}.json", std::process::id(), now().0));
    let cannot = |error: std::io::Error| format!("cannot edit {}: {error}", path.display());
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&path).map_err(cannot)?;
    file.write_all(format!("{proposed:#}\n").as_bytes()).map_err(cannot)?;
    drop(file);
    let mut parts = editor.split_whitespace();
    let program = parts.next().unwrap_or(editor);
    let status = std::process::Command::new(program).args(parts).arg(&path).status();
    let text = std::fs::read_to_string(&path);
    // The system clears its folder for temporary files; a copy that stays there harms nobody.
    let _ = std::fs::remove_file(&path);
    let status = status.map_err(|error| format!("cannot start the editor `{editor}`: {error}"))?;
    if !status.success() {
        return Err(format!("the editor `{editor}` ended with {status}; nothing was taken"));
    }
    json_input::parse(&text.map_err(cannot)?)
}

/// The JSON merge patch (RFC 7396) that makes `to` of `from`. A patch cannot put in a `null`.
pub fn merge_patch(from: &Value, to: &Value) -> Result<Value, String> {
    let (Value::Object(old), Value::Object(new)) = (from, to) else {
        return match to {
            Value::Object(members) if has_null(to) => {
                let _ = members;
                Err("an edit cannot put `null` into an object".to_owned())
            }
            _ => Ok(to.clone()),
        };
    };
    let mut patch = serde_json::Map::new();
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, value) in new {
        match old.get(name) {
            Some(same) if same == value => {}
            _ if value.is_null() => {
                return Err(format!(
                    "an edit cannot set `{name}` to `null`; leave the member out to remove it"
                ));
            }
            Some(before) => {
                patch.insert(name.clone(), merge_patch(before, value)?);
            }
            None => {
                patch.insert(name.clone(), merge_patch(&Value::Null, value)?);
            }
        }
    }
    Ok(Value::Object(patch))
}

/// Whether a member of an object, at any depth that a patch would merge, is `null`.
fn has_null(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.values().any(|member| member.is_null() || has_null(member)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    // R2.3
    #[test]
    fn a_patch_leads_from_the_proposal_to_the_edit() {
        let values = [
            json!({"a": 1, "b": {"c": [1, 2], "d": "x"}}),
            json!({"a": 1, "b": {"c": [1, 2, 3]}}),
            json!({"b": {"e": {"f": true}}}),
            json!({}),
            json!("text"),
            json!([1, null]),
        ];
        for from in &values {
            for to in &values {
                let mut patched = from.clone();
                crate::cli::history::merge(&mut patched, &merge_patch(from, to).unwrap());
                assert_eq!(&patched, to, "from {from}");
            }
        }
        assert!(merge_patch(&json!({"a": 1}), &json!({"a": null})).is_err());
        assert!(merge_patch(&json!(1), &json!({"a": {"b": null}})).is_err());
    }
}
