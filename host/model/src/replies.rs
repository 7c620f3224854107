//! Recorded replies: a file of JSON lines that stands in for a provider, and the recorder that writes one.
//!
//! A line has `model`, what was asked (`ask`, or `embed` for texts), and what came of it (`answer`, `vectors` or
//! `error`). A line without `ask` and `embed` answers whatever is asked of its model, once. Equal requests get the
//! replies in the order of the file, the last of them again and again.

use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bandstand_sandbox::{ModelRequest, ModelResponse, PowerError, PowerErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::wire::{self, Answer, Refused};

/// No larger file is read. Bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// What is shown of a request that has no reply. Bytes.
const SHOWN_BYTES_MAX: usize = 400;

/// A file of replies cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RepliesError {
    /// It cannot be read or written.
    #[error("the file of replies {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is too large.
    #[error("the file of replies {} has more than {FILE_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A line is not what it must be.
    #[error("the file of replies {}, line {line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ask: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    embed: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<Answer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vectors: Option<Vec<Vec<f32>>>,
    /// What `vectors` took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Refused>,
}

/// What came of a request.
#[derive(Clone, Debug)]
enum Reply {
    Answer(Answer),
    Vectors(Vec<Vec<f32>>, u64),
    Error(Refused),
}

/// Replies by what they answer.
#[derive(Debug)]
pub struct Replies {
    path: PathBuf,
    left: Mutex<Left>,
}

#[derive(Debug, Default)]
struct Left {
    /// By the digest of model and request.
    exact: HashMap<String, VecDeque<Reply>>,
    /// By model.
    any: HashMap<String, VecDeque<Reply>>,
}

impl Replies {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read or a line is not what it must be.
    pub fn read(path: &Path) -> Result<Replies, RepliesError> {
        let io = |source| RepliesError::Io { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(io)?.len() > FILE_BYTES_MAX {
            return Err(RepliesError::TooLarge { path: path.to_owned() });
        }
        let text = std::fs::read_to_string(path).map_err(io)?;
        let mut left = Left::default();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let wrong = |problem| RepliesError::Line { path: path.to_owned(), line: index + 1, problem };
            let line: Line = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
            let asked = line.asked();
            let (model, reply) = line.reply().map_err(|problem| wrong(problem.to_owned()))?;
            let (table, key) = match asked {
                Some(asked) => (&mut left.exact, key(&model, &asked)),
                None => (&mut left.any, model),
            };
            table.entry(key).or_default().push_back(reply);
        }
        Ok(Replies { path: path.to_owned(), left: Mutex::new(left) })
    }

    /// What was recorded for a request.
    pub(crate) fn answer(&self, request: &ModelRequest) -> Result<ModelResponse, PowerError> {
        let asked = wire::request(request);
        match self.take(&request.model, &asked)? {
            Reply::Answer(answer) => {
                let mut response = ModelResponse::from(answer);
                if response.model.is_empty() {
                    response.model.clone_from(&request.model);
                }
                Ok(response)
            }
            Reply::Vectors(..) => Err(self.missing(&request.model, &asked)),
            Reply::Error(refused) => Err(refused.into()),
        }
    }

    /// What was recorded for texts: their vectors, and how many tokens they took.
    pub(crate) fn embed(&self, model: &str, texts: &[String]) -> Result<(Vec<Vec<f32>>, u64), PowerError> {
        let asked = Value::from(texts);
        match self.take(model, &asked)? {
            Reply::Vectors(vectors, tokens) if vectors.len() == texts.len() => Ok((vectors, tokens)),
            Reply::Answer(_) | Reply::Vectors(..) => Err(self.missing(model, &asked)),
            Reply::Error(refused) => Err(refused.into()),
        }
    }

    fn take(&self, model: &str, asked: &Value) -> Result<Reply, PowerError> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = left.exact.get_mut(&key(model, asked)) {
            let last = queue.len() == 1;
            let reply = if last { queue.front().cloned() } else { queue.pop_front() };
            if let Some(reply) = reply {
                return Ok(reply);
            }
        }
        let any = left.any.get_mut(model).and_then(VecDeque::pop_front);
        any.ok_or_else(|| self.missing(model, asked))
    }

    fn missing(&self, model: &str, asked: &Value) -> PowerError {
        let mut shown = asked.to_string();
        if shown.len() > SHOWN_BYTES_MAX {
            // The end is what differs from turn to turn.
            let mut from = shown.len() - SHOWN_BYTES_MAX;
            while !shown.is_char_boundary(from) {
                from += 1;
            }
            shown = format!("...{}", &shown[from..]);
        }
        let what = format!(
            "{} holds no reply of the model `{model}` to this request; record one with `bandstand run FILE --record {}` and a \
             key, or write a line for it. It was asked: {shown}",
            self.path.display(),
            self.path.display()
        );
        PowerError::new(PowerErrorKind::NotFound, "no-recorded-reply", what)
    }
}

impl Line {
    fn asked(&self) -> Option<Value> {
        self.ask.clone().or_else(|| self.embed.as_deref().map(Value::from))
    }

    fn reply(self) -> Result<(String, Reply), &'static str> {
        let tokens = self.tokens.unwrap_or(0);
        let reply = match (self.answer, self.vectors, self.error) {
            (Some(answer), None, None) => Reply::Answer(answer),
            (None, Some(vectors), None) => Reply::Vectors(vectors, tokens),
            (None, None, Some(refused)) => Reply::Error(refused),
            _ => return Err("it must have one of `answer`, `vectors` and `error`"),
        };
        Ok((self.model, reply))
    }
}

/// Equal for equal requests, whatever the order of their members.
fn key(model: &str, asked: &Value) -> String {
    let mut text = format!("{model}\n");
    canonical(asked, &mut text);
    wire::digest(text.as_bytes())
}

fn canonical(value: &Value, into: &mut String) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            into.push('{');
            for (name, value) in members {
                into.push_str(&Value::from(name.as_str()).to_string());
                into.push(':');
                canonical(value, into);
                into.push(',');
            }
            into.push('}');
        }
        Value::Array(items) => {
            into.push('[');
            for item in items {
                canonical(item, into);
                into.push(',');
            }
            into.push(']');
        }
        // `1` and `1.0` are one number to people.
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 1e15 => {
                into.push_str(&format!("{float:.0}"));
            }
            _ => into.push_str(&number.to_string()),
        },
        other => into.push_str(&other.to_string()),
    }
}

/// Writes what is asked and what came of it to the end of a file.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    file: Mutex<File>,
}

impl Recorder {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn open(path: &Path) -> Result<Recorder, RepliesError> {
        let file = OpenOptions::new().append(true).create(true).open(path);
        let file = file.map_err(|source| RepliesError::Io { path: path.to_owned(), source })?;
        Ok(Recorder { path: path.to_owned(), file: Mutex::new(file) })
    }

    pub(crate) fn answer(
        &self,
        request: &ModelRequest,
        came: Result<&ModelResponse, &PowerError>,
    ) -> Result<(), PowerError> {
        self.write(&Line {
            model: request.model.clone(),
            ask: Some(wire::request(request)),
            embed: None,
            answer: came.ok().map(Answer::from),
            vectors: None,
            tokens: None,
            error: came.err().map(Refused::from),
        })
    }

    pub(crate) fn embed(
        &self,
        model: &str,
        texts: &[String],
        came: Result<(&Vec<Vec<f32>>, u64), &PowerError>,
    ) -> Result<(), PowerError> {
        self.write(&Line {
            model: model.to_owned(),
            ask: None,
            embed: Some(texts.to_vec()),
            answer: None,
            vectors: came.ok().map(|(vectors, _)| vectors.clone()),
            tokens: came.ok().map(|(_, tokens)| tokens),
            error: came.err().map(Refused::from),
        })
    }

    fn write(&self, line: &Line) -> Result<(), PowerError> {
        let failed = |problem: String| {
            let what = format!("cannot record a reply in {}: {problem}", self.path.display());
            PowerError::new(PowerErrorKind::Other, "not-recorded", what)
        };
        let mut text = serde_json::to_string(line).map_err(|error| failed(error.to_string()))?;
        text.push('\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(text.as_bytes()).map_err(|error| failed(error.to_string()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bandstand_sandbox::{ModelMessage, ModelPart, ModelRole};

    use super::*;

    fn ask(text: &str) -> ModelRequest {
        let parts = vec![ModelPart::Text(text.to_owned())];
        ModelRequest {
            model: "small".to_owned(),
            messages: vec![ModelMessage { role: ModelRole::User, parts }],
            tools: Vec::new(),
            schema: None,
            temperature: Some(0.0),
            max_output_tokens: None,
        }
    }

    fn read(text: &str) -> Result<Replies, RepliesError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Replies::read(file.path())
    }

    // R7.6
    #[test]
    fn equal_requests_get_their_replies_in_order_and_others_are_told_how_to_record() {
        let replies = read(
            r#"
{"model":"small","ask":{"temperature":0,"messages":[{"content":"hi","role":"user"}]},"answer":{"text":"one"}}
{"model":"small","ask":{"messages":[{"role":"user","content":"hi"}],"temperature":0.0},"answer":{"text":"two"}}
{"model":"small","answer":{"text":"whatever"}}
{"model":"small","embed":["a"],"vectors":[[1.0,0.5]],"tokens":3}
"#,
        )
        .unwrap();
        let text = |asked: &str| replies.answer(&ask(asked)).map(|response| response.text);
        assert_eq!([text("hi"), text("hi"), text("hi")].map(Result::unwrap), ["one", "two", "two"]);
        assert_eq!(text("else").unwrap(), "whatever");
        let missing = text("else").unwrap_err();
        assert_eq!((missing.kind, missing.code.as_str()), (PowerErrorKind::NotFound, "no-recorded-reply"));
        assert!(missing.message.contains("--record") && missing.message.contains("\"else\""), "{missing}");
        assert_eq!(replies.embed("small", &["a".to_owned()]).unwrap(), (vec![vec![1.0, 0.5]], 3));
        assert!(replies.embed("small", &["b".to_owned()]).is_err());
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        for (text, expected) in [
            ("\n{", "line 2"),
            ("{\"model\":\"m\"}", "one of `answer`"),
            ("{\"model\":\"m\",\"answr\":{}}", "answr"),
        ] {
            let problem = read(text).unwrap_err().to_string();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
    }

    #[test]
    fn what_is_recorded_is_what_is_played() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("replies.jsonl");
        let recorder = Recorder::open(&path).unwrap();
        let answer = Answer { text: "yes".to_owned(), ..Answer::default() };
        recorder.answer(&ask("hi"), Ok(&answer.into())).unwrap();
        let limited = PowerError {
            retry_after_ms: Some(5),
            ..PowerError::new(PowerErrorKind::Unavailable, "rate-limited", "slow down")
        };
        recorder.answer(&ask("no"), Err(&limited)).unwrap();
        recorder.embed("small", &["a".to_owned()], Ok((&vec![vec![0.25]], 1))).unwrap();
        let replies = Replies::read(&path).unwrap();
        assert_eq!(replies.answer(&ask("hi")).unwrap().text, "yes");
        assert_eq!(replies.answer(&ask("no")).unwrap_err(), limited);
        assert_eq!(replies.embed("small", &["a".to_owned()]).unwrap().0, [[0.25]]);
    }
}
