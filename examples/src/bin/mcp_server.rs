//! A small MCP server over standard input and output that fails on demand. Started by `integration_mcp` or any MCP
//! client.
//!
//! ```console
//! $ cargo run --package upright-examples --bin mcp_server -- --fail-first 2 --die-at 5
//! ```
//!
//! The tool `lookup` knows the meaning of three words. The first `--fail-first` calls fail with an internal error;
//! during call number `--die-at` the process exits.

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, ListToolsResult, PaginatedRequestParams,
    ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler, ServiceExt};
use serde_json::json;
use std::sync::atomic::{AtomicU32, Ordering};

const WORDS: [(&str, &str); 3] = [
    ("backoff", "waiting longer before each further attempt"),
    ("jitter", "a random part of a wait, so that clients do not return all at once"),
    ("bulkhead", "a limit of calls in flight, so that one service cannot drown the others"),
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut server = Server::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let number = arguments.next().and_then(|number| number.parse().ok());
        match (flag.as_str(), number) {
            ("--fail-first", Some(number)) => server.fail_first = number,
            ("--die-at", Some(number)) => server.die_at = number,
            _ => anyhow::bail!("there are --fail-first N and --die-at N, not {flag}"),
        }
    }
    server.serve(rmcp::transport::stdio()).await?.waiting().await?;
    Ok(())
}

#[derive(Default)]
struct Server {
    fail_first: u32,
    die_at: u32,
    calls: AtomicU32,
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(&self, _: Option<PaginatedRequestParams>, _: RequestContext<RoleServer>) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(vec![lookup()]))
    }

    async fn call_tool(&self, request: CallToolRequestParams, _: RequestContext<RoleServer>) -> Result<CallToolResponse, ErrorData> {
        let call = 1 + self.calls.fetch_add(1, Ordering::Relaxed);
        if call == self.die_at {
            std::process::exit(1);
        }
        if call <= self.fail_first {
            return Err(ErrorData::internal_error(format!("the list of words is not loaded yet (call {call})"), None));
        }
        if request.name != "lookup" {
            return Err(ErrorData::invalid_params(format!("there is no tool {}", request.name), None));
        }
        let word = request.arguments.as_ref().and_then(|arguments| arguments.get("word")?.as_str());
        let Some(word) = word else { return Err(ErrorData::invalid_params("the argument \"word\" must be a text", None)) };
        let said = match WORDS.iter().find(|(known, _)| *known == word) {
            Some((_, meaning)) => CallToolResult::success(vec![ContentBlock::text(*meaning)]),
            // The tool worked and found nothing: no failure of the server.
            None => CallToolResult::error(vec![ContentBlock::text(format!("the word {word:?} is not in the list"))]),
        };
        Ok(said.into())
    }
}

fn lookup() -> Tool {
    let schema = json!({ "type": "object", "required": ["word"], "properties": { "word": { "type": "string" } } });
    let schema = schema.as_object().cloned().unwrap_or_default();
    Tool::new("lookup", "Says what a word means", schema)
}
