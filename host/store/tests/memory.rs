//! What agents keep (R6): audit log, facts, working memory.

mod support;

use bandstand_engine::time::Timestamp;
use bandstand_store::{
    AuditEntry, Fact, FactQuery, MemoryError, MemoryLimits, Options, Scope, SearchMode, Store,
};
use support::store;

fn scope(workflow: &str, thread: Option<&str>) -> Scope {
    Scope {
        workflow: workflow.to_owned(),
        run_id: "run-1".to_owned(),
        thread_id: thread.map(str::to_owned),
        user_id: Some("ada".to_owned()),
        node: "ask".to_owned(),
    }
}

fn fact(text: &str, tags: &[&str]) -> Fact {
    Fact {
        text: text.to_owned(),
        kind: "note".to_owned(),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        user_id: None,
        salience: 0.5,
        confidence: 0.5,
        source: "test".to_owned(),
        embedding: None,
    }
}

fn question(text: &str) -> FactQuery {
    FactQuery { text: text.to_owned(), limit: 10, ..FactQuery::default() }
}

fn texts(store: &Store, scope: &Scope, query: &FactQuery) -> Vec<String> {
    store.facts_search(scope, query).expect("searched").into_iter().map(|hit| hit.fact.text).collect()
}

// R6.1, R6.4
#[test]
fn audit_entries_of_a_thread_come_back_in_order_and_stay() {
    let (directory, store) = store();
    let entry = |action: &str| AuditEntry {
        action: action.to_owned(),
        payload: r#"{"clause":3}"#.to_owned(),
        tags: vec!["law".to_owned()],
    };
    let here = scope("review", Some("t1"));
    for (at, action) in [(1, "opened"), (2, "flagged"), (3, "closed")] {
        store.audit_append(&here, Timestamp(at), entry(action)).expect("appended");
    }
    store.audit_append(&scope("review", Some("t2")), Timestamp(4), entry("elsewhere")).expect("appended");
    store.audit_append(&scope("other", Some("t1")), Timestamp(5), entry("other")).expect("appended");
    store.audit_append(&scope("review", None), Timestamp(6), entry("of-the-run")).expect("appended");
    store.close();

    let store = Store::open(directory.path(), Options::default()).expect("opened again");
    let latest = store.audit_snapshot(&here, 2).expect("read");
    let actions: Vec<&str> = latest.iter().map(|record| record.entry.action.as_str()).collect();
    assert_eq!(actions, ["flagged", "closed"]);
    assert_eq!((latest[0].at, latest[0].source.as_str()), (Timestamp(2), "ask"));
    assert_eq!(latest[0].thread_id.as_deref(), Some("t1"));
    assert_eq!(latest[0].entry, entry("flagged"));
    assert_eq!(store.audit_snapshot(&scope("review", None), 9).expect("read").len(), 1);
    // R5.3: readers beside the host see the same.
    let reader = bandstand_store::Reader::open(directory.path()).expect("opened to read");
    assert_eq!(reader.audit(&here, 2).expect("read"), latest);
    assert_eq!(reader.audit(&scope("other", Some("t2")), 9).expect("read"), []);
    let refused =
        store.audit_append(&here, Timestamp(0), AuditEntry { payload: "{".to_owned(), ..entry("x") });
    assert!(matches!(refused, Err(MemoryError::Invalid { code: "not-json", .. })));
}

// R6.2
#[test]
fn facts_are_found_by_words_with_an_honest_score() {
    let (_directory, store) = store();
    let here = scope("review", Some("t1"));
    let ids = store
        .facts_put(
            &here,
            Timestamp(1),
            vec![
                fact("The licence allows commercial use", &["law", "licence"]),
                fact("Commercial tea is sold in boxes", &["tea"]),
                fact("Caf\u{e9} owners like licence fees", &["law"]),
            ],
        )
        .expect("put");
    assert_eq!(ids.len(), 3);
    let hits = store.facts_search(&here, &question("commercial LICENCE")).expect("searched");
    assert_eq!(hits[0].id, ids[0]);
    assert_eq!(hits.iter().map(|hit| hit.score).collect::<Vec<_>>(), [1.0, 0.5, 0.5]);
    assert_eq!(hits[0].fact.user_id.as_deref(), Some("ada"), "none means the scope's user");
    // Accents do not matter; quotes and operators of the index are only text.
    assert_eq!(texts(&store, &here, &question("cafe")).len(), 1);
    assert_eq!(texts(&store, &here, &question("\"licence\" AND NOT (")).len(), 2);
    let poor = store.facts_search(&here, &question("tea kettles steam loudly")).expect("searched");
    assert_eq!(poor[0].score, 0.25, "the best of a poor lot is not called perfect");
    // Without words the newest come first.
    assert!(texts(&store, &here, &question(""))[0].starts_with("Caf"));
}

#[test]
fn filters_must_all_hold_and_other_workflows_are_not_seen() {
    let (_directory, store) = store();
    let here = scope("review", Some("t1"));
    let of_bob = Fact {
        user_id: Some("bob".to_owned()),
        kind: "preference".to_owned(),
        ..fact("red wine", &["drink", "red"])
    };
    store.facts_put(&here, Timestamp(1), vec![fact("red paint", &["red"]), of_bob]).expect("put");
    store
        .facts_put(&scope("other", Some("t1")), Timestamp(1), vec![fact("red alert", &["red"])])
        .expect("put");
    store
        .facts_put(&scope("review", Some("t2")), Timestamp(1), vec![fact("red carpet", &["red"])])
        .expect("put");
    let with = |change: fn(&mut FactQuery)| {
        let mut query = question("red");
        change(&mut query);
        let mut found = texts(&store, &here, &query);
        found.sort();
        found
    };
    assert_eq!(with(|_| ()), ["red carpet", "red paint", "red wine"]);
    assert_eq!(with(|query| query.tags = vec!["red".to_owned(), "drink".to_owned()]), ["red wine"]);
    assert_eq!(with(|query| query.user_id = Some("bob".to_owned())), ["red wine"]);
    assert_eq!(with(|query| query.kinds = vec!["preference".to_owned(), "x".to_owned()]), ["red wine"]);
    assert_eq!(with(|query| query.thread_id = Some("t2".to_owned())), ["red carpet"]);
    assert_eq!(with(|query| query.limit = 1).len(), 1);
}

#[test]
fn facts_are_found_by_meaning_and_by_both() {
    let (_directory, store) = store();
    let here = scope("review", None);
    let meaning =
        |text: &str, numbers: [f32; 2]| Fact { embedding: Some(numbers.to_vec()), ..fact(text, &[]) };
    let facts =
        vec![meaning("east", [1.0, 0.0]), meaning("north", [0.0, 1.0]), fact("no direction at all", &[])];
    store.facts_put(&here, Timestamp(1), facts).expect("put");
    let mut query =
        FactQuery { mode: SearchMode::Vector, embedding: Some(vec![1.0, 1.0]), limit: 9, ..question("") };
    let hits = store.facts_search(&here, &query).expect("searched");
    assert_eq!(hits.len(), 2);
    assert!(hits.iter().all(|hit| (hit.score - 0.5_f64.sqrt()).abs() < 1e-9));
    query = FactQuery {
        mode: SearchMode::Hybrid,
        text: "north".to_owned(),
        embedding: Some(vec![0.0, 2.0]),
        ..query
    };
    let hits = store.facts_search(&here, &query).expect("searched");
    assert_eq!((hits[0].fact.text.as_str(), hits[0].score), ("north", 1.0));
    query.embedding = None;
    assert!(matches!(
        store.facts_search(&here, &query),
        Err(MemoryError::Invalid { code: "no-embedding", .. })
    ));
}

#[test]
fn what_is_forgotten_is_not_found_and_its_id_is_not_used_again() {
    let (_directory, store) = store();
    let here = scope("review", None);
    let first = store.facts_put(&here, Timestamp(1), vec![fact("blue sky", &[])]).expect("put");
    assert!(matches!(
        store.facts_forget(&scope("other", None), &first[0]),
        Err(MemoryError::NotFound { .. })
    ));
    store.facts_forget(&here, &first[0]).expect("forgotten");
    assert!(matches!(store.facts_forget(&here, &first[0]), Err(MemoryError::NotFound { what: "fact", .. })));
    assert_eq!(texts(&store, &here, &question("blue")), Vec::<String>::new());
    let second = store.facts_put(&here, Timestamp(1), vec![fact("grey sky", &[])]).expect("put");
    assert_ne!(first, second);
}

#[test]
fn facts_are_reflected_from_an_audit_entry_once() {
    let (_directory, store) = store();
    let here = scope("review", Some("t1"));
    let append = |payload: &str| {
        let entry = AuditEntry {
            action: "clause-flagged".to_owned(),
            payload: payload.to_owned(),
            tags: vec!["law".to_owned()],
        };
        store.audit_append(&here, Timestamp(1), entry).expect("appended")
    };
    let plain = append(r#"{"clause":7,"why":"unlimited liability"}"#);
    let ids = store.facts_reflect(&here, Timestamp(2), &plain).expect("reflected");
    assert_eq!(store.facts_reflect(&here, Timestamp(3), &plain).expect("again"), ids);
    let hits = store.facts_search(&here, &question("liability")).expect("searched");
    assert_eq!(hits[0].fact.text, "clause-flagged: clause 7, why unlimited liability");
    assert_eq!(hits[0].fact.source, format!("audit:{plain}"));
    let stated = append(
        r#"{"facts":["Ada likes tea",{"text":"Bob likes ale","kind":"preference","confidence":0.9}]}"#,
    );
    assert_eq!(store.facts_reflect(&here, Timestamp(2), &stated).expect("reflected").len(), 2);
    let hits = store.facts_search(&here, &question("ale")).expect("searched");
    assert_eq!((hits[0].fact.kind.as_str(), hits[0].fact.confidence), ("preference", 0.9));
    assert!(matches!(
        store.facts_reflect(&here, Timestamp(2), "audit-99"),
        Err(MemoryError::NotFound { .. })
    ));
    assert!(store.facts_reflect(&scope("other", None), Timestamp(2), &plain).is_err());
}

#[test]
fn near_duplicates_are_merged_into_the_newest() {
    let (_directory, store) = store();
    let here = scope("review", None);
    let other_user = Fact { user_id: Some("bob".to_owned()), ..fact("the licence ends in May", &[]) };
    let strong = Fact { salience: 0.9, ..fact("The licence ends in May.", &["law"]) };
    let facts = vec![
        strong,
        fact("the LICENCE ends, in may", &["date"]),
        other_user,
        fact("the licence ends in June", &[]),
    ];
    store.facts_put(&here, Timestamp(1), facts).expect("put");
    assert_eq!(store.facts_consolidate(&here).expect("merged"), 1);
    assert_eq!(store.facts_consolidate(&here).expect("nothing left"), 0);
    let mut query = question("may licence ends");
    query.user_id = Some("ada".to_owned());
    let hits = store.facts_search(&here, &query).expect("searched");
    assert_eq!((hits[0].fact.text.as_str(), hits[0].fact.salience), ("the LICENCE ends, in may", 0.9));
    assert_eq!(hits[0].fact.tags, ["date", "law"]);
}

// R6.3
#[test]
fn slots_belong_to_a_thread() {
    let (_directory, store) = store();
    let here = scope("review", Some("t1"));
    assert_eq!(store.slot_get(&here, "persona").expect("read"), None);
    store.slot_set(&here, Timestamp(1), "persona", r#"{"name":"Ada"}"#).expect("set");
    store.slot_set(&here, Timestamp(2), "persona", r#""short""#).expect("set again");
    store.slot_set(&here, Timestamp(2), "open-loops", "[]").expect("set");
    assert_eq!(store.slot_get(&here, "persona").expect("read").as_deref(), Some(r#""short""#));
    assert_eq!(store.slot_list(&here).expect("read"), ["open-loops", "persona"]);
    assert_eq!(store.slot_list(&scope("review", Some("t2"))).expect("read"), Vec::<String>::new());
    assert_eq!(store.slot_list(&scope("other", Some("t1"))).expect("read"), Vec::<String>::new());
    store.slot_set(&here, Timestamp(3), "persona", "null").expect("emptied");
    assert_eq!(store.slot_list(&here).expect("read"), ["open-loops"]);
}

// R6.4, DESIGN 8: a limit on everything; its error names it, its value and its setting.
#[test]
fn limits_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let memory = MemoryLimits { slots_max: 1, facts_max: 2, text_bytes_max: 20, ..MemoryLimits::default() };
    let store = Store::open(directory.path(), Options { memory, ..Options::default() }).expect("opened");
    let here = scope("review", None);
    store.slot_set(&here, Timestamp(1), "one", "1").expect("set");
    store.slot_set(&here, Timestamp(1), "one", "2").expect("set again");
    let refused = store.slot_set(&here, Timestamp(1), "two", "2").expect_err("too many");
    assert_eq!(refused.to_string(), "slots of the thread: 2 is above `memory.slots` = 1");
    assert_eq!(store.slot_list(&here).expect("read"), ["one"], "what was refused is undone");
    let refused =
        store.facts_put(&here, Timestamp(1), vec![fact(&"x".repeat(21), &[])]).expect_err("too long");
    assert_eq!(refused.to_string(), "the fact's bytes: 21 is above `memory.text-bytes` = 20");
    let three = vec![fact("a", &[]), fact("b", &[]), fact("c", &[])];
    let refused = store.facts_put(&here, Timestamp(1), three).expect_err("too many");
    assert_eq!(refused.to_string(), "facts of the workflow: 3 is above `memory.facts` = 2");
    assert_eq!(texts(&store, &here, &question("")), Vec::<String>::new(), "all or none");
    let unsure = Fact { confidence: 1.5, ..fact("a", &[]) };
    assert!(store.facts_put(&here, Timestamp(1), vec![unsure]).is_err());
    store.close();
    let stopped = store.slot_set(&here, Timestamp(1), "one", "1").expect_err("closed");
    assert!(matches!(stopped, MemoryError::Refused(_)), "{stopped}");
}
