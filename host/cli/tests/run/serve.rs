//! `serve`: what it shows on a terminal, what it logs elsewhere, and its errors.

use crate::common::command;
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use upright_simulator::{FaultServer, HEALTHY_STEP, Match};
use upright_test_kit::command::{Ran, connect, end, finish, send};
use upright_test_kit::folder::Folder;
use upright_test_kit::wait::{until, within};

pub(crate) const CHAT: Match<'static> = Match { path: Some("/api/chat"), model: None };
const JITTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest/examples/decorrelated-jitter/decorrelated-jitter.wasm");
const STEADY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest/examples/steady/steady.wasm");

/// Lines of a running program, of which each is looked at once.
pub(crate) struct Screen<R> {
    lines: Lines<BufReader<R>>,
    seen: String,
}

impl<R: AsyncRead + Unpin> Screen<R> {
    pub(crate) fn of(stream: R) -> Self {
        Self { lines: BufReader::new(stream).lines(), seen: String::new() }
    }

    /// The next line that has all these words. Fails if none comes within a minute.
    async fn line(&mut self, words: &[&str]) -> String {
        let next = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.seen += &format!("{line}\n");
                if words.iter().all(|word| line.contains(word)) {
                    return line;
                }
            }
            panic!("the end, without a line with {words:?}:\n{}", self.seen)
        };
        match tokio::time::timeout(Duration::from_secs(60), next).await {
            Ok(line) => line,
            Err(_) => panic!("no line with {words:?}:\n{}", self.seen),
        }
    }

    /// The address at which the gateway listens.
    pub(crate) async fn address(&mut self) -> String {
        let line = self.line(&["listening on", "http://"]).await;
        line.rsplit("//").next().unwrap().trim().to_owned()
    }
}

/// A configuration for these hosts, with short delays.
fn config(hosts: &[&FaultServer], more: &str) -> String {
    let upstreams: String = hosts
        .iter()
        .zip(["alpha", "beta"])
        .map(|(host, name)| format!("[[upstream]]\nurl = '{}'\nname = '{name}'\n", host.url()))
        .collect();
    format!(
        "{more}\n[listen]\naddress = '127.0.0.1:0'\n[retry]\nbase_delay = 0.01\n[breaker]\nfailure_threshold = 1\nrecovery_timeout = 0.3\nsuccess_threshold = 1\n{upstreams}"
    )
}

/// Asks the gateway by a chat.
async fn ask(address: &str, model: &str, question: &str) -> TcpStream {
    let body = json!({ "model": model, "stream": false, "messages": [{ "role": "user", "content": question }] }).to_string();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("POST /api/chat HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    stream
}

/// The answer of the gateway to a chat.
async fn chat(address: &str, model: &str, question: &str) -> String {
    let mut stream = ask(address, model, question).await;
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

/// The body of the answer to another request.
async fn asks(address: &str, target: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("{target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

async fn two_hosts() -> [FaultServer; 2] {
    let hosts = [FaultServer::start().await.unwrap(), FaultServer::start().await.unwrap()];
    hosts.iter().for_each(|host| host.set_models(["qwen3:8b", "gemma3:4b"]));
    hosts
}

/// Starts `upright` with these words of a shell on a terminal of its own. Its process writes its id first.
#[cfg(target_os = "linux")]
fn on_a_terminal(words: &str) -> Child {
    let mut terminal = Command::new("script");
    let shell = format!("echo $$; exec '{}' {words}", env!("CARGO_BIN_EXE_upright"));
    terminal.args(["--quiet", "--flush", "--return", "--command", &shell, "/dev/null"]);
    for variable in ["OLLAMA_HOST", "RUST_LOG", "NO_COLOR", "CLICOLOR_FORCE"] {
        terminal.env_remove(variable);
    }
    terminal.env("TERM", "xterm").env("SHELL", "/bin/sh");
    connect(&mut terminal);
    terminal.spawn().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn on_a_terminal_each_request_and_each_change_is_a_line() {
    let folder = Folder::new("serve-view");
    let [alpha, beta] = two_hosts().await;
    let file = folder.write("gateway.toml", config(&[&alpha, &beta], ""));
    let mut child = on_a_terminal(&format!("serve --color never --config '{}'", file.display()));
    let mut screen = Screen::of(child.stdout.take().unwrap());
    let process: u32 = screen.line(&[]).await.trim().parse().unwrap();

    let address = screen.address().await;
    screen.line(&["hosts", &alpha.url(), &beta.url()]).await;
    screen.line(&["OLLAMA_HOST=http://", &address]).await;
    screen.line(&["OPENAI_BASE_URL=http://", &address, "/v1"]).await;
    screen.line(&["ANTHROPIC_BASE_URL=http://", &address]).await;
    let mut up = [screen.line(&["host up"]).await, screen.line(&["host up"]).await];
    up.sort_by_key(|line| !line.contains("alpha"));
    assert!(up[0].contains("alpha, models: 2") && up[1].contains("beta, models: 2"), "{up:?}");

    // A healthy host has the model loaded, so that the next question goes there first.
    chat(&address, "qwen3:8b", "a question of many words").await;
    let line = screen.line(&["whole"]).await;
    let (first, second, broken) = if line.contains("at alpha") { ("alpha", "beta", &alpha) } else { ("beta", "alpha", &beta) };
    assert!(line.contains(&format!("/api/chat qwen3:8b at {first}, 1 attempt, ")) && line.trim_end().ends_with(" ms"), "{line}");

    asks(&address, "POST /api/show", r#"{"model":"qwen3:8b"}"#).await;
    let line = screen.line(&["passed", "/api/show qwen3:8b at ", ", 1 attempt, "]).await;
    assert!(line.trim_end().ends_with(" ms, status 200"), "{line}");
    asks(&address, "POST /api/show", r#"{"model":"none"}"#).await;
    let line = screen.line(&["passed", "/api/show none at ", ", 2 attempts, ", ", status 404: "]).await;
    assert!(["alpha: not_found", "beta: not_found"].iter().all(|missed| line.contains(missed)), "{line}");
    asks(&address, "GET /api/me", "").await;
    screen.line(&["passed", "/api/me at ", ", 1 attempt, "]).await;

    broken.always(CHAT, "model-runner-stopped").unwrap();
    until("the first host is asked", async || {
        chat(&address, "qwen3:8b", "a question of many words").await;
        broken.count("/api/chat") > 1
    })
    .await;
    screen.line(&["breaker", &format!("{first}/qwen3:8b: closed -> open")]).await;
    let line = screen.line(&["whole", "2 attempts"]).await;
    assert!(line.contains(&format!(" at {second}, ")) && line.contains(&format!(" ms: {first}: ")), "{line}");
    assert!(line.trim_end().ends_with(&format!("; {second} answered")), "{line}");
    broken.clear();
    until("the breaker closes", async || {
        chat(&address, "qwen3:8b", "a question of many words").await;
        broken.count("/api/chat") > 2
    })
    .await;
    screen.line(&["breaker", "-> closed"]).await;

    chat(&address, "no\u{1b}[2J such\u{7}\r\nmodel", "a question of many words").await;
    let line = screen.line(&["/api/chat no"]).await;
    assert!(line.trim_end().chars().all(|sign| !sign.is_control()), "{line:?}");

    std::fs::write(&file, config(&[&alpha, &beta], "[limits]\nqueue = 'soon'\n")).unwrap();
    screen.line(&["refused", "gateway.toml:2:9: limits.queue: found ", "the configuration stays as it was"]).await;
    screen.line(&["    2 | queue = 'soon'"]).await;
    screen.line(&["      |         ^^^^^^"]).await;
    std::fs::write(&file, config(&[&alpha, &beta], &format!("[policy]\nfile = '{STEADY}'\n"))).unwrap();
    screen.line(&["reloaded", "gateway.toml; changed: policy.file"]).await;
    screen.line(&["swapped", "upright-default", " -> upright-steady"]).await;

    let port = alpha.address();
    alpha.shutdown().await;
    chat(&address, "qwen3:8b", "a question of many words").await;
    screen.line(&["host down", "alpha: "]).await;
    let _alpha = FaultServer::start_on(port).await.unwrap();
    screen.line(&["host up", "alpha"]).await;

    send("TERM", process).await;
    screen.line(&["draining"]).await;
    screen.line(&["drained"]).await;
    let ran = end(child).await.ends_with(0);
    assert!(ran.out.is_empty() && ran.err.is_empty(), "{ran:?}");
    for secret in ["many words", "simulated model", "INFO"] {
        assert!(!screen.seen.contains(secret), "{}", screen.seen);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_terminal_gets_colours_and_a_log_in_a_file_stays() {
    let folder = Folder::new("serve-colours");
    let [alpha, _beta] = two_hosts().await;
    let log = folder.path("log");
    let words = format!("serve --listen 127.0.0.1:0 --upstream {} 2>'{}'", alpha.url(), log.display());
    let mut child = on_a_terminal(&words);
    let mut screen = Screen::of(child.stdout.take().unwrap());
    let process: u32 = screen.line(&[]).await.trim().parse().unwrap();
    let address = screen.address().await;
    chat(&address, "qwen3:8b", "hi").await;
    screen.line(&["\u{1b}[32mwhole"]).await;
    send("TERM", process).await;
    end(child).await.ends_with(0);
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("upright::access") && log.contains("outcome=\"whole\""), "{log}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_terminal_that_is_closed_ends_it_and_a_hangup_alone_reloads() {
    let folder = Folder::new("serve-closed");
    let [alpha, _beta] = two_hosts().await;
    let file = folder.write("gateway.toml", config(&[&alpha], ""));
    let mut child = on_a_terminal(&format!("serve --config '{}'", file.display()));
    let mut screen = Screen::of(child.stdout.take().unwrap());
    let process: u32 = screen.line(&[]).await.trim().parse().unwrap();
    screen.line(&["host up"]).await;
    send("HUP", process).await;
    screen.line(&["reloaded", "changed: nothing"]).await;
    child.start_kill().unwrap();
    until("it has ended", async || !std::path::Path::new(&format!("/proc/{process}")).exists()).await;
}

#[tokio::test]
async fn without_a_terminal_the_log_is_structured_and_a_failed_attempt_is_in_it() {
    let folder = Folder::new("serve-log");
    let [alpha, beta] = two_hosts().await;
    let file = folder.write("gateway.toml", config(&[&alpha, &beta], ""));
    let mut child = command(None, &["serve", "--config", file.to_str().unwrap()]).spawn().unwrap();
    let mut screen = Screen::of(child.stdout.take().unwrap());
    let address = screen.address().await;
    for host in [&alpha, &beta] {
        host.plan(CHAT, &["model-runner-stopped"]).unwrap();
    }
    chat(&address, "qwen3:8b", "hi").await;
    send("TERM", child.id().unwrap()).await;
    while screen.lines.next_line().await.unwrap().is_some_and(|line| line.starts_with("hosts ")) {}
    let Ran { code, err, .. } = end(child).await;
    assert_eq!(code, Some(0), "{err}");
    let line = err.lines().find(|line| line.contains("upright::access")).unwrap();
    // Either host may list its models first, and then it is asked first.
    let failed = ["alpha", "beta"].map(|host| format!("{host}: runner-died"));
    assert!(line.contains(" INFO ") && line.contains("failed=\"") && failed.iter().all(|one| line.contains(one)), "{err}");
    let line = err.lines().find(|line| line.contains("switching host")).unwrap();
    let switched = [("alpha", "beta"), ("beta", "alpha")].map(|(from, to)| format!("from=\"{from}\" to=\"{to}\""));
    assert!(switched.iter().any(|names| line.contains(names)), "{line}");
}

#[tokio::test]
async fn a_request_that_is_passed_on_writes_a_line_with_its_status_and_the_length_of_its_answer() {
    let folder = Folder::new("serve-passed");
    let [alpha, _beta] = two_hosts().await;
    let file = folder.write("gateway.toml", config(&[&alpha], ""));
    let mut child = command(None, &["serve", "--config", file.to_str().unwrap()]).spawn().unwrap();
    let mut screen = Screen::of(child.stdout.take().unwrap());
    let address = screen.address().await;
    let shown = asks(&address, "POST /api/show", r#"{"model":"qwen3:8b"}"#).await;
    assert!(shown.len() > 100, "{shown}");
    let unload = asks(&address, "POST /api/generate", r#"{"model":"qwen3:8b","keep_alive":0,"stream":false}"#).await;
    let other = asks(&address, "GET /api/unknown-words", "").await;
    send("TERM", child.id().unwrap()).await;
    while screen.lines.next_line().await.unwrap().is_some() {}
    let Ran { code, err, .. } = end(child).await;
    assert_eq!(code, Some(0), "{err}");
    let lines: Vec<_> = err.lines().filter(|line| line.contains("upright::access")).collect();
    let expected =
        [("/api/show", "qwen3:8b", 200, shown.len()), ("/api/generate", "qwen3:8b", 200, unload.len()), ("other", "", 404, other.len())];
    assert_eq!(lines.len(), expected.len(), "{err}");
    for (line, (route, model, status, length)) in lines.iter().zip(expected) {
        let facts = format!("route=\"{route}\" model=\"{model}\" host=\"alpha\" outcome=\"passed\" attempts=1 milliseconds=");
        assert!(line.contains(&facts) && line.ends_with(&format!(" status={status} bytes={length}")), "{line}");
    }
    assert!(!err.contains("unknown-words"), "{err}");
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_with_its_place_underlined_on_lines_of_its_own() {
    let folder = Folder::new("serve-wrong");
    let file = folder.write("gateway.toml", "[listen]\nmax_queue = 'many'\n");
    let ran = finish(command(None, &["serve", "--config", file.to_str().unwrap()]), "").await.ends_with(2);
    let lines: Vec<_> = ran.err.lines().collect();
    assert_eq!(lines.len(), 3, "{ran:?}");
    let place = format!("upright: {}:2:13: ", file.display());
    assert!(lines[0].starts_with(&place) && lines[0].contains("; expected "), "{ran:?}");
    assert_eq!(lines[1..], ["    2 | max_queue = 'many'", "      |             ^^^^^^"], "{ran:?}");
}

#[tokio::test]
async fn a_breaker_that_a_killed_gateway_opened_rejects_at_the_next_gateway_and_at_exec_on_the_same_state() {
    let folder = Folder::new("serve-state");
    let [alpha, _beta] = two_hosts().await;
    alpha.always(CHAT, "model-runner-stopped").unwrap();
    let text = format!(
        "[listen]\naddress = '127.0.0.1:0'\n[retry]\nbase_delay = 0.01\n[breaker]\nfailure_threshold = 1\nrecovery_timeout = 600\n[[upstream]]\nurl = '{}'\nname = 'alpha'\n",
        alpha.url()
    );
    let (file, state) = (folder.write("gateway.toml", text), folder.path("state.db"));
    let shared = ["serve", "--config", file.to_str().unwrap(), "--state", state.to_str().unwrap()];
    let start = || {
        let mut child = command(None, &shared).spawn().unwrap();
        let screen = Screen::of(child.stdout.take().unwrap());
        (child, screen)
    };

    let (first, mut screen) = start();
    let address = screen.address().await;
    assert!(chat(&address, "qwen3:8b", "hi").await.starts_with("HTTP/1.1 500"));
    let exec = ["exec", "--state", state.to_str().unwrap(), "--breaker", "alpha/qwen3:8b", "--retries", "0", "--", "true"];
    until("exec is rejected by the gateway's breaker", async || finish(command(None, &exec), "").await.code == Some(3)).await;
    send("KILL", first.id().unwrap()).await;
    end(first).await;

    let asked = alpha.count("/api/chat");
    let (second, mut screen) = start();
    let address = screen.address().await;
    let answer = chat(&address, "qwen3:8b", "hi").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.to_lowercase().contains("retry-after: "), "{answer}");
    assert_eq!(alpha.count("/api/chat"), asked);
    send("TERM", second.id().unwrap()).await;
    assert_eq!(end(second).await.code, Some(0));
}

#[tokio::test]
async fn a_second_interrupt_ends_it_before_a_request_that_hangs() {
    let [alpha, _beta] = two_hosts().await;
    alpha.always(CHAT, "hang-before-headers").unwrap();
    let mut child = command(None, &["serve", "--listen", "127.0.0.1:0", "--upstream", &alpha.url()]).spawn().unwrap();
    let mut screen = Screen::of(child.stdout.take().unwrap());
    let address = screen.address().await;
    let _hangs = ask(&address, "qwen3:8b", "hi").await;
    until("the host is asked", async || alpha.count("/api/chat") > 0).await;
    let process = child.id().unwrap();
    let mut log = Screen::of(child.stderr.take().unwrap());
    send("INT", process).await;
    log.line(&["draining"]).await;
    send("INT", process).await;
    log.line(&["ended before the requests in flight"]).await;
    assert_eq!(end(child).await.code, Some(130));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn systemd_hears_when_it_is_ready_reloads_and_stops() {
    use tokio::net::UnixDatagram;
    let folder = Folder::new("serve-systemd");
    let [alpha, _beta] = two_hosts().await;
    let systemd = UnixDatagram::bind(folder.path("notify")).unwrap();
    let heard = async || {
        let mut bytes = [0; 256];
        let length = within(systemd.recv(&mut bytes)).await.unwrap();
        String::from_utf8_lossy(&bytes[..length]).trim_end().to_owned()
    };
    let file = folder.write("gateway.toml", config(&[&alpha], ""));
    let mut serve = command(None, &["serve", "--config", file.to_str().unwrap()]);
    let mut child = serve.env("NOTIFY_SOCKET", folder.path("notify")).spawn().unwrap();
    assert_eq!(heard().await, "READY=1");
    let mut screen = Screen::of(child.stdout.take().unwrap());
    let address = screen.address().await;
    assert!(TcpStream::connect(address).await.is_ok());
    let process = child.id().unwrap();
    for wrong in [false, true] {
        if wrong {
            std::fs::write(&file, "[listen").unwrap();
        } else {
            send("HUP", process).await;
        }
        let reloading = heard().await;
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap_or_else(|| panic!("{reloading}"));
        assert!(time.parse::<u64>().is_ok_and(|time| time > 0), "{reloading}");
        assert_eq!(heard().await, "READY=1");
    }
    send("TERM", process).await;
    assert_eq!(heard().await, "STOPPING=1");
    let ran = end(child).await.ends_with(0);
    assert!(ran.err.contains("the configuration stays as it was"), "{ran:?}");
}

/// A host whose every answer to a chat is this text, which is no line of Ollama's.
async fn garbled(text: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            let is_chat = request[..length].starts_with(b"POST");
            let body = if is_chat { text } else { r#"{"models":[{"name":"qwen3:8b"}]}"# };
            let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all((head + body).as_bytes()).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn no_text_of_a_question_or_an_answer_is_in_the_log_the_journal_or_the_metrics() {
    const ANSWERS: [&str; 2] =
        ["a garbled answer", "{\"message\":{\"content\":\"a garbled answer\"},\"done\":false}\nmore of a garbled answer\n"];
    for (answer, step) in
        ANSWERS.into_iter().flat_map(|answer| [HEALTHY_STEP, "stream-clean-end", "model-runner-stopped"].map(|step| (answer, step)))
    {
        let folder = Folder::new("serve-secret");
        let [alpha, _beta] = two_hosts().await;
        alpha.always(CHAT, step).unwrap();
        let garbled = garbled(answer).await;
        let more = format!("[journal]\nfile = '{}'\n[[upstream]]\nurl = 'http://{garbled}'\n", folder.path("journal").display());
        let file = folder.write("gateway.toml", config(&[&alpha], &more));
        let mut serve = command(None, &["serve", "--config", file.to_str().unwrap()]);
        let mut child = serve.env("RUST_LOG", "upright=trace").spawn().unwrap();
        let mut screen = Screen::of(child.stdout.take().unwrap());
        let address = screen.address().await;
        for _ in 0..4 {
            chat(&address, "qwen3:8b", "a question of many words").await;
        }
        let mut metrics = TcpStream::connect(&address).await.unwrap();
        metrics.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut written = String::new();
        within(metrics.read_to_string(&mut written)).await.unwrap();
        assert!(written.contains("upright_gateway_requests_total{"), "{written}");
        send("TERM", child.id().unwrap()).await;
        written += &end(child).await.err;
        let journal = std::fs::read_to_string(folder.path("journal")).unwrap();
        assert!(step == HEALTHY_STEP && journal.is_empty() || journal.contains("invalid_answer"), "{step}: {journal}");
        written += &journal;
        for secret in ["many words", "simulated model", "garbled"] {
            assert!(!written.contains(secret), "{step}: {written}");
        }
    }
}

fn own_model(host: &FaultServer) -> String {
    format!("at-{}:latest", host.address().port())
}

/// Serves these hosts with a journal until one of them was asked, whose answer is cut. Returns the journal's file.
async fn journal_of_a_rescue(folder: &Folder, name: &str, hosts: &[&FaultServer], cut: &FaultServer) -> String {
    let journal = folder.path(name);
    let text = config(hosts, &format!("[journal]\nfile = '{}'\n", journal.display()));
    // A host alone is not asked again through an open breaker.
    let file = folder.write("gateway.toml", text.replace("failure_threshold = 1", "failure_threshold = 5"));
    let mut child = command(None, &["serve", "--config", file.to_str().unwrap()]).spawn().unwrap();
    let mut screen = Screen::of(child.stdout.take().unwrap());
    let address = screen.address().await;
    // Each host has a model that no other one has.
    for host in hosts {
        let model = own_model(host);
        until("the gateway lists the host's models", async || asks(&address, "GET /api/tags", "").await.contains(&model)).await;
    }
    let body = json!({ "model": "qwen3:8b", "messages": [{ "role": "user", "content": "one two three four five six" }] }).to_string();
    let (before, mut answer) = (cut.count("/api/chat"), String::new());
    while cut.count("/api/chat") == before {
        answer = asks(&address, "POST /api/chat", &body).await;
    }
    assert!(answer.contains("\"done\":true") && !answer.contains("\"error\""), "{answer}");
    send("TERM", child.id().unwrap()).await;
    let log = end(child).await.err;
    assert!(log.contains("rescues=1"), "{log}");
    journal.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_journal_has_each_rescue_with_its_seed_and_replay_shows_what_another_policy_would_have_done() {
    let folder = Folder::new("serve-rescue");
    let [alpha, beta] = two_hosts().await;
    for host in [&alpha, &beta] {
        host.set_models(["qwen3:8b", &own_model(host)]);
    }
    alpha.always(CHAT, "stream-clean-end").unwrap();
    let of_two = journal_of_a_rescue(&folder, "of-two", &[&alpha, &beta], &alpha).await;
    let written = std::fs::read_to_string(&of_two).unwrap();
    let is_rescue = |line: &&str| line.contains("{\"replay\":") && line.contains("gateway-seed");
    assert!(written.lines().any(|line| is_rescue(&line)), "{written}");
    let same = finish(command(None, &["replay", &of_two, "--json"]), "").await.ends_with(0);
    assert_eq!(same.json()[0]["differing"], 0, "{same:?}");
    // A host alone is asked again after a delay, which the other policy chooses otherwise.
    beta.plan(CHAT, &["stream-clean-end"]).unwrap();
    let of_one = journal_of_a_rescue(&folder, "of-one", &[&beta], &beta).await;
    let other = finish(command(None, &["replay", &of_one, "--policy", JITTER, "--json"]), "").await.ends_with(0);
    assert!(other.json()[0]["differing"].as_u64() > Some(0), "{other:?}");
}
