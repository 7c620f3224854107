//! R7.6: each kind of provider, as far as a server in the test can play it: answers, tools, streams, refusals.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod fake;

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bandstand_model::{Budget, Key, KeyFrom, Models, Price, Provider, ProviderKind, Spent};
use bandstand_sandbox::{
    Model, ModelEvent, ModelFinish, ModelMessage, ModelPart, ModelRequest, ModelResponse, ModelRole,
    PowerError, PowerErrorKind, ToolCall, ToolSpec,
};
use serde_json::json;

const KEY: &str = "sk-very-secret-0123456789";

fn models_with(kind: ProviderKind, base_url: &str, change: impl FnOnce(&mut Provider)) -> Models {
    let mut provider = Provider {
        kind,
        model: "model-1".to_owned(),
        key: Some((KeyFrom::Env("K".to_owned()), Ok(Key::new(KEY).unwrap()))),
        base_url: Some(base_url.to_owned()),
        price: Price { input: 1_000_000, output: 2_000_000 },
        output_tokens_max: None,
        timeout: Duration::from_secs(30),
    };
    change(&mut provider);
    Models::new(
        BTreeMap::from([("small".to_owned(), provider)]),
        BTreeMap::new(),
        None,
        None,
        Budget::default(),
    )
}

fn attempt(kind: ProviderKind, base_url: &str) -> Arc<dyn Model> {
    models_with(kind, base_url, |_| {}).for_attempt("run-1", Spent::default())
}

fn request(messages: Vec<ModelMessage>) -> ModelRequest {
    ModelRequest {
        model: "small".to_owned(),
        messages,
        tools: Vec::new(),
        schema: None,
        temperature: None,
        max_output_tokens: None,
    }
}

fn says(role: ModelRole, text: &str) -> ModelMessage {
    ModelMessage { role, parts: vec![ModelPart::Text(text.to_owned())] }
}

fn hello() -> ModelRequest {
    request(vec![says(ModelRole::System, "Be short."), says(ModelRole::User, "Hello")])
}

/// A conversation in the middle of two tools.
fn with_tools() -> ModelRequest {
    let call = |id: &str, of: &str| {
        ModelPart::ToolCall(ToolCall {
            id: id.into(),
            name: "price".into(),
            arguments: json!({ "of": of }).to_string(),
        })
    };
    let result = |id: &str, output: &str, is_error| ModelMessage {
        role: ModelRole::Tool,
        parts: vec![ModelPart::ToolResult { id: id.into(), output: output.into(), is_error }],
    };
    let tool = ToolSpec {
        name: "price".into(),
        description: "What it costs".into(),
        parameters: r#"{"type":"object"}"#.into(),
    };
    ModelRequest {
        tools: vec![tool],
        schema: Some(r#"{"type":"object"}"#.into()),
        temperature: Some(0.5),
        max_output_tokens: Some(7),
        ..request(vec![
            says(ModelRole::User, "Costs?"),
            ModelMessage { role: ModelRole::Assistant, parts: vec![call("c1", "lamp"), call("c2", "cup")] },
            result("c1", "42", false),
            result("c2", "\"no cups\"", true),
        ])
    }
}

/// The pieces of an answer, and how it ended.
async fn ask(
    model: &Arc<dyn Model>,
    request: ModelRequest,
) -> Result<(Vec<String>, ModelResponse), PowerError> {
    let mut answer = model.ask(request).await?;
    let mut pieces = Vec::new();
    loop {
        match answer.next().await?.unwrap() {
            ModelEvent::Text(text) => pieces.push(text),
            ModelEvent::ToolCall(call) => pieces.push(format!("{}({})", call.name, call.arguments)),
            ModelEvent::Done(response) => {
                assert_eq!(answer.next().await.unwrap(), None);
                return Ok((pieces, response));
            }
        }
    }
}

const OPENAI_TEXT: &[&str] = &[
    r#"{"model":"model-1-2026","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
    r#"{"model":"model-1-2026","choices":[{"index":0,"delta":{"content":"Good "}}]}"#,
    r#"{"model":"model-1-2026","choices":[{"index":0,"delta":{"content":"day"}}]}"#,
    r#"{"model":"model-1-2026","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    r#"{"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":5}}}"#,
    "[DONE]",
];

#[tokio::test]
async fn openai_answers_in_pieces_and_what_it_took_is_counted() {
    let (url, asked) = fake::start(|stream, _| {
        fake::begin_events(stream);
        fake::events(stream, OPENAI_TEXT);
    });
    let model = attempt(ProviderKind::OpenAi, &url);
    let (pieces, response) = ask(&model, hello()).await.unwrap();
    assert_eq!(pieces, ["Good ", "day"]);
    assert_eq!((response.text.as_str(), response.finish), ("Good day", ModelFinish::Stop));
    assert_eq!((response.input_tokens, response.output_tokens, response.cached_tokens), (11, 2, 5));
    assert_eq!(response.model, "model-1-2026");
    let usage = model.usage();
    assert_eq!((usage.calls, usage.tokens_in, usage.tokens_out, usage.cost_micros), (1, 11, 2, 15));
    assert!(asked.head(0).starts_with("post /v1/chat/completions "), "{}", asked.head(0));
    assert!(asked.head(0).contains(&format!("authorization: bearer {KEY}")));
    let expected = json!({
        "model": "model-1", "stream": true, "stream_options": { "include_usage": true },
        "messages": [{ "role": "system", "content": "Be short." }, { "role": "user", "content": "Hello" }],
    });
    assert_eq!(asked.body(0), expected);
}

#[tokio::test]
async fn openai_asks_for_tools_and_is_told_their_results() {
    let (url, asked) = fake::start(|stream, _| {
        fake::begin_events(stream);
        fake::events(
            stream,
            &[
                r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c3","type":"function","function":{"name":"price","arguments":""}}]}}]}"#,
                r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"of\":"}}]}}]}"#,
                r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"c4","function":{"name":"stop","arguments":""}},{"index":0,"function":{"arguments":"\"tea\"}"}}]}}]}"#,
                r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#,
                "[DONE]",
            ],
        );
    });
    let model = attempt(ProviderKind::OpenAi, &url);
    let (pieces, response) = ask(&model, with_tools()).await.unwrap();
    assert_eq!(pieces, [r#"price({"of":"tea"})"#, "stop({})"]);
    assert_eq!(response.finish, ModelFinish::ToolCalls);
    assert_eq!(response.tool_calls[0].id, "c3");
    let body = asked.body(0);
    assert_eq!(
        body["messages"][1]["tool_calls"][0],
        json!({
            "id": "c1", "type": "function", "function": { "name": "price", "arguments": "{\"of\":\"lamp\"}" },
        })
    );
    assert_eq!(body["messages"][2], json!({ "role": "tool", "tool_call_id": "c1", "content": "42" }));
    assert_eq!(body["messages"][3]["content"], r#"{"error":"no cups"}"#);
    assert_eq!(body["tools"][0]["function"]["description"], "What it costs");
    assert_eq!(body["response_format"]["json_schema"]["schema"], json!({ "type": "object" }));
    assert_eq!((&body["temperature"], &body["max_tokens"]), (&json!(0.5), &json!(7)));
}

#[tokio::test]
async fn anthropic_answers_asks_for_tools_and_is_told_their_results() {
    let (url, asked) = fake::start(|stream, _| {
        fake::begin_events(stream);
        fake::events(
            stream,
            &[
                r#"{"type":"message_start","message":{"model":"model-1-x","usage":{"input_tokens":10,"cache_read_input_tokens":4,"output_tokens":1}}}"#,
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
                r#"{"type":"ping"}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Let me "}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"look."}}"#,
                r#"{"type":"content_block_stop","index":0}"#,
                r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t1","name":"price","input":{}}}"#,
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"of\": "}}"#,
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"\"tea\"}"}}"#,
                r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":20}}"#,
                r#"{"type":"message_stop"}"#,
            ],
        );
    });
    let model = attempt(ProviderKind::Anthropic, &url);
    let (pieces, response) = ask(&model, with_tools()).await.unwrap();
    assert_eq!(pieces, ["Let me ", "look.", r#"price({"of":"tea"})"#]);
    assert_eq!((response.input_tokens, response.output_tokens, response.cached_tokens), (14, 20, 4));
    assert_eq!((response.finish, response.model.as_str()), (ModelFinish::ToolCalls, "model-1-x"));
    assert!(asked.head(0).starts_with("post /v1/messages "), "{}", asked.head(0));
    assert!(
        asked.head(0).contains(&format!("x-api-key: {KEY}")) && asked.head(0).contains("anthropic-version: ")
    );
    let body = asked.body(0);
    assert_eq!(body["max_tokens"], 7);
    assert_eq!(
        body["messages"][1]["content"][1],
        json!({
            "type": "tool_use", "id": "c2", "name": "price", "input": { "of": "cup" },
        })
    );
    // Both results are one turn of the user.
    assert_eq!(body["messages"].as_array().unwrap().len(), 3);
    assert_eq!(
        body["messages"][2]["content"][1],
        json!({
            "type": "tool_result", "tool_use_id": "c2", "content": "no cups", "is_error": true,
        })
    );
    assert_eq!(body["output_config"]["format"]["schema"], json!({ "type": "object" }));
    ask(&model, hello()).await.unwrap();
    assert_eq!(asked.body(1)["system"], json!([{ "type": "text", "text": "Be short." }]));
}

#[tokio::test]
async fn gemini_gets_a_signature_with_each_call_and_ollama_no_key() {
    let serve = || {
        fake::start(|stream, _| {
            fake::begin_events(stream);
            fake::events(stream, OPENAI_TEXT);
        })
    };
    let (url, asked) = serve();
    ask(&attempt(ProviderKind::Gemini, &url), with_tools()).await.unwrap();
    let call = &asked.body(0)["messages"][1]["tool_calls"][0];
    assert!(call["extra_content"]["google"]["thought_signature"].is_string(), "{call}");
    let (url, asked) = serve();
    let models = models_with(ProviderKind::Ollama, &url, |provider| provider.key = None);
    ask(&models.for_attempt("run-1", Spent::default()), hello()).await.unwrap();
    assert!(!asked.head(0).contains("authorization"), "{}", asked.head(0));
}

#[tokio::test]
async fn refusals_say_what_helps_and_never_hold_the_key() {
    let refusing = |status: &'static str, headers: &'static str, body: &'static str| {
        fake::start(move |stream, _| fake::whole(stream, status, headers, body)).0
    };
    let limited =
        refusing("429 Too Many Requests", "retry-after: 2\r\n", r#"{"error":{"message":"slow down"}}"#);
    let model = attempt(ProviderKind::OpenAi, &limited);
    let error = ask(&model, hello()).await.unwrap_err();
    assert_eq!(
        (error.kind, error.code.as_str(), error.retry_after_ms),
        (PowerErrorKind::Unavailable, "rate-limited", Some(2_000))
    );
    // A call that was refused costs nothing.
    assert_eq!((model.usage().calls, model.usage().tokens_in), (1, 0));
    for kind in [ProviderKind::OpenAi, ProviderKind::Anthropic] {
        let body =
            r#"{"error":{"type":"authentication_error","message":"invalid key sk-very-secret-0123456789"}}"#;
        let error = ask(&attempt(kind, &refusing("401 Unauthorized", "", body)), hello()).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (PowerErrorKind::Denied, "key-refused"));
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        let error = ask(&attempt(kind, &refusing("400 Bad Request", "", body)), hello()).await.unwrap_err();
        assert_eq!(error.kind, PowerErrorKind::Invalid);
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
    let moved = refusing("307 Temporary Redirect", "location: http://127.0.0.1:1/\r\n", "");
    assert_eq!(
        ask(&attempt(ProviderKind::OpenAi, &moved), hello()).await.unwrap_err().code,
        "provider-failed"
    );
    let nobody = attempt(ProviderKind::OpenAi, "http://127.0.0.1:1/v1");
    assert_eq!(ask(&nobody, hello()).await.unwrap_err().code, "provider-unreachable");
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_fails_in_the_middle_is_no_answer() {
    let serve = |data: &'static [&'static str]| {
        fake::start(move |stream, _| {
            fake::begin_events(stream);
            fake::events(stream, data);
        })
        .0
    };
    let model = attempt(ProviderKind::OpenAi, &serve(&OPENAI_TEXT[..3]));
    assert_eq!(ask(&model, hello()).await.unwrap_err().code, "answer-cut");
    // What had come is counted, as far as it is known.
    assert!(model.usage().tokens_in > 0 && model.usage().tokens_out > 0, "{:?}", model.usage());
    let cut =
        serve(&[r#"{"type":"message_start","message":{"usage":{"input_tokens":1,"output_tokens":1}}}"#]);
    assert_eq!(ask(&attempt(ProviderKind::Anthropic, &cut), hello()).await.unwrap_err().code, "answer-cut");
    let overloaded =
        serve(&[r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#]);
    let error = ask(&attempt(ProviderKind::Anthropic, &overloaded), hello()).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (PowerErrorKind::Unavailable, "provider-failed"));
    assert!(error.message.ends_with(": Overloaded"), "{error}");
    let nonsense = attempt(ProviderKind::OpenAi, &serve(&["<html>"]));
    assert_eq!(ask(&nonsense, hello()).await.unwrap_err().code, "answer-unreadable");
}

#[tokio::test]
async fn an_endless_answer_ends_at_the_limit() {
    let (url, _) = fake::start(|stream, _| {
        fake::begin_events(stream);
        let piece = format!(r#"{{"choices":[{{"delta":{{"content":"{}"}}}}]}}"#, "x".repeat(100_000));
        while fake::events(stream, &[&piece]) {}
    });
    let error = ask(&attempt(ProviderKind::OpenAi, &url), hello()).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (PowerErrorKind::Limit, "answer-too-large"));
    // Also when it never comes to the end of a line.
    let (url, _) = fake::start(|stream, _| {
        use std::io::Write as _;
        fake::begin_events(stream);
        while stream.write_all(&[b'x'; 65_536]).is_ok() {}
    });
    let error = ask(&attempt(ProviderKind::Anthropic, &url), hello()).await.unwrap_err();
    assert_eq!(error.code, "answer-too-large");
}

/// Reads until the other side has gone, and says so.
fn wait_for_the_end(stream: &mut TcpStream, gone: &AtomicBool) {
    use std::io::Read as _;
    let mut byte = [0];
    while stream.read(&mut byte).is_ok_and(|read| read > 0) {}
    gone.store(true, Ordering::SeqCst);
}

#[tokio::test]
async fn a_call_that_is_given_up_closes_its_connection_and_is_counted() {
    let gone = Arc::new(AtomicBool::new(false));
    let told = gone.clone();
    let (url, _) = fake::start(move |stream, _| {
        fake::begin_events(stream);
        fake::events(stream, &OPENAI_TEXT[..2]);
        wait_for_the_end(stream, &told);
    });
    let model = attempt(ProviderKind::OpenAi, &url);
    let mut answer = model.ask(hello()).await.unwrap();
    assert_eq!(answer.next().await.unwrap(), Some(ModelEvent::Text("Good ".to_owned())));
    drop(answer);
    let usage = model.usage();
    assert!(usage.calls == 1 && usage.tokens_in > 0 && usage.tokens_out > 0, "{usage:?}");
    while !gone.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_provider_that_says_nothing_is_not_waited_for_beyond_the_timeout() {
    let (url, _) = fake::start(|stream, _| {
        fake::begin_events(stream);
        wait_for_the_end(stream, &AtomicBool::new(false));
    });
    let models =
        models_with(ProviderKind::OpenAi, &url, |provider| provider.timeout = Duration::from_millis(50));
    let error = ask(&models.for_attempt("run-1", Spent::default()), hello()).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (PowerErrorKind::Unavailable, "model-timeout"));
    assert!(error.message.contains("50 ms (setting models.small.timeout)"), "{error}");
}

#[tokio::test]
async fn texts_become_vectors_in_their_order() {
    let (url, asked) = fake::start(|stream, _| {
        let body = r#"{"data":[{"index":1,"embedding":[0.5]},{"index":0,"embedding":[0.25]}],"usage":{"prompt_tokens":4,"total_tokens":4}}"#;
        fake::whole(stream, "200 OK", "", body);
    });
    let model = attempt(ProviderKind::OpenAi, &url);
    let texts = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(model.embed("small".to_owned(), texts.clone()).await.unwrap(), [[0.25], [0.5]]);
    assert_eq!(model.usage().tokens_in, 4);
    assert_eq!(asked.body(0), json!({ "model": "model-1", "input": ["a", "b"] }));
    let error = attempt(ProviderKind::Anthropic, &url).embed("small".to_owned(), texts).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (PowerErrorKind::Unavailable, "not-supported"));
}

#[tokio::test]
async fn a_budget_stops_the_calls_of_a_run_whichever_attempt_makes_them() {
    let (url, asked) = fake::start(|stream, _| {
        fake::begin_events(stream);
        fake::events(stream, OPENAI_TEXT);
    });
    let provider = Provider {
        kind: ProviderKind::OpenAi,
        model: "m".to_owned(),
        key: None,
        base_url: Some(url),
        price: Price::default(),
        output_tokens_max: None,
        timeout: Duration::from_secs(30),
    };
    let budget = Budget { tokens: Some(30), cost_micros: None };
    let models =
        Models::new(BTreeMap::from([("small".to_owned(), provider)]), BTreeMap::new(), None, None, budget);
    let attempt = || models.for_attempt("run-1", Spent { tokens: 10, cost_micros: 0 });
    ask(&attempt(), hello()).await.unwrap();
    // 10 were journaled, 13 are spent, and the journal does not know it yet.
    let mut long = hello();
    long.messages.push(says(ModelRole::User, &"word ".repeat(10)));
    let error = ask(&attempt(), long).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (PowerErrorKind::Limit, "budget"));
    assert!(error.message.contains("30 tokens: 23 are spent"), "{error}");
    assert_eq!(asked.count(), 1);
}

#[tokio::test]
async fn a_name_that_means_nothing_and_a_key_that_is_missing_are_said() {
    let models = models_with(ProviderKind::OpenAi, "http://127.0.0.1:1", |provider| {
        let from = KeyFrom::Env("BANDSTAND_TEST_ABSENT".to_owned());
        let key = from.read();
        provider.key = Some((from, key));
    });
    let model = models.for_attempt("run-1", Spent::default());
    let error = ask(&model, hello()).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (PowerErrorKind::Denied, "key-missing"));
    assert!(error.message.contains("BANDSTAND_TEST_ABSENT is not set"), "{error}");
    let error = ask(&model, ModelRequest { model: "large".to_owned(), ..hello() }).await.unwrap_err();
    assert!(error.code == "model-unknown" && error.message.contains("[models.large]"), "{error}");
    assert_eq!(model.usage().calls, 0);
}
