//! What `bandstand plugin test` tells of a call: what the plugin says while it works, and how it ended.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use bandstand_sandbox::{GuestEvent, Next, Observer, Outcome, Reply, Usage};
use serde_json::{Value, json};

use crate::cli::exit::Exit;
use crate::cli::term::out::{Out, Tone};
use crate::cli::term::{safe, words};
use crate::driver::level_name;

/// Passes on what a guest says: whoever hears it on the guest's thread must not wait for a terminal.
pub(super) struct Listener(Sender<Option<GuestEvent>>);

/// Prints what was passed on.
pub(super) struct Telling {
    end: Sender<Option<GuestEvent>>,
    printer: JoinHandle<()>,
}

impl Listener {
    pub(super) fn start(out: Out) -> (Arc<Listener>, Telling) {
        let (tell, told) = channel();
        let printer = std::thread::spawn(move || print(&told, &out));
        (Arc::new(Listener(tell.clone())), Telling { end: tell, printer })
    }
}

impl Observer for Listener {
    fn event(&self, event: GuestEvent) {
        // When nobody prints any more the call is over.
        let _ = self.0.send(Some(event));
    }
}

impl Telling {
    /// Waits until all that was said is printed.
    pub(super) fn end(self) {
        let _ = self.end.send(None);
        let _ = self.printer.join();
    }
}

fn print(told: &Receiver<Option<GuestEvent>>, out: &Out) {
    // Pieces of a text come one by one and are read as one.
    let mut text = String::new();
    while let Ok(Some(event)) = told.recv() {
        if out.json {
            out.json_line(&event_json(&event));
            continue;
        }
        if let GuestEvent::Chunk(piece) = &event {
            text.push_str(piece);
            continue;
        }
        print_text(&mut text, out);
        match event {
            GuestEvent::Log { level, message, fields } => {
                let fields = fields.map(|fields| format!("  {fields}")).unwrap_or_default();
                out.note(&safe::line(&format!("{:9} {message}{fields}", level_name(level))));
            }
            GuestEvent::Report { fraction, message } => {
                let done = fraction.map(|done| format!("{:.0}% ", done * 100.0)).unwrap_or_default();
                out.note(&safe::line(&format!("progress  {done}{message}")));
            }
            GuestEvent::Chunk(_) => {}
        }
    }
    print_text(&mut text, out);
}

fn print_text(text: &mut String, out: &Out) {
    if !text.is_empty() {
        out.note(&safe::line(&format!("text      {text}")));
        text.clear();
    }
}

fn event_json(event: &GuestEvent) -> Value {
    match event {
        GuestEvent::Log { level, message, fields } => {
            json!({ "type": "live.log", "level": level_name(*level), "message": message, "fields": fields })
        }
        GuestEvent::Chunk(text) => json!({ "type": "live.chunk", "text": text }),
        GuestEvent::Report { fraction, message } => {
            json!({ "type": "live.progress", "fraction": fraction, "message": message })
        }
    }
}

/// Tells how the call ended: the output is the data, all else beside it.
pub(super) fn tell(outcome: &Outcome, out: &Out) -> Exit {
    let exit = if outcome.result.is_ok() { Exit::Succeeded } else { Exit::Failed };
    if out.json {
        let mut line = as_json(outcome);
        line["type"] = json!("outcome");
        line["exit_code"] = json!(exit.code());
        out.json_line(&line);
        return exit;
    }
    match &outcome.result {
        Ok(reply) => {
            out.document(&value(&reply.output));
            if let Some(confidence) = reply.confidence {
                out.note(&format!("confidence  {}", words::confidence(confidence)));
            }
            let next = next_json(&reply.next);
            if !next.is_null() {
                out.note(&format!("next        {}", safe::json(&next)));
            }
        }
        Err(failure) => {
            let word = out.paint_err(Tone::Bad, "failed");
            out.error_line(&format!("{word}: {}", safe::told(&failure_line(failure))));
            for (name, text) in [
                ("data", &failure.data),
                ("last words", &failure.last_words),
                ("backtrace", &failure.backtrace),
            ] {
                let Some(text) = text else { continue };
                out.error_line(&format!("  {name}:"));
                safe::block(text).lines().for_each(|line| out.error_line(&format!("    {line}")));
            }
        }
    }
    out.note(&usage_line(&outcome.usage));
    exit
}

fn failure_line(failure: &bandstand_sandbox::Failure) -> String {
    let retry = if failure.recoverable { "" } else { " (another attempt would fail, too)" };
    format!("{}/{}: {}{retry}", failure.class, failure.code, failure.message)
}

/// `took 12 ms, 3 ms of processor, 1.1 MiB of memory, 4.0 KiB in host calls; model: 1 call, 120 tokens`.
fn usage_line(usage: &Usage) -> String {
    let mut line = format!(
        "took {}, {} of processor, {} of memory, {} in host calls",
        words::span(usage.wall_us / 1_000),
        words::span(usage.cpu_us / 1_000),
        words::size(usage.memory_bytes_max as u64),
        words::size(usage.host_call_bytes as u64)
    );
    let model = &usage.model;
    if model.calls > 0 {
        line.push_str(&format!(
            "; model: {}, {} in, {} out, cost {}",
            words::count(model.calls as usize, "call"),
            words::count(usize::try_from(model.tokens_in).unwrap_or(usize::MAX), "token"),
            model.tokens_out,
            words::money(model.cost_micros)
        ));
    }
    if usage.events_dropped > 0 {
        line.push_str(&format!(
            "; {} of log and progress above the quota",
            words::count(usize::try_from(usage.events_dropped).unwrap_or(usize::MAX), "line")
        ));
    }
    line
}

/// All of it, as cases are compared with and programs read.
pub(super) fn as_json(outcome: &Outcome) -> Value {
    let usage = &outcome.usage;
    let usage = json!({
        "wall_us": usage.wall_us,
        "cpu_us": usage.cpu_us,
        "memory_bytes_max": usage.memory_bytes_max,
        "host_call_bytes": usage.host_call_bytes,
        "events_dropped": usage.events_dropped,
        "model_calls": usage.model.calls,
        "tokens_in": usage.model.tokens_in,
        "tokens_out": usage.model.tokens_out,
        "cost_micros": usage.model.cost_micros,
    });
    match &outcome.result {
        Ok(Reply { output, confidence, next }) => json!({
            "status": "succeeded",
            "output": value(output),
            "confidence": confidence,
            "next": next_json(next),
            "usage": usage,
        }),
        Err(failure) => json!({
            "status": "failed",
            "error": {
                "class": failure.class.as_str(),
                "code": failure.code,
                "message": failure.message,
                "recoverable": failure.recoverable,
                "retry_after_ms": failure.retry_after_ms,
                "data": failure.data.as_deref().map(value),
                "last_words": failure.last_words,
                "backtrace": failure.backtrace,
            },
            "usage": usage,
        }),
    }
}

fn next_json(next: &Next) -> Value {
    match next {
        Next::Edges => Value::Null,
        Next::Goto(node) => json!({ "goto": node }),
        Next::Choose(choices) => {
            let choices = choices.iter().map(|choice| {
                json!({ "name": choice.name, "confidence": choice.confidence, "reason": choice.reason })
            });
            json!({ "choose": choices.collect::<Vec<_>>() })
        }
        Next::Review(review) => json!({ "review": {
            "title": review.title,
            "reason": review.reason,
            "form": review.form.as_deref().map(value),
            "propose": review.propose.as_deref().map(value),
            "timeout_ms": review.timeout_ms,
            "reviewers": review.reviewers,
            "quorum": review.quorum,
        } }),
    }
}

/// The sandbox has checked that it is JSON; what another reader takes for none is shown as it is.
fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}
