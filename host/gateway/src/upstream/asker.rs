//! Asks hosts beside the requests, with a connection for each question.

use crate::hosts::host::Host;
use crate::hosts::{Ask, AskError};
use crate::tls::Connector;
use bytes::Bytes;
use http::Request;
use http::uri::PathAndQuery;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::io;
use std::time::Duration;

/// Maximum size of an answer, bytes: a list of some thousand models.
const LONGEST: usize = 16 << 20;

/// Asks hosts over HTTP.
#[derive(Clone, Debug)]
pub struct Asker {
    /// Time limit of connecting.
    pub connect: Duration,
    /// Connects to https addresses.
    pub connector: Connector,
}

impl Ask for Asker {
    async fn get(&self, host: &Host, path: &'static str) -> Result<(u16, Bytes), AskError> {
        let connecting = tokio::time::timeout(self.connect, super::connect(host.peer(), &self.connector));
        let late = || io::Error::from(io::ErrorKind::TimedOut);
        let stream = connecting.await.map_err(|_| late()).and_then(|connected| connected).map_err(AskError::NoConnection)?;
        let no_answer = |error: hyper::Error| AskError::NoAnswer(error.into());
        let (mut sender, connection) = http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.map_err(no_answer)?;
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = super::path_at(host, &PathAndQuery::from_static(path));
        super::set_host(request.headers_mut(), host, None);
        let answer = async {
            let (head, body) = sender.send_request(request).await.map_err(no_answer)?.into_parts();
            let body = Limited::new(body, LONGEST).collect().await.map_err(AskError::NoAnswer)?;
            Ok((head.status.as_u16(), body.to_bytes()))
        };
        tokio::select! {
            answer = answer => answer,
            // The answer is there, or the connection broke before it.
            Err(error) = connection => Err(no_answer(error)),
        }
    }
}
