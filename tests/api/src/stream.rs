//! Reads Server-Sent Events, message by message.

use std::io::{BufRead, BufReader, Read};

use serde_json::Value;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its number; none: it is not kept.
    pub id: Option<String>,
    /// What it is.
    pub event: String,
    /// What it says.
    pub data: Value,
}

/// A stream that is followed.
pub struct Stream {
    /// The status of the answer.
    pub status: u16,
    read: BufReader<Box<dyn Read + Send>>,
}

impl Stream {
    pub(crate) fn new(status: u16, read: impl Read + Send + 'static) -> Stream {
        Stream { status, read: BufReader::new(Box::new(read)) }
    }

    /// The next message with data; `None`: the stream was closed or cut off. What was cut off in the middle is no message.
    pub fn next_message(&mut self) -> Option<Message> {
        let (mut id, mut event, mut data) = (None, String::new(), None);
        loop {
            let mut line = String::new();
            if self.read.read_line(&mut line).ok()? == 0 || !line.ends_with('\n') {
                return None;
            }
            let line = line.trim_end_matches('\n');
            if line.is_empty() {
                if let Some(data) = data.take() {
                    return Some(Message { id, event, data });
                }
                (id, event) = (None, String::new());
            } else if let Some(text) = line.strip_prefix("id: ") {
                id = Some(text.to_owned());
            } else if let Some(text) = line.strip_prefix("event: ") {
                text.clone_into(&mut event);
            } else if let Some(text) = line.strip_prefix("data: ") {
                data = Some(serde_json::from_str(text).unwrap());
            } else {
                assert!(
                    line.starts_with(':') || line.starts_with("retry: "),
                    "`{line}` is no line of a stream"
                );
            }
        }
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Iterator for Stream {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        self.next_message()
    }
}
