//! R8.1 over HTTP: every verb of the command line works against a server by its address, and says the same as it does for
//! the data directory.

#![allow(clippy::panic, clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use bandstand_api::Server;
use bandstand_crash::{Site, sleep_ms, wait_for};
use serde_json::{Value, json};

const DESK: &str = include_str!("desk.yaml");
const HOLD: &str = "format: 1\nname: hold\nversion: 1\nnodes:\n  hold:\n    wait: { signal: go, schema: { type: \
                    integer } }\n    next: end\nresult: { got: \"${{ output }}\" }\n";
const NAP: &str = "format: 1\nname: nap\nversion: 1\nnodes:\n  nap: { wait: { for: 4s }, next: end }\n";
const FAIL: &str = "format: 1\nname: fail\nversion: 1\nnodes:\n  no: { fail: { code: no-way, message: \"it \
                    cannot be\" } }\n";

fn site() -> Site {
    Site::new(&[("desk.yaml", DESK), ("hold.yaml", HOLD), ("nap.yaml", NAP), ("fail.yaml", FAIL)])
}

/// How a command is called.
#[derive(Clone, Copy)]
struct Call<'a> {
    site: &'a Site,
    /// None: it finds the data directory.
    url: Option<&'a str>,
    token: Option<&'a str>,
}

impl Call<'_> {
    fn output(&self, args: &[&str]) -> Output {
        let mut command = Command::new(self.site.binary());
        command.args(args).current_dir(self.site.path()).stdin(Stdio::null()).env("USER", "tester");
        for name in ["BANDSTAND_DATA", "BANDSTAND_SERVER", "BANDSTAND_TOKEN"] {
            command.env_remove(name);
        }
        match self.url {
            Some(url) => command.args(["--server", url]),
            None => command.env("BANDSTAND_DATA", self.site.data()),
        };
        if let Some(token) = self.token {
            command.env("BANDSTAND_TOKEN", token);
        }
        command.output().unwrap()
    }

    /// Exit code and stdout.
    fn said(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = self.output(args);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    /// Exit code and stderr.
    fn refused(&self, args: &[&str]) -> (i32, String) {
        let output = self.output(args);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// The lines of `--json`, of a call that ends so.
    fn lines(&self, code: i32, args: &[&str]) -> Vec<Value> {
        let mut all = vec!["--json"];
        all.extend(args);
        let output = self.output(&all);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {errors}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn id(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}")).to_owned()
}

/// Starts a run at the server and does not follow it to more than where it stands.
fn begun(server: &Server, workflow: &str, input: &Value) -> String {
    id(
        &server.client().post("/api/v1/runs?wait=1", &json!({ "workflow": workflow, "input": input })).ok(),
        "run_id",
    )
}

// R8.1
#[test]
fn what_verbs_read_is_the_same_from_a_server_and_from_its_data_directory() {
    let site = site();
    let server = Server::start(&site);
    let client = server.client();
    let desk = client
        .post("/api/v1/runs?wait=60", &json!({ "workflow": "desk", "input": { "n": 2 }, "thread_id": "t" }));
    let (waiting, review) = (id(&desk.ok(), "run_id"), id(&json!({ "r": desk.ok()["reviews"][0] }), "r"));
    let ended = begun(&server, "desk", &json!({ "n": 7 }));
    let other = id(&client.get(&format!("/api/v1/reviews?run={ended}")).ok()["items"][0], "review_id");
    let decision =
        json!({ "decision": "approved", "changes": { "total": 9 }, "comments": "fine", "confidence": 0.5 });
    client.post(&format!("/api/v1/reviews/{other}/decision"), &decision).ok();
    client.get(&format!("/api/v1/runs/{ended}/wait?wait=60")).ok();
    let hold = begun(&server, "hold", &json!({}));
    client.post(&format!("/api/v1/runs/{hold}/pause"), &json!({ "reason": "later" })).ok();
    let failed = begun(&server, "fail", &json!({}));
    client
        .post(
            &format!("/api/v1/runs/{ended}/fork?wait=60"),
            &json!({ "from": "count", "set": { "input.n": 1 } }),
        )
        .ok();
    let echo = id(&client.get("/api/v1/plugins/builtin:echo").ok(), "digest");

    let local = Call { site: &site, url: None, token: None };
    let remote = Call { url: Some(server.url()), ..local };
    let (short, short_review) = (&ended[..34], &review[..12]);
    let table: &[&[&str]] = &[
        &["runs", "list"],
        &["runs", "list", "--status", "failed", "--status", "paused"],
        &["runs", "list", "--workflow", "desk", "--limit", "1"],
        &["runs", "list", "--thread", "t", "--children"],
        &["runs", "show", short],
        &["runs", "show", &waiting],
        &["runs", "show", &hold],
        &["runs", "show", &failed],
        &["runs", "show", &ended, "--events"],
        &["runs", "show", &ended, "--events", "--from", "3", "--limit", "4"],
        &["runs", "show", "zzz"],
        &["runs", "show", ""],
        &["runs", "replay", short],
        &["runs", "export", short],
        &["runs", "watch", &ended],
        &["runs", "watch", &waiting],
        &["runs", "watch", &hold],
        &["runs", "watch", &failed],
        &["review", "list"],
        &["review", "list", "--all", "--workflow", "desk"],
        &["review", "list", "--run", short, "--all"],
        &["review", "show", short_review],
        &["review", "show", &other],
        &["review", "show", "zzz"],
        &["thread", "list"],
        &["thread", "list", "--workflow", "hold"],
        &["thread", "show", "desk", "t"],
        &["thread", "show", "desk", "none"],
        &["routing"],
        &["routing", "desk", "--node", "x"],
        &["plugin", "list"],
        &["plugin", "list", "--quarantined"],
        &["plugin", "inspect", "builtin:echo"],
        &["workflow", "list"],
    ];
    for args in table {
        for json in [false, true] {
            let args: Vec<&str> = args.iter().copied().chain(json.then_some("--json")).collect();
            // Some words say how long something has taken until now, or still has: two in a row may differ.
            let mut last = None;
            let same = (0..5).any(|_| {
                let pair = (without_now(local.said(&args)), without_now(remote.said(&args)));
                let same = pair.0 == pair.1;
                last = Some(pair);
                same
            });
            let (here, there) = last.unwrap();
            assert!(same, "{args:?}:\n{here:?}\n{there:?}");
        }
    }
    assert_eq!(
        local.said(&["workflow", "graph", "desk.yaml", "--format", "dot"]),
        remote.said(&["workflow", "graph", "desk", "--format", "dot"])
    );
    assert_eq!(
        local.said(&["runs", "show", &ended, "--print", "total"]),
        remote.said(&["runs", "show", &ended, "--print", "total"])
    );
    let inspected = remote.lines(0, &["plugin", "inspect", &echo[..20]]);
    assert_eq!(inspected[0]["digest"], echo.as_str());
    assert!(!remote.said(&["runs", "show", &ended]).1.is_empty());
}

/// Without what depends on the moment.
fn without_now((code, text): (Option<i32>, String)) -> (Option<i32>, String) {
    let line = |line: &str| match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(mut members)) => {
            members.remove("duration_ms");
            Value::Object(members).to_string()
        }
        _ => without_spans(line),
    };
    (code, text.lines().map(line).collect::<Vec<_>>().join("\n"))
}

/// Without the numbers of `7 ms`, `1.25 s`, `3 m`.
fn without_spans(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let unit = |index: usize| {
        words
            .get(index)
            .is_some_and(|word| ["ms", "s", "m", "h"].contains(&word.trim_end_matches([')', ','])))
    };
    let number = |word: &str| {
        let digits = word.trim_start_matches('(');
        !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
    };
    let each = words.iter().enumerate();
    let masked: Vec<&str> =
        each.map(|(index, word)| if number(word) && unit(index + 1) { "#" } else { word }).collect();
    masked.join(" ")
}

/// What a verb printed, without what is of one run only.
fn shape(mut lines: Vec<Value>) -> Value {
    fn plain(value: &mut Value) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    if ["run_id", "review_id", "reviews", "at", "events", "took_ms", "from"]
                        .contains(&name.as_str())
                    {
                        *member = json!("...");
                    } else {
                        plain(member);
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(plain),
            _ => {}
        }
    }
    // Of a run that is followed: how it ended.
    lines.retain(|line| line["seq"].is_null());
    lines.iter_mut().for_each(plain);
    json!(lines)
}

// R5.5, R2.3, R8.1
#[test]
fn what_verbs_change_is_told_the_same_by_a_server_and_by_its_data_directory() {
    let site = site();
    let server = Server::start(&site);
    let local = Call { site: &site, url: None, token: None };
    let remote = Call { url: Some(server.url()), ..local };
    let begin = |workflow: &str| {
        begun(&server, workflow, &if workflow == "desk" { json!({ "n": 2 }) } else { json!({}) })
    };
    let review_of = |run: &str| {
        id(&server.client().get(&format!("/api/v1/reviews?run={run}")).ok()["items"][0], "review_id")
    };
    let deed = |call: &Call<'_>, code: i32, args: &[&str]| shape(call.lines(code, args));
    // Each does the same to a run of its own.
    let deeds: &[&dyn Fn(&Call<'_>) -> Value] = &[
        &|call| {
            let run = begin("hold");
            let wrong = deed(call, 3, &["runs", "signal", &run, "stop", "--input", "1"]);
            let paused = deed(call, 0, &["runs", "pause", &run[..34], "--reason", "lunch", "--by", "ada"]);
            let again = deed(call, 0, &["runs", "pause", &run]);
            let resumed = deed(call, 0, &["runs", "resume", &run, "--by", "ada"]);
            let sent = deed(call, 0, &["runs", "signal", &run, "go", "--input", "5", "--by", "bob"]);
            let watched = deed(call, 0, &["runs", "watch", &run]);
            let journal = call.lines(0, &["runs", "show", &run, "--events"]);
            let by: Vec<Value> =
                journal.iter().map(|event| event["by"].clone()).filter(|by| !by.is_null()).collect();
            let ended = deed(call, 3, &["runs", "pause", &run]);
            let deleted = deed(call, 0, &["runs", "delete", &run, "--yes"]);
            let gone = deed(call, 3, &["runs", "show", &run]);
            json!([wrong, paused, again, resumed, sent, watched, by, ended, deleted, gone])
        },
        &|call| {
            let (cancelled, killed) = (begin("nap"), begin("nap"));
            let early = deed(call, 3, &["runs", "delete", &killed, "--yes"]);
            let one = deed(call, 0, &["runs", "cancel", &cancelled, "--reason", "no use"]);
            json!([
                early,
                one,
                deed(call, 0, &["runs", "kill", &killed]),
                deed(call, 1, &["runs", "watch", &killed])
            ])
        },
        &|call| {
            let run = begin("desk");
            let review = review_of(&run);
            let args = ["review", "approve", &review[..12], "--by", "ada", "--changes", "{\"total\": 4}"];
            let (first, again) = (deed(call, 0, &args), deed(call, 0, &args));
            let other = deed(call, 3, &["review", "reject", &review, "--by", "ada"]);
            json!([first, again, other, deed(call, 0, &["runs", "watch", &run])])
        },
        &|call| {
            let run = begin("desk");
            let rejected = deed(call, 0, &["review", "reject", &review_of(&run), "--comments", "no"]);
            let failed = deed(call, 1, &["runs", "watch", &run]);
            let retried = deed(call, 1, &["runs", "retry", &run]);
            let forked =
                deed(call, 4, &["runs", "fork", &run, "--from", "ask", "--set", "state.total=9", "--no-ask"]);
            let nowhere = deed(call, 3, &["runs", "fork", &run, "--from", "nowhere"]);
            json!([
                rejected,
                failed,
                retried,
                forked,
                nowhere,
                deed(call, 4, &["runs", "rerun", &run, "--no-ask"])
            ])
        },
        &|call| {
            let run = begin("fail");
            let file = format!("{run}.jsonl");
            let exported = call.lines(0, &["runs", "export", &run, "--output", &file]);
            let known = deed(call, 3, &["runs", "import", &file]);
            call.lines(0, &["runs", "delete", &run, "--yes"]);
            let imported = deed(call, 0, &["runs", "import", &file]);
            let nothing = deed(call, 2, &["runs", "import", "desk.yaml"]);
            let latest = deed(call, 1, &["runs", "rerun", &run, "--latest"]);
            json!([
                exported[0]["events"],
                known,
                imported,
                nothing,
                deed(call, 0, &["runs", "replay", &run]),
                latest
            ])
        },
        &|call| {
            let forgotten = deed(call, 3, &["thread", "forget", "desk", "none", "--yes"]);
            json!([forgotten, deed(call, 3, &["plugin", "release", "none"])])
        },
        &|call| {
            let workflow =
                |name: &str| if call.url.is_some() { name.to_owned() } else { format!("{name}.yaml") };
            let run = |code, name: &str, more: &[&str]| {
                let name = workflow(name);
                let mut args = vec!["run", &name, "--no-ask"];
                args.extend(more);
                deed(call, code, &args)
            };
            let request = if call.url.is_some() { "over" } else { "here" };
            let failed = run(1, "fail", &["--request", request]);
            json!([
                failed,
                run(1, "fail", &["--request", request]),
                run(4, "desk", &["--input", "{\"n\": 3}"])
            ])
        },
    ];
    for (index, deed) in deeds.iter().enumerate() {
        assert_eq!(deed(&local), deed(&remote), "deed {index}");
    }
    // An input that does not fit starts nothing; what is said of it names the file, or the server.
    for (call, name) in [(&local, "desk.yaml"), (&remote, "desk")] {
        let outcome = call.lines(2, &["run", name, "--input", "{}"]).pop().unwrap();
        assert_eq!((&outcome["status"], &outcome["exit_code"]), (&json!("not-started"), &json!(2)));
    }
}

// R8.4
#[test]
fn workflows_and_plugins_are_put_and_checked_at_a_server() {
    let there = Site::new(&[]);
    let here = Site::new(&[
        ("first.yaml", DESK),
        ("bad.yaml", "format: 1\nname: bad\nversion: 1\nnodes:\n  a: { value: 1, next: nowhere }\n"),
    ]);
    let server = Server::start(&there);
    let remote = Call { site: &here, url: Some(server.url()), token: None };
    let put = remote.lines(0, &["workflow", "put", "first.yaml", "--new"]);
    assert_eq!((&put[0]["name"], &put[0]["file"]), (&json!("desk"), &json!("desk.yaml")));
    assert_eq!(remote.refused(&["workflow", "put", "first.yaml", "--new"]).0, 3);
    assert_eq!(remote.refused(&["workflow", "put", "first.yaml", "--seen", "\"other\""]).0, 3);
    let etag = id(&put[0], "etag");
    assert_eq!(
        remote.said(&["workflow", "put", "first.yaml", "--seen", &etag]),
        (Some(0), format!("{etag}\n"))
    );
    let (code, why) = remote.refused(&["workflow", "put", "bad.yaml"]);
    assert!(code == 2 && why.contains("nowhere"), "{why}");
    assert_eq!(remote.said(&["check", "first.yaml"]).0, Some(0));
    let (code, told) = remote.said(&["check", "bad.yaml"]);
    assert!(code == Some(2) && told.contains("nowhere"), "{told}");
    let uploaded = remote.lines(0, &["plugin", "put", "echo.wasm", "--name", "mine"]);
    assert_eq!(uploaded[0]["file"], "plugins/mine.wasm");
    assert!(there.path().join("plugins/mine.wasm").is_file());
    let run = remote.lines(4, &["run", "desk", "--no-ask", "--input", "{\"n\": 1}"]).pop().unwrap();
    assert_eq!(run["status"], "waiting");
    let local = Call { url: None, ..remote };
    for verb in [["workflow", "put", "first.yaml"], ["plugin", "put", "echo.wasm"]] {
        assert!(local.refused(&verb).1.contains("--server"), "{verb:?}");
    }
}

fn tokens(site: &Site, roles: &[&str]) -> Vec<String> {
    let mut settings = fs::read_to_string(site.path().join("bandstand.toml")).unwrap();
    let mut tokens = Vec::new();
    for role in roles {
        let made = site.call(&["token", "new", role, "--role", role]).lines().remove(0);
        settings.push_str(made["settings"].as_str().unwrap());
        tokens.push(made["token"].as_str().unwrap().to_owned());
    }
    fs::write(site.path().join("bandstand.toml"), settings).unwrap();
    tokens
}

// R8.2, R7.6
#[test]
fn a_token_says_who_asks_and_shows_nowhere() {
    let site = site();
    let tokens = tokens(&site, &["viewer", "operator", "reviewer"]);
    let server = Server::start(&site);
    let nobody = Call { site: &site, url: Some(server.url()), token: None };
    let by = |token: usize| Call { token: Some(&tokens[token]), ..nobody };
    let (code, why) = nobody.refused(&["runs", "list"]);
    assert!(code == 1 && why.contains("BANDSTAND_TOKEN") && why.contains("--token-file"), "{why}");
    let wrong = Call { token: Some("bandstand_wrong0123456789"), ..nobody };
    let (code, why) = wrong.refused(&["runs", "list"]);
    assert!(code == 1 && why.contains("token new") && !why.contains("wrong0123456789"), "{why}");
    assert_eq!(by(0).said(&["runs", "list", "--json"]), (Some(0), String::new()));
    let (code, why) = by(0).refused(&["run", "desk", "--input", "{\"n\": 1}"]);
    assert!(code == 1 && why.contains("role `operator`") && !why.contains(&tokens[0]), "{why}");
    // A file holds the token just as well.
    fs::write(site.path().join("token"), format!("{}\n", tokens[1])).unwrap();
    let run = nobody.lines(4, &["--token-file", "token", "run", "desk", "--no-ask", "--input", "{\"n\": 1}"]);
    let run_id = id(run.last().unwrap(), "run_id");
    let review = id(&json!({ "r": run.last().unwrap()["reviews"][0] }), "r");
    assert_eq!(by(1).refused(&["review", "approve", &review]).0, 1, "an operator answers no reviews");
    let (code, why) = by(2).refused(&["review", "approve", &review, "--by", "eve"]);
    assert!(code == 1 && why.contains("`reviewer`'s"), "{why}");
    assert_eq!(by(2).said(&["review", "approve", &review, "--comments", "ok"]).0, Some(0));
    let told = by(0).lines(0, &["review", "show", &review]);
    assert_eq!(told[0]["answers"][0]["reviewer"], "reviewer", "the token says who");
    assert_eq!(by(0).said(&["runs", "watch", &run_id]).0, Some(0));
    // Another machine without TLS gets no token.
    let far = Call { url: Some("http://example.com:7420"), ..by(0) };
    let (code, why) = far.refused(&["runs", "list"]);
    assert!(code == 2 && why.contains("--token-in-clear") && !why.contains(&tokens[0]), "{why}");
    fs::write(site.path().join("token"), "two words\n").unwrap();
    let (code, why) = nobody.refused(&["--token-file", "token", "runs", "list"]);
    assert!(code == 2 && !why.contains("two words"), "{why}");
}

// R8.1
#[test]
fn what_is_no_server_and_what_no_server_does_is_told() {
    let site = site();
    let call = |url| Call { site: &site, url: Some(url), token: None };
    let (code, why) = call("http://127.0.0.1:9").refused(&["runs", "list"]);
    assert!(code == 1 && why.contains("no server answers at http://127.0.0.1:9"), "{why}");
    let (code, why) = call("localhost:7420").refused(&["runs", "list"]);
    assert!(code == 2 && why.contains("http://HOST:PORT"), "{why}");
    // Somebody else's server, with something in its answer that a terminal would act on.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers = [
        "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>".to_owned(),
        "HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "SSH-2.0-OpenSSH\r\n".to_owned(),
        format!(
            "HTTP/1.1 404 Not Found\r\ncontent-type: application/problem+json\r\ncontent-length: {0}\r\n\r\n{1}",
            PROBLEM.len(),
            PROBLEM
        ),
        "HTTP/1.1 200 OK\r\nbandstand-version: 9.9.9\r\ncontent-length: 2\r\n\r\n{}".to_owned(),
    ];
    let answering = std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let mut whys = Vec::new();
    for _ in 0..5 {
        whys.push(call(&url).refused(&["runs", "list"]));
    }
    answering.join().unwrap();
    for (index, telling) in
        ["not as a Bandstand server", "redirects are not followed", "no HTTP", "gone", "9.9.9"]
            .iter()
            .enumerate()
    {
        assert!(whys[index].1.contains(telling) && !whys[index].1.contains('\u{1b}'), "{:?}", whys[index]);
    }
    assert_eq!(whys.iter().map(|(code, _)| *code).collect::<Vec<_>>(), [1, 1, 1, 3, 1]);
    let here = call("http://127.0.0.1:9");
    let (code, why) = here.refused(&["--data", "x", "runs", "list"]);
    assert!(code == 2 && why.contains("--server and --data"), "{why}");
    let (code, why) = here.refused(&["run", "desk.yaml"]);
    assert!(code == 2 && why.contains("workflow put desk.yaml"), "{why}");
    for verb in [
        &["init", "x"][..],
        &["serve"],
        &["dev"],
        &["token", "new", "a", "--role", "viewer"],
        &["completions", "bash"],
        &["schema", "workflow"],
        &["plugin", "verify", "echo.wasm"],
        &["plugin", "precompile", "echo.wasm"],
        &["prune"],
        &["backup", "x"],
        &["notify", "list"],
        &["runs", "drive", "--all"],
    ] {
        let (code, why) = here.refused(verb);
        assert!(code == 2 && why.contains("server"), "{verb:?}: {why}");
    }
}

const PROBLEM: &str = "{\"code\":\"not-found\",\"detail\":\"it is \\u001b[31mgone\"}";

// R8.2: a stream goes on where it was when the server is killed and started again.
#[test]
fn a_run_is_followed_through_the_death_of_its_server() {
    let site = site();
    let server = Server::start(&site);
    let port = server.url().rsplit(':').next().unwrap().to_owned();
    let run = begun(&server, "nap", &json!({}));
    let url = server.url().to_owned();
    let mut watching = Command::new(site.binary())
        .args(["--json", "--server", &url, "runs", "watch", &run])
        .current_dir(site.path())
        .env_remove("BANDSTAND_DATA")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    sleep_ms(500);
    server.kill_nine();
    sleep_ms(500);
    let args = ["serve", "--listen", &format!("127.0.0.1:{port}")];
    let again = site.start(&args);
    wait_for("the end of `runs watch`", || watching.try_wait().unwrap());
    let output = watching.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let told: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let numbers: Vec<u64> = told.iter().filter_map(|line| line["seq"].as_u64()).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>(), "no gap and no repeat");
    assert_eq!(told.last().unwrap()["status"], "succeeded");
    drop(again);
}
