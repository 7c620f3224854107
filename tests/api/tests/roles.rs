//! R8.2: who may do what. Every route of the document stands in this table, and every role is tried on each.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;

use bandstand_api::Server;
use bandstand_crash::Site;
use serde_json::Value;

const ROLES: [&str; 4] = ["viewer", "reviewer", "operator", "admin"];

/// What each route asks for. `METHOD PATH ROLE`.
const ROUTES: &str = "
DELETE /api/v1/memory/{workflow}/facts/{fact_id} admin
DELETE /api/v1/runs/{run_id} admin
DELETE /api/v1/threads/{workflow}/{thread_id} admin
DELETE /api/v1/workflows/check admin
DELETE /api/v1/workflows/{workflow} admin
GET /api/v1/memory/{workflow}/facts viewer
GET /api/v1/memory/{workflow}/threads/{thread_id}/audit viewer
GET /api/v1/memory/{workflow}/threads/{thread_id}/slots viewer
GET /api/v1/notifications viewer
GET /api/v1/plugins viewer
GET /api/v1/plugins/{plugin} viewer
GET /api/v1/reviews viewer
GET /api/v1/reviews/{review_id} viewer
GET /api/v1/routing viewer
GET /api/v1/runs viewer
GET /api/v1/runs/{run_id} viewer
GET /api/v1/runs/{run_id}/events viewer
GET /api/v1/runs/{run_id}/export viewer
GET /api/v1/runs/{run_id}/replay viewer
GET /api/v1/runs/{run_id}/stream viewer
GET /api/v1/runs/{run_id}/wait viewer
GET /api/v1/schedules viewer
GET /api/v1/schema/workflow viewer
GET /api/v1/stream viewer
GET /api/v1/threads viewer
GET /api/v1/threads/{workflow}/{thread_id} viewer
GET /api/v1/threads/{workflow}/{thread_id}/stream viewer
GET /api/v1/workflows viewer
GET /api/v1/workflows/check viewer
GET /api/v1/workflows/{workflow} viewer
GET /api/v1/workflows/{workflow}/graph viewer
GET /api/v1/workflows/{workflow}/schema viewer
GET /api/v1/workflows/{workflow}/source viewer
POST /api/v1/imports admin
POST /api/v1/notifications/{id}/resend operator
POST /api/v1/plugins/{plugin}/release operator
POST /api/v1/reviews/{review_id}/decision reviewer
POST /api/v1/runs operator
POST /api/v1/runs/{run_id}/cancel operator
POST /api/v1/runs/{run_id}/fork operator
POST /api/v1/runs/{run_id}/kill operator
POST /api/v1/runs/{run_id}/pause operator
POST /api/v1/runs/{run_id}/rerun operator
POST /api/v1/runs/{run_id}/resume operator
POST /api/v1/runs/{run_id}/retry operator
POST /api/v1/runs/{run_id}/signals/{name} operator
POST /api/v1/workflows/check viewer
PUT /api/v1/plugins/{plugin} admin
PUT /api/v1/workflows/check admin
PUT /api/v1/workflows/{workflow} admin
";

/// Routes that are not in the document.
const OTHERS: [(&str, &str); 3] =
    [("/api/v1/openapi.json", "viewer"), ("/metrics", "viewer"), ("/api/v1/ws", "viewer")];

fn covers(role: &str, asked: &str) -> bool {
    asked == "viewer" || role == "admin" || role == asked
}

// R8.2
#[test]
fn each_role_may_do_what_the_table_says_and_nothing_else() {
    let site = Site::new(&[]);
    let mut settings = fs::read_to_string(site.path().join("bandstand.toml")).unwrap();
    let mut tokens = BTreeMap::new();
    for role in ROLES {
        let made = site.call(&["token", "new", role, "--role", role]);
        let made = made.lines().remove(0);
        settings.push_str(made["settings"].as_str().unwrap());
        tokens.insert(role, made["token"].as_str().unwrap().to_owned());
    }
    fs::write(site.path().join("bandstand.toml"), settings).unwrap();
    let server = Server::start(&site);
    let document = server.client_with(&tokens["viewer"]).get("/api/v1/openapi.json").ok();
    let mut routes: Vec<(String, String, String)> = Vec::new();
    for line in ROUTES.trim().lines() {
        let words: Vec<&str> = line.split(' ').collect();
        routes.push((words[0].to_owned(), words[1].to_owned(), words[2].to_owned()));
    }
    let mut described = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let methods = methods.as_object().unwrap().keys().filter(|name| *name != "parameters");
        described.extend(methods.map(|method| (method.to_ascii_uppercase(), path.clone())));
    }
    described.sort();
    let listed: Vec<_> = routes.iter().map(|(method, path, _)| (method.clone(), path.clone())).collect();
    assert_eq!(described, listed, "the table has every route of the document, sorted");
    routes.extend(OTHERS.map(|(path, role)| ("GET".to_owned(), path.to_owned(), role.to_owned())));
    for (method, path, asked) in &routes {
        let path: String = path
            .split('/')
            .map(|part| if part.starts_with('{') { "none" } else { part })
            .collect::<Vec<_>>()
            .join("/");
        let stream = path == "/api/v1/stream" || path.ends_with("/none/none/stream");
        let ask = |token: Option<&str>| {
            let client = token.map_or_else(|| server.client(), |token| server.client_with(token));
            if stream {
                return client.stream(&path, None).status;
            }
            let body = (method == "POST").then_some(&b"{}"[..]);
            client.send(method, &path, &[("content-type", "application/json")], body).status
        };
        assert_eq!(ask(None), 401, "{method} {path} without a token");
        assert_eq!(ask(Some("bandstand_0000")), 401, "{method} {path} with a token that is not known");
        for (role, token) in &tokens {
            let status = ask(Some(token));
            assert!(status < 500, "{method} {path} as {role}: {status}");
            let refused = status == 401 || status == 403;
            assert_eq!(refused, !covers(role, asked), "{method} {path} as {role}: {status}");
        }
    }
    for path in ["/healthz", "/readyz", "/problems/forbidden"] {
        assert_eq!(server.client().get(path).status, 200);
    }
}

// R8.2
#[test]
fn a_server_without_tokens_listens_to_this_machine_only() {
    let site = Site::new(&[]);
    let refused = site.call(&["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.code, Some(2), "{refused}");
    let told: Value = serde_json::from_str(&refused.stderr).unwrap();
    assert!(told["error"]["help"].as_str().unwrap().contains("bandstand token new"), "{told}");
}

// R2.5, R8.2
#[test]
fn an_answer_is_that_of_whoever_has_the_token() {
    let site = Site::new(&[("desk.yaml", include_str!("desk.yaml"))]);
    let mut settings = fs::read_to_string(site.path().join("bandstand.toml")).unwrap();
    let made =
        site.call(&["token", "new", "desk", "--role", "reviewer", "--role", "operator", "--user", "ada"]);
    let made = made.lines().remove(0);
    settings.push_str(made["settings"].as_str().unwrap());
    fs::write(site.path().join("bandstand.toml"), settings).unwrap();
    let server = Server::start(&site);
    let client = server.client_with(made["token"].as_str().unwrap());
    let run = client.run("desk", &serde_json::json!({ "n": 1 }));
    let path = format!("/api/v1/reviews/{}/decision", run["reviews"][0].as_str().unwrap());
    let other = serde_json::json!({ "decision": "approved", "reviewer": "bob" });
    assert_eq!(client.post(&path, &other).problem(), "forbidden");
    client.post(&path, &serde_json::json!({ "decision": "approved" })).ok();
    let review = client.get(path.trim_end_matches("/decision")).ok();
    assert_eq!(review["answers"][0]["reviewer"], "ada");
    assert_eq!(run["user_id"], "ada");
}
