//! The two streams: data to stdout, everything else to stderr, with or without colour.
//! Nobody else in the program writes to them.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::safe;

/// How much is said, and to whom.
#[derive(Clone, Debug)]
pub struct Out {
    /// Data as JSON, one document a line.
    pub json: bool,
    /// Nothing on stderr but errors and what must be answered.
    pub quiet: bool,
    /// How often `-v` was given.
    pub verbose: u8,
    color_out: bool,
    color_err: bool,
    /// A person can be asked: stdin and stderr are a terminal.
    pub can_ask: bool,
    /// Stderr is a terminal that understands cursor movement.
    pub can_redraw: bool,
    /// Why data did not reach stdout: the first time it did not.
    not_written: Arc<OnceLock<String>>,
}

/// What a colour says. Colour never says anything alone: a word stands beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// It went well.
    Good,
    /// It went badly.
    Bad,
    /// It wants attention.
    Attention,
    /// It goes on.
    Busy,
    /// Less important.
    Faint,
    /// More important.
    Strong,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Attention => "33",
            Tone::Busy => "36",
            Tone::Faint => "2",
            Tone::Strong => "1",
        }
    }
}

impl Out {
    /// Looks at the streams and at `NO_COLOR` and `TERM`.
    pub fn new(json: bool, quiet: bool, verbose: u8) -> Out {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let err = io::stderr().is_terminal() && !dumb;
        Out {
            json,
            quiet,
            verbose,
            color_out: io::stdout().is_terminal() && !dumb && !no_color,
            color_err: err && !no_color,
            can_ask: io::stdin().is_terminal() && io::stderr().is_terminal(),
            can_redraw: err,
            not_written: Arc::default(),
        }
    }

    /// Without colour or terminal, for tests.
    #[cfg(test)]
    pub fn plain() -> Out {
        Out {
            json: false,
            quiet: false,
            verbose: 0,
            color_out: false,
            color_err: false,
            can_ask: false,
            can_redraw: false,
            not_written: Arc::default(),
        }
    }

    /// One line of data. A reader that has gone (`| head`) does not disturb the work; what else keeps it from being
    /// written decides about the exit code.
    pub fn data(&self, line: &str) {
        let mut out = io::stdout().lock();
        self.written(writeln!(out, "{line}").and_then(|()| out.flush()));
    }

    /// Remembers why data did not reach stdout; a reader that has gone is no reason.
    pub fn written(&self, written: io::Result<()>) {
        if let Err(error) = written
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            // Only the first reason is told.
            let _ = self.not_written.set(error.to_string());
        }
    }

    /// Why data did not reach stdout; none: it did.
    pub fn not_written(&self) -> Option<&str> {
        self.not_written.get().map(String::as_str)
    }

    /// Data exactly as it is, for raw texts; ends with a line break.
    pub fn text(&self, text: &str) {
        self.data(text.strip_suffix('\n').unwrap_or(text));
    }

    /// A JSON document: one line with `--json` or into a pipe, several on a terminal.
    pub fn document(&self, value: &Value) {
        if self.json || !io::stdout().is_terminal() {
            self.data(&safe::json(value));
        } else {
            self.data(&safe::json_pretty(value));
        }
    }

    /// One line of a stream of JSON documents.
    pub fn json_line(&self, value: &Value) {
        self.data(&safe::json(value));
    }

    /// A line for people beside the data; not with `--quiet`.
    pub fn note(&self, line: &str) {
        if !self.quiet {
            self.error_line(line);
        }
    }

    /// A line for people that `--quiet` does not silence.
    pub fn error_line(&self, line: &str) {
        // When stderr is gone there is nobody left to tell.
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// Text for stdout in a tone.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        painted(self.color_out, tone, text)
    }

    /// Text for stderr in a tone.
    pub fn paint_err(&self, tone: Tone, text: &str) -> String {
        painted(self.color_err, tone, text)
    }
}

fn painted(color: bool, tone: Tone, text: &str) -> String {
    if color { format!("\u{1b}[{}m{text}\u{1b}[0m", tone.code()) } else { text.to_owned() }
}
