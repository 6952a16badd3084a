//! A real model with real failures: SmolLM2-135M-Instruct under llama.cpp's server, behind the Ollama protocol.
//!
//! Stand-ins fail as their author imagines. Here the context really overflows, and connections break because a process
//! was killed. Only Ollama's own error texts are missing: the simulator replays those.
//!
//! ```text
//! test ──HTTP, Ollama protocol──▶ ollama-proxy-plus ──HTTP, OpenAI protocol──▶ llama.cpp's server
//!         Rig::url()                                  Rig::llama_url()
//! ```
//!
//! The first start installs the packages (`rig/requirements.txt`, about 300 MB) from PyPI into the cargo target folder;
//! later ones take about two seconds. Needs Python 3.11 or later; `UPRIGHT_RIG_PYTHON` names one other than `python3`.
//! Servers see only a few plain environment variables, so no cloud's key.
//!
//! # Observations
//!
//! ollama-proxy-plus 0.1.0, xllamacpp 2026.10.11549, openai 3.54.0, uvicorn 0.54.0, Python 3.11.
//! `tests/system/tests/rig.rs` checks rows marked ✓: status, error text and the body's end, not times.
//!
//! | request | when | answer |
//! |---|---|---|
//! | `POST /api/chat`, streaming | healthy | ✓ 200, chunked NDJSON, one token a line; only the last line has `"done": true`, with `"done_reason": "stop"` (even if `num_predict` cut it) |
//! | `POST /api/chat`, streaming | llama killed in mid-answer | ✓ 200, the stream **ends cleanly** (terminating chunk, connection kept) with `"done": true, "done_reason": "error", "error": "Connection error."`: `done` alone looks like success |
//! | `POST /api/chat`, streaming | llama down | ✓ 200, only that last line, after about 1.4 s (the proxy's client tries three times) |
//! | `POST /api/chat`, `"stream": false` | llama down | ✓ 502 `{"error":"Connection error."}`, after about 1.4 s |
//! | `POST /api/chat`, streaming | prompt too long | ✓ 200, one line, `"done": true, "done_reason": "error", "error": "Error code: 400 - request (5031 tokens) exceeds the available context size (2048 tokens), try increasing it"` |
//! | `POST /api/chat`, `"stream": false` | prompt too long | ✓ 502 `{"error":"Error code: 400 - request (5031 tokens) exceeds …"}` |
//! | llama's `/v1/chat/completions` | prompt too long | ✓ 400 `{"error":{"code":400,"message":"request (5031 tokens) exceeds …","type":"exceed_context_size_error","n_prompt_tokens":5031,"n_ctx":2048}}` |
//! | llama's `/v1/chat/completions`, streaming | llama killed in mid-answer | ✓ cut body: no terminating chunk |
//! | `POST /api/chat`, streaming | proxy killed in mid-answer | ✓ cut body; then connections are refused |
//! | `POST /v1/chat/completions`, streaming | llama down | 200, `data: {"error": {"message": "Connection error.", "type": "server_error"}}`, then `data: [DONE]` |
//! | `POST /api/chat` | model `local/anything` | ✓ answered: neither server reads the name after `local/` |
//! | `POST /api/chat` | model `other/anything` | ✓ 400 `{"error":"Unknown provider prefix: 'other'. Supported: …"}` |
//! | `POST /api/chat` | model without a `/` | 500, plain text `Internal Server Error` |
//! | `POST /api/chat` | broken JSON | 500, plain text `Internal Server Error` |
//! | `POST /api/embed` | | 500, plain text (llama runs without embeddings) |
//! | `POST /api/show` | model `other/anything` | 404 `{"error":"model 'other/anything' not found"}` |
//! | `GET /` | llama up or down | ✓ 200 `Ollama is running` |
//! | `GET /api/version` | llama up or down | ✓ 200 `{"version":"0.6.5"}`, fixed |
//! | `GET /api/tags` | llama up or down | ✓ 200, `local/smollm2` among 38 cloud models that it does not serve; `size` 0, `digest` of the name, not the file |
//! | `GET /api/ps` | llama up or down | ✓ 200 `{"models":[]}`, always |
//! | an unknown path | | 404 `{"detail":"Not Found"}` |
//!
//! # Use
//!
//! ```no_run
//! # use upright_test_kit::rig::Rig;
//! # async fn the_model_answers() {
//! let Some(mut rig) = Rig::start_or_skip("the_model_answers").await else { return };
//! // … POST to `{rig.url()}/api/chat`, model `rig.model()` …
//! rig.stop_llama(); // real cut and refused connections
//! rig.start_llama().await.expect("it comes back on the same port");
//! # }
//! ```

pub(crate) mod environment;
mod server;

use crate::skipped;
use environment::Environment;
use server::{Server, ServerCommand};
use std::path::{Path, PathBuf};
use std::time::Duration;

const REQUIRE_VARIABLE: &str = "UPRIGHT_REQUIRE_RIG";
const MODEL: &str = "local/smollm2";

/// The rig cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RigError {
    /// Python does not start.
    #[error("`{python}` cannot be run ({detail}); install Python 3.11 or later, or name one in UPRIGHT_RIG_PYTHON")]
    NoPython {
        /// The command tried.
        python: String,
        /// Output of Python or the system.
        detail: String,
    },
    /// Python cannot make a virtual environment.
    #[error("`python -m venv` failed ({detail}); some systems pack it apart, as python3-venv")]
    Venv {
        /// Its last output.
        detail: String,
    },
    /// No packages: no network, no such version, or no wheel for this machine.
    #[error("pip could not install the packages ({detail})")]
    Install {
        /// Last output of pip.
        detail: String,
    },
    /// Unusable file or folder under the target folder.
    #[error("could not {action} {}: {source}", path.display())]
    File {
        /// The action, as a verb.
        action: &'static str,
        /// Its object.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A server ended without answering; on an old port perhaps because another program took it.
    #[error("{server} ended before it answered: {said}")]
    Ended {
        /// Its script.
        server: &'static str,
        /// Its last output.
        said: String,
    },
    /// A server neither answered nor ended.
    #[error("{server} did not answer within {} s", limit.as_secs())]
    Silent {
        /// Its script.
        server: &'static str,
        /// Time waited.
        limit: Duration,
    },
    /// The tokio runtime shut down.
    #[error("the start was interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl RigError {
    /// Whether the machine lacks Python or a package index, rather than the rig being broken.
    #[must_use]
    pub fn is_unavailability(&self) -> bool {
        matches!(self, Self::NoPython { .. } | Self::Venv { .. } | Self::Install { .. })
    }

    pub(crate) fn file(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::File { action, path: path.to_owned(), source }
    }
}

/// Settings of the llama server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RigOptions {
    /// Maximum tokens of prompt and answer together. The model was trained with 8,192.
    pub context_tokens: u32,
    /// Maximum number of concurrent requests; at least 1.
    pub parallel: u32,
}

impl Default for RigOptions {
    fn default() -> Self {
        Self { context_tokens: 2048, parallel: 1 }
    }
}

/// A real model behind the Ollama protocol. Its two servers end when it is dropped, or with this process.
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
    /// Starts a rig with default [`RigOptions`].
    ///
    /// # Errors
    /// See [`RigError`].
    pub async fn start() -> Result<Self, RigError> {
        Self::start_with(RigOptions::default()).await
    }

    /// Starts a rig; returns once both servers answer. The first start installs the packages.
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

    /// Starts a rig. Reports `test_name` as skipped if the machine lacks Python or a package index.
    ///
    /// # Panics
    /// If the rig is broken, or missing although `UPRIGHT_REQUIRE_RIG` is `1`.
    pub async fn start_or_skip(test_name: &str) -> Option<Self> {
        let error = match Self::start().await {
            Ok(rig) => return Some(rig),
            Err(error) => error,
        };
        let required = std::env::var_os(REQUIRE_VARIABLE).is_some_and(|value| value == "1");
        assert!(error.is_unavailability() && !required, "{test_name}: the real model does not run here: {error}");
        skipped(test_name, format_args!("the real model is not available here: {error}"));
        None
    }

    /// URL of the Ollama protocol, without a trailing slash. Stays for the rig's life.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.proxy_port)
    }

    /// URL of llama.cpp's server, without a trailing slash. Stays for the rig's life.
    #[must_use]
    pub fn llama_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.llama_port)
    }

    /// The model's name in the Ollama protocol.
    #[must_use]
    pub fn model(&self) -> &'static str {
        MODEL
    }

    /// Process ids of the running servers.
    #[must_use]
    pub fn process_ids(&self) -> Vec<u32> {
        [&self.llama, &self.proxy].into_iter().flatten().map(Server::process_id).collect()
    }

    /// Kills the llama server (SIGKILL): cuts its connections; later ones are refused.
    pub fn stop_llama(&mut self) {
        self.llama = None;
    }

    /// Restarts the llama server on its port if it is down; returns once it answers.
    ///
    /// # Errors
    /// [`RigError::Ended`] if another program took the port; see [`RigError`].
    pub async fn start_llama(&mut self) -> Result<(), RigError> {
        if self.llama.is_none() {
            self.llama = Some(self.start_server(llama_command(self.options, self.llama_port)).await?);
        }
        Ok(())
    }

    /// Kills the server of the Ollama protocol (SIGKILL): cuts its connections; later ones are refused.
    pub fn stop_proxy(&mut self) {
        self.proxy = None;
    }

    /// Restarts the server of the Ollama protocol on its port if it is down; returns once it answers.
    ///
    /// # Errors
    /// [`RigError::Ended`] if another program took the port; see [`RigError`].
    pub async fn start_proxy(&mut self) -> Result<(), RigError> {
        if self.proxy.is_none() {
            self.proxy = Some(self.start_server(proxy_command(self.llama_port, self.proxy_port)).await?);
        }
        Ok(())
    }

    /// On its own thread, so as not to block the runtime.
    async fn start_server(&self, command: ServerCommand) -> Result<Server, RigError> {
        let environment = self.environment.clone();
        tokio::task::spawn_blocking(move || Server::start(&environment, &command)).await?
    }
}

fn llama_command(options: RigOptions, port: u16) -> ServerCommand {
    ServerCommand {
        script: "serve_llama",
        arguments: vec![port.to_string(), options.context_tokens.to_string(), options.parallel.to_string()],
        variables: Vec::new(),
    }
}

fn proxy_command(llama_port: u16, port: u16) -> ServerCommand {
    ServerCommand {
        script: "serve_proxy",
        arguments: vec![port.to_string()],
        variables: vec![
            ("PROVIDERS_LOCAL_BASE_URL", format!("http://127.0.0.1:{llama_port}/v1")),
            // The proxy's client needs a key, although the llama server asks for none.
            ("PROVIDERS_LOCAL_API_KEY", "none".to_owned()),
            ("EXTRA_MODELS", MODEL.to_owned()),
            // Else it searches the folders above for a `.env`.
            ("PYTHON_DOTENV_DISABLED", "1".to_owned()),
            // Its model digests are Python hashes, which otherwise change at each start.
            ("PYTHONHASHSEED", "0".to_owned()),
        ],
    }
}
