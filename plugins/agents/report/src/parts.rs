//! The parts of a report, one function each: what it is given, or nothing where there is nothing to say.

use bandstand_prose::{flat, shorten};
use serde_json::Value;

use super::Input;

/// In the order of the report.
pub(crate) const ALL: [fn(&Input) -> Option<String>; 9] =
    [what_it_is, risk, duties, bans, permissions, disclaimers, terms, review, errors];

/// Title and outcome in one line.
pub(crate) fn headline(input: &Input) -> String {
    let name = input.classification["licence"]["name"].as_str();
    let own = Some(input.title.as_str()).filter(|title| !title.is_empty());
    let split = input.split["title"].as_str();
    let title = own.or(name).or(split).unwrap_or("Document");
    match input.risk["level"].as_str() {
        Some(level) => format!("{}: {level} risk", flat(title)),
        None => flat(title),
    }
}

/// One or two sentences for who reads nothing else.
pub(crate) fn summary(input: &Input) -> String {
    let mut text = String::new();
    if let Some(family) = input.classification["family"].as_str() {
        let name = input.classification["licence"]["name"]
            .as_str()
            .map_or_else(|| "no licence that is known by name".to_owned(), |name| format!("the {name}"));
        text += &format!(
            "The text is {name}, {} ({} sure). ",
            family_words(family),
            percent(&best(&input.classification))
        );
    }
    let count = |list: &str| input.obligations["counts"][list].as_u64();
    if let (Some(duties), Some(bans), Some(grants)) =
        (count("obligations"), count("prohibitions"), count("permissions"))
    {
        text += &format!(
            "It has {}, {} and {}. ",
            plural(duties, "duty", "duties"),
            plural(bans, "ban", "bans"),
            plural(grants, "permission", "permissions")
        );
    }
    if let (Some(score), Some(level)) = (input.risk["score"].as_u64(), input.risk["level"].as_str()) {
        let purpose = input.risk["use"]
            .as_str()
            .map_or(String::new(), |purpose| format!(" to {}", purpose_words(purpose)));
        text += &format!("Its risk{purpose} is {level}: {score} of 100 points.");
    }
    if text.is_empty() { "Few results were given; see below.".to_owned() } else { text.trim_end().to_owned() }
}

fn what_it_is(input: &Input) -> Option<String> {
    let options = input.classification["options"].as_array()?;
    let mut text = String::from("## What it is\n\n| kind | how sure | why |\n| --- | ---: | --- |\n");
    for option in options {
        let name = option["name"].as_str().unwrap_or("");
        text += &format!(
            "| {} | {} | {} |\n",
            name.replace('_', " "),
            percent(&option["confidence"]),
            cell(option["reason"].as_str().unwrap_or(""))
        );
    }
    let evidence = input.classification["evidence"].as_array().filter(|list| !list.is_empty());
    for one in evidence.into_iter().flatten().take(3) {
        text += &format!("\n> {}\n", flat(one["quote"].as_str().unwrap_or("")));
    }
    if let (Some(count), Some(words)) = (input.split["count"].as_u64(), input.split["words"].as_u64()) {
        text += &format!("\nThe document has {} and {words} words.\n", plural(count, "section", "sections"));
    }
    Some(text)
}

fn risk(input: &Input) -> Option<String> {
    let points = input.risk["points"].as_array()?;
    let mut text = String::from("## Risk\n\n| points | what | why |\n| ---: | --- | --- |\n");
    for point in points {
        let clauses: Vec<&str> = point["evidence"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one["clause"].as_str())
            .filter(|clause| !clause.is_empty())
            .collect();
        let place = if clauses.is_empty() {
            String::new()
        } else {
            format!(" (clause {})", unique(&clauses).join(", "))
        };
        let points = point["points"].as_f64().unwrap_or(0.0);
        text += &format!(
            "| {points:.0} | {} | {}{} |\n",
            cell(point["title"].as_str().unwrap_or("")),
            cell(point["explanation"].as_str().unwrap_or("")),
            place
        );
    }
    let score = input.risk["score"].as_u64().unwrap_or(0);
    let level = input.risk["level"].as_str().unwrap_or("unknown");
    Some(text + &format!("\nTogether {score} of 100: **{level}**.\n"))
}

fn duties(input: &Input) -> Option<String> {
    list(input, "obligations", "What to do")
}

fn bans(input: &Input) -> Option<String> {
    list(input, "prohibitions", "What not to do")
}

fn permissions(input: &Input) -> Option<String> {
    list(input, "permissions", "What is allowed")
}

/// The surest findings of a list in the order of the text, with who and where.
fn list(input: &Input, name: &str, title: &str) -> Option<String> {
    let all = input.obligations[name].as_array().filter(|list| !list.is_empty())?;
    let mut chosen: Vec<&Value> = all.iter().collect();
    chosen.sort_by(|a, b| number(&b["confidence"]).total_cmp(&number(&a["confidence"])));
    chosen.truncate(input.quotes_max);
    chosen.sort_by_key(|one| one["start"].as_u64());
    let mut text = format!("## {title}\n\n");
    for one in &chosen {
        let clause = one["clause"]
            .as_str()
            .filter(|clause| !clause.is_empty())
            .map_or(String::new(), |clause| format!("Clause {clause}: "));
        text +=
            &format!("- {clause}{}\n", shorten(one["quote"].as_str().unwrap_or(""), 260).replace('|', "/"));
        if let Some(condition) = one["condition"].as_str() {
            text += &format!("  (condition: {})\n", shorten(condition, 200).replace('|', "/"));
        }
    }
    let left = all.len() - chosen.len();
    if left > 0 {
        text += &format!("\n... and {left} more of which the agent was less sure.\n");
    }
    Some(text)
}

fn disclaimers(input: &Input) -> Option<String> {
    let all = input.obligations["disclaimers"].as_array()?.iter();
    let first = all.max_by(|a, b| number(&a["confidence"]).total_cmp(&number(&b["confidence"])))?;
    Some(format!("## Warranty and liability\n\n> {}\n", shorten(first["quote"].as_str().unwrap_or(""), 300)))
}

fn terms(input: &Input) -> Option<String> {
    let definitions = input.definitions["definitions"].as_array()?;
    let mut text = String::from("## Terms\n\n");
    let mut used: Vec<&Value> = definitions.iter().collect();
    used.sort_by_key(|one| std::cmp::Reverse(one["uses"].as_u64()));
    for one in used.iter().take(input.quotes_max) {
        let term = one["term"].as_str().unwrap_or("");
        let uses = plural(one["uses"].as_u64().unwrap_or(0), "use", "uses");
        text += &format!("- **{term}** ({uses}): {}\n", shorten(one["meaning"].as_str().unwrap_or(""), 160));
    }
    if definitions.is_empty() {
        text += "The text defines no terms.\n";
    }
    let texts = |name: &str| -> Vec<String> {
        input.definitions[name]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let (unresolved, unused) = (texts("unresolved"), texts("unused"));
    if !unresolved.is_empty() {
        text += &format!("\nReferences to clauses that are not there: {}.\n", unresolved.join(", "));
    }
    if !unused.is_empty() {
        text += &format!("\nDefined and not used again: {}.\n", unused.join(", "));
    }
    Some(text)
}

fn review(input: &Input) -> Option<String> {
    let review = input.review.as_object().filter(|review| !review.is_empty())?;
    let mut text = String::from("## Review\n\n");
    for (name, value) in review {
        let shown = match value {
            Value::String(text) => text.clone(),
            Value::Null => continue,
            other => other.to_string(),
        };
        text += &format!("- {}: {}\n", name.replace('_', " "), shorten(&shown, 300));
    }
    Some(text)
}

fn errors(input: &Input) -> Option<String> {
    let mut lines = Vec::new();
    let mut tell = |name: &str, error: &Value| {
        let message = error["message"]
            .as_str()
            .or_else(|| error.as_str())
            .map_or_else(|| error.to_string(), str::to_owned);
        lines.push(format!("- {name}: {}\n", shorten(&message, 240)));
    };
    match &input.errors {
        Value::Object(all) => all.iter().for_each(|(name, error)| tell(name, error)),
        Value::Array(all) => {
            all.iter().enumerate().for_each(|(at, error)| tell(&format!("{}", at + 1), error))
        }
        _ => {}
    }
    (!lines.is_empty()).then(|| format!("## What could not be done\n\n{}", lines.concat()))
}

fn best(value: &Value) -> Value {
    value["options"][0]["confidence"].clone()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

fn percent(value: &Value) -> String {
    value.as_f64().map_or_else(|| "not said how".to_owned(), |share| format!("{:.0} %", share * 100.0))
}

fn plural(count: u64, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

/// Fit for a table.
fn cell(text: &str) -> String {
    flat(text).replace('|', "/")
}

fn unique<'a>(texts: &[&'a str]) -> Vec<&'a str> {
    let mut kept: Vec<&str> = Vec::new();
    texts.iter().for_each(|text| {
        if !kept.contains(text) {
            kept.push(text)
        }
    });
    kept
}

fn family_words(family: &str) -> &str {
    match family {
        "permissive" => "a permissive one",
        "weak_copyleft" => "a weak copyleft",
        "strong_copyleft" => "a strong copyleft",
        "proprietary" => "proprietary terms",
        _ => "of a kind that could not be told",
    }
}

fn purpose_words(purpose: &str) -> &str {
    match purpose {
        "distribute" => "those who distribute it",
        "link" => "those who link to it",
        "saas" => "those who serve it over a network",
        "internal" => "those who use it inside one house",
        other => other,
    }
}
