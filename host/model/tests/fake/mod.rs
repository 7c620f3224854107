//! A provider that lives in the test: it answers each connection with what it was given, and remembers what it was asked.

#![allow(dead_code, clippy::unwrap_used, clippy::panic)] // each test file uses its part

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What it was asked: head and body of each request.
#[derive(Clone, Default)]
pub(crate) struct Asked(Arc<Mutex<Vec<(String, String)>>>);

impl Asked {
    /// How many requests there were.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// The head, in small letters.
    pub(crate) fn head(&self, index: usize) -> String {
        self.0.lock().unwrap()[index].0.to_ascii_lowercase()
    }

    /// The body.
    pub(crate) fn body(&self, index: usize) -> serde_json::Value {
        serde_json::from_str(&self.0.lock().unwrap()[index].1).unwrap()
    }
}

/// Starts one; `answer` gets the connection after each request, with the number of the request from 0. Its address.
pub(crate) fn start(answer: impl Fn(&mut TcpStream, usize) + Send + Sync + 'static) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    let asked = Asked::default();
    let (heard, answer) = (asked.clone(), Arc::new(answer));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, heard, answer) = (stream.unwrap(), heard.clone(), answer.clone());
            std::thread::spawn(move || {
                let Some(request) = read(&mut stream) else { return };
                let number = {
                    let mut all = heard.0.lock().unwrap();
                    all.push(request);
                    all.len() - 1
                };
                answer(&mut stream, number);
            });
        }
    });
    (address, asked)
}

fn read(stream: &mut TcpStream) -> Option<(String, String)> {
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap();
    let length = head
        .to_ascii_lowercase()
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).unwrap()))
}

/// The head of a stream of events. Its end is the end of the connection.
pub(crate) fn begin_events(stream: &mut TcpStream) {
    let _ =
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n");
}

/// Events, each with its data. Whether somebody still reads.
pub(crate) fn events(stream: &mut TcpStream, data: &[&str]) -> bool {
    data.iter().all(|data| stream.write_all(format!("event: x\ndata: {data}\n\n").as_bytes()).is_ok())
}

/// A whole answer.
pub(crate) fn whole(stream: &mut TcpStream, status: &str, headers: &str, body: &str) {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n{body}"
    );
    let _ = stream.write_all(text.as_bytes());
}
