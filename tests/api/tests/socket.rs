//! R8.2: one WebSocket follows and commands.

#![allow(clippy::unwrap_used)]

use std::net::TcpStream;

use bandstand_api::Server;
use bandstand_crash::Site;
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

struct Socket(WebSocket<TcpStream>);

impl Socket {
    fn open(server: &Server) -> Socket {
        let url = format!("{}/api/v1/ws", server.url());
        let request = url.replacen("http", "ws", 1).into_client_request().unwrap();
        let stream = TcpStream::connect(server.url().trim_start_matches("http://")).unwrap();
        Socket(tungstenite::client(request, stream).unwrap().0)
    }

    fn send(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).unwrap();
    }

    /// The next message; none: the other side closed.
    fn next(&mut self) -> Option<Value> {
        loop {
            match self.0.read().ok()? {
                Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    /// The answer to that command; what comes before it is kept.
    fn answer(&mut self, id: u64, before: &mut Vec<Value>) -> Value {
        loop {
            let message = self.next().unwrap();
            if message["answer"] == id {
                return message;
            }
            before.push(message);
        }
    }
}

// R8.2
#[test]
fn one_connection_follows_and_commands() {
    let site = Site::new(&[("desk.yaml", include_str!("desk.yaml"))]);
    let server = Server::start(&site);
    let client = server.client();
    let run = client.run("desk", &json!({ "n": 1 }));
    let (id, review) = (&run["run_id"], &run["reviews"][0]);
    let mut socket = Socket::open(&server);
    let mut told = Vec::new();
    socket.send(&json!({ "id": 1, "do": "follow", "run": id }));
    assert_eq!(socket.answer(1, &mut told)["ok"]["follow"], 1);
    socket.send(&json!({ "id": 2, "do": "follow" }));
    assert_eq!(socket.answer(2, &mut told)["ok"]["follow"], 2);
    socket.send(&json!({ "id": 2, "do": "follow" }));
    assert_eq!(socket.answer(2, &mut told)["problem"]["code"], "conflict");
    socket.send(&json!({ "id": 3, "do": "pause", "run": id }));
    assert_eq!(socket.answer(3, &mut told)["ok"]["run"]["status"], "paused");
    socket.send(&json!({ "id": 4, "do": "resume", "run": id }));
    assert_eq!(socket.answer(4, &mut told)["ok"]["changed"], true);
    let with = json!({ "decision": "approved", "reviewer": "ada" });
    socket.send(&json!({ "id": 5, "do": "decide", "review": review, "with": with }));
    assert_eq!(socket.answer(5, &mut told)["ok"]["review"]["outcome"], "approved");
    while !told.iter().any(|message| message["follow"] == 1 && message["event"] == "end") {
        told.extend(socket.next());
    }
    let of = |follow: u64, event: &str| {
        told.iter().filter(|message| message["follow"] == follow && message["event"] == event).count()
    };
    assert_eq!((of(1, "run.started"), of(1, "run.paused"), of(1, "run.succeeded")), (1, 1, 1));
    assert_eq!((of(2, "run.started"), of(2, "run.paused")), (0, 1));
    let seqs: Vec<&str> = told
        .iter()
        .filter(|message| message["follow"] == 1 && message["at"].is_string())
        .map(|message| message["at"].as_str().unwrap())
        .collect();
    let expected: Vec<String> = (0..seqs.len()).map(|seq| seq.to_string()).collect();
    assert_eq!(seqs, expected);
    for (wrong, code) in [
        (json!({ "id": 6 }), "invalid"),
        (json!({ "id": 6, "do": "dance" }), "invalid"),
        (json!({ "id": 6, "do": "follow", "run": "none" }), "not-found"),
        (json!({ "id": 6, "do": "signal", "run": id, "name": "x" }), "conflict"),
        (json!({ "id": 6, "do": "kill", "run": id }), "conflict"),
    ] {
        socket.send(&wrong);
        assert_eq!(socket.answer(6, &mut Vec::new())["problem"]["code"], code, "{wrong}");
    }
    server.terminate();
    while socket.next().is_some() {}
    assert_eq!(server.wait().code, Some(0));
}
