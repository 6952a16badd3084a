//! A real NATS server with JetStream. Restarts on one port and folder. A shell kills it when the pipe from this process
//! closes, by `kill` or at any end of the process.

use crate::folder::Folder;
use crate::skipped;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const REQUIRE_VARIABLE: &str = "UPRIGHT_REQUIRE_NATS";
const START_LIMIT: Duration = Duration::from_secs(60);
/// The shell closes its standard error, so that the pipe ends with the server.
const SCRIPT: &str =
    r#"nats-server "$@" < /dev/null & echo $!; exec 2>&-; read -r _; kill -9 $!; wait $! 2> /dev/null; [ -z "$FORGET" ] || rm -rf "$6""#;

/// A running server, killed on drop.
pub struct NatsServer {
    arguments: Vec<String>,
    port: u16,
    folder: Folder,
    /// Never dropped, so the shell removes the folder.
    is_shared: bool,
    running: Option<Running>,
}

struct Running {
    shell: Child,
    lifeline: Option<ChildStdin>,
    process: String,
}

impl NatsServer {
    /// Starts a server with JetStream. Reports `test` as skipped if none is installed, unless `UPRIGHT_REQUIRE_NATS` is
    /// `1`.
    pub fn start_or_skip(test: &str) -> Option<Self> {
        Self::start_with(test, &["-js"])
    }

    /// Starts three servers as one cluster, as [`NatsServer::start_or_skip`] starts one.
    pub fn cluster_or_skip(test: &str) -> Option<[Self; 3]> {
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

    /// The server that all tests of this process share, started as by [`NatsServer::start_or_skip`].
    pub fn shared(test: &str) -> Option<&'static Self> {
        static SERVER: OnceLock<Option<NatsServer>> = OnceLock::new();
        let server = SERVER.get_or_init(|| Self::start_as(test, &["-js"], true)).as_ref();
        if server.is_none() {
            drop(Self::start_or_skip(test));
        }
        server
    }

    /// Starts a server with these arguments. Reports `test` as skipped if none is installed.
    pub fn start_with(test: &str, arguments: &[&str]) -> Option<Self> {
        Self::start_as(test, arguments, false)
    }

    fn start_as(test: &str, arguments: &[&str], is_shared: bool) -> Option<Self> {
        if Command::new("nats-server").arg("--version").output().is_err() {
            let required = std::env::var_os(REQUIRE_VARIABLE).is_some_and(|value| value == "1");
            assert!(!required, "{test}: nats-server is not installed, and {REQUIRE_VARIABLE} is set");
            skipped(test, "nats-server is not installed");
            return None;
        }
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let mut server = Self { arguments, port: 0, folder: Folder::new("nats"), is_shared, running: None };
        server.start();
        Some(server)
    }

    /// Starts a killed server on its port and folder.
    pub fn start(&mut self) {
        assert!(self.running.is_none());
        let port = if self.port == 0 { "-1".to_owned() } else { self.port.to_string() };
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "sh", "-a", "127.0.0.1", "-p", &port, "-sd"])
            .arg::<&Path>(self.folder.as_ref())
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
        // A thread, because the pipe blocks and must be drained.
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

    /// Kills it (SIGKILL), if it runs.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.lifeline = None;
            running.shell.wait().unwrap();
        }
    }

    /// Arguments from its next start on.
    pub fn set_arguments(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(ToString::to_string).collect();
    }

    /// Kills it, and removes everything that it has kept.
    pub fn kill_and_forget(&mut self) {
        self.kill();
        std::fs::remove_dir_all(&self.folder).unwrap();
        std::fs::create_dir_all(&self.folder).unwrap();
    }

    /// Stops all its threads (SIGSTOP).
    pub fn freeze(&self) {
        self.signal("-STOP");
        // The signal takes time: a thread may still answer.
        while !self.is_stopped() {
            std::thread::yield_now();
        }
    }

    /// Whether all threads are stopped; `true` where the system does not say.
    fn is_stopped(&self) -> bool {
        let process = &self.running.as_ref().expect("it runs").process;
        let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return true };
        let stands = |status: String| status.lines().any(|line| line.starts_with("State:\tT"));
        threads.flatten().all(|thread| std::fs::read_to_string(thread.path().join("status")).map_or(true, stands))
    }

    /// Continues a frozen server.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let process = &self.running.as_ref().expect("it runs").process;
        assert!(Command::new("kill").args([signal, process]).status().unwrap().success());
    }

    /// Host and port.
    pub fn place(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Address of a store in it.
    pub fn url(&self, bucket: &str) -> String {
        format!("nats://{}/{bucket}", self.place())
    }

    /// The answer to a request of NATS's own protocol.
    pub async fn ask(&self, subject: &str, headers: &[&str], payload: &str) -> String {
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

    /// Waits until each stream has all its replicas.
    pub async fn caught_up(&self) {
        loop {
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

    /// Number of messages in a stream.
    pub async fn messages(&self, stream: &str) -> u64 {
        let answer: serde_json::Value = serde_json::from_str(&self.ask(&format!("$JS.API.STREAM.INFO.{stream}"), &[], "").await).unwrap();
        answer["state"]["messages"].as_u64().unwrap_or_else(|| panic!("{answer}"))
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        // Before its folder goes.
        self.kill();
    }
}
