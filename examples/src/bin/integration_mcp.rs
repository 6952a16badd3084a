//! Tools of an MCP server: retried calls, a circuit breaker, and a server process that restarts after its death.
//!
//! ```console
//! $ cargo build --package upright-examples && cargo run --package upright-examples --bin integration_mcp
//! ```
//!
//! The server is `mcp_server`, which speaks MCP over standard input and output and fails on demand. Needs no Ollama.

use anyhow::Context;
use rmcp::model::{CallToolRequestParams, ErrorCode};
use rmcp::service::{RunningService, ServiceError};
use rmcp::{RoleClient, ServiceExt};
use serde_json::json;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use upright::clock::SharedClock;
use upright::types::{Endpoint, Fault, FaultKind};
use upright::{CircuitBreaker, RetryStrategy};
use upright_examples::Arguments;

const RECOVERY_TIMEOUT: Duration = Duration::from_secs(30);
const CALL_LIMIT: Duration = Duration::from_secs(30);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::read()?;

    println!("Scene 1: the first two calls fail.");
    let tools = Tools::new(&arguments, &["--fail-first", "2"])?;
    tools.lookup("backoff").await;

    println!("Scene 2: the server dies in the middle of its second call.");
    let tools = Tools::new(&arguments, &["--die-at", "2"])?;
    tools.lookup("backoff").await;
    tools.lookup("jitter").await;

    println!("Scene 3: the server fails so often that its breaker opens.");
    let tools = Tools::new(&arguments, &["--fail-first", "3"])?;
    tools.lookup("bulkhead").await;
    tools.lookup("bulkhead").await;
    println!("  … the clock goes on by {} s", RECOVERY_TIMEOUT.as_secs());
    tools.clock.sleep(RECOVERY_TIMEOUT).await;
    tools.lookup("bulkhead").await;
    Ok(())
}

struct Tools {
    server: Server,
    retry: RetryStrategy,
    clock: SharedClock,
}

impl Tools {
    fn new(arguments: &Arguments, server: &[&'static str]) -> anyhow::Result<Self> {
        let clock = arguments.clock();
        let breaker =
            CircuitBreaker::builder("mcp").failure_threshold(3).recovery_timeout(RECOVERY_TIMEOUT).clock(clock.clone()).build()?;
        let retry = RetryStrategy::builder()
            .name("tool call")
            .max_retries(3)
            .breaker(breaker)
            .clock(clock.clone())
            // Only this program knows the meaning of MCP's errors.
            .fault_reader(|error| error.downcast_ref().map(fault_of_call))
            .build()?;
        Ok(Self { server: Server::new(server), retry, clock })
    }

    async fn lookup(&self, word: &'static str) {
        let meaning = self
            .retry
            .execute(async || {
                let said = self.server.call("lookup", word).await;
                if let Err(error) = &said {
                    println!("  … a call failed: {error}");
                }
                said
            })
            .await;
        match meaning {
            Ok(meaning) => println!("{word}: {meaning}"),
            Err(error) => println!("{word}: not known now, since {error}"),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum ToolError {
    #[error("the server cannot be started: {0:#}")]
    Start(anyhow::Error),
    #[error("the server did not answer within {} s", CALL_LIMIT.as_secs())]
    Slow,
    #[error("{0}")]
    Call(ServiceError),
    #[error("the tool refused: {0}")]
    Refused(String),
}

fn fault_of_call(error: &ToolError) -> Fault {
    let (kind, status) = match error {
        ToolError::Start(_) => (FaultKind::ConnectionRefused, None),
        ToolError::Slow => (FaultKind::Timeout, None),
        ToolError::Call(ServiceError::McpError(error)) if error.code == ErrorCode::INVALID_PARAMS => (FaultKind::InvalidInput, None),
        // JSON-RPC's internal error is like HTTP's status 500.
        ToolError::Call(ServiceError::McpError(_)) => (FaultKind::HttpStatus, Some(500)),
        ToolError::Call(_) => (FaultKind::ConnectionReset, None),
        ToolError::Refused(_) => (FaultKind::InvalidInput, None),
    };
    Fault { status, endpoint: Endpoint::Tool, ..Fault::new(kind, error.to_string()) }
}

struct Server {
    arguments: Vec<&'static str>,
    connection: Mutex<Option<Connection>>,
}

struct Connection {
    client: RunningService<RoleClient, ()>,
    _process: Child,
}

impl Server {
    fn new(arguments: &[&'static str]) -> Self {
        Self { arguments: arguments.to_vec(), connection: Mutex::new(None) }
    }

    async fn call(&self, tool: &'static str, word: &str) -> Result<String, ToolError> {
        let mut slot = self.connection.lock().await;
        let connection = match slot.take().filter(|connection| !connection.client.is_closed()) {
            Some(connection) => slot.insert(connection),
            None => slot.insert(self.start().await.map_err(ToolError::Start)?),
        };
        let arguments = json!({ "word": word }).as_object().cloned().unwrap_or_default();
        let call = connection.client.call_tool(CallToolRequestParams::new(tool).with_arguments(arguments));
        let called =
            tokio::time::timeout(CALL_LIMIT, call).await.map_err(|_| ToolError::Slow).and_then(|called| called.map_err(ToolError::Call));
        let answer = match called {
            Ok(answer) => answer,
            Err(error) => {
                // Only an answer proves the server alive; after any other error its process is dropped.
                if !matches!(error, ToolError::Call(ServiceError::McpError(_))) {
                    *slot = None;
                }
                return Err(error);
            }
        };
        let text: String = answer.content.iter().filter_map(|block| block.as_text()).map(|text| text.text.as_str()).collect();
        if answer.is_error == Some(true) { Err(ToolError::Refused(text)) } else { Ok(text) }
    }

    async fn start(&self) -> anyhow::Result<Connection> {
        let program = std::env::current_exe()?.with_file_name(format!("mcp_server{}", std::env::consts::EXE_SUFFIX));
        let mut process = Command::new(&program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be run; `cargo build --package upright-examples` makes it", program.display()))?;
        let (Some(output), Some(input)) = (process.stdout.take(), process.stdin.take()) else { anyhow::bail!("it has no pipes") };
        let client = ().serve((output, input)).await?;
        println!("  … the server is started");
        Ok(Connection { client, _process: process })
    }
}
