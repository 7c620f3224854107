//! `[models]` and `[budget]` of `bandstand.toml`: what the operator calls which model, where its key is, what it costs,
//! and what a run may spend.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bandstand_model::{
    KeyError, KeyFrom, Models, Price, Provider, ProviderKind, Recorder, Replies, RepliesError,
};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, de};

use super::config::{self, Config};

/// How long a call may take when nobody says.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(120);

/// `[models.NAME]`, or several `[[models.NAME]]`: the first whose key is there is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices(pub Vec<ModelSettings>);

/// One model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct ModelSettings {
    /// Who has it.
    pub provider: Option<ProviderName>,
    /// The provider's name of it.
    pub model: Option<String>,
    /// The environment variable that holds the key; nothing: the provider's usual one.
    pub key_env: Option<String>,
    /// The file that holds the key, in the project directory or absolute.
    pub key_file: Option<PathBuf>,
    /// Whether somebody wrote a key into the file. It is refused without being shown.
    #[serde(deserialize_with = "is_there")]
    key: bool,
    /// Where the provider is, for those who speak as it does.
    pub base_url: Option<String>,
    /// For a million tokens that it reads.
    pub input_price: Option<Money>,
    /// For a million tokens that it writes.
    pub output_price: Option<Money>,
    /// The most that it may write in one answer.
    pub max_output_tokens: Option<u32>,
    /// The longest a call may take, in milliseconds.
    #[serde(deserialize_with = "config::duration")]
    pub timeout: Option<u64>,
    /// A file of recorded replies that stands in for the provider.
    pub replies: Option<PathBuf>,
}

/// `provider = "..."`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // names
pub enum ProviderName {
    Openai,
    Anthropic,
    Gemini,
    Ollama,
}

/// `[budget]`: what one run may spend on models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetSettings {
    /// Read and written together.
    pub tokens: Option<u64>,
    /// In the currency of the prices.
    pub cost: Option<Money>,
}

/// An amount in the operator's currency: `"5.00"`, `5` or `0.15`. Millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money(pub u64);

/// The models cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// A file of replies cannot be used.
    #[error(transparent)]
    Replies(#[from] RepliesError),
}

impl ModelSettings {
    /// Whether anything keeps these settings from being used.
    fn problem(&self) -> Option<&'static str> {
        if self.key {
            return Some(
                "has `key`, and a key does not belong into this file; name where it is by `key-env` or `key-file`",
            );
        }
        if self.key_env.is_some() && self.key_file.is_some() {
            return Some("has both `key-env` and `key-file`");
        }
        if self.replies.is_none() && (self.provider.is_none() || self.model.is_none()) {
            return Some("needs `provider` and `model`, or `replies`");
        }
        if self.base_url.as_ref().is_some_and(|url| !is_base_url(url)) {
            return Some("has a `base-url` that is no address such as `https://models.example.com/v1`");
        }
        None
    }

    fn has_price(&self) -> bool {
        let free = self.provider == Some(ProviderName::Ollama) || self.replies.is_some();
        free || (self.input_price.is_some() && self.output_price.is_some())
    }

    fn provider(&self, folder: &Path) -> Option<Provider> {
        let kind = match self.provider? {
            ProviderName::Openai => ProviderKind::OpenAi,
            ProviderName::Anthropic => ProviderKind::Anthropic,
            ProviderName::Gemini => ProviderKind::Gemini,
            ProviderName::Ollama => ProviderKind::Ollama,
        };
        let from = match (&self.key_file, &self.key_env) {
            (Some(file), _) => Some(KeyFrom::File(folder.join(file))),
            (None, Some(name)) => Some(KeyFrom::Env(name.clone())),
            (None, None) => kind.key_env().map(|name| KeyFrom::Env(name.to_owned())),
        };
        let price = |price: Option<Money>| price.map_or(0, |Money(micros)| micros);
        Some(Provider {
            kind,
            model: self.model.clone()?,
            key: from.map(|from| {
                let key = from.read();
                (from, key)
            }),
            base_url: self.base_url.clone(),
            price: Price { input: price(self.input_price), output: price(self.output_price) },
            output_tokens_max: self.max_output_tokens,
            timeout: self.timeout.map_or(TIMEOUT_DEFAULT, Duration::from_millis),
        })
    }
}

fn is_base_url(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    // A key in the address would be shown with it.
    rest.is_some_and(|rest| {
        !rest.is_empty() && !rest.contains(['@', '?', '#']) && rest.bytes().all(|b| b.is_ascii_graphic())
    })
}

/// What is wrong with the models and the budget of a file.
pub(super) fn problem(config: &Config) -> Option<String> {
    for (name, Choices(choices)) in &config.models {
        if choices.is_empty() {
            return Some(format!("[models] `{name}` has no choice"));
        }
        for settings in choices {
            if let Some(problem) = settings.problem() {
                return Some(format!("[models.{name}] {problem}"));
            }
            if config.budget.cost.is_some() && !settings.has_price() {
                return Some(format!(
                    "[budget] limits `cost`, so [models.{name}] needs `input-price` and `output-price`, for a million \
                     tokens each"
                ));
            }
        }
    }
    None
}

/// The environment variables that hold keys of models: those that the settings name, and the usual ones of all providers,
/// whether they are used here or not.
pub fn key_variables(config: Option<&Config>) -> BTreeSet<String> {
    let all = [ProviderKind::OpenAi, ProviderKind::Anthropic, ProviderKind::Gemini, ProviderKind::Ollama];
    let usual = all.into_iter().filter_map(|kind| kind.key_env().map(str::to_owned));
    let models = config.into_iter().flat_map(|config| config.models.values());
    let named = models.flat_map(|Choices(choices)| choices).filter_map(|choice| choice.key_env.clone());
    usual.chain(named).collect()
}

/// The models of a host. `replies` stands in for all of them; what they answer goes to `record`.
///
/// # Errors
/// When a file of replies cannot be used.
pub fn models(
    config: Option<&Config>,
    replies: Option<&Path>,
    record: Option<&Path>,
) -> Result<Models, ModelsError> {
    let (mut providers, mut played) = (BTreeMap::new(), BTreeMap::new());
    let none = BTreeMap::new();
    let folder = config.map_or(Path::new("."), |config| &config.folder);
    for (name, choices) in config.map_or(&none, |config| &config.models) {
        let Some(choice) = chosen(choices, folder) else { continue };
        if let Some(provider) = choice.1 {
            providers.insert(name.clone(), provider);
        }
        // Whoever records wants the provider, and whoever plays another file needs none of these.
        if let (Some(file), None, None) = (&choice.0.replies, replies, record) {
            played.insert(name.clone(), Arc::new(Replies::read(&folder.join(file))?));
        }
    }
    let budget = config.map(|config| config.budget).unwrap_or_default();
    Ok(Models::new(
        providers,
        played,
        replies.map(Replies::read).transpose()?.map(Arc::new),
        record.map(Recorder::open).transpose()?,
        bandstand_model::Budget {
            tokens: budget.tokens,
            cost_micros: budget.cost.map(|Money(micros)| micros),
        },
    ))
}

/// The first of them that can be used; else the first, with what all of them lack.
fn chosen<'a>(choices: &'a Choices, folder: &Path) -> Option<(&'a ModelSettings, Option<Provider>)> {
    let mut made: Vec<_> = choices.0.iter().map(|settings| (settings, settings.provider(folder))).collect();
    let usable = |(settings, provider): &(&ModelSettings, Option<Provider>)| {
        let key = provider.as_ref().and_then(|provider| provider.key.as_ref());
        settings.replies.is_some() || key.is_none_or(|(_, key)| key.is_ok())
    };
    if let Some(index) = made.iter().position(usable) {
        return Some(made.swap_remove(index));
    }
    let lacking: Vec<String> = made
        .iter()
        .filter_map(|(_, provider)| match provider.as_ref()?.key.as_ref()? {
            (_, Err(KeyError::NotSet(name))) => Some(name.clone()),
            _ => None,
        })
        .collect();
    if made.is_empty() {
        return None;
    }
    let (settings, mut provider) = made.swap_remove(0);
    if let Some((_, key @ Err(KeyError::NotSet(_)))) =
        provider.as_mut().and_then(|provider| provider.key.as_mut())
    {
        *key = Err(KeyError::NotSet(lacking.join(" or ")));
    }
    Some((settings, provider))
}

impl<'de> Deserialize<'de> for Choices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Choices;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a table [models.NAME], or several [[models.NAME]]")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Choices, A::Error> {
                Ok(Choices(vec![ModelSettings::deserialize(MapAccessDeserializer::new(map))?]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Choices, A::Error> {
                let mut choices = Vec::new();
                while let Some(choice) = seq.next_element()? {
                    choices.push(choice);
                }
                Ok(Choices(choices))
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Amount;
        impl Visitor<'_> for Amount {
            type Value = Money;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an amount such as \"5.00\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Money, E> {
                let wrong = || {
                    E::custom(format!(
                        "`{text}` is not an amount such as \"5.00\" (six digits after the point at most)"
                    ))
                };
                micros(text).map(Money).ok_or_else(wrong)
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Money, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Money, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(Amount)
    }
}

/// Takes anything and keeps nothing of it.
fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    de::IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// `5.25` as 5,250,000.
fn micros(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 6 {
        return None;
    }
    let part: u64 = format!("{part:0<6}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text)
    }

    // R7.6
    #[test]
    fn models_and_a_budget_are_read() {
        let config = parse(
            "[budget]\ntokens = 1000\ncost = \"5.00\"\n[models.small]\nprovider = \"openai\"\nmodel = \"m\"\n\
             key-env = \"K\"\nbase-url = \"http://localhost:1/v1\"\ninput-price = 0.15\noutput-price = \"0.6\"\n\
             max-output-tokens = 100\ntimeout = \"5s\"\n[[models.large]]\nprovider = \"ollama\"\nmodel = \"l\"\n\
             [[models.large]]\nreplies = \"r.jsonl\"\n",
        )
        .unwrap();
        let small = &config.models["small"].0[0];
        assert_eq!((small.input_price, small.output_price), (Some(Money(150_000)), Some(Money(600_000))));
        assert_eq!((small.timeout, small.max_output_tokens), (Some(5_000), Some(100)));
        assert_eq!(config.models["large"].0.len(), 2);
        assert_eq!(config.budget, BudgetSettings { tokens: Some(1_000), cost: Some(Money(5_000_000)) });
    }

    #[test]
    fn what_is_wrong_with_a_model_is_said_with_its_name() {
        let model = "[models.m]\nprovider = \"openai\"\nmodel = \"x\"\n";
        for (text, expected) in [
            ("[models.m]\nprovider = \"openai\"".to_owned(), "[models.m] needs `provider` and `model`"),
            (format!("{model}key = \"sk-1\""), "has `key`, and a key does not belong"),
            (format!("{model}key-env = \"A\"\nkey-file = \"b\""), "both `key-env` and `key-file`"),
            (format!("{model}base-url = \"https://me:pw@x\""), "base-url"),
            (format!("[budget]\ncost = \"1\"\n{model}"), "needs `input-price`"),
            ("[budget]\ncost = \"a lot\"".to_owned(), "a lot"),
            ("[models.m]\nprovider = \"acme\"".to_owned(), "acme"),
        ] {
            let problem = parse(&text).unwrap_err();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
    }

    #[test]
    fn the_first_choice_whose_key_is_there_is_taken() {
        let choice = |name: &str, key: &str| ModelSettings {
            provider: Some(ProviderName::Openai),
            model: Some(name.to_owned()),
            key_env: Some(key.to_owned()),
            ..ModelSettings::default()
        };
        let absent = ["BANDSTAND_TEST_ABSENT_1", "BANDSTAND_TEST_ABSENT_2"];
        // Every process that tests has a path.
        let choices = Choices(vec![choice("one", absent[0]), choice("two", "CARGO_MANIFEST_DIR")]);
        let (_, provider) = chosen(&choices, Path::new(".")).unwrap();
        assert_eq!(provider.unwrap().model, "two");
        let choices = Choices(absent.map(|key| choice("one", key)).to_vec());
        let (_, provider) = chosen(&choices, Path::new(".")).unwrap();
        let problem = provider.unwrap().key.unwrap().1.unwrap_err().to_string();
        assert!(problem.contains("BANDSTAND_TEST_ABSENT_1 or BANDSTAND_TEST_ABSENT_2"), "{problem}");
    }

    #[test]
    fn money_is_exact() {
        assert_eq!(
            [micros("5"), micros("0.15"), micros("1.000001")],
            [Some(5_000_000), Some(150_000), Some(1_000_001)]
        );
        assert_eq!([micros("-1"), micros("1."), micros(".5"), micros("1.0000001"), micros("1e3")], [None; 5]);
    }
}
