//! Connections to the hosts. Each worker thread has its own, so that none is shared between threads.

mod body;
mod error;
mod pool;

pub use body::{AnswerBody, Outgoing};
pub use error::SendError;
pub use pool::{Answer, Pool};
