//! The expression language of workflow files: one profile of Jinja expressions, compiled once, evaluated at decisions,
//! and analysed by `check`.
//!
//! Built on the parser and the virtual machine of `minijinja`; code generation, arithmetic, comparison and every
//! operation that could grow without bound are this module's own, so that values are JSON values, every evaluation is
//! bounded and every failure has a code. Left out: which names exist where (the workflow crate knows the scopes), reading
//! files, and statements outside of text templates.

mod analysis;
mod argument;
mod catalogue;
mod compile;
mod error;
mod evaluate;
mod filter;
mod json;
mod operator;
mod reference;
mod scan;
mod template;
mod test;
mod text;
mod visible;
mod walk;

pub use analysis::{Analysis, Finding, FindingKind, RenderUse, analyse, analyse_template};
pub use catalogue::{filters, functions, signature_of, tests};
pub use error::{ErrorCode, EvaluateError, SyntaxError};
pub use evaluate::{Expression, FUEL_DEFAULT, RESULT_BYTES_MAX, Scope, TextTemplate, WORK_UNITS_MAX};
pub use reference::{Guard, Reference};
pub use scan::{DEPTH_MAX, SOURCE_BYTES_MAX};
pub use template::{Part, RawPart, Template, TemplateError, Unclosed, split_text};
pub use visible::{Fields, Names, Visible};

#[cfg(test)]
mod checks;
