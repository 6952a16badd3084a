//! Unmodified clients from PyPI and npm ask the gateway, under the faults of a real Ollama and without.
//!
//! A binary of its own: it installs packages, and starts a process of Python and one of Node that ask all questions.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use common::{FAULTS, Fault, WHOLE, faulty, gateway, healthy, is_streamed, of_two};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use upright_gateway::serve::Gateway;
use upright_recordings::named;
use upright_recordings::server::Server;
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

/// A process with clients.
struct Clients {
    table: Table,
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
    fn all(test: &str) -> Vec<Self> {
        [(Host::PythonClients, PYTHON), (Host::NodeClients, NODE)]
            .into_iter()
            .filter_map(|(host, table)| Self::start(host, table, test))
            .collect()
    }

    fn start(host: Host, table: Table, test: &str) -> Option<Self> {
        let mut command = host.prepare_or_skip(test)?.command("clients");
        // The gateway is on this machine, whatever proxy others use.
        command.env("NO_PROXY", "127.0.0.1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (cases, answers) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Some(Self { table, process, cases, answers: BufReader::new(answers).lines() })
    }

    /// Clients with each way that they have to ask for text: route, and streamed or whole.
    fn ways(&self) -> Vec<(&'static str, &'static str, String)> {
        let routes = self.table.iter().flat_map(|(client, routes)| routes.iter().map(move |route| (*client, *route)));
        routes.flat_map(|(client, route)| ["stream", "whole"].map(|how| (client, route, format!("{route} {how}")))).collect()
    }

    fn ask(&mut self, gateway: &Gateway, client: &str, way: &str, tools: bool) -> Answer {
        let url = format!("http://{}", gateway.address());
        writeln!(self.cases, "{}", json!({ "url": url, "client": client, "way": way, "tools": tools })).unwrap();
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
        has_second && !(fault.after_content && is_streamed(&asked[0]))
    };
    if recovers { Seen::Recovered } else { Seen::Told }
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
    Server::start(choose).unwrap()
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
