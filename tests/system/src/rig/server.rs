//! One server process of the rig: it says its port when it answers, is killed when dropped, and ends by itself when this process
//! ends, because it watches the pipe that is its standard input (`rig/lifeline.py`).

use super::RigError;
use super::environment::{Environment, last_lines};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// A server that has not answered by then is broken: loading takes about a second.
const START_LIMIT: Duration = Duration::from_secs(120);

/// All that a server sees of this process's environment: no cloud's key and no HTTP proxy.
const KEPT_VARIABLES: [&str; 7] = ["PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"];

/// Makes log names unique within this process.
static STARTED: AtomicU64 = AtomicU64::new(0);

/// What to run.
pub(super) struct ServerCommand {
    /// The script in `rig/`, without `.py`; it is what errors call the server.
    pub(super) script: &'static str,
    pub(super) arguments: Vec<String>,
    pub(super) variables: Vec<(&'static str, String)>,
}

/// A server that runs.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    /// On the loopback interface.
    pub(super) port: u16,
    log: PathBuf,
}

impl Server {
    /// Starts it and waits until it answers. Blocks.
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
            // A folder without settings files that it might read.
            .current_dir(&environment.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .map_err(|source| RigError::file("run", &environment.python, source))?;

        // From here on, an early return kills the child.
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

    /// The one line on its standard output; `None` when it ended without.
    fn announced_port(&mut self) -> Result<Option<u16>, mpsc::RecvTimeoutError> {
        let Some(output) = self.child.stdout.take() else { return Ok(None) };
        let (sender, receiver) = mpsc::channel();
        // A thread, because a pipe is read without a time limit. It ends with the line or with the child.
        std::thread::spawn(move || {
            let mut line = String::new();
            // An unreadable pipe leaves the line empty, which says the same as its end.
            let _ = BufReader::new(output).read_line(&mut line);
            // Nobody listens after the limit.
            let _ = sender.send(line.trim().parse().ok());
        });
        receiver.recv_timeout(START_LIMIT)
    }

    /// Kills it (SIGKILL) and waits for its end.
    fn stop(&mut self) {
        // Both fail only for a child that has been waited for, which is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The id of the process.
    pub(super) fn process_id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        if !std::thread::panicking() {
            // A log is for a test that fails.
            let _ = fs::remove_file(&self.log);
        }
    }
}
