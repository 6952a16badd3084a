//! Unmodified clients from PyPI and npm ask the gateway, under the faults of a real Ollama and without.
//!
//! A binary of its own: it installs packages, and starts a process of Python and one of Node that ask all questions.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use common::{FAULTS, Fault, WHOLE, faulty, gateway, gateway_to, healthy, is_streamed, of_two};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Lines, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use upright_gateway::serve::Gateway;
use upright_recordings::named;
use upright_recordings::server::Server;
use upright_test_kit::model_host::ModelHost;
use upright_test_kit::other_hosts::Host;

/// Clients, and the routes that each can ask for text.
type Table = &'static [(&'static str, &'static [&'static str])];

const PYTHON: Table = &[
    ("ollama", &["chat", "generate"]),
    ("openai", &["chat", "completions", "responses"]),
    ("anthropic", &["messages"]),
    ("langchain-ollama", &["chat"]),
    ("langchain-openai", &["chat"]),
    ("litellm ollama_chat", &["chat"]),
    ("litellm openai", &["chat"]),
    ("llama-index", &["chat"]),
];
const NODE: Table = &[("ollama.js", &["chat", "generate"]), ("openai.js", &["chat", "completions", "responses"])];

/// Clients that also ask for embeddings.
const EMBED: [&str; 5] = ["ollama", "openai", "langchain-ollama", "ollama.js", "openai.js"];

/// Routes that take a prompt and no tools.
const PROMPT_ONLY: [&str; 2] = ["generate", "completions"];

/// A host does this after its first text, until its client hangs up.
#[derive(Clone, Copy, Debug)]
enum Then {
    IsSilent,
    SendsOn,
}

/// Means by which clients hang up, and what hosts do meanwhile.
type Means = &'static [(&'static str, &'static [Then])];

const BOTH: &[Then] = &[Then::IsSilent, Then::SendsOn];
const PYTHON_MEANS: Means = &[("close", BOTH), ("break", BOTH), ("aclose", BOTH), ("cancel", &[Then::IsSilent])];
const NODE_MEANS: Means = &[("abort", BOTH), ("break", BOTH)];

/// Whether the client keeps its connection after it hung up so, whatever server it asks.
fn leaves_open(client: &str, means: &str) -> bool {
    means == "break" && ["litellm openai", "ollama.js"].contains(&client)
}

/// The time at which a host saw its connection closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Left {
    WhenTheClientHungUp,
    /// The client itself had kept its connection.
    WhenTheProgramEnded,
    Never,
}

/// A host that is not left closes its connection by this time, so that the test fails and ends.
const LIMIT: Duration = Duration::from_secs(60);

/// A process with clients.
struct Clients {
    host: Host,
    test: &'static str,
    table: Table,
    means: Means,
    process: Child,
    cases: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// An answer as a client gives it to its caller.
struct Answer {
    text: String,
    error: Option<String>,
}

impl Clients {
    /// The processes that this machine can start.
    fn all(test: &'static str) -> Vec<Self> {
        [(Host::PythonClients, PYTHON, PYTHON_MEANS), (Host::NodeClients, NODE, NODE_MEANS)]
            .into_iter()
            .filter_map(|(host, table, means)| Self::start(host, table, means, test))
            .collect()
    }

    fn start(host: Host, table: Table, means: Means, test: &'static str) -> Option<Self> {
        let mut command = host.prepare_or_skip(test)?.command("clients");
        // The gateway is on this machine, whatever proxy others use.
        command.env("NO_PROXY", "127.0.0.1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (cases, answers) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Some(Self { host, test, table, means, process, cases, answers: BufReader::new(answers).lines() })
    }

    /// Clients with each way that they have to ask for text: route, and streamed or whole.
    fn ways(&self) -> Vec<(&'static str, &'static str, String)> {
        let routes = self.table.iter().flat_map(|(client, routes)| routes.iter().map(move |route| (*client, *route)));
        routes.flat_map(|(client, route)| ["stream", "whole"].map(|how| (client, route, format!("{route} {how}")))).collect()
    }

    fn ask(&mut self, gateway: &Gateway, client: &str, way: &str, tools: bool) -> Answer {
        self.answer(&json!({ "url": url(gateway), "client": client, "way": way, "tools": tools }))
    }

    /// Hangs up on an answer by one of the client's means.
    fn hang_up(&mut self, url: &str, client: &str, way: &str, means: &str, report: &Receiver<bool>) -> (Left, Answer) {
        let answer = self.answer(&json!({ "url": url, "client": client, "way": way, "hang_up": means }));
        let early = report.try_recv();
        let mut left = Left::WhenTheClientHungUp;
        if early.is_err() && leaves_open(client, means) {
            // Ends the program, and so its connections.
            *self = Self::start(self.host, self.table, self.means, self.test).unwrap();
            left = Left::WhenTheProgramEnded;
        }
        let is_closed = early.or_else(|_| report.recv()).unwrap();
        (if is_closed { left } else { Left::Never }, answer)
    }

    fn answer(&mut self, case: &Value) -> Answer {
        writeln!(self.cases, "{case}").unwrap();
        let line = self.answers.next().expect("the process of the clients ended").unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        let field = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        Answer { text: field("text"), error: (answer["outcome"] == "error").then(|| field("error")) }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    /// The client took a wrong answer for whole.
    Silent,
    /// The client got pieces of two hosts' answers.
    Mixed,
    /// The client saw an error.
    Told,
    /// The client got the healthy host's answer, whole.
    Recovered,
}

fn seen(answer: &Answer) -> Seen {
    match answer.error {
        None if answer.text == WHOLE => Seen::Recovered,
        // Only the healthy host says it.
        _ if answer.text.contains("goodbye") => Seen::Mixed,
        None => Seen::Silent,
        Some(_) => Seen::Told,
    }
}

/// The outcome that the client must see, by the questions that reached the host with the fault.
fn expected(fault: &Fault, asked: &[Value], has_second: bool) -> Seen {
    let recovers = if fault.is_of_the_window() {
        // A window that the client asked for is not made larger.
        asked[0]["options"]["num_ctx"].is_null()
    } else {
        // Some clients stream although they return a whole answer.
        has_second && !(fault.is_final && is_streamed(&asked[0]))
    };
    if recovers { Seen::Recovered } else { Seen::Told }
}

fn url(gateway: &Gateway) -> String {
    format!("http://{}", gateway.address())
}

/// Questions that reached a host, beside the gateway's own and a client's about the model.
fn questions(host: &Server) -> Vec<Value> {
    let asked = host.requests().into_iter().filter(|(path, _)| path == "/api/chat" || path == "/api/generate");
    asked.map(|(_, body)| body).collect()
}

#[test]
fn no_unmodified_client_takes_a_fault_for_success_and_a_second_host_answers_whole() {
    let mut counts: BTreeMap<(&str, Seen), usize> = BTreeMap::new();
    let (mut wrong, mut table) = (Vec::new(), String::new());
    for mut clients in Clients::all("no_unmodified_client_takes_a_fault_for_success_and_a_second_host_answers_whole") {
        for fault in &FAULTS {
            for (client, route, way) in clients.ways() {
                if PROMPT_ONLY.contains(&route) && fault.generate.is_none() {
                    continue;
                }
                table += &format!("{:42} {client:20} {way:20}", fault.name);
                for (with, number) in [("a second host", 2), ("one host", 1)] {
                    let (first, second) = (faulty(fault), healthy());
                    let gateway = gateway(&[&first, &second][..number]);
                    let answer = clients.ask(&gateway, client, &way, fault.has_tools());
                    let (seen, asked) = (seen(&answer), questions(&first));
                    *counts.entry((with, seen)).or_default() += 1;
                    table += &format!(" {with}: {seen:?};");
                    let Answer { text, error } = answer;
                    let is_right = !asked.is_empty()
                        && seen == expected(fault, &asked, number > 1)
                        && error.as_ref().is_none_or(|error| error.contains(fault.says));
                    if !is_right {
                        let asked = asked.len();
                        wrong.push(format!(
                            "{}, {client}, {way}, with {with}, asked {asked} times: {seen:?}, {text:?}, {error:?}",
                            fault.name
                        ));
                    }
                }
                table += "\n";
            }
        }
    }
    println!("{table}{} cells: {counts:?}", counts.values().sum::<usize>());
    assert!(wrong.is_empty(), "{} cells are wrong:\n{}", wrong.len(), wrong.join("\n\n"));
}

/// A host without faults: it calls each tool that it is offered, and makes embeddings.
fn able() -> Server {
    let choose = |path: &str, request: &Value| {
        let recordings = match path {
            // Some clients send an empty list.
            "/api/chat" if request["tools"].as_array().is_some_and(|tools| !tools.is_empty()) => ["tool-call", "tool-call-whole"],
            "/api/chat" => ["plain-longer", "plain-longer-whole"],
            "/api/generate" => ["g-plain-longer", "g-plain-longer-whole"],
            "/api/embed" => ["old-embed"; 2],
            _ => return None,
        };
        Some(named(of_two(recordings, request)))
    };
    Server::with_model("m:latest", choose).unwrap()
}

#[test]
fn unmodified_clients_get_whole_answers_tool_calls_and_embeddings_through_the_gateway() {
    let host = able();
    let gateway = gateway(&[&host]);
    let mut wrong = Vec::new();
    for mut clients in Clients::all("unmodified_clients_get_whole_answers_tool_calls_and_embeddings_through_the_gateway") {
        let mut cases = Vec::new();
        for (client, route, way) in clients.ways() {
            cases.push((client, way.clone(), false, WHOLE));
            if !PROMPT_ONLY.contains(&route) {
                cases.push((client, way, true, r#"weather{"city":"Oslo"}"#));
            }
        }
        let embed = clients.table.iter().filter(|(client, _)| EMBED.contains(client));
        // The number of dimensions stands for an embedding.
        cases.extend(embed.map(|(client, _)| (*client, "embeddings".to_owned(), false, "576")));
        for (client, way, tools, whole) in cases {
            let Answer { text, error } = clients.ask(&gateway, client, &way, tools);
            // Some clients write a call's arguments with spaces.
            let text = if tools { text.replace(' ', "") } else { text };
            println!("{client:20} {way:20} tools {tools:5} {text:?}");
            if text != whole || error.is_some() {
                wrong.push(format!("{client}, {way}, tools {tools}: {text:?}, {error:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} answers are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// A piece of a streamed answer on this path.
fn piece(path: &str, text: &str, done: bool) -> String {
    let stamp = "2026-01-01T00:00:00Z";
    match path {
        "/api/chat" => {
            let message = json!({ "role": "assistant", "content": text });
            format!("{}\n", json!({ "model": "m", "created_at": stamp, "message": message, "done": done }))
        }
        "/api/generate" => format!("{}\n", json!({ "model": "m", "created_at": stamp, "response": text, "done": done })),
        _ => {
            let choice = json!({ "index": 0, "delta": { "content": text }, "finish_reason": null });
            let chunk = json!({ "id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice] });
            format!("data: {chunk}\n\n")
        }
    }
}

/// Number of pieces that a host sends on: more than all buffers between it and a client take.
const PIECES: usize = 25_000;
/// A host whose first answer has no end, and each later one is whole. It reports whether the connection of the first
/// was closed.
fn endless(then: Then) -> (ModelHost, Receiver<bool>) {
    let (reports, report) = channel();
    let is_first = AtomicBool::new(true);
    let host = ModelHost::ollama(&["m:latest"], move |asked, line| {
        if !asked.is_question() {
            return line.json(404, &json!({ "error": "not found" }));
        }
        let path = asked.target.trim_start_matches("POST ");
        line.head(if path.starts_with("/api/") { "application/x-ndjson" } else { "text/event-stream" });
        line.piece(piece(path, "Hello", false));
        if !is_first.swap(false, Ordering::SeqCst) {
            line.piece(piece(path, "", true));
            return line.end();
        }
        let _ = line.stream.set_read_timeout(Some(LIMIT));
        let _ = line.stream.set_write_timeout(Some(LIMIT));
        let outcome = match then {
            Then::IsSilent => line.stream.read(&mut [0]),
            Then::SendsOn => {
                let piece = piece(path, &"and more ".repeat(400), false);
                let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
                (0..PIECES).try_for_each(|_| line.stream.write_all(chunk.as_bytes())).map(|()| PIECES)
            }
        };
        let is_closed = match outcome {
            Ok(number) => number == 0,
            Err(error) => ![ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()),
        };
        line.close();
        // Nobody may wait for it any more.
        let _ = reports.send(is_closed);
    });
    (host, report)
}

#[test]
fn an_unmodified_client_that_hangs_up_ends_its_request_on_the_host_and_frees_its_place() {
    let mut counts: BTreeMap<Left, usize> = BTreeMap::new();
    for mut clients in Clients::all("an_unmodified_client_that_hangs_up_ends_its_request_on_the_host_and_frees_its_place") {
        for (client, _, way) in clients.ways().into_iter().filter(|(_, _, way)| way.ends_with("stream")) {
            for &(means, thens) in clients.means {
                for &then in thens {
                    let (host, report) = endless(then);
                    let gateway = gateway_to(&format!("[[upstream]]\nurl = \"{}\"\nconcurrency = 1\n", host.url()));
                    let (left, answer) = clients.hang_up(&url(&gateway), client, &way, means, &report);
                    let next = clients.ask(&gateway, client, &way, false);
                    let is_free = next.text == "Hello" && next.error.is_none() && host.questions().len() == 2;
                    let mut row = format!("{client:20} {way:20} {means:7} the host {then:8?} {left:?}");
                    let mut is_right = is_free && left != Left::Never && answer.text.contains("Hello");
                    if leaves_open(client, means) {
                        let (host, report) = endless(then);
                        let (direct, _) = clients.hang_up(&host.url(), client, &way, means, &report);
                        row += &format!(", without the gateway {direct:?}");
                        is_right &= direct != Left::Never;
                    }
                    *counts.entry(left).or_default() += 1;
                    println!("{row}");
                    // The first wrong cell ends it, since each takes as long as the limit.
                    assert!(is_right, "{row}: {:.40?}, {:?}, then {:.40?}, {:?}", answer.text, answer.error, next.text, next.error);
                }
            }
        }
    }
    println!("{} cells: {counts:?}", counts.values().sum::<usize>());
}
