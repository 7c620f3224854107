//! What `check` says about a file: coded, placed in the text, with a way out.
//!
//! Codes are stable, texts are not. How the rules find a problem is the business of the modules that call
//! [`Report::add`].

use serde::Serialize;

use crate::source::{Source, Span};

/// One problem of a workflow file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The stable code, `BW101` to `BW613`.
    pub code: &'static str,
    /// Whether the file can be run all the same.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// What to do about it; may be empty.
    pub help: String,
    /// The file as the caller named it.
    pub file: String,
    /// Line of the first character, from 1.
    pub line: usize,
    /// Column of the first character, in characters from 1.
    pub column: usize,
    /// Line of the last character, from 1.
    pub end_line: usize,
    /// Column after the last character, in characters from 1.
    pub end_column: usize,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be run.
    Error,
    /// The file is valid.
    Warning,
}

impl Severity {
    /// The word people read.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// One line of the table of codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Code {
    /// `BW` and three digits.
    pub code: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// When it is told.
    pub when: &'static str,
    /// Told only with a [`crate::Resolver`].
    pub needs_files: bool,
}

const fn error(code: &'static str, when: &'static str) -> Code {
    Code { code, severity: Severity::Error, when, needs_files: false }
}

const fn warning(code: &'static str, when: &'static str) -> Code {
    Code { code, severity: Severity::Warning, when, needs_files: false }
}

const fn files(code: &'static str, when: &'static str) -> Code {
    Code { code, severity: Severity::Error, when, needs_files: true }
}

/// Every code there is, in order.
pub const CODES: &[Code] = &[
    error("BW101", "unknown key"),
    error("BW102", "not valid YAML, or not UTF-8"),
    error("BW103", "duplicate key"),
    error("BW104", "anchor, alias, tag, merge key, second document or non-string key"),
    error("BW105", "a required key is missing"),
    error("BW106", "wrong type"),
    error("BW107", "value not in the list, or out of range"),
    error("BW108", "`format` is missing or not 1"),
    warning("BW109", "a known feature that this build lacks"),
    error("BW110", "not an identifier or name"),
    error("BW111", "reserved identifier"),
    error("BW112", "bad duration, percentage or size"),
    error("BW113", "YAML cut an expression"),
    error("BW114", "file or count above its bound"),
    error("BW115", "keys that exclude each other"),
    error("BW116", "no cron expression, or one that never comes; no such time zone"),
    error("BW117", "two webhooks of one address"),
    error("BW201", "a target names no node"),
    error("BW202", "a node without an exit"),
    error("BW203", "the last entry of a list of exits has `when`"),
    error("BW204", "an entry without `when` that is not the last"),
    warning("BW205", "a node that no path reaches"),
    error("BW206", "a target is a node of another scope"),
    error("BW207", "a cycle without a way out"),
    error("BW208", "an exit key that is not allowed here"),
    error("BW209", "`on-failure` leads to the node itself"),
    error("BW210", "more than one kind"),
    error("BW211", "an id shadows an enclosing one"),
    error("BW212", "`after` names no sibling branch"),
    error("BW213", "`after` goes in a circle"),
    error("BW214", "a quorum that cannot be reached"),
    error("BW215", "`max-errors` with another join than `settle`"),
    error("BW216", "`stage` outside the root scope"),
    error("BW217", "a node key that is not for this kind"),
    error("BW218", "`on-timeout` is not possible here"),
    error("BW301", "expression syntax"),
    error("BW302", "unknown name"),
    error("BW303", "unknown filter"),
    error("BW304", "unknown test"),
    error("BW305", "unknown function"),
    error("BW306", "method call"),
    error("BW307", "an operator that expressions do not have"),
    error("BW308", "wrong number or name of arguments"),
    error("BW309", "`${{` without `}}`"),
    error("BW310", "`${{ }}` in a bare expression"),
    error("BW311", "a name that is not available here"),
    error("BW312", "`nodes.X` is possibly unset"),
    error("BW313", "`nodes.X` names no node in scope"),
    error("BW314", "`state.X` names no channel"),
    error("BW315", "`constants.X` or `render('X')` names no such constant"),
    error("BW316", "`branches.X` names a branch that is not in `after`"),
    error("BW317", "expression too long or too deep"),
    error("BW318", "a statement in an expression"),
    error("BW319", "a filter or test is not named by a literal"),
    warning("BW320", "`input.X` is not in the input schema"),
    error("BW321", "a template uses a name that `render` does not give"),
    error("BW322", "no such member"),
    error("BW401", "`update` or `set` of an unknown channel"),
    error("BW402", "a value that the reducer cannot take"),
    error("BW403", "a literal against its schema"),
    error("BW404", "concurrent `replace`"),
    error("BW405", "`set` of a shared channel in a branch"),
    error("BW406", "not a valid JSON Schema"),
    warning("BW407", "declared and never used"),
    error("BW501", "`agent` names no plugin"),
    error("BW502", "`workflow` names no entry of `workflows`"),
    warning("BW503", "the errors of a block are read nowhere"),
    error("BW504", "`deadline` is shorter than `timeout`"),
    warning("BW505", "a retry key without effect"),
    files("BW601", "a file is not found or too large"),
    files("BW602", "not a component of world `bandstand:agent`"),
    files("BW603", "a plugin imports what the file does not grant"),
    files("BW604", "the host does not permit what the file grants"),
    files("BW605", "the child's version differs"),
    files("BW606", "workflows call each other in a circle"),
    files("BW607", "a path leaves the project directory"),
    files("BW608", "the plugin's digest differs"),
    files("BW609", "unknown builtin"),
    files("BW610", "a tool that is not there, or cannot be used"),
    files("BW611", "an input that the plugin does not take, by its manifest"),
    files("BW612", "a component has no such function, or it cannot be called"),
    files("BW613", "an input does not fit the function that is called"),
];

/// The table's line of a code.
pub fn code(code: &str) -> Option<&'static Code> {
    CODES.iter().find(|line| line.code == code)
}

/// Collects the problems of one file.
pub(crate) struct Report<'s> {
    pub(crate) source: &'s Source<'s>,
    file: String,
    found: Vec<(usize, Diagnostic)>,
}

impl<'s> Report<'s> {
    pub(crate) fn new(source: &'s Source<'s>, file: &str) -> Report<'s> {
        Report { source, file: file.to_owned(), found: Vec::new() }
    }

    /// Notes a problem. The severity is that of the table.
    pub(crate) fn add(
        &mut self,
        of: &'static str,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let severity = code(of).map_or(Severity::Error, |line| line.severity);
        let (line, column) = self.source.position(span.start);
        let (end_line, end_column) = self.source.position(span.end.max(span.start));
        let diagnostic = Diagnostic {
            code: of,
            severity,
            message: message.into(),
            help: help.into(),
            file: self.file.clone(),
            line,
            column,
            end_line,
            end_column,
        };
        self.found.push((span.start, diagnostic));
    }

    pub(crate) fn has(&self, codes: &[&str]) -> bool {
        self.found.iter().any(|(_, diagnostic)| codes.contains(&diagnostic.code))
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.found.iter().any(|(_, diagnostic)| diagnostic.severity == Severity::Error)
    }

    /// The problems by position, each once.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by(|(a, left), (b, right)| {
            (a, left.code, &left.message).cmp(&(b, right.code, &right.message))
        });
        let mut diagnostics: Vec<Diagnostic> =
            self.found.into_iter().map(|(_, diagnostic)| diagnostic).collect();
        diagnostics.dedup();
        diagnostics
    }
}

/// Longest part of a source line that [`render`] shows, in characters.
const SHOWN_CHARS_MAX: usize = 160;

/// The diagnostic as people read it: code and message, place, the line with a mark under it, help. Plain text without
/// colours, ending in a line break. `source` is the text that was checked.
pub fn render(diagnostic: &Diagnostic, source: &str) -> String {
    let Diagnostic { line, column, .. } = *diagnostic;
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    let mut text = format!("{}[{}]: {}\n", diagnostic.severity.name(), diagnostic.code, diagnostic.message);
    text.push_str(&format!("{margin}--> {}:{line}:{column}\n", diagnostic.file));
    if let Some(shown) = source.split('\n').nth(line - 1).map(|shown| shown.trim_end_matches('\r')) {
        let length = shown.chars().count();
        let end = if diagnostic.end_line > line { length + 1 } else { diagnostic.end_column };
        let end = end.clamp(column + 1, (length + 1).max(column + 1));
        // A window of a long line, so that the mark stays in sight.
        let skip = if column > SHOWN_CHARS_MAX - 40 { column - 40 } else { 0 };
        let clean = |c: char| if c == '\t' || c.is_control() { ' ' } else { c };
        let window: String = shown.chars().skip(skip).take(SHOWN_CHARS_MAX).map(clean).collect();
        let marks = (end - column).min(SHOWN_CHARS_MAX.saturating_sub(column - 1 - skip)).max(1);
        text.push_str(&format!("{margin} |\n{number} | {window}\n"));
        text.push_str(&format!("{margin} | {}{}\n", " ".repeat(column - 1 - skip), "^".repeat(marks)));
    }
    for (index, line) in diagnostic.help.lines().enumerate() {
        let lead = if index == 0 { " = help: " } else { "         " };
        text.push_str(&format!("{margin}{lead}{line}\n"));
    }
    text
}
