//! Clients and hosts that break rules, hang up or stay silent: refused or survived, while honest clients are answered.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use upright_core::PolicySlot;
use upright_gateway::config::Config;
use upright_gateway::serve::{Gateway, StartOptions};
use upright_recordings::named;
use upright_recordings::server::Server;

const QUESTION: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello?"}]}"#;
/// SHA-256 of "right".
const RIGHT: &str = "27042f4e6eca7d0b2a7ee4026df2ecfa51d3339e6d122aa099118ecd8563bad9";
/// Words of the healthy host's answer.
const WORDS: [&str; 2] = ["Hello", "goodbye"];
/// A test that fails ends by this time.
const LIMIT: Duration = Duration::from_secs(60);

/// A gateway in front of this host, with these keys of `[listen]` and these tables.
fn gateway(host: &str, listen: &str, tables: &str) -> Gateway {
    let text = format!("[listen]\naddress = \"127.0.0.1:0\"\n{listen}\n[[upstream]]\nurl = \"{host}\"\n{tables}");
    let config = Config::parse(&text, "test.toml").unwrap_or_else(|error| panic!("{error}"));
    Gateway::start(config, PolicySlot::native(), StartOptions { workers: 1, recovers: true }).unwrap()
}

/// A request for a chat, with these further lines of its head.
fn post(lines: &str, body: &str) -> String {
    format!("POST /api/chat HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n{lines}\r\n{body}", body.len())
}

fn healthy() -> Server {
    Server::start(|path, _| (path == "/api/chat").then(|| named("plain-longer"))).unwrap()
}

fn connect(gateway: &Gateway) -> TcpStream {
    let stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Everything that the gateway answers to these bytes.
fn sent(gateway: &Gateway, bytes: &[u8]) -> String {
    let mut stream = connect(gateway);
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    // The connection may be reset after the answer.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

fn is_answered(gateway: &Gateway) -> bool {
    let answer = sent(gateway, post("", QUESTION).as_bytes());
    status(&answer) == 200 && WORDS.iter().all(|word| answer.contains(word))
}

#[test]
fn hostile_requests_are_refused_and_honest_ones_are_answered_between_them() {
    let host = healthy();
    let decoy = TcpListener::bind("127.0.0.1:0").unwrap();
    decoy.set_nonblocking(true).unwrap();
    let elsewhere = decoy.local_addr().unwrap();
    let open = gateway(&host.url(), "max_body = \"4 KiB\"", "");
    let keyed = gateway(&host.url(), "", &format!("[access.keys.laptop]\nsha256 = \"{RIGHT}\"\n"));
    let chunked = "POST /api/chat HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    let nested = format!("{{\"model\":\"m\",\"messages\":{}", "[".repeat(3000));
    let cases: [(&str, &Gateway, String, &[u16]); 15] = [
        ("a name that resolves to loopback", &open, post("", QUESTION).replace("localhost", "evil.example"), &[403]),
        ("a foreign web page", &open, post("origin: https://evil.example\r\n", QUESTION), &[403]),
        ("a body that is too large", &open, post("", &"x".repeat(5000)), &[413]),
        (
            "a length that is a lie",
            &open,
            "POST /api/chat HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999\r\n\r\n{}".into(),
            &[413],
        ),
        ("a length that is no number", &open, post("", "").replace("content-length: 0", "content-length: 1x"), &[400]),
        ("a chunk without a length", &open, format!("{chunked}zz\r\n{{}}\r\n0\r\n\r\n"), &[400]),
        ("no JSON", &open, post("", "<html>"), &[400]),
        ("JSON that is nested too deeply", &open, post("", &nested), &[400]),
        ("a body without a model", &open, post("", r#"{"messages":[]}"#), &[400]),
        ("a line end in a model's name", &open, post("", &QUESTION.replace("\"m\"", r#""m\r\nx-evil: 1""#)), &[200, 400, 404]),
        ("an address in the request line", &open, post("", QUESTION).replace("/api/chat", &format!("http://{elsewhere}/api/chat")), &[200]),
        (
            "a tunnel",
            &open,
            format!("CONNECT {elsewhere} HTTP/1.1\r\nhost: {elsewhere}\r\nconnection: close\r\n\r\n"),
            &[400, 403, 404, 405],
        ),
        ("no key", &keyed, post("", QUESTION), &[401]),
        ("a wrong key", &keyed, post("authorization: Bearer wrong\r\n", QUESTION), &[401]),
        ("the right key", &keyed, post("authorization: Bearer right\r\n", QUESTION), &[200]),
    ];
    let mut wrong = Vec::new();
    for (what, gateway, bytes, expected) in cases {
        let answer = sent(gateway, bytes.as_bytes());
        println!("{what:34} {}", status(&answer));
        let head = answer.split("\r\n\r\n").next().unwrap_or_default();
        if !expected.contains(&status(&answer)) || head.lines().any(|line| line.starts_with("x-evil")) {
            wrong.push(format!("{what}: {answer}"));
        }
        assert!(is_answered(&open), "an honest client after {what}");
    }
    assert!(wrong.is_empty(), "{} answers are wrong:\n{}", wrong.len(), wrong.join("\n\n"));
    assert_eq!(decoy.accept().map(|_| ()).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

/// Longer than what the system keeps of an unread body.
const LONG: usize = 32 << 20;

/// The answer to a request whose whole body is sent before the answer is read, as most clients do.
fn sent_first(gateway: &Gateway, path: &str) -> String {
    let mut stream = connect(gateway);
    let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {LONG}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let piece = vec![b'x'; 64 << 10];
    for _ in 0..LONG / piece.len() {
        stream.write_all(&piece).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap_or_else(|error| panic!("{path}: {error}"));
    String::from_utf8(answer).unwrap()
}

/// A host that answers as an Ollama that has the blob: before it reads the body. It never closes.
fn early() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
                // The connection stays open.
                std::thread::park();
            });
        }
    });
    url
}

#[test]
fn a_client_that_still_sends_its_body_can_read_an_answer_that_came_before_its_end() {
    let host = healthy();
    let refusing = gateway(&host.url(), "max_body = \"4 KiB\"", "");
    let keyed = gateway(&host.url(), "", &format!("[access.keys.laptop]\nsha256 = \"{RIGHT}\"\n"));
    let passing = gateway(&early(), "", "");
    assert_eq!(status(&sent_first(&refusing, "/api/chat")), 413);
    assert_eq!(status(&sent_first(&keyed, "/api/chat")), 401);
    assert_eq!(status(&sent_first(&passing, &format!("/api/blobs/sha256:{}", "0".repeat(64)))), 200);
}

#[test]
fn clients_that_do_not_end_their_heads_are_disconnected_and_honest_ones_are_answered_meanwhile() {
    let host = healthy();
    let gateway = gateway(&host.url(), "head_time = 0.5", "");
    let mut slow: Vec<TcpStream> = (0..300)
        .map(|_| {
            let mut stream = connect(&gateway);
            stream.write_all(b"POST /api/chat HTTP/1.1\r\nhost: loc").unwrap();
            stream
        })
        .collect();
    assert!((0..20).all(|_| is_answered(&gateway)));
    for stream in &mut slow {
        // The end, or a reset, and perhaps an answer before.
        let _ = stream.read_to_end(&mut Vec::new());
        assert!(stream.write_all(b"x").and_then(|()| stream.write_all(b"x")).is_err() || stream.read(&mut [0]).is_ok_and(|read| read == 0));
    }
    assert!(is_answered(&gateway));
}

/// A host that sends these bytes in answer to a chat, and keeps the connection. Stands in for an Ollama that generates.
struct Silent {
    url: String,
    /// A chat came.
    asked: Receiver<()>,
    /// The connection of a chat ended.
    left: Receiver<()>,
}

impl Silent {
    fn start(bytes: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let ((ask, asked), (leave, left)) = (channel(), channel());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, ask, leave) = (stream.unwrap(), ask.clone(), leave.clone());
                std::thread::spawn(move || {
                    let (mut received, mut piece) = (Vec::new(), [0; 4096]);
                    let mut is_asked = false;
                    loop {
                        match stream.read(&mut piece) {
                            Ok(0) | Err(_) => break,
                            Ok(read) => received.extend_from_slice(&piece[..read]),
                        }
                        let text = String::from_utf8_lossy(&received);
                        if !is_asked && text.starts_with("POST /api/chat") && text.contains("Hello?") {
                            is_asked = true;
                            stream.write_all(bytes.as_bytes()).unwrap();
                            let _ = ask.send(());
                        } else if !is_asked && text.starts_with("GET ") && text.ends_with("\r\n\r\n") {
                            received.clear();
                            let body = r#"{"models":[{"name":"m:latest","model":"m:latest"}]}"#;
                            let head =
                                format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
                            let _ = stream.write_all((head + body).as_bytes());
                        }
                    }
                    if is_asked {
                        let _ = leave.send(());
                    }
                });
            }
        });
        Self { url, asked, left }
    }
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";

#[test]
fn a_client_that_hangs_up_ends_its_request_on_the_host_in_each_state() {
    let line =
        json!({ "model": "m", "created_at": "2026-01-01T00:00:00Z", "message": { "role": "assistant", "content": "Why" }, "done": false });
    let line = format!("{line}\n");
    let content: &'static str = Box::leak(format!("{HEAD}{:x}\r\n{line}\r\n", line.len()).into_boxed_str());
    for (state, bytes, has_content) in
        [("before the head", "", false), ("before the content", HEAD, false), ("in the content", content, true)]
    {
        for path in ["/api/chat", "/v1/chat/completions", "/v1/messages"] {
            let host = Silent::start(bytes);
            let gateway = gateway(&host.url, "", "");
            let mut body: Value = serde_json::from_str(QUESTION).unwrap();
            body["stream"] = true.into();
            body["max_tokens"] = 100.into();
            let mut client = connect(&gateway);
            client.write_all(post("", &body.to_string()).replace("/api/chat", path).as_bytes()).unwrap();
            host.asked.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("{state}, {path}: the host was not asked"));
            if has_content {
                let mut seen = Vec::new();
                while !String::from_utf8_lossy(&seen).contains("Why") {
                    let mut piece = [0; 4096];
                    let read = client.read(&mut piece).unwrap();
                    assert!(read > 0, "{state}, {path}");
                    seen.extend_from_slice(&piece[..read]);
                }
            }
            drop(client);
            host.left.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("{state}, {path}: the host still works"));
        }
    }
}

#[test]
fn an_answer_of_a_host_that_is_no_ndjson_is_an_error_for_the_client() {
    for garbage in ["not json\n", "{\"message\":\n", "[1,2]\n", "\u{0}\u{1}\n", "{\"done\":7}\n"] {
        let bytes = format!("{HEAD}{:x}\r\n{garbage}\r\n0\r\n\r\n", garbage.len());
        let host = Silent::start(Box::leak(bytes.into_boxed_str()));
        let gateway = gateway(&host.url, "", "[retry]\nmax_retries = 0\n");
        let answer = sent(&gateway, post("", QUESTION).as_bytes());
        assert!(status(&answer) >= 500 && answer.contains("\"error\""), "{garbage:?}: {answer}");
    }
}
