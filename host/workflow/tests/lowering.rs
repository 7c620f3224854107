//! What a file becomes: the graph with every default filled in, and its drawings.

use std::path::Path;

use bandstand_engine::Graph;
use bandstand_engine::failure::Class;
use bandstand_engine::graph::{Body, CacheScope, Exit, Join, Kind, OnTimeout, Strategy, Target};
use bandstand_workflow::{Options, check, graph_dot, graph_mermaid};

fn graph(text: &str) -> Graph {
    let checked = check(text.as_bytes(), &Options { file: "t.yaml".to_owned(), ..Options::default() });
    assert!(checked.diagnostics.is_empty(), "{:?}", checked.diagnostics);
    checked.graph.expect("a graph")
}

const HEAD: &str = "format: 1\nname: case\nversion: 3\nplugins:\n  echo: { builtin: echo, limits: { memory: 8MiB, cpu: 2s } }\n";

/// R1.2, R1.3: the built-in retry; workflow over it; node over both, key by key.
#[test]
fn retry_is_merged_key_by_key() {
    let plain = graph(&format!("{HEAD}nodes:\n  a: {{ agent: echo, next: end }}\n"));
    let Kind::Agent(agent) = &plain.root.nodes["a"].kind else { panic!("an agent") };
    assert_eq!(
        (agent.retry.strategy, agent.retry.max_retries, agent.retry.base_delay_ms),
        (Strategy::Exponential, 3, 1_000)
    );
    assert_eq!((agent.retry.factor, agent.retry.jitter, agent.retry.max_delay_ms), (2.0, 0.0, 86_400_000));
    assert_eq!(agent.timeout_ms, 60_000);
    let merged = graph(&format!(
        "{HEAD}defaults: {{ retry: {{ base-delay: 2s, max-retries: 2 }}, timeout: 30s }}\nnodes:\n  a: {{ agent: echo, retry: {{ max-retries: 5, retry-on: [limit] }}, next: end }}\n"
    ));
    let Kind::Agent(agent) = &merged.root.nodes["a"].kind else { panic!("an agent") };
    assert_eq!((agent.retry.max_retries, agent.retry.base_delay_ms, agent.timeout_ms), (5, 2_000, 30_000));
    assert_eq!(agent.retry.retry_on, [Class::Limit].into());
    assert_eq!(merged.plugins["echo"].limits.memory_bytes, 8 << 20);
    assert_eq!(merged.plugins["echo"].limits.output_bytes, 1 << 20);
}

/// R2.2, R2.4, R3.1, R3.3, R4.1 to R4.3: defaults of reviews, routes and blocks.
#[test]
fn defaults_of_reviews_routes_and_blocks_are_filled_in() {
    let graph = graph(&format!(
        "{HEAD}nodes:\n  ask: {{ review: {{ title: \"Go?\" }}, approved: pick, rejected: end }}\n  pick: {{ agent: echo, route: {{ to: {{ z: both, a: end }} }} }}\n  both:\n    parallel:\n      branches:\n        z: {{ agent: echo }}\n        a: {{ review: {{ title: t }} }}\n    next: [{{ when: output.errors|length > 0, to: end }}, {{ to: each }}]\n  each: {{ map: {{ over: input.list, do: {{ nodes: {{ x: {{ value: \"${{{{ item_index }}}}\", next: end }} }} }} }}, next: end }}\n"
    ));
    let Kind::Review(review) = &graph.root.nodes["ask"].kind else { panic!("a review") };
    assert_eq!((review.timeout_ms, review.quorum, &review.on_timeout), (3_600_000, 1, &OnTimeout::Fail));
    assert!(graph.root.nodes["ask"].exit.is_none());
    let Some(Exit::Route(route)) = &graph.root.nodes["pick"].exit else { panic!("a route") };
    assert_eq!(route.threshold, 0.75);
    assert_eq!(route.to.iter().map(|(option, _)| option.as_str()).collect::<Vec<_>>(), ["z", "a"]);
    let Kind::Parallel(block) = &graph.root.nodes["both"].kind else { panic!("a block") };
    assert_eq!((block.join, block.branches[0].id.as_str()), (Join::Settle, "z"));
    let Body::Node(sole) = &block.branches[0].body else { panic!("one node") };
    assert!(
        matches!(&sole.exit, Some(Exit::Next(edges)) if edges.otherwise == Target::End && edges.when.is_empty())
    );
    let Body::Node(sole) = &block.branches[1].body else { panic!("one node") };
    assert!(sole.exit.is_none() && sole.approved.is_none());
    let Kind::Map(map) = &graph.root.nodes["each"].kind else { panic!("a map") };
    assert_eq!((map.item.as_str(), map.concurrency), ("item", 32));
    assert_eq!((graph.version, graph.limits.max_steps), (3, 1_000));
}

#[test]
fn a_cache_is_lowered_with_its_defaults() {
    let graph = graph(&format!(
        "{HEAD}nodes:\n  a: {{ agent: echo, cache: {{ for: 2h }}, next: b }}\n  b: {{ agent: echo, cache: {{ for: 500ms, key: input.who, scope: thread }}, next: end }}\n"
    ));
    let cache = |id: &str| match &graph.root.nodes[id].kind {
        Kind::Agent(agent) => agent.cache.clone().expect("a cache"),
        _ => panic!("an agent"),
    };
    let (plain, other) = (cache("a"), cache("b"));
    assert_eq!((plain.for_ms, plain.scope, plain.key.is_none()), (7_200_000, CacheScope::Workflow, true));
    assert_eq!((other.for_ms, other.scope), (500, CacheScope::Thread));
    assert_eq!(other.key.map(|key| key.source().to_owned()), Some("input.who".to_owned()));
}

#[test]
fn expressions_know_their_place_in_the_file() {
    let graph = graph(&format!(
        "{HEAD}nodes:\n  a:\n    agent: echo\n    next: [{{ when: \" output.x\", to: end }}, {{ to: end }}]\n"
    ));
    let Some(Exit::Next(edges)) = &graph.root.nodes["a"].exit else { panic!("edges") };
    assert_eq!((edges.when[0].when.source(), edges.when[0].when.position()), ("output.x", (9, 22)));
}

/// The drawings of every pattern that this build can run; `BANDSTAND_BLESS=1` writes them anew.
#[test]
fn drawings_are_as_committed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/workflows");
    let mut drawn = 0;
    for name in ["03-plan-execute", "09-adaptive-rag", "10-debate", "13-document-review", "17-dag"] {
        let text = std::fs::read_to_string(root.join(format!("{name}.yaml"))).expect("a file");
        // What a later phase grants makes no difference to the picture.
        let text = text.replace(", grants: { http: [\"https://cms.example.com\"] }", "");
        let graph = graph(&text);
        for (ending, drawing) in [("mmd", graph_mermaid(&graph)), ("dot", graph_dot(&graph))] {
            let path = root.join(format!("drawings/{name}.{ending}"));
            if std::env::var_os("BANDSTAND_BLESS").is_some() {
                std::fs::create_dir_all(root.join("drawings")).expect("a directory");
                std::fs::write(&path, &drawing).expect("the drawing can be written");
            }
            assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), drawing, "{}", path.display());
            drawn += 1;
        }
    }
    assert_eq!(drawn, 10);
}
