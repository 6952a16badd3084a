//! A server that **replays** Ollama's failures over real HTTP on loopback.
//!
//! The interesting failures are hard to provoke: a runner that dies in mid-stream, a load aborted by an impatient
//! client, a permanent fault under status 500. Each is a named row of [`ROWS`], sent byte for byte as Ollama sends it.
//!
//! The server is a stand-in and says so: `/api/version` answers [`VERSION`], and the header [`REPLAY_HEADER`] names the
//! row, or [`HEALTHY`].
//!
//! The first match decides an answer:
//!
//! 1. a plan by [`FaultServer::plan`] or [`FaultServer::always`];
//! 2. the model's name: `fault/out-of-memory` gets the row `out-of-memory`;
//! 3. else a small simulated Ollama.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use upright_simulator::{FaultServer, Match};
//!
//! let server = FaultServer::start().await?;
//! server.plan(Match::path("/api/chat"), &["server-busy", "ok"])?;
//! println!("{}", server.url()); // the first chat is refused, the second answered
//! server.shutdown().await;
//! # Ok(()) }
//! ```

mod asked;
mod dialect;
mod feed;
mod handle;
mod healthy;
mod line;
mod log;
mod models;
mod names;
mod plans;
mod replay;
mod rows;
mod server;
mod state;
mod table;
mod tools;
mod window;

pub use log::Seen;
pub use models::Model;
pub use names::canonical_name;
pub use plans::{HEALTHY_STEP, Match, UnknownRow};
pub use rows::{Behaviour, Body, Expect, Header, Row};
pub use server::FaultServer;
pub use table::ROWS;
pub use window::{TooLong, Window};

/// Answer of `/api/version`, which no Ollama gives.
pub const VERSION: &str = "0.0.0-upright-simulator-replay";

/// Response header with the name of the replay.
pub const REPLAY_HEADER: &str = "x-upright-replay";

/// Value of [`REPLAY_HEADER`] without a replayed failure.
pub const HEALTHY: &str = "healthy";

/// Prefix of model names that ask for a failure: `fault/out-of-memory`.
pub const FAULT_PREFIX: &str = "fault/";
