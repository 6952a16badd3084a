//! A stand-in for an Ollama that can be killed.
//!
//! `story-host NAME lives|dies fixed|random` prints its address, and a line once it has begun an answer. One that dies
//! then waits for its death; another goes on once it has read a line. The text follows from model, question and seed,
//! or from model and question at temperature 0; a random one is another each time. It runs until its input ends.

use serde_json::{Value, json};
use std::io::{Read as _, stdin};
use std::process::ExitCode;
use std::time::SystemTime;
use upright_system_tests::story::{cut, key, words};
use upright_test_kit::gate::Gate;
use upright_test_kit::model_host::{Asked, Line, ModelHost, listed};

/// The key of the answer to this question.
fn key_of(asked: &Value, name: &str, is_random: bool) -> u64 {
    let question = asked["messages"].as_array().and_then(|all| all.last()).and_then(|last| last["content"].as_str());
    let facts = (asked["model"].as_str().map(|name| name.trim_end_matches(":latest")), question);
    let (seed, temperature) = (asked["options"]["seed"].as_u64(), asked["options"]["temperature"].as_f64());
    match (is_random, temperature, seed) {
        (false, Some(0.0), _) => key((facts, "at temperature 0")),
        (false, _, Some(seed)) => key((facts, seed)),
        _ => key((name, SystemTime::now(), std::thread::current().id())),
    }
}

fn piece(text: &str, done: bool) -> String {
    let (message, stamp) = (json!({ "role": "assistant", "content": text }), "2026-01-01T00:00:00Z");
    format!("{}\n", json!({ "model": "m", "created_at": stamp, "message": message, "done": done }))
}

/// Sends a beginning and tells it. Then one that dies waits for its death, and another until it may go on.
fn answer(line: &mut Line, of: u64, dies: bool, gate: &Gate) {
    line.head("application/x-ndjson");
    if dies {
        let (words, cut) = (words(of), cut(of));
        words[..cut].iter().for_each(|word| line.piece(piece(word, false)));
        // A part of the next line.
        let next = piece(&words[cut], false);
        let half = usize::try_from(of).unwrap_or_default() % next.len();
        line.send([format!("{:x}\r\n", next.len()).as_bytes(), &next.as_bytes()[..half]].concat());
        println!("asked");
        return line.gone();
    }
    // Other borders than those of the words.
    let signs: Vec<char> = words(of).concat().chars().collect();
    for (number, signs) in signs.chunks(7).enumerate() {
        line.piece(piece(&signs.iter().collect::<String>(), false));
        if number == 0 {
            println!("asked");
            gate.pass();
        }
    }
    line.piece(piece("", true));
    line.end();
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, fate, text] = arguments.as_slice() else {
        eprintln!("expected NAME lives|dies fixed|random, found {arguments:?}");
        return ExitCode::from(2);
    };
    let (name, dies, is_random) = (name.clone(), fate == "dies", text == "random");
    let own = format!("of-{name}:latest");
    let gate = Gate::default();
    let of_host = gate.clone();
    let host = ModelHost::start(move |asked: &Asked, line: &mut Line| match asked.target.as_str() {
        "GET /api/version" => line.json(200, &json!({ "version": "0.33.0" })),
        "GET /api/tags" | "GET /api/ps" => line.json(200, &listed(&["m:latest", own.as_str()])),
        "POST /api/show" => line.json(200, &json!({ "parameters": "" })),
        "POST /api/chat" => answer(line, key_of(&asked.json(), &name, is_random), dies, &of_host),
        _ => line.json(404, &json!({ "error": "not found" })),
    });
    println!("{}", host.url());
    let _ = stdin().read_line(&mut String::new());
    gate.open();
    let _ = stdin().read_to_end(&mut Vec::new());
    ExitCode::SUCCESS
}
