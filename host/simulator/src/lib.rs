//! A server that **replays** Ollama's failures over real HTTP on loopback.
//!
//! Recovery code is only as good as the failures it was tried on, and the interesting ones (a runner that dies in the
//! middle of a stream, a load that is aborted by an impatient client, a permanent fault under status 500) are hard to
//! bring about on a real server. So each of them is a row of [`ROWS`], with a name, and this server plays it back, byte
//! for byte as Ollama sends it, to any client.
//!
//! It is a stand-in and says so: `/api/version` answers [`VERSION`], and each answer carries the header
//! [`REPLAY_HEADER`] with the name of the row, or [`HEALTHY`].
//!
//! Which failure a request gets is decided in this order:
//!
//! 1. what [`FaultServer::plan`] or [`FaultServer::always`] says for it;
//! 2. the model that it names: `fault/out-of-memory` always gets the row `out-of-memory`, so any client can ask for one;
//! 3. else a healthy answer from a small simulated Ollama.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use upright_fault_server::{FaultServer, Match};
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

/// What `/api/version` answers, so that nobody takes this for an Ollama.
pub const VERSION: &str = "0.0.0-upright-fault-server-replay";

/// The response header that names what was replayed.
pub const REPLAY_HEADER: &str = "x-upright-replay";

/// The value of [`REPLAY_HEADER`] on an answer that replays no failure.
pub const HEALTHY: &str = "healthy";

/// The model names that ask for a failure begin so: `fault/out-of-memory`.
pub const FAULT_PREFIX: &str = "fault/";
