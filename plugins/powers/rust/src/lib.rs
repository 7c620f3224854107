//! `powers`: asks the host for what its input names. What there is stands in `../README.md`.

use bandstand_http::{Request as HttpRequest, Url};
use bandstand_sdk::memory::facts::{self, Fact, Query};
use bandstand_sdk::memory::{audit, slots};
use bandstand_sdk::model::{self, Event, Message, Request};
use bandstand_sdk::{Call, Failure, Reply, agent, tools};
use serde::Deserialize;
use serde_json::{Value, json};

agent!(run);

#[derive(Deserialize)]
struct Input {
    r#do: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    args: Value,
    #[serde(default)]
    url: String,
    method: Option<String>,
    body: Option<String>,
    limit: Option<usize>,
}

/// The agent; see the top of this file.
pub(crate) fn run(call: &Call) -> Result<Reply, Failure> {
    let input: Input = call.input()?;
    let output = match input.r#do.as_str() {
        "nothing" => json!({}),
        "slot" => {
            slots::set("persona", &json!({ "tone": "dry" }))?;
            let kept = slots::get("persona")?;
            slots::set("persona", &Value::Null)?;
            json!({ "kept": kept, "emptied": slots::get("persona")?.is_none() })
        }
        "slot-names" => {
            slots::set("b", &json!(1))?;
            slots::set("a", &json!("one"))?;
            json!({ "names": slots::list()? })
        }
        "facts" => {
            facts::put(&[Fact::note("Bees make honey"), Fact::note("Ants do not")])?;
            let hits = facts::search(&Query { text: "honey".into(), limit: 5, ..Query::default() })?;
            json!({ "found": hits.iter().map(|hit| &hit.fact.text).collect::<Vec<_>>() })
        }
        "audit" => {
            audit::append("noted", &json!({ "n": 1 }), &[])?;
            json!({ "appended": true })
        }
        "audit-read" => {
            audit::append("flagged", &json!({ "clause": 7 }), &["risk".to_owned()])?;
            let last = audit::snapshot(1)?.remove(0);
            json!({ "last": { "action": last.action, "payload": last.payload, "tags": last.tags } })
        }
        "model" => {
            let asked = Request::new(vec![Message::system("Be brief."), Message::user("Greet me.")]);
            json!({ "text": model::chat(&asked.model("small"))?.text })
        }
        "model-stream" => stream()?,
        "model-tools" => model_tools()?,
        "embed" => json!({ "vectors": model::embed(Some("small"), &["a".to_owned(), "b".to_owned()])? }),
        "tool" => json!({ "gave": tools::call(&input.name, &input.args)? }),
        "tool-names" => {
            json!({ "names": tools::list()?.into_iter().map(|tool| tool.name).collect::<Vec<_>>() })
        }
        "http" => http(input)?,
        other => return Err(Failure::permanent("not-covered", format!("there is no `{other}`"))),
    };
    Ok(Reply::new(output))
}

fn stream() -> Result<Value, Failure> {
    let (mut said, mut text) = (String::new(), String::new());
    for event in model::stream(&Request::new(vec![Message::user("Go on.")]).model("small"))? {
        match event? {
            Event::Text(piece) => said.push_str(&piece),
            Event::Done(response) => text = response.text,
            Event::ToolCall(_) => {}
        }
    }
    Ok(json!({ "said": said, "text": text }))
}

fn model_tools() -> Result<Value, Failure> {
    let mut request = Request::new(vec![Message::user("Ask the tool.")]).model("small");
    request.tools = tools::list()?;
    let response = model::chat(&request)?;
    request.messages.push(response.message());
    for asked in response.tool_calls {
        request.messages.push(Message::tool(asked.id, tools::call(&asked.name, &asked.args)?));
    }
    Ok(json!({ "text": model::chat(&request)?.text }))
}

fn http(input: Input) -> Result<Value, Failure> {
    let url = Url::parse(&input.url).map_err(|problem| Failure::permanent("url-invalid", problem))?;
    let mut request = HttpRequest::new(input.method.as_deref().unwrap_or("GET"), url);
    request.headers.push(("x-asked-by".to_owned(), "Bearer {secret:KEY}".to_owned()));
    request.body = input.body.map(String::into_bytes);
    request.timeout_ms = Some(5_000);
    request.response_bytes_max = input.limit.unwrap_or(1 << 20);
    let response = bandstand_http::send(&request)?;
    let text = String::from_utf8_lossy(&response.body).into_owned();
    Ok(json!({ "status": response.status, "type": response.header("content-type"), "text": text }))
}
