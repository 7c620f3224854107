//! Events of journals, and what attempts say while they work.

use bandstand_engine::Timestamp;
use bandstand_engine::event::Event;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::host::{Live, LiveKind, StreamPart};

/// An event of a run's journal. What further members there are depends on `type`; the types and their members are those of
/// the journal, which are only added to.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EventLine {
    /// What happened: `run.started`, `attempt.succeeded`, ...
    pub r#type: String,
    /// The run.
    pub run_id: String,
    /// Number of the event in its run.
    pub seq: u64,
    /// When.
    pub at: String,
}

/// What an attempt says while it works. It is no part of the run, has no number, and may be missing.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LiveLine {
    /// `live.started`, `live.held`, `live.log`, `live.progress`, `live.chunk` or `live.restart`.
    pub r#type: String,
    /// The run.
    pub run_id: String,
    /// The attempt, as `PATH#ATTEMPT`.
    pub command_id: String,
    /// Of a node with `stream`: which part of that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamPart>,
}

/// An event with its place: its members, and `run_id`, `seq` and `at`.
pub fn event_value(run_id: &str, seq: u64, at: Timestamp, event: &Event) -> Value {
    // An event is plain data, so writing it cannot fail.
    let mut line = serde_json::to_value(event).unwrap_or_default();
    if let Value::Object(members) = &mut line {
        members.insert("run_id".to_owned(), json!(run_id));
        members.insert("seq".to_owned(), json!(seq));
        members.insert("at".to_owned(), json!(at.to_string()));
    }
    line
}

/// What an attempt says, with its place: `run_id` and `command_id`.
pub fn live_value(live: &Live) -> Value {
    let mut line = match &live.what {
        LiveKind::Started | LiveKind::Restart => json!({}),
        LiveKind::Held { because, plugin, since, probe_at, fault } => json!({
            "because": because,
            "plugin": plugin,
            "since": since.map(|at| at.to_string()),
            "next_probe_at": probe_at.map(|at| at.to_string()),
            "fault": fault,
        }),
        LiveKind::Log { level, message, fields } => {
            json!({ "level": level, "message": message, "fields": fields })
        }
        LiveKind::Progress { fraction, message } => json!({ "fraction": fraction, "message": message }),
        LiveKind::Chunk(text) => json!({ "text": text }),
    };
    line["type"] = json!(live.what.name());
    line["run_id"] = json!(live.run_id);
    line["command_id"] = json!(live.command_id);
    if let Some(part) = &live.stream {
        line["stream"] = json!(part);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    // R8.1
    #[test]
    fn an_event_keeps_its_fields_beside_the_envelope() {
        let event: Event = serde_json::from_value(json!({"type": "wait.ended", "p": "pause@1"})).unwrap();
        let line = event_value("r1", 4, Timestamp(1_000), &event);
        let expected = json!({
            "type": "wait.ended", "p": "pause@1", "run_id": "r1", "seq": 4, "at": "1970-01-01T00:00:01.000Z"
        });
        assert_eq!(line, expected);
    }
}
