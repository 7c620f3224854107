//! How things look for people: safe text, words for times and amounts, tables, the live tree, questions.
//! What is shown is the verbs' business; machine-readable output goes through [`out::Out`] as it is.

pub mod ask;
pub mod out;
pub mod safe;
pub mod table;
pub mod words;
