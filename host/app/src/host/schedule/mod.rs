//! Cron triggers of served workflows: each begins a run when its time comes, once, also over a restart.
//!
//! A run is begun with the request id `cron:WORKFLOW:TRIGGER:TIME`, so a host that died between the run and writing down that the
//! trigger is so far finds the run and begins no other. What fires when: `plan`. What is kept: the store's `schedules`.

mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bandstand_engine::Timestamp;
use bandstand_engine::event::Event;
use bandstand_engine::graph::{Overlap, When};
use bandstand_store::{KeptSchedule, RunFilter, RunStatus, Store};
use bandstand_workflow::cron::Cron;
use serde_json::{Value, json};

use super::error::HostError;
use super::holder::{Host, Inner};
use super::request::{Deployed, StartRequest};
use crate::driver::{PluginError, now};
use plan::{Plan, Stand};

/// How often the clock is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A request is known for a day; before a run is begun for an older time, the runs of its workflow are looked through.
const REQUEST_KNOWN_MS: u64 = 23 * 3_600_000;
/// Runs in one read.
const PAGE: u32 = 200;

/// The workflows that are served now. Asked often: it should cost nothing.
pub trait Deployments: Send + Sync + 'static {
    /// All of them. No two have one name.
    fn deployed(&self) -> Vec<Deployed>;
}

/// A fixed list, for tests and for hosts that watch nothing.
impl Deployments for Vec<Deployed> {
    fn deployed(&self) -> Vec<Deployed> {
        self.clone()
    }
}

/// Fires the cron triggers of what is served, until the host is closed.
pub struct Scheduler {
    host: Weak<Inner>,
    deployments: Arc<dyn Deployments>,
    kept: BTreeMap<(String, u32), KeptSchedule>,
    /// When to look at each again; those with a time that waits are looked at each second.
    next: BTreeMap<(String, u32), Option<Timestamp>>,
}

/// One cron trigger.
struct Due<'a> {
    deployed: &'a Deployed,
    number: u32,
    cron: &'a str,
    zone: &'a str,
    overlap: Overlap,
}

impl Scheduler {
    /// Begins to fire. Only one for a host, and only for one that drives all runs.
    pub fn spawn(host: &Host, deployments: Arc<dyn Deployments>) {
        let scheduler = Scheduler {
            host: Arc::downgrade(&host.0),
            deployments,
            kept: BTreeMap::new(),
            next: BTreeMap::new(),
        };
        tokio::spawn(scheduler.work());
    }

    async fn work(mut self) {
        let mut known = false;
        loop {
            // Asleep, it keeps nothing of a host that was closed.
            let Some(host) = self.host.upgrade().filter(|inner| inner.is_held()).map(Host) else { return };
            if !known {
                match host.0.store.reader().schedules() {
                    Ok(kept) => {
                        self.kept = kept
                            .into_iter()
                            .map(|schedule| ((schedule.workflow.clone(), schedule.trigger), schedule))
                            .collect();
                        known = true;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "how far triggers are cannot be read; next try in a second");
                    }
                }
            }
            if known {
                self.look(&host).await;
            }
            drop(host);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Looks once at every trigger.
    async fn look(&mut self, host: &Host) {
        let deployed = self.deployments.deployed();
        let mut seen = BTreeSet::new();
        for deployed in &deployed {
            let triggers = deployed.graph.triggers.iter().zip(0_u32..);
            for (trigger, number) in triggers {
                let When::Cron { cron, zone, overlap } = &trigger.when else { continue };
                let key = (deployed.graph.name.clone(), number);
                let due = Due { deployed, number, cron, zone, overlap: *overlap };
                if let Err(error) = self.trigger(host, &key, &due).await
                    && !error.is_gone()
                {
                    let (workflow, number) = &key;
                    tracing::warn!(workflow, number, %error, "a trigger could not be looked at; next try in a second");
                }
                seen.insert(key);
            }
        }
        let gone: Vec<_> = self.kept.keys().filter(|key| !seen.contains(*key)).cloned().collect();
        for key in gone {
            // Served again, it begins anew: what came meanwhile was nobody's.
            let (store, (workflow, number)) = (host.0.store.clone(), key.clone());
            let forgotten =
                tokio::task::spawn_blocking(move || store.forget_schedule(&workflow, number)).await;
            if matches!(forgotten, Ok(Ok(()))) {
                self.kept.remove(&key);
                self.next.remove(&key);
            }
        }
    }

    async fn trigger(&mut self, host: &Host, key: &(String, u32), due: &Due<'_>) -> Result<(), HostError> {
        let now = now();
        let known = self.kept.get(key).filter(|kept| kept.cron == due.cron && kept.zone == due.zone);
        let kept = match known {
            Some(kept) if kept.overlap == due.overlap.name() => kept.clone(),
            // Nothing of what has fired changes by that.
            Some(kept) => {
                let kept = KeptSchedule { overlap: due.overlap.name().to_owned(), ..kept.clone() };
                self.keep(&host.0.store, key, kept.clone()).await?;
                kept
            }
            None => {
                let new = KeptSchedule {
                    workflow: key.0.clone(),
                    trigger: key.1,
                    cron: due.cron.to_owned(),
                    zone: due.zone.to_owned(),
                    overlap: due.overlap.name().to_owned(),
                    up_to: now,
                    queued_at: None,
                    run_id: None,
                    problem: None,
                };
                self.next.remove(key);
                self.keep(&host.0.store, key, new.clone()).await?;
                new
            }
        };
        let is_time = self.next.get(key).is_none_or(|next| next.is_some_and(|next| next <= now));
        if !is_time && kept.queued_at.is_none() {
            return Ok(());
        }
        // Checked with the file, so it is one.
        let Ok(cron) = Cron::new(due.cron, due.zone) else {
            self.next.insert(key.clone(), None);
            return Ok(());
        };
        let running = match &kept.run_id {
            // One that is stuck does not go on by itself, and must not keep all later ones from beginning.
            Some(run_id) => host
                .0
                .store
                .reader()
                .run(run_id)?
                .is_some_and(|run| !run.status.is_ended() && run.status != RunStatus::Stuck),
            None => false,
        };
        let stand = Stand { up_to: kept.up_to, queued_at: kept.queued_at, running };
        let plan = plan::plan(&cron, due.overlap, stand, now);
        let changed = self.carry_out(host, due, &kept, plan).await?;
        if changed != kept {
            self.keep(&host.0.store, key, changed).await?;
        }
        self.next.insert(key.clone(), plan.next);
        Ok(())
    }

    /// Begins the run that is planned; how far the trigger is then.
    async fn carry_out(
        &self,
        host: &Host,
        due: &Due<'_>,
        kept: &KeptSchedule,
        plan: Plan,
    ) -> Result<KeptSchedule, HostError> {
        let mut changed = KeptSchedule { queued_at: plan.queued_at, ..kept.clone() };
        if let Some(at) = plan.pass {
            changed.up_to = changed.up_to.max(at);
            if plan.queued_at.is_none() {
                tracing::warn!(workflow = %due.deployed.graph.name, time = %at, "no run was begun: the one before still goes on");
                changed.problem = Some(format!("{at}: none was begun, the run before was still going"));
            }
        }
        let Some(at) = plan.fire else { return Ok(changed) };
        match begin(host, due, at).await {
            Ok(run_id) => {
                (changed.run_id, changed.problem) = (Some(run_id), None);
            }
            // Nothing that the file says is at fault: it is tried again.
            Err(Fault::Host(error)) => return Err(error),
            Err(Fault::File(problem)) => {
                let (workflow, number) = (&kept.workflow, kept.trigger);
                tracing::warn!(workflow, number, %at, problem, "a trigger began no run");
                changed.problem = Some(format!("{at}: {problem}"));
            }
        }
        changed.up_to = changed.up_to.max(at);
        Ok(changed)
    }

    async fn keep(
        &mut self,
        store: &Arc<Store>,
        key: &(String, u32),
        schedule: KeptSchedule,
    ) -> Result<(), HostError> {
        let (store, kept) = (store.clone(), schedule.clone());
        tokio::task::spawn_blocking(move || store.keep_schedule(kept))
            .await
            .map_err(|_| HostError::Closing)?
            .map_err(|refused| HostError::Storage(refused.to_string()))?;
        self.kept.insert(key.clone(), schedule);
        Ok(())
    }
}

/// Why a trigger began no run.
enum Fault {
    /// The file, or what it names: the same would come again.
    File(String),
    /// The host, for now.
    Host(HostError),
}

async fn begin(host: &Host, due: &Due<'_>, at: Timestamp) -> Result<String, Fault> {
    let graph = &due.deployed.graph;
    let request_id = format!("cron:{}:{}:{at}", graph.name, due.number);
    let trigger = graph.triggers.get(due.number as usize);
    let trigger = trigger.ok_or_else(|| Fault::File("it has gone".to_owned()))?;
    if now().since_ms(at) >= REQUEST_KNOWN_MS
        && let Some(run_id) =
            begun_before(&host.0.store, &graph.name, &request_id, at).map_err(Fault::Host)?
    {
        return Ok(run_id);
    }
    let names = Arc::new(json!({ "at": at.to_string() }));
    let input = trigger.input(graph, &names).map_err(|error| Fault::File(error.to_string()))?;
    let request = begin_with(due.deployed, input, Some(request_id));
    match host.start_deployed(due.deployed.clone(), request).await {
        Ok(run_id) => Ok(run_id),
        // It was begun before the host died, and the file has changed since.
        Err(HostError::RequestTaken { run_id, .. }) => Ok(run_id),
        Err(error @ (HostError::Storage(_) | HostError::Closing | HostError::Refused(_))) => {
            Err(Fault::Host(error))
        }
        // The file of a plugin, not what is in it: it may be there again in a moment.
        Err(HostError::Plugin { plugin, source }) if !matches!(source, PluginError::Load(_)) => {
            Err(Fault::Host(HostError::Plugin { plugin, source }))
        }
        Err(error) => Err(Fault::File(error.to_string())),
    }
}

/// What a trigger starts: a run for nobody, in no thread.
pub(super) fn begin_with(deployed: &Deployed, input: Value, request_id: Option<String>) -> StartRequest {
    StartRequest { input, request_id, ..deployed.request() }
}

/// The run that was begun for a time that is long over, if there is one.
fn begun_before(
    store: &Store,
    workflow: &str,
    request_id: &str,
    at: Timestamp,
) -> Result<Option<String>, HostError> {
    let filter = RunFilter { workflow: Some(workflow.to_owned()), ..RunFilter::default() };
    let mut cursor = None;
    loop {
        let page = store.reader().runs(&filter, cursor.as_deref(), PAGE)?;
        for run in &page.runs {
            if run.started_at < at {
                return Ok(None);
            }
            let rows = store.reader().history(&run.run_id, 0, 1)?.rows;
            let first = rows.first().and_then(|row| row.events.first());
            if matches!(first, Some(Event::RunStarted(e)) if e.request_id.as_deref() == Some(request_id)) {
                return Ok(Some(run.run_id.clone()));
            }
        }
        let Some(next) = page.next else { return Ok(None) };
        cursor = Some(next);
    }
}
