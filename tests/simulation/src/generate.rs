//! Makes a world from a tape: a structured workflow, its input, and the script of its agents and people.
//!
//! Swarm: each world has half of the features only, so that rare ones meet often. What is generated keeps the rules that
//! `check` enforces on structure (targets, exits, one-node bodies); expressions may fail, since that is a behaviour too.

mod expression;
mod node;
mod people;

use std::collections::BTreeMap;
use std::sync::Arc;

use bandstand_engine::Id;
use bandstand_engine::expression::{Expression, Template};
use bandstand_engine::graph::{
    Channel, ChildWorkflow, Graph, Keep, Limits, Plugin, PluginSource, Reducer, ScopeGraph,
};
use bandstand_engine::schema::Schema;
use serde_json::{Value, json};

use crate::script::Script;
use crate::signals::Sending;
use crate::tape::Tape;
use crate::verbs::Verb;

/// Half of these are on in a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // the names say it
pub enum Feature {
    Failures,
    Retries,
    OnFailure,
    Loops,
    Conditions,
    Routes,
    Goto,
    Reviews,
    AskedReviews,
    OddAnswers,
    Expiry,
    Waits,
    Parallel,
    After,
    Map,
    Joins,
    MaxErrors,
    BlockTimeouts,
    RunTimeout,
    Updates,
    Set,
    BranchChannels,
    Schemas,
    BadExpressions,
    BadWrites,
    FailNodes,
    Results,
    Stages,
    StepLimits,
    Cancel,
    Kill,
    Pauses,
    Signals,
    Deadlines,
    Checkpoints,
    ManySteps,
    Cache,
    Children,
}

const FEATURES: u32 = Feature::Children as u32 + 1;

/// Child runs have child runs, and those have none.
const LEVELS_MAX: u32 = 2;

/// A generated world.
#[derive(Clone, Debug)]
pub struct World {
    /// The workflow.
    pub graph: Arc<Graph>,
    /// What the run is given.
    pub input: Value,
    /// What agents and people do.
    pub script: Script,
    /// What somebody wants of the whole run, and when, from its start.
    pub verbs: Vec<(u64, Verb)>,
    /// Signals that are sent whether anybody waits or not, and when, from its start.
    pub signals: Vec<(u64, Sending)>,
    /// The signals that some node waits for, and whether they must be objects.
    pub awaited: BTreeMap<String, bool>,
    /// The workflows that it runs as children; their inputs and seeds are not theirs. Without them children are scripted.
    pub children: BTreeMap<Id, World>,
    /// The run's seed.
    pub seed: u64,
    /// How long after it was asked for it is to begin. A child run begins at once.
    pub starts_after_ms: Option<u64>,
}

/// Makes a world. `runs_children`: child runs are runs of their own, else they are scripted.
pub fn world(tape: &mut Tape, runs_children: bool) -> World {
    // What makes runs end early is off more often, so that the others get somewhere.
    let early = [
        Feature::BadExpressions,
        Feature::BadWrites,
        Feature::FailNodes,
        Feature::Cancel,
        Feature::Kill,
        Feature::RunTimeout,
        Feature::StepLimits,
        Feature::Schemas,
    ];
    let features = (0..FEATURES)
        .map(|number| {
            let sides = if early.iter().any(|feature| *feature as u32 == number) { 4 } else { 2 };
            tape.below(sides) == 1
        })
        .collect();
    let generator = Generator {
        tape,
        features,
        script: Script::default(),
        next_id: 0,
        nodes_left: 20,
        channels: BTreeMap::new(),
        awaited: BTreeMap::new(),
        children: BTreeMap::new(),
        runs_children,
        level: 0,
    };
    generator.world()
}

struct Generator<'t> {
    tape: &'t mut Tape,
    features: Vec<bool>,
    script: Script,
    next_id: u32,
    nodes_left: u32,
    channels: BTreeMap<Id, Channel>,
    awaited: BTreeMap<String, bool>,
    children: BTreeMap<Id, World>,
    runs_children: bool,
    /// How many runs are above.
    level: u32,
}

/// What may be named where a node stands.
#[derive(Clone, Default)]
struct Place {
    /// Ids of the scope and the enclosing ones, the own block excluded.
    nodes: Vec<String>,
    /// Names of items.
    items: Vec<String>,
    /// Branches that this one waits for.
    after: Vec<String>,
    /// Blocks around it.
    depth: u32,
    /// The graph's path of the scope: ids of blocks and branches.
    path: String,
    /// Whether `visit` is known.
    visit: bool,
    /// What `output` is there, if any.
    output: Option<OutputShape>,
}

/// What is known of a node's output.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OutputShape {
    /// Has `n`.
    Numbered,
    /// Has `n` and perhaps `options`.
    Agent,
    /// A review's.
    Review,
    /// A block's or nothing known.
    Other,
}

fn id(text: &str) -> Id {
    Id::new(text).expect("generated ids are ids")
}

impl Generator<'_> {
    fn on(&self, feature: Feature) -> bool {
        self.features.get(feature as usize).copied().unwrap_or(false)
    }

    /// True so often in a hundred, if the feature is on.
    fn maybe(&mut self, feature: Feature, percent: u64) -> bool {
        let chance = self.tape.chance(percent);
        chance && self.on(feature)
    }

    fn fresh(&mut self, letter: char) -> String {
        self.next_id += 1;
        format!("{letter}{}", self.next_id)
    }

    fn template(&self, json: &Value) -> Template {
        Template::from_json(json)
            .unwrap_or_else(|error| unreachable!("generated templates compile: {error}, {json}"))
    }

    fn expression(&self, source: &str) -> Expression {
        Expression::compile(source, 0, 0)
            .unwrap_or_else(|error| unreachable!("generated expressions compile: {error}, {source}"))
    }

    fn world(mut self) -> World {
        self.make_channels();
        let input = json!({ "n": self.tape.below(4), "list": (0..self.tape.below(4)).collect::<Vec<_>>() });
        let limits = Limits {
            max_steps: if self.on(Feature::StepLimits) { 3 + self.tape.below(10) } else { 40 },
            ..Limits::default()
        };
        let root = self.scope(&Place::default());
        let result = self.result(&root);
        let timeout_ms = (self.on(Feature::RunTimeout)).then(|| 1 + self.tape.below(20_000));
        // Some inputs that a parent gives do not fit.
        let narrow = self.level > 0 && self.maybe(Feature::Schemas, 50);
        let wanted = json!({ "type": "object", "properties": { "n": { "type": "integer", "maximum": 2 } } });
        let output = self.maybe(Feature::Schemas, 20).then(|| schema(&json!({ "type": "object" })));
        let graph = Graph {
            name: if self.level == 0 { "generated".to_owned() } else { format!("child{}", self.level) },
            version: 1,
            description: String::new(),
            input: narrow.then(|| schema(&wanted)),
            output,
            state: std::mem::take(&mut self.channels),
            constants: BTreeMap::from([(id("c"), Arc::new(json!(3)))]),
            templates: BTreeMap::new(),
            limits,
            timeout_ms,
            thread: None,
            plugins: ["p", "q"].iter().map(|name| (id(name), plugin(name))).collect(),
            workflows: self
                .children
                .iter()
                .map(|(id, child)| (id.clone(), child_workflow(id, child)))
                .collect(),
            root,
            result,
            triggers: Vec::new(),
        };
        let verbs = self.verbs();
        let signals = self.signals();
        World {
            graph: Arc::new(graph),
            input,
            script: self.script,
            verbs,
            signals,
            awaited: self.awaited,
            children: self.children,
            seed: self.tape.below(1 << 32),
            starts_after_ms: self.tape.chance(20).then(|| *self.tape.pick(&[1, 700, 4_000, 86_400_000])),
        }
    }

    fn verbs(&mut self) -> Vec<(u64, Verb)> {
        let mut verbs = Vec::new();
        for (feature, verb) in [(Feature::Cancel, Verb::Cancel), (Feature::Kill, Verb::Kill)] {
            if self.maybe(feature, 40) {
                verbs.push((self.tape.below(5_000), verb));
            }
        }
        if self.maybe(Feature::Pauses, 70) {
            for _ in 0..1 + self.tape.below(3) {
                let for_ms = *self.tape.pick(&[200, 0, 3_000, 20_000]);
                verbs.push((self.tape.below(4_000), Verb::Pause { for_ms }));
            }
            if self.tape.chance(30) {
                verbs.push((self.tape.below(4_000), Verb::Resume));
            }
        }
        verbs
    }

    fn signals(&mut self) -> Vec<(u64, Sending)> {
        if !self.on(Feature::Signals) {
            return Vec::new();
        }
        (0..self.tape.below(7))
            .map(|number| {
                let name = *self.tape.pick(&["go", "go", "stop", "go", "nosuch"]);
                let id =
                    if self.tape.chance(15) { format!("bad {number}") } else { format!("early {number}") };
                (self.tape.below(3_000), Sending::early(name, &id))
            })
            .collect()
    }

    fn make_channels(&mut self) {
        for (name, reduce) in [
            ("best", Reducer::Max),
            ("facts", Reducer::Merge),
            ("last", Reducer::Replace),
            ("log", Reducer::Append),
            ("low", Reducer::Min),
            ("own", Reducer::Sum),
            ("total", Reducer::Sum),
        ] {
            let keep =
                if name == "own" && self.on(Feature::BranchChannels) { Keep::Branch } else { Keep::Run };
            let wanted = match (self.maybe(Feature::Schemas, 30), name) {
                (false, _) => None,
                (true, "total" | "own") => {
                    Some(json!({ "type": "number", "maximum": 5 + self.tape.below(20) }))
                }
                (true, "log") => Some(json!({ "maxItems": 1 + self.tape.below(6) })),
                (true, "last") => Some(json!({ "type": ["number", "null", "object"] })),
                (true, _) => None,
            };
            let initial = match (self.tape.chance(30), name) {
                (true, "total") => Some(json!("${{ input.n + 1 }}")),
                (true, "log") => Some(json!(["start"])),
                (true, "facts") => Some(json!({ "start": "${{ constants.c }}" })),
                (true, "best" | "low") => Some(json!(2)),
                _ => None,
            };
            let channel = Channel {
                reduce,
                schema: wanted.as_ref().map(schema),
                initial: initial.map(|initial| self.template(&initial)),
                keep,
            };
            self.channels.insert(id(name), channel);
        }
    }

    fn result(&mut self, root: &ScopeGraph) -> Option<Template> {
        if !self.maybe(Feature::Results, 70) {
            return None;
        }
        let place = Place {
            nodes: root.nodes.keys().map(ToString::to_string).collect(),
            output: Some(OutputShape::Other),
            ..Place::default()
        };
        let value = self.object(&place);
        Some(self.template(&json!({ "state": "${{ state }}", "more": value, "last": "${{ output }}" })))
    }

    fn scope(&mut self, place: &Place) -> ScopeGraph {
        let at_most = if place.depth == 0 && self.level == 0 { 6 } else { 3 };
        let count = 1 + self.tape.below(at_most).min(u64::from(self.nodes_left));
        let ids: Vec<String> = (0..count).map(|_| self.fresh('n')).collect();
        let mut inner = place.clone();
        inner.nodes.extend(ids.iter().cloned());
        let nodes = (0..ids.len())
            .map(|index| (id(&ids[index]), self.node(&inner, Some((&ids, index)), &ids[index])))
            .collect();
        ScopeGraph { start: id(&ids[0]), nodes }
    }
}

fn schema(source: &Value) -> Schema {
    Schema::new(Arc::new(source.clone()))
        .unwrap_or_else(|error| unreachable!("generated schemas are schemas: {error}"))
}

fn child_workflow(id: &Id, world: &World) -> ChildWorkflow {
    ChildWorkflow { path: format!("{id}.yaml"), source: "its text".into(), graph: world.graph.clone() }
}

fn plugin(name: &str) -> Plugin {
    Plugin::new(PluginSource::Path(format!("{name}.wasm")))
}
