//! The `ollama` command's own requests, byte for byte as recorded, through the gateway.

use super::*;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use upright_recordings::{Body, Command, Exchange, commands, named};

/// Whether the command's request came as it was sent. The gateway adds members to questions for a model.
fn is_same(exchange: &Exchange, asked: &Asked) -> bool {
    let sent: Value = serde_json::from_str(exchange.question()).unwrap_or_default();
    let has = |(name, value): (&String, &Value)| asked.json().get(name) == Some(value);
    let is_question = exchange.target() == "POST /api/generate";
    let members = || sent.as_object().is_some_and(|members| members.iter().all(has));
    exchange.target() == asked.target && (asked.body == exchange.question().as_bytes() || is_question && members())
}

/// How much of an answer was recorded.
fn extent(exchange: &Exchange) -> &'static str {
    match Body::read(exchange.method(), &exchange.got) {
        Some((body, _)) if body.ended => "recorded",
        Some(_) => "recorded in part",
        None => "not recorded",
    }
}

/// The recorded answer. Where the recording ends before it, another answer of Ollama's completes or replaces it.
fn answer(exchange: &Exchange) -> Vec<u8> {
    if extent(exchange) == "recorded" {
        return exchange.got.clone();
    }
    match exchange.target() {
        "POST /api/show" => completed(&exchange.got),
        // As after `ollama cp`.
        "DELETE /api/delete" => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(),
        _ if exchange.question().contains(r#""prompt":"""#) => {
            let body = r#"{"model":"m","created_at":"2026-11-29T05:48:21Z","response":"","done":true,"done_reason":"unload"}"#;
            let kind = "application/json; charset=utf-8";
            format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
        }
        _ => named("g-plain").answer.clone(),
    }
}

/// The beginning of an answer of `/api/show`, and the rest of another one for the same weights, up to the length that
/// the beginning announces.
fn completed(begun: &[u8]) -> Vec<u8> {
    let shown = named("show").body().unwrap().bytes;
    let last = &begun[begun.len() - 60..];
    let at = shown.windows(last.len()).position(|window| window == last).unwrap();
    let text = std::str::from_utf8(begun).unwrap();
    let (length, body) = text.split_once("\r\n\r\n").unwrap().1.split_once("\r\n").unwrap();
    let mut rest = shown[at + last.len()..].to_vec();
    rest.resize(usize::from_str_radix(length, 16).unwrap() - body.len(), b' ');
    [begun, &rest, b"\r\n0\r\n\r\n"].concat()
}

/// The Ollama that was recorded while this command ran, or one without models.
fn ollama(command: &'static Command, has_models: bool) -> ModelHost {
    let all = || command.exchanges.iter().chain(commands().iter().flat_map(|command| &command.exchanges));
    ModelHost::start(move |asked, line| {
        let recorded = all().find(|exchange| is_same(exchange, asked));
        let removed = command.line.strip_prefix("ollama rm ").filter(|_| has_models && asked.target == "GET /api/tags");
        match (asked.target.as_str(), recorded, removed) {
            ("GET /api/tags" | "GET /api/ps", ..) if !has_models => line.json(200, &json!({ "models": [] })),
            // The list was recorded before this model was made.
            (_, Some(recorded), Some(name)) => line.json(200, &listed(recorded, name)),
            ("GET /api/version" | "POST /api/pull", Some(recorded), None) => line.send(answer(recorded)),
            (_, Some(recorded), None) if has_models => line.send(answer(recorded)),
            _ => {
                let body = asked.json();
                let name = ["model", "name", "source"].into_iter().find_map(|name| body[name].as_str().filter(|name| !name.is_empty()));
                line.json(404, &json!({ "error": format!("model '{}:latest' not found", name.unwrap()) }));
            }
        }
    })
}

/// A recorded list, with a first model of another name.
fn listed(recorded: &Exchange, name: &str) -> Value {
    let mut list: Value = serde_json::from_slice(&Body::read("GET", &recorded.got).unwrap().0.bytes).unwrap();
    list["models"][0]["name"] = format!("{name}:latest").into();
    list["models"][0]["model"] = format!("{name}:latest").into();
    list
}

/// All bytes of the answer to these bytes.
fn sent(connection: &mut TcpStream, exchange: &Exchange) -> Vec<u8> {
    connection.write_all(exchange.sent.as_bytes()).unwrap();
    let mut got = Vec::new();
    let mut piece = [0; 1 << 16];
    while !Body::read(exchange.method(), &got).is_some_and(|(body, _)| body.ended) {
        match connection.read(&mut piece) {
            Ok(read) if read > 0 => got.extend_from_slice(&piece[..read]),
            _ => break,
        }
    }
    got
}

/// The parts of an answer that the command reads: the status, the kind and the body.
fn read(exchange: &Exchange, got: &[u8]) -> (u16, String, String) {
    let Some((body, _)) = Body::read(exchange.method(), got) else { return (0, String::new(), String::new()) };
    let text = String::from_utf8_lossy(got).into_owned();
    let head = text.split("\r\n\r\n").next().unwrap_or_default().to_ascii_lowercase();
    let kinds = head.lines().filter(|line| line.starts_with("content-type:") || line.starts_with("content-encoding:"));
    (body.status, kinds.collect::<Vec<_>>().join(" "), String::from_utf8(body.bytes).unwrap())
}

/// Sends every recorded request to a gateway. The recorded Ollama is its host, perhaps after one without models.
async fn replay(begins_with_empty: bool) {
    let (mut rows, mut wrong) = (0, Vec::new());
    for command in commands() {
        let (host, empty) = (ollama(command, true), ollama(command, false));
        let gateway = if begins_with_empty { gateway(&[&empty, &host], "") } else { gateway(&[&host], "") };
        for list in ["/api/tags", "/api/ps"] {
            until(&gateway, list, "latest").await;
        }
        until(&gateway, "/api/version", "0.33.0").await;
        let mut connection = TcpStream::connect(gateway.address()).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        for exchange in &command.exchanges {
            let (target, wanted) = (exchange.target(), answer(exchange));
            let got = sent(&mut connection, exchange);
            let found = read(exchange, &got);
            let asked = [host.count(target), empty.count(target)];
            // A host that lacks the model may be asked, and then the other one.
            let is_once = matches!(exchange.method(), "GET" | "HEAD") || asked.contains(&1) && asked.iter().all(|times| *times < 2);
            let is_right = is_once && found == read(exchange, &wanted);
            let mark = if is_right { "same" } else { "WRONG" };
            let (status, length, extent) = (found.0, found.2.len(), extent(exchange));
            println!("{:64} {target:18} {status} {length:>5} bytes, {extent:16} {mark}", command.line);
            rows += 1;
            if !is_right {
                let [got, wanted] = [got, wanted].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                wrong.push(format!("{}\n{}\nasked {asked:?} times, got:\n{got}\nnot:\n{wanted}", command.line, exchange.sent));
            }
        }
    }
    println!("{rows} exchanges");
    assert!(wrong.is_empty(), "{} of {rows} are wrong:\n{}", wrong.len(), wrong.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_recorded_request_of_the_ollama_command_gets_from_the_gateway_what_it_got_from_ollama() {
    replay(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_recorded_request_of_the_ollama_command_reaches_the_host_that_has_its_model() {
    replay(true).await;
}
