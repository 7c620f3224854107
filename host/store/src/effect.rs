//! What a decision's events change in the read models: a pure function of the events, so that the journal alone can
//! make every read model again. Writing it is `effect_apply`.

use bandstand_engine::event::{AskedBy, Event, Lease, ReviewOutcome};
use bandstand_engine::input::Verdict;

use crate::pins;
use crate::threads::KeptValue;

/// One change of the read models.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A run began: its row.
    RunStarted {
        /// The run.
        run_id: String,
        /// The workflow's name.
        workflow: String,
        /// The author's version.
        version: u64,
        /// The thread.
        thread_id: Option<String>,
        /// The user.
        user_id: Option<String>,
        /// The request that asked for it.
        request_id: Option<String>,
        /// Digests of what it pins, sorted: workflow text, graph, plugins.
        pins: Vec<String>,
        /// The run that it does again.
        rerun_of: Option<String>,
        /// The run whose attempt it is, and which: `PATH#ATTEMPT`.
        parent: Option<(String, String)>,
        /// How it stands to its thread.
        lease: Option<Lease>,
        /// When it is to begin, if not at once. Milliseconds since 1970.
        starts_at: Option<i64>,
    },
    /// A run that was to begin later begins.
    RunDue,
    /// A child run is not wanted any more.
    ChildUnwanted {
        /// The child.
        run_id: String,
        /// Whether its parent was killed.
        killed: bool,
    },
    /// A run goes on from a point of another one.
    RunAdopted {
        /// The other one.
        from: String,
        /// How many of its events had happened.
        seq: u64,
    },
    /// A failed run goes on: its routes forget how it had ended.
    RunRetried {
        /// When it had. Milliseconds since 1970.
        failed_at: i64,
        /// How it stands to its thread now.
        lease: Option<Lease>,
    },
    /// A run has the thread that it waited for.
    ThreadEntered,
    /// A thread keeps these values now. Not for a rebuild, nor of a run that is imported: what a thread keeps has no other
    /// source, and no run that is gone changes it.
    ThreadWritten {
        /// By channel.
        values: Vec<KeptValue>,
    },
    /// A run ended: its routes learn how.
    RunEnded {
        /// Whether well.
        succeeded: bool,
    },
    /// A run was ended at once: as [`Effect::RunEnded`], badly, and its reviews wait no longer.
    RunKilled,
    /// A route was chosen.
    RouteDecided {
        /// The node, by its path in the graph.
        node: String,
        /// The route; `default` when there were no options.
        route: String,
        /// The winner's confidence.
        confidence: Option<f64>,
        /// Whether it was below the threshold.
        below: bool,
    },
    /// A review waits.
    ReviewOpened {
        /// Its id.
        review_id: String,
        /// The visit.
        path: String,
        /// One line.
        title: String,
        /// Why.
        reason: String,
        /// `node` or `agent`.
        asked_by: &'static str,
        /// `user:ID` or `group:ID`.
        reviewers: Vec<String>,
        /// Approvals needed.
        quorum: u32,
        /// When it expires. Milliseconds since 1970.
        deadline: i64,
        /// What happens then.
        on_timeout: String,
    },
    /// A review got an answer.
    ReviewAnswered {
        /// Which.
        review_id: String,
        /// Whether it approves.
        approved: bool,
    },
    /// A review waits no longer.
    ReviewClosed {
        /// Which.
        review_id: String,
        /// `approved`, `rejected`, `expired` or `withdrawn`.
        outcome: &'static str,
    },
}

/// What these events change in the read models, in their order.
pub fn effects(events: &[Event]) -> Vec<Effect> {
    events.iter().flat_map(|event| effect(event).into_iter().chain(killed_children(event))).collect()
}

fn killed_children(event: &Event) -> Vec<Effect> {
    let Event::RunKilled(killed) = event else { return Vec::new() };
    let unwanted = |run_id: &String| Effect::ChildUnwanted { run_id: run_id.clone(), killed: true };
    killed.children.iter().map(unwanted).collect()
}

fn effect(event: &Event) -> Option<Effect> {
    Some(match event {
        Event::RunStarted(started) => Effect::RunStarted {
            run_id: started.run_id.clone(),
            workflow: started.workflow.name.clone(),
            version: started.workflow.version,
            thread_id: started.thread_id.clone(),
            user_id: started.user_id.clone(),
            request_id: started.request_id.clone(),
            pins: pins::of(started),
            rerun_of: started.rerun_of.clone(),
            parent: started.parent.as_ref().map(|parent| (parent.run.clone(), parent.command().to_string())),
            lease: started.lease,
            starts_at: started.start_at.map(|at| at.0),
        },
        Event::RunDue(_) => Effect::RunDue,
        Event::RunAdopted(adopted) => {
            Effect::RunAdopted { from: adopted.from.run.clone(), seq: adopted.from.seq }
        }
        Event::RunRetried(retried) => {
            Effect::RunRetried { failed_at: retried.failed_at.0, lease: retried.lease }
        }
        Event::ThreadEntered(_) => Effect::ThreadEntered,
        Event::ThreadWritten(written) => Effect::ThreadWritten { values: KeptValue::of(written) },
        Event::RunSucceeded(_) => Effect::RunEnded { succeeded: true },
        Event::RunFailed(_) | Event::RunCancelled(_) => Effect::RunEnded { succeeded: false },
        Event::RunKilled(_) => Effect::RunKilled,
        Event::AttemptCancelled(cancelled) => {
            Effect::ChildUnwanted { run_id: cancelled.child.clone()?, killed: false }
        }
        Event::RouteDecided(route) => Effect::RouteDecided {
            node: route.p.node_path(),
            route: route.decision.clone().unwrap_or_else(|| "default".to_owned()),
            confidence: route.confidence,
            below: route.below,
        },
        Event::ReviewOpened(review) => Effect::ReviewOpened {
            review_id: review.review_id.clone(),
            path: review.p.to_string(),
            title: review.title.clone(),
            reason: review.reason.clone(),
            asked_by: match review.asked_by {
                AskedBy::Node => "node",
                AskedBy::Agent => "agent",
            },
            reviewers: review.reviewers.clone(),
            quorum: review.quorum,
            deadline: review.deadline.0,
            on_timeout: review.on_timeout.clone(),
        },
        Event::ReviewAnswered(answer) => Effect::ReviewAnswered {
            review_id: answer.review_id.clone(),
            approved: answer.decision == Verdict::Approved,
        },
        Event::ReviewDecided(decided) => Effect::ReviewClosed {
            review_id: decided.review_id.clone(),
            outcome: outcome_name(decided.outcome),
        },
        Event::ReviewWithdrawn(withdrawn) => {
            Effect::ReviewClosed { review_id: withdrawn.review_id.clone(), outcome: "withdrawn" }
        }
        _ => return None,
    })
}

fn outcome_name(outcome: ReviewOutcome) -> &'static str {
    outcome.name()
}
