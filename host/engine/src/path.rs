//! Where in a run: the path of a node's visit, of a scope instance, and the id of a command.
//!
//! The text form is normative (`host/docs/language.md`, section 3): `NODE@visit` at the root,
//! `BLOCK@v/BRANCH/NODE@v` in a branch, `BLOCK@v[i]/NODE@v` in an item of a map; the node of a one-node body is
//! `BLOCK@v/BRANCH@1` or `BLOCK@v[i]@1`. A command adds `#attempt`. Items count from 0, visits and attempts from 1.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::Id;

/// One step of a [`Path`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// A visit of a named node.
    Node(Id, u32),
    /// The visit of the only node of a one-node body, which has no name of its own.
    Sole(u32),
    /// A branch of the `parallel` block before it.
    Branch(Id),
    /// An item of the `map` block before it.
    Item(u32),
}

/// A path: of a visit when it ends in [`Segment::Node`] or [`Segment::Sole`], of a scope instance otherwise.
/// The empty path is the root scope.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Path(Vec<Segment>);

/// The text is not a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a path such as `ask@1` or `fan@1/law/ask@2`")]
pub struct NotAPath(pub String);

impl Path {
    /// The root scope.
    pub fn root() -> Path {
        Path::default()
    }

    /// This path and one more segment.
    pub fn join(&self, segment: Segment) -> Path {
        let mut segments = Vec::with_capacity(self.0.len() + 1);
        segments.extend_from_slice(&self.0);
        segments.push(segment);
        Path(segments)
    }

    /// The path without its last segment: of a visit its scope, of a scope the visit of its block.
    pub fn parent(&self) -> Option<Path> {
        let (_, rest) = self.0.split_last()?;
        Some(Path(rest.to_vec()))
    }

    /// The segments, outermost first.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// The last segment.
    pub fn last(&self) -> Option<&Segment> {
        self.0.last()
    }

    /// Whether `self` is `other` or lies inside it.
    pub fn is_within(&self, other: &Path) -> bool {
        self.0.starts_with(&other.0)
    }

    /// The name a person knows the visit by: the node's id; in a one-node body the branch's, or the map block's.
    pub fn node_name(&self) -> Option<&Id> {
        self.0.iter().rev().find_map(|segment| match segment {
            Segment::Node(id, _) | Segment::Branch(id) => Some(id),
            Segment::Sole(_) | Segment::Item(_) => None,
        })
    }

    /// The graph's own path of this node: ids only, without visits and items (`fan/law/ask`). Statistics are kept by it.
    pub fn node_path(&self) -> String {
        let ids: Vec<&str> = self
            .0
            .iter()
            .filter_map(|segment| match segment {
                Segment::Node(id, _) | Segment::Branch(id) => Some(id.as_str()),
                Segment::Sole(_) | Segment::Item(_) => None,
            })
            .collect();
        ids.join("/")
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            let slash = if index == 0 { "" } else { "/" };
            match segment {
                Segment::Node(id, visit) => write!(f, "{slash}{id}@{visit}")?,
                Segment::Sole(visit) => write!(f, "@{visit}")?,
                Segment::Branch(id) => write!(f, "{slash}{id}")?,
                Segment::Item(item) => write!(f, "[{item}]")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Path {
    type Err = NotAPath;

    fn from_str(text: &str) -> Result<Path, NotAPath> {
        parse(text).ok_or_else(|| NotAPath(text.to_owned()))
    }
}

/// `None`: not a path. After a node come branches and items, after these nodes; that makes the text unambiguous.
fn parse(text: &str) -> Option<Path> {
    let mut segments = Vec::new();
    if text.is_empty() {
        return Some(Path(segments));
    }
    for part in text.split('/') {
        let in_block = matches!(segments.last(), Some(Segment::Node(..) | Segment::Sole(_)));
        let head_end = part.find(['@', '[']).unwrap_or(part.len());
        let (head, mut rest) = part.split_at(head_end);
        let id = Id::new(head).ok()?;
        if in_block {
            segments.push(Segment::Branch(id));
        } else {
            rest = rest.strip_prefix('@')?;
            let end = rest.find('[').unwrap_or(rest.len());
            segments.push(Segment::Node(id, number(&rest[..end])?));
            rest = &rest[end..];
        }
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('[') {
                let (item, after) = after.split_once(']')?;
                segments.push(Segment::Item(item.parse().ok()?));
                rest = after;
            } else {
                rest = rest.strip_prefix('@')?;
                let end = rest.find('[').unwrap_or(rest.len());
                segments.push(Segment::Sole(number(&rest[..end])?));
                rest = &rest[end..];
            }
        }
    }
    Some(Path(segments))
}

/// A visit or attempt: counted from 1, without leading zeros or signs.
fn number(text: &str) -> Option<u32> {
    (text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0')).then(|| text.parse().ok())?
}

impl TryFrom<String> for Path {
    type Error = NotAPath;
    fn try_from(text: String) -> Result<Path, NotAPath> {
        text.parse()
    }
}

impl From<Path> for String {
    fn from(path: Path) -> String {
        path.to_string()
    }
}

/// One attempt at one visit: `PATH#ATTEMPT`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommandId {
    /// The visit.
    pub path: Path,
    /// The attempt, from 1.
    pub attempt: u32,
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.path, self.attempt)
    }
}

impl FromStr for CommandId {
    type Err = NotAPath;
    fn from_str(text: &str) -> Result<CommandId, NotAPath> {
        let wrong = || NotAPath(text.to_owned());
        let (path, attempt) = text.rsplit_once('#').ok_or_else(wrong)?;
        Ok(CommandId { path: path.parse()?, attempt: number(attempt).ok_or_else(wrong)? })
    }
}

impl TryFrom<String> for CommandId {
    type Error = NotAPath;
    fn try_from(text: String) -> Result<CommandId, NotAPath> {
        text.parse()
    }
}

impl From<CommandId> for String {
    fn from(id: CommandId) -> String {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_back_as_they_were_written() {
        let texts = [
            "",
            "ask@1",
            "fan@1/law",
            "fan@1/law@1",
            "fan@1/law/ask@2",
            "each@3[0]",
            "each@3[17]@1",
            "each@3[17]/load@1",
            "fan@1/law@1/inner@1",
            "fan@1/law@1[2]/x@1",
            "each@1[0]@1[5]@1",
            "each@1[0]@1/law",
        ];
        for text in texts {
            let path: Path = text.parse().expect(text);
            assert_eq!(path.to_string(), text);
        }
        assert_eq!("fan@1/law@1#2".parse::<CommandId>().expect("an id").attempt, 2);
    }

    #[test]
    fn a_branch_and_a_node_are_told_apart_by_what_stands_before() {
        let path: Path = "fan@1/law@1".parse().expect("a path");
        let law = Id::new("law").expect("an id");
        assert_eq!(path.segments()[1..], [Segment::Branch(law.clone()), Segment::Sole(1)]);
        assert_eq!(path.node_name(), Some(&law));
        assert_eq!(path.node_path(), "fan/law");
    }

    #[test]
    fn what_is_not_a_path_is_refused() {
        for text in ["ask", "ask@0", "ask@01", "ask@1/", "/x", "ask@1[x]", "ask@1[1", "A@1", "a@-1", "a@1#1"]
        {
            assert!(text.parse::<Path>().is_err(), "{text}");
        }
    }
}
