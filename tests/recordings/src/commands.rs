//! The exchanges of the `ollama` command.

use crate::{Body, content_length, head};
use serde::Deserialize;
use std::sync::OnceLock;

/// A run of the `ollama` command.
#[derive(Clone, Debug)]
pub struct Command {
    /// The command line.
    pub line: String,
    /// Its exchanges, in their order.
    pub exchanges: Vec<Exchange>,
}

/// One request of the command, and what it got.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// All bytes of the request.
    pub sent: String,
    /// The recorded bytes of the answer: all of them, its beginning, or none.
    pub got: Vec<u8>,
}

impl Exchange {
    /// Method and path of the request.
    pub fn target(&self) -> &str {
        self.sent.split_once(" HTTP/1.1\r\n").map_or("", |(target, _)| target)
    }

    /// Method of the request.
    pub fn method(&self) -> &str {
        self.target().split_once(' ').map_or("", |(method, _)| method)
    }

    /// Body of the request.
    pub fn question(&self) -> &str {
        self.sent.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }
}

#[derive(Deserialize)]
struct Line {
    command: String,
    sent: String,
    got: String,
}

/// All runs of the command, in file order.
///
/// # Panics
/// If the compiled-in file is malformed.
pub fn commands() -> &'static [Command] {
    static ALL: OnceLock<Vec<Command>> = OnceLock::new();
    ALL.get_or_init(|| include_str!("../ollama-cli.jsonl").lines().map(command).collect())
}

#[expect(clippy::expect_used, reason = "the file is compiled in, and a test reads it")]
fn command(line: &str) -> Command {
    let Line { command, sent, got } = serde_json::from_str(line).expect("a line of ollama-cli.jsonl");
    let (mut sent, mut got, mut exchanges) = (&*sent, got.as_bytes(), Vec::new());
    while !sent.is_empty() {
        let (head, after) = head(sent.as_bytes()).expect("a whole head");
        let length = sent.len() - after.len() + content_length(&head).unwrap_or(0);
        let (request, later) = sent.split_at(length);
        let mut exchange = Exchange { sent: request.to_owned(), got: Vec::new() };
        let rest = Body::read(exchange.method(), got).map_or(&[][..], |(_, rest)| rest);
        exchange.got = got[..got.len() - rest.len()].to_vec();
        exchanges.push(exchange);
        (sent, got) = (later, rest);
    }
    assert!(got.is_empty(), "{command}: more answers than requests");
    Command { line: command, exchanges }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn each_request_of_the_command_has_the_answer_that_was_recorded() {
        let lines: Vec<&str> = commands().iter().map(|command| &*command.line).collect();
        assert_eq!((lines.len(), lines[0], lines[12]), (13, "ollama list", "ollama --version"));
        let exchanges: Vec<&Exchange> = commands().iter().flat_map(|command| &command.exchanges).collect();
        assert!(exchanges.iter().all(|exchange| exchange.sent.contains(" HTTP/1.1\r\nHost: ")));
        let body = |exchange: &Exchange| Body::read(exchange.method(), &exchange.got).map(|(body, _)| body);
        let whole = exchanges.iter().filter(|exchange| body(exchange).is_some_and(|body| body.ended)).count();
        let missing = exchanges.iter().filter(|exchange| exchange.got.is_empty()).count();
        assert_eq!((exchanges.len(), whole, missing), (33, 20, 7));
        let [_, missing, pulled] = &commands()[4].exchanges[..] else { panic!("{:?}", commands()[4]) };
        assert_eq!((missing.target(), body(missing).unwrap().status), ("POST /api/show", 404));
        assert_eq!(pulled.question(), r#"{"model":"","username":"","password":"","name":"nonesuch"}"#);
        assert!(body(pulled).unwrap().bytes.ends_with(b"no such host\"}\n"));
    }
}
