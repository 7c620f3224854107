//! The HTTP API as programs meet it: a [`Server`] is the real program serving a [`Site`], a [`Client`] asks it, a [`Stream`]
//! follows it. Only for tests: everything here panics with the reason when something is not as it must be. Nothing here is
//! linked with the host.

#![allow(clippy::panic, clippy::unwrap_used, reason = "used by tests only")]

mod client;
mod stream;

pub use client::{Answer, Client};
pub use stream::{Message, Stream};

use bandstand_crash::{Ended, Process, Site};

/// The program, serving a site.
#[derive(Debug)]
pub struct Server {
    process: Process,
    url: String,
}

impl Server {
    /// Serves the site on a free port of this machine; returns when it takes requests.
    pub fn start(site: &Site) -> Server {
        Server::start_with(site, &[])
    }

    /// As [`Server::start`], with further arguments.
    pub fn start_with(site: &Site, more: &[&str]) -> Server {
        let mut args = vec!["serve", "--listen", "127.0.0.1:0"];
        args.extend(more);
        let mut process = site.start(&args);
        let line = process.line("that it serves", |line| line["type"] == "serving");
        Server { url: line["url"].as_str().unwrap().to_owned(), process }
    }

    /// Where it listens: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks it without a token.
    pub fn client(&self) -> Client {
        Client::new(&self.url, None)
    }

    /// Asks it with that token.
    pub fn client_with(&self, token: &str) -> Client {
        Client::new(&self.url, Some(token))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// `kill -9`.
    pub fn kill_nine(self) -> Ended {
        self.process.kill_nine()
    }

    /// Tells it to end, as service managers do.
    pub fn terminate(&self) {
        self.process.terminate();
    }

    /// Tells it to end and waits until it has.
    pub fn end(self) -> Ended {
        self.process.terminate();
        self.process.wait()
    }

    /// Waits for its end.
    pub fn wait(self) -> Ended {
        self.process.wait()
    }
}
