//! Reads English documents for the agents: sections, clauses, sentences, words, all with their places in the text.
//!
//! Places are byte offsets into the UTF-8 text, end exclusive. What the words mean is the agents' business, as is every
//! other language. Nothing here allocates per letter more than a small multiple of the text.

mod blocks;
mod document;
mod normal;
mod quote;
mod sentences;
mod words;

pub use document::{Clause, Document, Section};
pub use normal::Normal;
pub use quote::Quote;
pub use sentences::Sentence;
pub use words::{content_words, flat, is_stop_word, shorten, stem, words};
