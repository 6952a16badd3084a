//! A server process of the rig. Prints its port when it answers. It watches its standard input (`rig/lifeline.py`), so
//! it ends with this process.

use super::RigError;
use super::environment::{Environment, last_lines};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

const START_LIMIT: Duration = Duration::from_secs(120);

/// The environment of a server: no cloud's key, no HTTP proxy.
const KEPT_VARIABLES: [&str; 7] = ["PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"];

static STARTED: AtomicU64 = AtomicU64::new(0);

pub(super) struct ServerCommand {
    pub(super) script: &'static str,
    pub(super) arguments: Vec<String>,
    pub(super) variables: Vec<(&'static str, String)>,
}

#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    pub(super) port: u16,
    log: PathBuf,
}

impl Server {
    pub(super) fn start(environment: &Environment, command: &ServerCommand) -> Result<Self, RigError> {
        let logs = environment.folder.join("logs");
        fs::create_dir_all(&logs).map_err(|source| RigError::file("create", &logs, source))?;
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let log = logs.join(format!("{}-{}-{number}.log", command.script, std::process::id()));
        let log_file = File::create(&log).map_err(|source| RigError::file("create", &log, source))?;

        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("rig").join(command.script).with_extension("py");
        let child = Command::new(&environment.python)
            // No byte code beside the scripts.
            .arg("-B")
            .arg(script)
            .args(&command.arguments)
            .env_clear()
            .envs(KEPT_VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .envs(command.variables.iter().map(|(name, value)| (name, value)))
            // A folder without settings files.
            .current_dir(&environment.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .map_err(|source| RigError::file("run", &environment.python, source))?;

        let mut server = Self { child, port: 0, log };
        match server.announced_port() {
            Ok(Some(port)) => {
                server.port = port;
                Ok(server)
            }
            Ok(None) => {
                server.stop();
                let said = last_lines(&fs::read(&server.log).unwrap_or_default());
                Err(RigError::Ended { server: command.script, said })
            }
            Err(_) => Err(RigError::Silent { server: command.script, limit: START_LIMIT }),
        }
    }

    /// The port it prints; `None` if it ended first.
    fn announced_port(&mut self) -> Result<Option<u16>, mpsc::RecvTimeoutError> {
        let Some(output) = self.child.stdout.take() else { return Ok(None) };
        let (sender, receiver) = mpsc::channel();
        // A thread, because a pipe has no read timeout.
        std::thread::spawn(move || {
            let mut line = String::new();
            // An unreadable pipe counts as its end.
            let _ = BufReader::new(output).read_line(&mut line);
            // Nobody listens after the limit.
            let _ = sender.send(line.trim().parse().ok());
        });
        receiver.recv_timeout(START_LIMIT)
    }

    fn stop(&mut self) {
        // Both fail only for a child that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(super) fn process_id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        if !std::thread::panicking() {
            let _ = fs::remove_file(&self.log);
        }
    }
}
