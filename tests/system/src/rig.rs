//! A real model that really fails: SmolLM2-135M-Instruct under llama.cpp's server, behind the Ollama protocol, on this machine.
//!
//! Stand-ins fail the way their author thinks that servers fail. Here the tokens are generated, a context overflows because the prompt
//! is too long, and a connection is refused or cut because the process behind it was killed. What the rig cannot do is speak
//! Ollama's own error texts: the fault server replays those.
//!
//! ```text
//! test ──HTTP, Ollama protocol──▶ ollama-proxy-plus ──HTTP, OpenAI protocol──▶ llama.cpp's server
//!         Rig::url()                                  Rig::llama_url()
//! ```
//!
//! The packages (`rig/requirements.txt`, about 300 MB on the disk) are installed from PyPI on the first start, into the cargo target
//! folder, and reused. Python 3.11 or later; `UPRIGHT_RIG_PYTHON` names one other than `python3`. A start then takes about two seconds.
//! A server sees none of this process's environment but a few plain variables, so it has no cloud's key.
//!
//! # What was seen
//!
//! ollama-proxy-plus 0.1.0, xllamacpp 2026.10.11549, openai 3.54.0, uvicorn 0.54.0, Python 3.11. `tests/rig.rs` checks the substance of
//! what is marked ✓ (status, error text, how the body ends; not the times).
//!
//! | request | when | what the client gets |
//! |---|---|---|
//! | `POST /api/chat`, streaming | all is well | ✓ 200, chunked NDJSON, a token a line; the last line alone has `"done": true`, with `"done_reason": "stop"` (also where `num_predict` cut it) |
//! | the same | llama killed in mid-answer | ✓ the stream **ends cleanly** under 200 (terminating chunk, connection kept) with a last line `"done": true, "done_reason": "error", "error": "Connection error."`: who looks at `done` alone takes it for success |
//! | the same | llama down | ✓ 200, that one line only, after about 1.4 s (the proxy's own client tries three times) |
//! | `POST /api/chat`, `"stream": false` | llama down | ✓ 502 `{"error":"Connection error."}`, after about 1.4 s |
//! | `POST /api/chat`, streaming | prompt longer than the context | ✓ 200, one line, `"done": true, "done_reason": "error", "error": "Error code: 400 - request (5031 tokens) exceeds the available context size (2048 tokens), try increasing it"` |
//! | `POST /api/chat`, `"stream": false` | the same | ✓ 502 `{"error":"Error code: 400 - request (5031 tokens) exceeds …"}` |
//! | llama's `/v1/chat/completions` | the same | ✓ 400 `{"error":{"code":400,"message":"request (5031 tokens) exceeds …","type":"exceed_context_size_error","n_prompt_tokens":5031,"n_ctx":2048}}` |
//! | the same, streaming | llama killed in mid-answer | ✓ the body is cut: end of the connection without the terminating chunk |
//! | `POST /api/chat`, streaming | proxy killed in mid-answer | ✓ the body is cut likewise; then connections are refused |
//! | `POST /v1/chat/completions`, streaming | llama down | 200, `data: {"error": {"message": "Connection error.", "type": "server_error"}}`, then `data: [DONE]` |
//! | `POST /api/chat` | model `local/anything` | ✓ answered: neither server looks at the name after `local/` |
//! | the same | model `other/anything` | ✓ 400 `{"error":"Unknown provider prefix: 'other'. Supported: …"}` |
//! | the same | model without a `/` | 500, plain text `Internal Server Error` |
//! | `POST /api/chat` | broken JSON | 500, plain text `Internal Server Error` |
//! | `POST /api/embed` | | 500, plain text (the llama server runs without embeddings) |
//! | `POST /api/show` | model `other/anything` | 404 `{"error":"model 'other/anything' not found"}` |
//! | `GET /` | also while llama is down | ✓ 200 `Ollama is running` |
//! | `GET /api/version` | likewise | ✓ 200 `{"version":"0.6.5"}`, which is fixed |
//! | `GET /api/tags` | likewise | ✓ 200, `local/smollm2` among 38 cloud models that it does not serve; `size` 0, `digest` stands for the name, not the file |
//! | `GET /api/ps` | likewise | ✓ 200 `{"models":[]}`, always |
//! | an unknown path | | 404 `{"detail":"Not Found"}` |
//!
//! # Use
//!
//! ```no_run
//! # use upright_system_tests::rig::Rig;
//! # async fn the_model_answers() {
//! let Some(mut rig) = Rig::start_or_skip("the_model_answers").await else { return };
//! // … POST to `{rig.url()}/api/chat`, model `rig.model()` …
//! rig.stop_llama(); // real cut and refused connections
//! rig.start_llama().await.expect("it comes back on the same port");
//! # }
//! ```

pub(crate) mod environment;
mod server;

use environment::Environment;
use server::{Server, ServerCommand};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Set to `1` where the rig must run: [`Rig::start_or_skip`] then panics instead of skipping.
const REQUIRE_VARIABLE: &str = "UPRIGHT_REQUIRE_RIG";
const MODEL: &str = "local/smollm2";

/// Why there is no rig.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RigError {
    /// The Python cannot be run.
    #[error("`{python}` cannot be run ({detail}); install Python 3.11 or later, or name one in UPRIGHT_RIG_PYTHON")]
    NoPython {
        /// The command that was tried.
        python: String,
        /// What the system or Python said.
        detail: String,
    },
    /// Python cannot make a virtual environment.
    #[error("`python -m venv` failed ({detail}); some systems pack it apart, as python3-venv")]
    Venv {
        /// The last of what it said.
        detail: String,
    },
    /// The packages cannot be installed: no network, no such version, or no wheel for this machine.
    #[error("pip could not install the packages ({detail})")]
    Install {
        /// The last of what pip said.
        detail: String,
    },
    /// A file or folder under the target folder could not be used.
    #[error("could not {action} {}: {source}", path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A server ended instead of answering; for a start on an old port, perhaps because another program has taken it.
    #[error("{server} ended before it answered: {said}")]
    Ended {
        /// Its script.
        server: &'static str,
        /// The last of what it said.
        said: String,
    },
    /// A server neither answered nor ended.
    #[error("{server} did not answer within {} s", limit.as_secs())]
    Silent {
        /// Its script.
        server: &'static str,
        /// How long was waited.
        limit: Duration,
    },
    /// The tokio runtime was shut down meanwhile.
    #[error("the start was interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl RigError {
    /// Whether this machine merely lacks what the rig is made of (Python or a package index in reach), as opposed to a rig that is broken.
    #[must_use]
    pub fn is_unavailability(&self) -> bool {
        matches!(self, Self::NoPython { .. } | Self::Venv { .. } | Self::Install { .. })
    }

    pub(crate) fn file(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::File { action, path: path.to_owned(), source }
    }
}

/// How the llama server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RigOptions {
    /// Tokens, prompt and answer together, that one request may use. The model was trained with 8,192.
    pub context_tokens: u32,
    /// Requests answered at once; the others wait. At least 1.
    pub parallel: u32,
}

impl Default for RigOptions {
    /// A context of 2,048 tokens, one request at a time.
    fn default() -> Self {
        Self { context_tokens: 2048, parallel: 1 }
    }
}

/// A real model behind the Ollama protocol. Its two servers are killed when it is dropped, and end when this process ends, however it ends.
#[derive(Debug)]
pub struct Rig {
    environment: Environment,
    options: RigOptions,
    llama_port: u16,
    proxy_port: u16,
    llama: Option<Server>,
    proxy: Option<Server>,
}

impl Rig {
    /// Starts a rig with the default [`RigOptions`].
    ///
    /// # Errors
    /// See [`RigError`].
    pub async fn start() -> Result<Self, RigError> {
        Self::start_with(RigOptions::default()).await
    }

    /// Starts a rig; returns once both servers answer. The first start on a machine installs the packages.
    ///
    /// # Errors
    /// See [`RigError`].
    pub async fn start_with(options: RigOptions) -> Result<Self, RigError> {
        let started = tokio::task::spawn_blocking(move || {
            let environment = Environment::prepare()?;
            let llama = Server::start(&environment, &llama_command(options, 0))?;
            let proxy = Server::start(&environment, &proxy_command(llama.port, 0))?;
            Ok(Self { environment, options, llama_port: llama.port, proxy_port: proxy.port, llama: Some(llama), proxy: Some(proxy) })
        });
        started.await?
    }

    /// Starts a rig, or says on standard error that `test_name` is skipped because this machine has no Python or no package index in reach.
    ///
    /// # Panics
    /// Where the rig is broken rather than unavailable; and where it is unavailable although `UPRIGHT_REQUIRE_RIG` is `1`.
    pub async fn start_or_skip(test_name: &str) -> Option<Self> {
        let error = match Self::start().await {
            Ok(rig) => return Some(rig),
            Err(error) => error,
        };
        let required = std::env::var_os(REQUIRE_VARIABLE).is_some_and(|value| value == "1");
        assert!(error.is_unavailability() && !required, "{test_name}: the real model does not run here: {error}");
        let line = format!("\nSKIPPED {test_name}: the real model is not available here: {error}\n");
        // Not `eprintln!`, which the test harness hides when a test passes. Without a standard error nobody reads it.
        let _ = std::io::stderr().write_all(line.as_bytes());
        None
    }

    /// Where the Ollama protocol is spoken, without a slash at the end. The same for the rig's whole life.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.proxy_port)
    }

    /// Where llama.cpp's server is, behind it, without a slash at the end. The same for the rig's whole life.
    #[must_use]
    pub fn llama_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.llama_port)
    }

    /// The model's name in the Ollama protocol.
    #[must_use]
    pub fn model(&self) -> &'static str {
        MODEL
    }

    /// The ids of the servers' processes, of those that run.
    #[must_use]
    pub fn process_ids(&self) -> Vec<u32> {
        [&self.llama, &self.proxy].into_iter().flatten().map(Server::process_id).collect()
    }

    /// Kills the llama server (SIGKILL): its connections are cut, new ones refused. Nothing where it does not run.
    pub fn stop_llama(&mut self) {
        self.llama = None;
    }

    /// Starts the llama server again on the port that it had; returns once it answers. Nothing where it runs.
    ///
    /// # Errors
    /// [`RigError::Ended`] where another program has taken the port meanwhile; see [`RigError`].
    pub async fn start_llama(&mut self) -> Result<(), RigError> {
        if self.llama.is_none() {
            self.llama = Some(self.start_server(llama_command(self.options, self.llama_port)).await?);
        }
        Ok(())
    }

    /// Kills the server that speaks the Ollama protocol (SIGKILL): its connections are cut, new ones refused. Nothing where it does not run.
    pub fn stop_proxy(&mut self) {
        self.proxy = None;
    }

    /// Starts the server that speaks the Ollama protocol again on the port that it had; returns once it answers. Nothing where it runs.
    ///
    /// # Errors
    /// [`RigError::Ended`] where another program has taken the port meanwhile; see [`RigError`].
    pub async fn start_proxy(&mut self) -> Result<(), RigError> {
        if self.proxy.is_none() {
            self.proxy = Some(self.start_server(proxy_command(self.llama_port, self.proxy_port)).await?);
        }
        Ok(())
    }

    /// On a thread of its own, so that what else runs on the caller's runtime goes on.
    async fn start_server(&self, command: ServerCommand) -> Result<Server, RigError> {
        let environment = self.environment.clone();
        tokio::task::spawn_blocking(move || Server::start(&environment, &command)).await?
    }
}

/// On `port`, or on a free one where it is 0.
fn llama_command(options: RigOptions, port: u16) -> ServerCommand {
    ServerCommand {
        script: "serve_llama",
        arguments: vec![port.to_string(), options.context_tokens.to_string(), options.parallel.to_string()],
        variables: Vec::new(),
    }
}

/// On `port`, or on a free one where it is 0.
fn proxy_command(llama_port: u16, port: u16) -> ServerCommand {
    ServerCommand {
        script: "serve_proxy",
        arguments: vec![port.to_string()],
        variables: vec![
            ("PROVIDERS_LOCAL_BASE_URL", format!("http://127.0.0.1:{llama_port}/v1")),
            // The llama server asks for none, but the proxy's client will not start without one.
            ("PROVIDERS_LOCAL_API_KEY", "none".to_owned()),
            ("EXTRA_MODELS", MODEL.to_owned()),
            // It would search the folders above for a `.env`.
            ("PYTHON_DOTENV_DISABLED", "1".to_owned()),
            // Its model digests are Python hashes: without this they change with every start.
            ("PYTHONHASHSEED", "0".to_owned()),
        ],
    }
}
