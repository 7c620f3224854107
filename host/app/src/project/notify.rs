//! `[notify.NAME]` of `bandstand.toml`: whom the host tells of what (R2.8).

use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::config;
use crate::host::{Endpoint, EventKind, Persistence, SecretFrom};

/// Deliveries of one endpoint at once, at most.
const CONCURRENCY_MAX: u32 = 64;

/// Whom to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct NotifySettings {
    /// The address that is posted to.
    pub url: Option<String>,
    /// What it is told of; nothing: everything.
    pub events: Option<Vec<EventKind>>,
    /// Only runs of these workflows; empty: all.
    pub workflows: Vec<String>,
    /// Where the key is that signs.
    pub secret: Option<SecretPlace>,
    /// Attempts of one delivery.
    pub attempts: Option<NonZeroU32>,
    /// How old an event may get, in milliseconds.
    #[serde(deserialize_with = "config::duration")]
    pub max_age: Option<u64>,
    /// Before the second attempt, in milliseconds.
    #[serde(deserialize_with = "config::duration")]
    pub base_delay: Option<u64>,
    /// The longest between two attempts, in milliseconds.
    #[serde(deserialize_with = "config::duration")]
    pub max_delay: Option<u64>,
    /// How long the receiver may take to answer, in milliseconds.
    #[serde(deserialize_with = "config::duration")]
    pub timeout: Option<u64>,
    /// Deliveries at once.
    pub concurrency: Option<NonZeroU32>,
    /// Data of the run that is sent along.
    pub include: Option<Include>,
}

/// `include = "..."`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Include {
    /// What is proposed, and what reviewers say.
    Proposal,
}

/// `secret = { env = "VARIABLE" }` or `{ file = "path" }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretPlace {
    /// In an environment variable of the host.
    Env(String),
    /// In a file, in the project directory or absolute.
    File(PathBuf),
    /// Something else stands there, perhaps the secret itself: it is refused without being shown.
    Other,
}

impl<'de> Deserialize<'de> for SecretPlace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SecretPlace, D::Error> {
        struct Place;
        impl<'de> Visitor<'de> for Place {
            type Value = SecretPlace;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("{ env = \"VARIABLE\" } or { file = \"path\" }")
            }

            // The error of the file's reader would show the line.
            fn visit_str<E: de::Error>(self, _: &str) -> Result<SecretPlace, E> {
                Ok(SecretPlace::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretPlace, A::Error> {
                let mut found = None;
                while let Some(key) = map.next_key::<String>()? {
                    let place = match key.as_str() {
                        "env" => SecretPlace::Env(map.next_value()?),
                        "file" => SecretPlace::File(map.next_value()?),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            SecretPlace::Other
                        }
                    };
                    found = Some(if found.is_some() { SecretPlace::Other } else { place });
                }
                Ok(found.unwrap_or(SecretPlace::Other))
            }
        }
        deserializer.deserialize_any(Place)
    }
}

impl SecretPlace {
    fn from(&self, folder: &Path) -> Option<SecretFrom> {
        match self {
            SecretPlace::Env(name) => Some(SecretFrom::Env(name.clone())),
            SecretPlace::File(path) => Some(SecretFrom::File(folder.join(path))),
            SecretPlace::Other => None,
        }
    }
}

impl NotifySettings {
    /// The variable that holds its key.
    pub fn secret_env(&self) -> Option<&str> {
        match &self.secret {
            Some(SecretPlace::Env(name)) => Some(name),
            _ => None,
        }
    }

    /// The file that holds its key.
    pub fn secret_file(&self) -> Option<&PathBuf> {
        match &self.secret {
            Some(SecretPlace::File(path)) => Some(path),
            _ => None,
        }
    }

    /// Whether anything keeps these settings from being used.
    pub(super) fn problem(&self, name: &str) -> Option<String> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.len() > 63 || !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.bytes().all(plain)
        {
            return Some("a name is `[a-z][a-z0-9-]{0,62}`".to_owned());
        }
        if self.events.as_ref().is_some_and(Vec::is_empty) {
            return Some("`events` is empty; leave it out for all of them".to_owned());
        }
        if self.concurrency.is_some_and(|concurrency| concurrency.get() > CONCURRENCY_MAX) {
            return Some(format!("`concurrency` is {CONCURRENCY_MAX} at most"));
        }
        self.endpoint(name, Path::new("")).err()
    }

    /// As the host takes it.
    ///
    /// # Errors
    /// When an address or the place of the secret is missing or none.
    pub fn endpoint(&self, name: &str, folder: &Path) -> Result<Endpoint, String> {
        let url = self.url.as_deref().ok_or("needs `url`, the address that is posted to")?;
        let secret = self.secret.as_ref().and_then(|secret| secret.from(folder)).ok_or(
            "needs `secret = { env = \"VARIABLE\" }` or `secret = { file = \"path\" }`: where the key is that signs; \
             the key itself does not belong into this file",
        )?;
        let mut endpoint = Endpoint::new(name, url, secret).map_err(|problem| format!("`url` {problem}"))?;
        if let Some(events) = &self.events {
            endpoint.events = events.iter().copied().collect();
        }
        endpoint.workflows = self.workflows.iter().cloned().collect();
        let default = Persistence::default();
        endpoint.persistence = Persistence {
            attempts_max: self.attempts.map_or(default.attempts_max, NonZeroU32::get),
            age_ms_max: self.max_age.unwrap_or(default.age_ms_max),
            delay_ms: self.base_delay.unwrap_or(default.delay_ms),
            delay_ms_max: self.max_delay.unwrap_or(default.delay_ms_max),
        };
        endpoint.timeout_ms = self.timeout.unwrap_or(endpoint.timeout_ms);
        endpoint.concurrency = self.concurrency.map_or(endpoint.concurrency, |set| set.get() as usize);
        endpoint.with_proposal = self.include == Some(Include::Proposal);
        Ok(endpoint)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::host::{EventKind, SecretFrom};
    use crate::project::Config;

    // R2.8
    #[test]
    fn endpoints_are_read() {
        let config = Config::parse(
            "[notify.chat]\nurl = \"https://chat.example/h\"\nevents = [\"review.opened\", \"run.ended\"]\n\
             workflows = [\"triage\"]\nsecret = { file = \"key\" }\nattempts = 3\nmax-age = \"1h\"\n\
             base-delay = \"10ms\"\ntimeout = \"2s\"\ninclude = \"proposal\"\n",
        )
        .unwrap();
        let endpoint = config.notify().endpoints.remove(0);
        assert_eq!((endpoint.name.as_str(), endpoint.origin().as_str()), ("chat", "https://chat.example"));
        assert!(endpoint.events.contains(&EventKind::RunEnded) && endpoint.events.len() == 2);
        assert!(matches!(&endpoint.secret, SecretFrom::File(path) if path.ends_with("key")));
        assert_eq!((endpoint.persistence.attempts_max, endpoint.persistence.age_ms_max), (3, 3_600_000));
        assert!(endpoint.with_proposal);
    }

    #[test]
    fn what_cannot_be_used_is_told_and_a_secret_in_the_file_is_not_shown() {
        for (text, wanted) in [
            ("[notify.chat]\n", "[notify.chat] needs `url`"),
            ("[notify.chat]\nurl = \"https://x/\"\n", "[notify.chat] needs `secret"),
            ("[notify.chat]\nurl = \"x\"\nsecret = { env = \"K\" }\n", "`url` is no address"),
            ("[notify.Chat]\nurl = \"https://x/\"\nsecret = { env = \"K\" }\n", "a name is"),
            (
                "[notify.chat]\nurl = \"https://x/\"\nsecret = { env = \"K\" }\nevents = []\n",
                "`events` is empty",
            ),
            (
                "[notify.chat]\nurl = \"https://x/\"\nsecret = { env = \"K\" }\nevents = [\"x\"]\n",
                "unknown variant",
            ),
            (
                "[notify.chat]\nurl = \"https://x/\"\nsecret = \"hush-hush\"\n",
                "does not belong into this file",
            ),
            ("[notify.chat]\nurl = \"https://x/\"\nsecret = { value = \"hush-hush\" }\n", "does not belong"),
        ] {
            let problem = Config::parse(text).unwrap_err();
            assert!(problem.contains(wanted) && !problem.contains("hush"), "{text}: {problem}");
        }
    }
}
