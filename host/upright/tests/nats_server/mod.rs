//! A real server of NATS with JetStream for tests: killed and started again on the same port and folder, gone with the test, however that ends.
//!
//! A shell between the two holds a pipe whose other end this process has; when the pipe closes, by `kill` below or because this process ended in
//! whatever way, the shell kills the server (SIGKILL).
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, dead_code)]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Set to `1` where the server must run: [`NatsServer::start_or_skip`] then panics instead of skipping.
const REQUIRE_VARIABLE: &str = "UPRIGHT_REQUIRE_NATS";
/// A server that is not ready by then is broken: it takes a tenth of a second.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Its standard error is closed in the shell, so that it ends with the server.
const SCRIPT: &str =
    r#"nats-server "$@" < /dev/null & echo $!; exec 2>&-; read -r _; kill -9 $!; wait $! 2> /dev/null; [ -z "$FORGET" ] || rm -rf "$6""#;

static STARTED: AtomicU64 = AtomicU64::new(0);

/// A server of NATS on the loopback interface.
pub(crate) struct NatsServer {
    arguments: Vec<String>,
    port: u16,
    folder: PathBuf,
    /// Nobody drops it, so the shell removes the folder.
    is_shared: bool,
    running: Option<Running>,
}

struct Running {
    shell: Child,
    lifeline: Option<ChildStdin>,
    process: String,
}

impl NatsServer {
    /// Starts one with JetStream, or says on standard error that the test is skipped because `nats-server` is not installed.
    pub(crate) fn start_or_skip(test: &str) -> Option<Self> {
        Self::start_with(test, &["-js"])
    }

    /// Three that are a cluster, on ports for each other that were free a moment ago.
    pub(crate) fn cluster_or_skip(test: &str) -> Option<[Self; 3]> {
        let free: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let routes: Vec<_> = free.iter().map(|socket| format!("nats://{}", socket.local_addr().unwrap())).collect();
        drop(free);
        let all = routes.join(",");
        let mut servers = Vec::new();
        for (number, route) in routes.iter().enumerate() {
            let name = format!("server-{number}");
            servers.push(Self::start_with(test, &["-js", "-n", &name, "--cluster_name", "c", "--cluster", route, "--routes", &all])?);
        }
        servers.try_into().ok()
    }

    /// One for all tests of this program that neither kill it nor need it for themselves; it ends with the program.
    pub(crate) fn shared(test: &str) -> Option<&'static Self> {
        static SERVER: OnceLock<Option<NatsServer>> = OnceLock::new();
        let server = SERVER.get_or_init(|| Self::start_as(test, &["-js"], true)).as_ref();
        if server.is_none() {
            // Also each test that is not the first says so.
            drop(Self::start_or_skip(test));
        }
        server
    }

    /// The same with these arguments.
    pub(crate) fn start_with(test: &str, arguments: &[&str]) -> Option<Self> {
        Self::start_as(test, arguments, false)
    }

    fn start_as(test: &str, arguments: &[&str], is_shared: bool) -> Option<Self> {
        if Command::new("nats-server").arg("--version").output().is_err() {
            let required = std::env::var_os(REQUIRE_VARIABLE).is_some_and(|value| value == "1");
            assert!(!required, "{test}: nats-server is not installed, and {REQUIRE_VARIABLE} is set");
            // Not `eprintln!`, which the test harness hides when a test passes.
            let _ = std::io::stderr().write_all(format!("\nSKIPPED {test}: nats-server is not installed\n").as_bytes());
            return None;
        }
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("upright-nats-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut server = Self { arguments: arguments.iter().map(ToString::to_string).collect(), port: 0, folder, is_shared, running: None };
        server.start();
        Some(server)
    }

    /// Starts it again, where it was, with what it had. Returns when it is ready.
    pub(crate) fn start(&mut self) {
        assert!(self.running.is_none());
        // The system chooses the first port.
        let port = if self.port == 0 { "-1".to_owned() } else { self.port.to_string() };
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "sh", "-a", "127.0.0.1", "-p", &port, "-sd"])
            .arg(&self.folder)
            .args(&self.arguments)
            .env("FORGET", if self.is_shared { "1" } else { "" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lifeline = shell.stdin.take();
        let mut process = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut process).unwrap();
        let log = BufReader::new(shell.stderr.take().unwrap());
        self.running = Some(Running { shell, lifeline, process: process.trim().to_owned() });

        let (ready, answer) = mpsc::channel();
        // A thread, because a pipe is read without a limit of time, and must be read to its end.
        std::thread::spawn(move || {
            let (mut port, mut said) = (None, String::new());
            for line in log.lines().map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("Listening for client connections on ") {
                    port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
                }
                if line.ends_with("Server is ready") {
                    let _ = ready.send(Ok(port.unwrap()));
                }
                said += &line;
                said.push('\n');
            }
            let _ = ready.send(Err(said));
        });
        self.port =
            answer.recv_timeout(START_LIMIT).expect("nats-server says nothing").unwrap_or_else(|said| panic!("nats-server ended: {said}"));
    }

    /// Kills it (SIGKILL) and waits for its end.
    pub(crate) fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.lifeline = None;
            running.shell.wait().unwrap();
        }
    }

    /// For its next start.
    pub(crate) fn set_arguments(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(ToString::to_string).collect();
    }

    /// Kills it, and removes all that it had kept.
    pub(crate) fn kill_and_forget(&mut self) {
        self.kill();
        std::fs::remove_dir_all(&self.folder).unwrap();
        std::fs::create_dir_all(&self.folder).unwrap();
    }

    /// Stops its process where it is: it keeps its connections, and answers nobody.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
        // The signal has only been sent: a thread of its may still be answering.
        while !self.is_stopped() {
            std::thread::yield_now();
        }
    }

    /// Whether all its threads stand still; where the system does not tell, it is believed.
    fn is_stopped(&self) -> bool {
        let process = &self.running.as_ref().expect("it runs").process;
        let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return true };
        let stands = |status: String| status.lines().any(|line| line.starts_with("State:\tT"));
        threads.flatten().all(|thread| std::fs::read_to_string(thread.path().join("status")).map_or(true, stands))
    }

    /// Has it go on.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let process = &self.running.as_ref().expect("it runs").process;
        assert!(Command::new("kill").args([signal, process]).status().unwrap().success());
    }

    /// Its host and port.
    pub(crate) fn place(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The address of a bucket in it.
    pub(crate) fn url(&self, bucket: &str) -> String {
        format!("nats://{}/{bucket}", self.place())
    }

    /// Asks something as another program would, in NATS's own words, and returns the answer; headers are lines of their own.
    pub(crate) async fn ask(&self, subject: &str, headers: &[&str], payload: &str) -> String {
        let mut stream = tokio::io::BufReader::new(TcpStream::connect(self.place()).await.unwrap());
        let head = if headers.is_empty() { String::new() } else { format!("NATS/1.0\r\n{}\r\n\r\n", headers.join("\r\n")) };
        let command = if headers.is_empty() {
            format!("PUB {subject} answer {}\r\n{payload}\r\n", payload.len())
        } else {
            format!("HPUB {subject} answer {} {}\r\n{head}{payload}\r\n", head.len(), head.len() + payload.len())
        };
        let all = format!("CONNECT {{\"verbose\":false,\"headers\":true,\"no_responders\":true}}\r\nSUB answer 1\r\n{command}");
        stream.get_mut().write_all(all.as_bytes()).await.unwrap();
        loop {
            let mut line = String::new();
            assert_ne!(stream.read_line(&mut line).await.unwrap(), 0, "the server hung up");
            let words: Vec<_> = line.split_whitespace().collect();
            if words.first().is_some_and(|first| ["MSG", "HMSG"].contains(first)) {
                let mut answer = vec![0; words.last().unwrap().parse().unwrap()];
                stream.read_exact(&mut answer).await.unwrap();
                return String::from_utf8(answer).unwrap();
            }
            assert!(!line.starts_with("-ERR"), "{line}");
        }
    }

    /// Returns when this server says that every stream has all its replicas, none of them behind.
    pub(crate) async fn caught_up(&self) {
        loop {
            // While the cluster has no leader nobody answers.
            let Ok(answer) = tokio::time::timeout(Duration::from_secs(1), self.ask("$JS.API.STREAM.LIST", &[], "")).await else { continue };
            let Ok(answer) = serde_json::from_str::<serde_json::Value>(&answer) else { continue };
            let complete = |stream: &serde_json::Value| {
                let replicas = stream["cluster"]["replicas"].as_array();
                replicas.is_some_and(|replicas| replicas.iter().all(|replica| replica["current"] == true && replica["offline"] != true))
            };
            let streams = answer["streams"].as_array();
            if streams.is_some_and(|streams| !streams.is_empty() && streams.iter().all(complete)) {
                return;
            }
        }
    }

    /// How many messages a stream has.
    pub(crate) async fn messages(&self, stream: &str) -> u64 {
        let answer: serde_json::Value = serde_json::from_str(&self.ask(&format!("$JS.API.STREAM.INFO.{stream}"), &[], "").await).unwrap();
        answer["state"]["messages"].as_u64().unwrap_or_else(|| panic!("{answer}"))
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
