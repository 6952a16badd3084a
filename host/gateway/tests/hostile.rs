//! Clients and hosts that break rules, hang up or stay silent: refused or survived, while honest clients are answered.
//!
//! A binary of its own, whose tests run one after another: they need all descriptors of the process, and count them.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use upright_core::PolicySlot;
use upright_gateway::config::Config;
use upright_gateway::serve::{Gateway, StartOptions};
use upright_test_kit::gate::Gate;
use upright_test_kit::model_host::{Asked, Line, ModelHost};
use upright_test_kit::wait::until_blocking;

const QUESTION: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello?"}]}"#;
/// SHA-256 of "right".
const RIGHT: &str = "27042f4e6eca7d0b2a7ee4026df2ecfa51d3339e6d122aa099118ecd8563bad9";
const NDJSON: &str = "application/x-ndjson";
/// A test that fails ends by this time.
const LIMIT: Duration = Duration::from_secs(60);
/// Number of connections that one process opens at once.
const CROWD: usize = 10_000;

/// One test at a time has the descriptors.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A gateway in front of this host, with these keys of `[listen]` and these tables.
fn gateway(host: &ModelHost, listen: &str, tables: &str) -> Gateway {
    gateway_to(&host.url(), listen, tables)
}

/// A gateway in front of the host with this address.
fn gateway_to(url: &str, listen: &str, tables: &str) -> Gateway {
    let text = format!("[listen]\naddress = \"127.0.0.1:0\"\n{listen}\n[[upstream]]\nurl = \"{url}\"\n{tables}");
    let config = Config::parse(&text, "test.toml").unwrap_or_else(|error| panic!("{error}"));
    Gateway::start(config, PolicySlot::native(), StartOptions { workers: 2, ..StartOptions::default() }).unwrap()
}

/// A request for a chat, with these further lines of its head.
fn post(lines: &str, body: &str) -> String {
    format!("POST /api/chat HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n{lines}\r\n{body}", body.len())
}

fn piece(text: &str, done: bool) -> Value {
    let message = json!({ "role": "assistant", "content": text });
    let mut piece = json!({ "model": "m", "created_at": "2026-01-01T00:00:00Z", "message": message, "done": done });
    if done {
        piece["done_reason"] = "stop".into();
    }
    piece
}

fn answers(line: &mut Line) {
    line.head(NDJSON);
    line.line(&piece("Hello and ", false));
    line.line(&piece("goodbye", false));
    line.line(&piece("", true));
    line.end();
}

fn healthy() -> ModelHost {
    ModelHost::ollama(&["m:latest"], |_, line| answers(line))
}

fn connect(gateway: &Gateway) -> TcpStream {
    let stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Everything that the gateway answers to these bytes.
fn sent(gateway: &Gateway, bytes: &[u8]) -> String {
    let mut stream = connect(gateway);
    // A refused body may not be read to its end.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    // The connection may be reset after the answer.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

fn is_whole(answer: &str) -> bool {
    status(answer) == 200 && ["Hello", "goodbye", "\r\n0\r\n"].iter().all(|part| answer.contains(part))
}

/// An honest client, which keeps its connection as programs do.
struct Honest(TcpStream);

impl Honest {
    fn is_answered(&mut self) -> bool {
        let request = post("", QUESTION).replace("connection: close\r\n", "");
        let (mut answer, mut part) = (Vec::new(), [0; 4096]);
        let _ = self.0.write_all(request.as_bytes());
        while !answer.ends_with(b"\r\n0\r\n\r\n") {
            match self.0.read(&mut part) {
                Ok(read) if read > 0 => answer.extend_from_slice(&part[..read]),
                _ => return false,
            }
        }
        is_whole(&String::from_utf8_lossy(&answer))
    }
}

/// Attacks while honest clients ask, half of them with a connection of their own each time. Returns a line of the
/// table: the attack, its answers by status (0 for none), and the honest requests that were answered.
fn row(attack: &str, gateway: &Gateway, kept_alone: bool, attacking: impl FnOnce() -> BTreeMap<u16, usize>) -> String {
    let ended = AtomicBool::new(false);
    let mut kept = Honest(connect(gateway));
    // It has its place before the attack begins.
    assert!(kept.is_answered(), "{attack}");
    let (answers, asked, answered) = std::thread::scope(|scope| {
        let honest = scope.spawn(|| {
            let (mut asked, mut answered) = (0, 0);
            while asked < 100 || !ended.load(Ordering::SeqCst) {
                let is_answered =
                    if kept_alone || asked % 2 == 0 { kept.is_answered() } else { is_whole(&sent(gateway, post("", QUESTION).as_bytes())) };
                asked += 1;
                answered += usize::from(is_answered);
            }
            (asked, answered)
        });
        let answers = attacking();
        ended.store(true, Ordering::SeqCst);
        let (asked, answered) = honest.join().unwrap();
        (answers, asked, answered)
    });
    let number: usize = answers.values().sum();
    let row = format!("{attack:36} {number:6} {:34} {answered} of {asked}", format!("{answers:?}"));
    println!("{row}");
    assert!(answered * 100 >= asked * 99, "{row}");
    row
}

/// Sends these bytes many times, from several threads, and counts the answers by status.
fn flood(gateway: &Gateway, times: usize, bytes: &str) -> BTreeMap<u16, usize> {
    let answers = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..times / 4 {
                    let answer = sent(gateway, bytes.as_bytes());
                    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
                    assert!(!head.lines().any(|line| line.starts_with("x-evil")), "{answer}");
                    *answers.lock().unwrap().entry(status(&answer)).or_default() += 1;
                }
            });
        }
    });
    answers.into_inner().unwrap()
}

#[test]
fn hostile_requests_are_refused_and_at_least_99_of_100_honest_ones_are_answered_meanwhile() {
    let _alone = alone();
    println!("{:36} {:>6} {:34} honest requests answered", "attack", "number", "answers by status");
    let decoy = TcpListener::bind("127.0.0.1:0").unwrap();
    decoy.set_nonblocking(true).unwrap();
    let elsewhere = decoy.local_addr().unwrap();
    // Its other model answers what is no NDJSON.
    let host = ModelHost::ollama(&["m:latest", "bad:latest"], |asked, line| {
        if asked.json()["model"] != "bad" {
            return answers(line);
        }
        line.head(NDJSON);
        line.piece("{\"message\":\n");
        line.end();
    });
    let open = gateway(&host, "max_body = \"4 KiB\"", "");
    let keyed = gateway(&host, "", &format!("[access.keys.laptop]\nsha256 = \"{RIGHT}\"\n"));
    let chunked = "POST /api/chat HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    let nested = format!("{{\"model\":\"m\",\"messages\":{}", "[".repeat(3000));
    let named = |name: &str| QUESTION.replace("\"m\"", &format!("\"{name}\""));
    for (attack, gateway, bytes, expected) in [
        ("a name that resolves to loopback", &open, post("", QUESTION).replace("localhost", "evil.example"), &[403][..]),
        ("a foreign web page", &open, post("origin: https://evil.example\r\n", QUESTION), &[403]),
        ("a body that is too large", &open, post("", &"x".repeat(5000)), &[413]),
        (
            "a length that is a lie",
            &open,
            "POST /api/chat HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999\r\n\r\n{}".into(),
            &[413],
        ),
        ("a length that is no number", &open, post("", "").replace("content-length: 0", "content-length: 1x"), &[400]),
        ("two lengths", &open, post("content-length: 3\r\n", QUESTION), &[400]),
        ("a chunk without a length", &open, format!("{chunked}zz\r\n{{}}\r\n0\r\n\r\n"), &[400]),
        ("a chunk longer than its length", &open, format!("{chunked}2\r\n{{}}{{}}\r\n0\r\n\r\n"), &[400]),
        ("an endless line of chunk length", &open, format!("{chunked}{}", "0".repeat(4000) + "\r\n\r\n"), &[400, 413]),
        ("no HTTP", &open, "\u{16}\u{3}\u{1} hello\r\n\r\n".into(), &[400, 0]),
        ("no JSON", &open, post("", "<html>"), &[400]),
        ("JSON that is nested too deeply", &open, post("", &nested), &[400]),
        ("a body without a model", &open, post("", r#"{"messages":[]}"#), &[400]),
        ("a line end in a model's name", &open, post("", &named(r"m\r\nx-evil: 1")), &[200]),
        ("a null and signs in a model's name", &open, post("", &named(r"m\u0000\ud83d\ude00\u2028x-evil")), &[200]),
        ("a path as a model's name", &open, post("", &named("../../../../etc/passwd")), &[200]),
        ("an endless model's name", &open, post("", &named(&"m".repeat(3000))), &[400]),
        ("an answer of the host that is no JSON", &open, post("", &named("bad")), &[502, 503]),
        ("an address in the request line", &open, post("", QUESTION).replace("/api/chat", &format!("http://{elsewhere}/api/chat")), &[200]),
        ("a tunnel", &open, format!("CONNECT {elsewhere} HTTP/1.1\r\nhost: {elsewhere}\r\nconnection: close\r\n\r\n"), &[405]),
        ("a second request behind the first", &open, post("", QUESTION) + &post("x-evil: 1\r\n", QUESTION), &[200]),
        ("no key", &keyed, post("", QUESTION), &[401]),
        ("a wrong key", &keyed, post("authorization: Bearer wrong\r\n", QUESTION), &[401]),
        ("the right key", &keyed, post("authorization: Bearer right\r\n", QUESTION), &[200]),
    ] {
        let row = row(attack, &open, false, || flood(gateway, 40, &bytes));
        let answers = flood(gateway, 4, &bytes);
        assert!(answers.keys().all(|status| expected.contains(status)), "{row}, then {answers:?}");
    }
    let slow = |times: usize, text: &'static str| {
        let gateway = gateway(&host, "head_time = 0.5", "");
        row(text, &gateway, false, || {
            let slow: Vec<TcpStream> = (0..times).map(|_| connect(&gateway)).collect();
            for byte in "POST /api/chat HTTP/1.1\r\nhost: loc".bytes() {
                slow.iter().for_each(|mut stream| drop(stream.write_all(&[byte])));
            }
            // Each is disconnected, perhaps after an answer.
            let mut answers = BTreeMap::new();
            for mut stream in slow {
                let mut answer = Vec::new();
                let _ = stream.read_to_end(&mut answer);
                *answers.entry(status(&String::from_utf8_lossy(&answer))).or_default() += 1;
            }
            answers
        })
    };
    slow(1000, "heads that never end, byte by byte");
    assert_eq!(decoy.accept().map(|_| ()).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert!(host.questions().iter().all(|asked| asked.header("x-evil").is_none()));
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
    let _alone = alone();
    let host = healthy();
    let refusing = gateway(&host, "max_body = \"4 KiB\"", "");
    let keyed = gateway(&host, "", &format!("[access.keys.laptop]\nsha256 = \"{RIGHT}\"\n"));
    let passing = gateway_to(&early(), "", "");
    assert_eq!(status(&sent_first(&refusing, "/api/chat")), 413);
    assert_eq!(status(&sent_first(&keyed, "/api/chat")), 401);
    assert_eq!(status(&sent_first(&passing, &format!("/api/blobs/sha256:{}", "0".repeat(64)))), 200);
}

/// Number of descriptors that the process may still open.
#[cfg(target_os = "linux")]
fn descriptors_left() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let most = getrlimit(Resource::Nofile).current.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    most.saturating_sub(descriptors())
}

/// Number of open descriptors.
#[cfg(target_os = "linux")]
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[cfg(target_os = "linux")]
#[test]
fn ten_thousand_connections_are_held_or_refused_and_at_least_99_of_100_honest_requests_are_answered() {
    let _alone = alone();
    let host = healthy();
    // A connection has two ends here. The rest is for honest clients.
    let crowd = CROWD.min(descriptors_left().saturating_sub(200) / 2);
    if crowd < CROWD {
        println!("ONLY {crowd} OF {CROWD} CONNECTIONS ARE OPENED: the limit for descriptors of this process allows no more");
    }
    let hold = |attack: &str, most: usize, number: usize| {
        let gateway = gateway(&host, &format!("head_time = \"1m\"\nmax_connections = {most}"), "");
        let mut honest = Honest(connect(&gateway));
        assert!(honest.is_answered());
        // Where no place is left, those who keep their connections are answered.
        row(attack, &gateway, most < number, || {
            let crowd: Vec<TcpStream> = (0..number).map(|_| connect(&gateway)).collect();
            let is_closed = |mut stream: &TcpStream| {
                stream.set_nonblocking(true).unwrap();
                stream.read(&mut [0]).is_ok()
            };
            let open = || crowd.iter().filter(|stream| !is_closed(stream)).count();
            if most < number {
                until_blocking("the surplus is closed", || open() < most);
            } else {
                assert_eq!(open(), number);
            }
            // They are all there at once.
            let began = Instant::now();
            let answered = (0..100).filter(|_| honest.is_answered()).count();
            println!("{answered} of 100 honest requests are answered beside {} connections, in {:?}", open(), began.elapsed());
            assert!(answered >= 99);
            BTreeMap::from([(0, number)])
        });
        let is_answered = || is_whole(&sent(&gateway, post("", QUESTION).as_bytes()));
        until_blocking("a new connection is answered once the others have gone", is_answered);
    };
    hold("connections that say nothing", CROWD + 200, crowd);
    hold("more connections than allowed", 200, crowd.min(2000));
}

/// Memory of the process, KiB.
#[cfg(target_os = "linux")]
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().split(' ').next()?.parse().ok()).unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn thousands_of_whole_cut_failed_cancelled_and_slowly_read_answers_leave_no_descriptor_place_or_memory_taken() {
    let _alone = alone();
    let gate = Gate::default();
    let at_host = gate.clone();
    let host =
        ModelHost::ollama(&["m:latest"], move |asked: &Asked, line| match asked.json()["messages"][0]["content"].as_str().unwrap() {
            "cut" => {
                line.head(NDJSON);
                line.line(&piece("Hello", false));
                line.close();
            }
            "fail" => line.json(400, &json!({ "error": "invalid model name" })),
            "cancel" => {
                line.head(NDJSON);
                line.line(&piece("Hello", false));
                line.gone();
            }
            "wait" => {
                at_host.pass();
                answers(line);
            }
            _ => answers(line),
        });
    let text = format!(
        "[retry]\nmax_retries = 0\n[breaker]\nfailure_threshold = 1000000\nfailure_rate_threshold = 2.0\n[listen]\naddress = \"127.0.0.1:0\"\n\
         [[upstream]]\nurl = \"{}\"\nconcurrency = 4\n",
        host.url()
    );
    let config = Config::parse(&text, "test.toml").unwrap_or_else(|error| panic!("{error}"));
    let gateway = Gateway::start(config, PolicySlot::native(), StartOptions { workers: 2, ..StartOptions::default() }).unwrap();
    let ask = |what: &str| post("", &QUESTION.replace("Hello?", what));
    let round = || {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for number in 0..125 {
                        match number % 5 {
                            0 => assert!(is_whole(&sent(&gateway, ask("whole").as_bytes()))),
                            1 => assert!(!is_whole(&sent(&gateway, ask("cut").as_bytes()))),
                            2 => assert_eq!(status(&sent(&gateway, ask("fail").as_bytes())), 400),
                            3 => {
                                let mut client = connect(&gateway);
                                client.write_all(ask("cancel").as_bytes()).unwrap();
                                assert!(client.read(&mut [0; 100]).unwrap() > 0);
                            }
                            _ => {
                                let mut client = connect(&gateway);
                                client.write_all(ask("slow").as_bytes()).unwrap();
                                let mut byte = [0];
                                while client.read(&mut byte).unwrap() > 0 {}
                            }
                        }
                    }
                });
            }
        });
        until_blocking("no request is open", || metrics(&gateway).contains("upright_gateway_open_requests 0\n"));
        // One connection is kept for each place.
        until_blocking("the host's connections are closed", || host.open() <= 8);
    };
    round();
    let (descriptors_before, before) = (descriptors(), memory());
    (0..3).for_each(|_| round());
    let (descriptors_after, after) = (descriptors(), memory());
    println!("4000 requests: descriptors {descriptors_before} and {descriptors_after}, memory {before} KiB and {after} KiB");
    // Kept connections and probes come and go.
    assert!(descriptors_after <= descriptors_before + 16, "{descriptors_before} {descriptors_after}");
    assert!(after < before + 16 * 1024, "{before} KiB, {after} KiB");

    // Four places are free, and not one more.
    let asked = host.questions().len();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..5).map(|_| scope.spawn(|| sent(&gateway, ask("wait").as_bytes()))).collect();
        until_blocking("five requests are open", || metrics(&gateway).contains("upright_gateway_open_requests 5\n"));
        until_blocking("four are at the host", || host.questions().len() == asked + 4);
        gate.open();
        assert!(clients.into_iter().all(|client| is_whole(&client.join().unwrap())));
    });
    assert_eq!(host.questions().len(), asked + 5);
}

fn metrics(gateway: &Gateway) -> String {
    sent(gateway, b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
}

#[test]
fn a_client_that_hangs_up_ends_its_request_on_the_host_in_each_state() {
    let _alone = alone();
    for (state, has_head, has_content) in
        [("before the head", false, false), ("before the content", true, false), ("in the content", true, true)]
    {
        for path in ["/api/chat", "/v1/chat/completions", "/v1/messages"] {
            let host = ModelHost::ollama(&["m:latest"], move |_, line| {
                if has_head {
                    line.head(NDJSON);
                }
                if has_content {
                    line.line(&piece("Why", false));
                }
                line.gone();
            });
            let gateway = gateway(&host, "", "");
            let mut body: Value = serde_json::from_str(QUESTION).unwrap();
            body["stream"] = true.into();
            body["max_tokens"] = 100.into();
            let mut client = connect(&gateway);
            client.write_all(post("", &body.to_string()).replace("/api/chat", path).as_bytes()).unwrap();
            until_blocking(&format!("{state}, {path}: the host is asked"), || host.questions().len() == 1);
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
            until_blocking(&format!("{state}, {path}: the host is left"), || host.open() == 0);
            assert_eq!(host.questions().len(), 1, "{state}, {path}");
        }
    }
}

#[test]
fn an_answer_of_a_host_that_is_no_ndjson_is_an_error_for_the_client() {
    let _alone = alone();
    for garbage in ["not json\n", "{\"message\":\n", "[1,2]\n", "\u{0}\u{1}\n", "{\"done\":7}\n"] {
        let host = ModelHost::ollama(&["m:latest"], move |_, line| {
            line.head(NDJSON);
            line.piece(garbage);
            line.end();
        });
        let gateway = gateway(&host, "", "[retry]\nmax_retries = 0\n");
        let answer = sent(&gateway, post("", QUESTION).as_bytes());
        assert!(status(&answer) >= 500 && answer.contains("\"error\""), "{garbage:?}: {answer}");
    }
}
