//! Holds an example's README to what really happened: each ```json block must be the result or the error of some case,
//! or a part of it ending in `"...": "..."`; each line of a ```markdown block must stand in the text of some case; each
//! `@FILE` of a command must be there.

use std::fs;

use serde_json::Value;

use crate::pattern::differences;
use crate::root;

pub(crate) fn compare(name: &str, came_to: &[Value]) {
    let text = fs::read_to_string(root().join("examples").join(name).join("README.md")).unwrap();
    let command = format!("bandstand run examples/{name}/workflow.yaml");
    assert!(text.contains(&command), "{name}/README.md does not say how it is run: {command}");
    for file in blocks(&text, "console")
        .iter()
        .flat_map(|block| block.split_whitespace())
        .filter_map(|word| word.strip_prefix('@'))
    {
        assert!(root().join(file).is_file(), "{name}/README.md names {file}, which is not there");
    }
    for block in blocks(&text, "json") {
        let pattern: Value =
            serde_json::from_str(&block).unwrap_or_else(|error| panic!("{name}/README.md: {error}\n{block}"));
        let fits = came_to.iter().any(|value| differences(&pattern, value).is_empty());
        let nearest = came_to.iter().map(|value| differences(&pattern, value)).min_by_key(Vec::len);
        assert!(
            fits,
            "{name}/README.md shows what no case came to: {:#?}\n{block}",
            nearest.unwrap_or_default()
        );
    }
    for block in blocks(&text, "markdown") {
        for line in block.lines().filter(|line| !line.trim().is_empty() && *line != "...") {
            let fits = came_to
                .iter()
                .filter_map(|value| value["markdown"].as_str())
                .any(|text| text.lines().any(|own| own == line));
            assert!(fits, "{name}/README.md shows a line that no report has: {line}");
        }
    }
}

/// The fenced blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let starts = text.match_indices(&fence).map(|(at, fence)| &text[at + fence.len()..]);
    starts.map(|rest| rest.split("\n```").next().unwrap_or_default().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn blocks_are_found_by_language() {
        let text = "a\n```json\n{}\n```\nb\n```sh\nx\n```\n```json\n[\n1]\n```\n";
        assert_eq!(super::blocks(text, "json"), ["{}", "[\n1]"]);
        assert_eq!(super::blocks(text, "markdown"), Vec::<String>::new());
    }
}
