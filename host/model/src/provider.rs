//! One model of one provider: where it is, what it costs, and how it is asked.

mod anthropic;
mod http;
mod openai;
mod pieces;

use std::path::PathBuf;
use std::time::Duration;

use bandstand_sandbox::{ModelEvent, ModelRequest, PowerError, PowerErrorKind};
use tokio::sync::mpsc;

use crate::key::{Key, KeyError};
use crate::refusal;

pub(crate) use self::http::{Client, Lost};

/// How a provider is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// OpenAI, and everybody who speaks as they do.
    OpenAi,
    /// Anthropic.
    Anthropic,
    /// Google's Gemini, by the door that speaks as OpenAI does.
    Gemini,
    /// Ollama, by the door that speaks as OpenAI does. Needs no key.
    Ollama,
}

impl ProviderKind {
    /// Where the provider is unless somebody says otherwise.
    #[must_use]
    pub fn base_url(self) -> &'static str {
        match self {
            ProviderKind::OpenAi => "https://api.openai.com/v1/",
            ProviderKind::Anthropic => "https://api.anthropic.com/v1/",
            ProviderKind::Gemini => "https://generativelanguage.googleapis.com/v1beta/openai/",
            ProviderKind::Ollama => "http://localhost:11434/v1/",
        }
    }

    /// The word for it in journals, metrics and traces.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ProviderKind::OpenAi => "openai",
            ProviderKind::Anthropic => "anthropic",
            ProviderKind::Gemini => "gemini",
            ProviderKind::Ollama => "ollama",
        }
    }

    /// The environment variable that usually holds the key; `None`: there is none.
    #[must_use]
    pub fn key_env(self) -> Option<&'static str> {
        match self {
            ProviderKind::OpenAi => Some("OPENAI_API_KEY"),
            ProviderKind::Anthropic => Some("ANTHROPIC_API_KEY"),
            ProviderKind::Gemini => Some("GEMINI_API_KEY"),
            ProviderKind::Ollama => None,
        }
    }
}

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFrom {
    /// An environment variable of the host.
    Env(String),
    /// A file with nothing else in it.
    File(PathBuf),
}

impl KeyFrom {
    /// The key.
    ///
    /// # Errors
    /// When there is none.
    pub fn read(&self) -> Result<Key, KeyError> {
        match self {
            KeyFrom::Env(name) => Key::from_env(name),
            KeyFrom::File(path) => Key::from_file(path),
        }
    }
}

/// What tokens cost: millionths of the operator's currency for a million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Read.
    pub input: u64,
    /// Written.
    pub output: u64,
}

impl Price {
    /// What so many tokens cost. Rounded up: nothing is free that has a price.
    #[must_use]
    pub fn of(self, tokens_in: u64, tokens_out: u64) -> u64 {
        let sum =
            u128::from(tokens_in) * u128::from(self.input) + u128::from(tokens_out) * u128::from(self.output);
        u64::try_from(sum.div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }
}

/// One model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// How it is spoken to.
    pub kind: ProviderKind,
    /// The provider's name of the model.
    pub model: String,
    /// Where its key is, and the key, once it was looked for. `None`: it needs none.
    pub key: Option<(KeyFrom, Result<Key, KeyError>)>,
    /// `None`: [`ProviderKind::base_url`].
    pub base_url: Option<String>,
    /// What it costs.
    pub price: Price,
    /// The most it may write in one answer. Tokens.
    pub output_tokens_max: Option<u32>,
    /// The longest a call may take.
    pub timeout: Duration,
}

/// The end of a call that somebody waits for.
pub(crate) type Events = mpsc::Sender<Result<ModelEvent, PowerError>>;

impl Provider {
    fn url(&self, path: &str) -> String {
        let base = self.base_url.as_deref().unwrap_or(self.kind.base_url());
        format!("{}/{path}", base.trim_end_matches('/'))
    }

    /// Asks, and sends the pieces of the answer. Ends early when nobody waits any more.
    pub(crate) async fn answer(&self, client: &Client, name: &str, request: &ModelRequest, events: &Events) {
        let call = async {
            match self.kind {
                ProviderKind::Anthropic => anthropic::answer(self, client, name, request, events).await,
                _ => openai::answer(self, client, name, request, events).await,
            }
        };
        let ended = tokio::select! {
            ended = call => ended,
            () = events.closed() => return,
            () = tokio::time::sleep(self.timeout) => Err(self.too_late(name)),
        };
        if let Err(error) = ended {
            // Whoever waited is gone, or hears it.
            let _ = events.send(Err(error)).await;
        }
    }

    /// The vectors of texts, and how many tokens they took.
    pub(crate) async fn embed(
        &self,
        client: &Client,
        name: &str,
        texts: &[String],
    ) -> Result<(Vec<Vec<f32>>, u64), PowerError> {
        if self.kind == ProviderKind::Anthropic {
            let what = format!("the provider of the model `{name}` has no embeddings");
            return Err(refusal::unavailable("not-supported", what));
        }
        let call = openai::embed(self, client, name, texts);
        tokio::time::timeout(self.timeout, call).await.unwrap_or_else(|_| Err(self.too_late(name)))
    }

    fn too_late(&self, name: &str) -> PowerError {
        let what = format!(
            "the model `{name}` did not finish within {} ms (setting models.{name}.timeout)",
            self.timeout.as_millis()
        );
        refusal::unavailable("model-timeout", what)
    }

    /// The key, or what is wrong with it.
    pub(crate) fn usable_key(&self, name: &str) -> Result<Option<&Key>, PowerError> {
        match &self.key {
            None => Ok(None),
            Some((_, Ok(key))) => Ok(Some(key)),
            Some((_, Err(problem))) => {
                let what = format!("the model `{name}` has no key: {problem} (setting models.{name})");
                Err(PowerError::new(PowerErrorKind::Denied, "key-missing", what))
            }
        }
    }

    /// What both sides allow.
    fn tokens_max(&self, request: &ModelRequest) -> Option<u32> {
        match (self.output_tokens_max, request.max_output_tokens) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_exact_and_round_up() {
        let price = Price { input: 150_000, output: 600_000 };
        assert_eq!(price.of(1_000_000, 0), 150_000);
        assert_eq!(price.of(1_000, 500), 450);
        assert_eq!(price.of(1, 0), 1);
        assert_eq!(Price::default().of(u64::MAX, u64::MAX), 0);
    }
}
