//! The operator's models by name, and what one attempt gets of them.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bandstand_sandbox::{Model, PowerError, PowerErrorKind};
use tokio::runtime::Runtime;

use crate::attempt::OfAttempt;
use crate::ledger::{Budget, Ledgers, Spent};
use crate::provider::{Client, Provider};
use crate::refusal;
use crate::replies::{Recorder, Replies};

/// What a host has of models. Clones are the same.
#[derive(Clone, Default)]
pub struct Models(Arc<Inner>);

#[derive(Default)]
pub(crate) struct Inner {
    providers: BTreeMap<String, Arc<Provider>>,
    replies: BTreeMap<String, Arc<Replies>>,
    /// Instead of all providers and other replies.
    all_replies: Option<Arc<Replies>>,
    pub(crate) recorder: Option<Arc<Recorder>>,
    pub(crate) budget: Budget,
    pub(crate) ledgers: Ledgers,
    /// Made with the first call of a provider.
    reach: OnceLock<Result<Reach, String>>,
}

/// What it takes to reach providers. Calls have a thread of their own: those of the guests wait for nobody, and the host's
/// has its timers.
struct Reach {
    /// Taken only by `drop`.
    runtime: Option<Runtime>,
    client: Client,
}

/// What stands behind a name.
pub(crate) enum Source {
    Replies(Arc<Replies>),
    Provider(Arc<Provider>),
}

impl Models {
    /// Models by name: of providers, and played from files. `all_replies` stands in for all of them, named or not; what
    /// providers answer goes to `recorder`.
    #[must_use]
    pub fn new(
        providers: BTreeMap<String, Provider>,
        replies: BTreeMap<String, Arc<Replies>>,
        all_replies: Option<Arc<Replies>>,
        recorder: Option<Recorder>,
        budget: Budget,
    ) -> Models {
        Models(Arc::new(Inner {
            providers: providers.into_iter().map(|(name, provider)| (name, Arc::new(provider))).collect(),
            replies,
            all_replies,
            recorder: recorder.map(Arc::new),
            budget,
            ledgers: Ledgers::default(),
            reach: OnceLock::new(),
        }))
    }

    /// What stands behind the interface `model` of one attempt. `journaled` is what the journal says of its run.
    #[must_use]
    pub fn for_attempt(&self, run_id: &str, journaled: Spent) -> Arc<dyn Model> {
        Arc::new(OfAttempt::new(self.0.clone(), self.0.ledgers.of(run_id, journaled)))
    }
}

impl std::fmt::Debug for Models {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.0.providers.keys().chain(self.0.replies.keys());
        formatter.debug_list().entries(names).finish()
    }
}

impl Inner {
    /// What stands behind a name, and what it costs and may do, where that is known.
    pub(crate) fn find(&self, name: &str) -> Result<(Source, Option<Arc<Provider>>), PowerError> {
        let provider = self.providers.get(name).cloned();
        let replies = self.all_replies.as_ref().or_else(|| self.replies.get(name));
        if let Some(replies) = replies {
            return Ok((Source::Replies(replies.clone()), provider));
        }
        match provider {
            Some(provider) => Ok((Source::Provider(provider.clone()), Some(provider))),
            None => {
                let what = format!(
                    "this host has no model `{name}`; describe it in bandstand.toml: `[models.{name}]` with provider, \
                     model and key-env"
                );
                Err(PowerError::new(PowerErrorKind::Denied, "model-unknown", what))
            }
        }
    }

    /// The thread and the client for calls of providers.
    pub(crate) fn reach(&self) -> Result<(&Runtime, &Client), PowerError> {
        let made = self.reach.get_or_init(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name("models")
                .enable_all()
                .build()
                .map_err(|error| error.to_string())?;
            Ok(Reach { client: Client::new()?, runtime: Some(runtime) })
        });
        let cannot = |problem: &str| {
            refusal::unavailable("no-way-out", format!("models cannot be reached: {problem}"))
        };
        let reach = made.as_ref().map_err(|problem| cannot(problem))?;
        let runtime = reach.runtime.as_ref().ok_or_else(|| cannot("the host is closing"))?;
        Ok((runtime, &reach.client))
    }
}

impl Drop for Reach {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting for calls is not possible where a runtime may be dropped.
            runtime.shutdown_background();
        }
    }
}
