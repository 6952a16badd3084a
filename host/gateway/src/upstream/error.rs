//! Why a request did not get an answer's head.

use std::io;
use std::time::Duration;
use upright_core::fault::fault_of;
use upright_core::types::{Endpoint, Fault, FaultKind};

/// Why a request did not get an answer's head.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// No connection.
    #[error("cannot connect to {to}: {source}")]
    Connect {
        /// Address of the host.
        to: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Connecting took too long.
    #[error("connecting to {to} took longer than {:.3} s", limit.as_secs_f64())]
    ConnectTimeout {
        /// Address of the host.
        to: String,
        /// The limit.
        limit: Duration,
    },
    /// The host took the request, and then answered no probe.
    #[error("{to} took the request and answers no probe any more")]
    Dead {
        /// Address of the host.
        to: String,
    },
    /// The exchange broke before the answer's head.
    #[error("{to} ended the exchange before its answer: {source}")]
    Exchange {
        /// Address of the host.
        to: String,
        /// Why.
        #[source]
        source: hyper::Error,
    },
}

impl SendError {
    /// Facts for a policy.
    pub fn fault(&self, endpoint: Endpoint) -> Fault {
        let fault = match self {
            Self::Connect { source, .. } => Fault { message: self.to_string(), ..fault_of(source) },
            Self::ConnectTimeout { .. } => Fault::new(FaultKind::Timeout, self.to_string()),
            Self::Dead { .. } => Fault::new(FaultKind::Unreachable, self.to_string()),
            Self::Exchange { source, .. } => Fault { message: self.to_string(), ..fault_of(source) },
        };
        Fault { endpoint, ..fault }
    }
}
