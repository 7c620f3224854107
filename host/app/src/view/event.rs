//! Events of journals, and what attempts say while they work.

use std::fmt::Write as _;

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

/// What [`event_value`] is, as text, for whoever writes many.
pub fn event_text(run_id: &str, seq: u64, at: Timestamp, event: &Event) -> String {
    // These have members of their own by the names of the envelope.
    if matches!(event, Event::RunStarted(_) | Event::ReviewAnswered(_)) {
        return event_value(run_id, seq, at, event).to_string();
    }
    // An event is plain data, so writing it cannot fail; it has one member at least, its type.
    let mut text = serde_json::to_string(event).unwrap_or_default();
    let _ = text.pop();
    let run_id = json!(run_id);
    let _ = write!(text, ",\"run_id\":{run_id},\"seq\":{seq},\"at\":\"{at}\"}}");
    text
}

/// The event that a line tells, with its run, number and time; none: the line tells no event that this version knows.
pub fn event_of(mut line: Value) -> Option<(String, u64, Timestamp, Event)> {
    let run_id = line["run_id"].as_str()?.to_owned();
    let seq = line["seq"].as_u64()?;
    let at = super::moment(line["at"].as_str()?);
    // Where an event has a time of its own, it is that of its row.
    line["at"] = json!(at);
    Some((run_id, seq, at, serde_json::from_value(line).ok()?))
}

/// What the line says that an attempt says; none: nothing that this version knows.
pub fn live_of(line: &Value) -> Option<Live> {
    let text = |name: &str| line[name].as_str().map(str::to_owned);
    let time = |name: &str| line[name].as_str().map(super::moment);
    let what = match line["type"].as_str()? {
        "live.started" => LiveKind::Started,
        "live.restart" => LiveKind::Restart,
        "live.held" => LiveKind::Held {
            because: text("because")?,
            plugin: text("plugin")?,
            since: time("since"),
            probe_at: time("next_probe_at"),
            fault: text("fault")?,
        },
        "live.log" => {
            LiveKind::Log { level: text("level")?, message: text("message")?, fields: text("fields")? }
        }
        "live.progress" => {
            LiveKind::Progress { fraction: line["fraction"].as_f64(), message: text("message")? }
        }
        "live.chunk" => LiveKind::Chunk(text("text")?),
        _ => return None,
    };
    let stream = line.get("stream").and_then(|part| serde_json::from_value(part.clone()).ok());
    Some(Live { run_id: text("run_id")?, command_id: text("command_id")?, what, stream })
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
        assert_eq!(event_of(line), Some(("r1".to_owned(), 4, Timestamp(1_000), event)));
        assert_eq!(event_of(json!({ "type": "of.tomorrow", "run_id": "r1", "seq": 4, "at": "?" })), None);
    }

    // R8.1
    #[test]
    fn a_line_tells_what_an_attempt_says() {
        let said = [
            LiveKind::Started,
            LiveKind::Restart,
            LiveKind::Chunk("a".to_owned()),
            LiveKind::Progress { fraction: Some(0.5), message: "half".to_owned() },
            LiveKind::Log { level: "warn".to_owned(), message: "m".to_owned(), fields: String::new() },
            LiveKind::Held {
                because: "breaker".to_owned(),
                plugin: "sha256:0".to_owned(),
                since: Some(Timestamp(1_000)),
                probe_at: None,
                fault: "trap".to_owned(),
            },
        ];
        for what in said {
            let live = Live { run_id: "r1".to_owned(), command_id: "a@1#1".to_owned(), what, stream: None };
            assert_eq!(live_of(&live_value(&live)), Some(live));
        }
    }

    // R8.2
    #[test]
    fn the_text_of_an_event_has_its_members_once() {
        let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/rules/fixtures/events-1");
        let files = std::fs::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path());
        let mut told = 0;
        for file in
            files.filter(|file| file.extension().is_some_and(|kind| kind == "jsonl" || kind == "json"))
        {
            for line in std::fs::read_to_string(&file).unwrap().lines() {
                let Ok(events) = serde_json::from_str::<Value>(line) else { continue };
                let events = events.get("events").unwrap_or(&events).clone();
                for event in events.as_array().cloned().unwrap_or_else(|| vec![events]) {
                    let Ok(event) = serde_json::from_value::<Event>(event) else { continue };
                    let text = event_text("r1", 4, Timestamp(1_000), &event);
                    let value = event_value("r1", 4, Timestamp(1_000), &event);
                    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
                    // A member that were there twice would make it longer.
                    assert_eq!(text.len(), value.to_string().len(), "{text}");
                    told += 1;
                }
            }
        }
        assert!(told > 50, "{told}");
    }
}
