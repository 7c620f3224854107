//! Quarantine of plugins (R1.10), as the host keeps and shows it. When a plugin is taken out of service, and for how long, is
//! the driver's ([`bandstand_driver::Quarantine`]); here is what outlives the process, and the person's way out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bandstand_driver::{Breaker, BreakerState, Message};
use bandstand_engine::Outcome;
use bandstand_store::{KeptBreaker, Store};

use super::error::HostError;
use super::holder::Host;
use super::request::Taken;
use crate::driver::Calls;

/// Counters of quarantine since the host was opened, and what is so now. The names are those of the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuarantineStats {
    /// `bandstand_plugin_faults_total`: attempts that ended by a fault of their plugin.
    pub faults_total: u64,
    /// `bandstand_plugin_quarantines_total`: times that a plugin went to quarantine, those after a probe in vain included.
    pub quarantines_total: u64,
    /// `bandstand_plugins_quarantined`: plugins that are in quarantine now.
    pub plugins_quarantined: u64,
    /// `bandstand_attempts_held{reason="breaker"}`: attempts that wait for such a plugin now.
    pub attempts_held: u64,
}

/// [`QuarantineStats`], as the driver's task writes it and others read it.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    faults: AtomicU64,
    quarantines: AtomicU64,
    quarantined: AtomicU64,
    held: AtomicU64,
}

impl Counters {
    /// As the core counts it now.
    pub(crate) fn set(&self, counts: bandstand_driver::QuarantineCounts) {
        self.faults.store(counts.faults, Ordering::Relaxed);
        self.quarantines.store(counts.opened, Ordering::Relaxed);
        self.quarantined.store(counts.plugins, Ordering::Relaxed);
        self.held.store(counts.calls, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> QuarantineStats {
        QuarantineStats {
            faults_total: self.faults.load(Ordering::Relaxed),
            quarantines_total: self.quarantines.load(Ordering::Relaxed),
            plugins_quarantined: self.quarantined.load(Ordering::Relaxed),
            attempts_held: self.held.load(Ordering::Relaxed),
        }
    }
}

impl Host {
    /// Counters of quarantine since the host was opened.
    pub fn quarantine_stats(&self) -> QuarantineStats {
        self.0.counters.read()
    }

    /// How the calls of a plugin ended since the host was opened, by digest.
    pub fn plugin_calls(&self, digest: &str) -> Calls {
        self.plugins().calls(digest)
    }

    /// Puts a plugin back in service, by digest: it leaves quarantine, and its faults are forgotten. Durable when this
    /// returns. [`Taken::Known`]: it was in service.
    ///
    /// # Errors
    /// When the host is closing, or the storage failed.
    pub async fn release_plugin(&self, digest: &str) -> Result<Taken, HostError> {
        let plugin: Arc<str> = digest.into();
        let message = |request| Message::PutBackInService { plugin, request: Some(request) };
        let taken = match self.0.mailbox.ask(message).await.map_err(|_| HostError::Closing)?? {
            Outcome::Changed => Taken::Changed,
            Outcome::Unchanged | Outcome::Stale => Taken::Known,
        };
        let store = self.0.store.clone();
        let flushed = tokio::task::spawn_blocking(move || store.flush());
        let flushed = flushed.await.map_err(|_| HostError::Closing)?;
        flushed.map_err(|refused| HostError::Storage(refused.to_string()))?;
        Ok(taken)
    }
}

/// What a host begins with. With quarantine switched off nothing is known against any plugin.
pub(super) fn restored(store: &Store, enabled: bool) -> Result<Vec<Breaker>, HostError> {
    let kept = store.reader().breakers()?;
    if !enabled {
        for breaker in kept {
            // What stays is forgotten by the next start.
            let _ = store.keep_breaker(&breaker.plugin, None);
        }
        return Ok(Vec::new());
    }
    Ok(kept.into_iter().filter_map(from_kept).collect())
}

/// One of a newer host's states is as none: the plugin counts as good until it shows otherwise.
fn from_kept(kept: KeptBreaker) -> Option<Breaker> {
    Some(Breaker {
        state: BreakerState::named(&kept.state)?,
        plugin: kept.plugin.into(),
        name: kept.name,
        workflow: kept.workflow,
        faults: kept.faults,
        opened: kept.opened,
        since: kept.since,
        probe_at: kept.probe_at,
        fault: kept.fault,
    })
}

/// As the store keeps it.
pub(crate) fn to_kept(breaker: Breaker) -> KeptBreaker {
    KeptBreaker {
        plugin: breaker.plugin.to_string(),
        name: breaker.name,
        workflow: breaker.workflow,
        state: breaker.state.name().to_owned(),
        faults: breaker.faults,
        opened: breaker.opened,
        since: breaker.since,
        probe_at: breaker.probe_at,
        fault: breaker.fault,
    }
}
