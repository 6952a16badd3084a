//! Connections to the hosts. Each worker thread has its own, so that none is shared between threads.

mod asker;
mod body;
mod error;
mod pool;
mod sips;

pub use asker::Asker;
pub use body::{AnswerBody, Outgoing};
pub use error::SendError;
pub use pool::{Answer, Pool};

pub use crate::hosts::peer::Peer;

use crate::hosts::host::Host;
use crate::tls::{Connection, Connector};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Uri, header};
use std::io;
use tokio::net::TcpStream;

async fn connect(peer: &Peer, connector: &Connector) -> io::Result<Box<dyn Connection>> {
    let stream = TcpStream::connect(peer.address()).await?;
    // Only latency suffers without it.
    let _ = stream.set_nodelay(true);
    if peer.is_secure() { connector.connect(peer.name(), stream).await } else { Ok(Box::new(stream)) }
}

/// Sets the headers that a host has of its own: `Host` and `Authorization`. `client` is the client's `Authorization`.
pub(crate) fn set_host(headers: &mut HeaderMap, host: &Host, client: Option<&HeaderValue>) {
    headers.insert(header::HOST, host.authority().clone());
    if let Some(value) = host.settings().credentials.authorization(client) {
        headers.insert(header::AUTHORIZATION, value.clone());
    }
}

/// A path of the host, below the path of its address.
pub(crate) fn path_at(host: &Host, path: &PathAndQuery) -> Uri {
    let below = host.settings().url.path().trim_end_matches('/');
    if below.is_empty() {
        return path.clone().into();
    }
    format!("{below}{path}").parse().unwrap_or_else(|_| Uri::from_static("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Upstream};
    use crate::hosts::Hosts;
    use upright_core::PolicySlot;
    use upright_core::clock::SystemClock;
    use upright_test_kit::folder::Folder;

    #[test]
    fn a_host_gets_its_api_key_or_the_clients_authorization_only_as_configured() {
        let folder = Folder::new("authorization");
        let key = || Some(folder.write("key", "own"));
        let client = HeaderValue::from_static("Bearer client");
        for (forward_auth, api_key_file, client, sent) in [
            (false, None, Some(&client), None),
            (true, None, Some(&client), Some("Bearer client")),
            (true, None, None, None),
            (false, key(), Some(&client), Some("Bearer own")),
            // As a probe asks.
            (false, key(), None, Some("Bearer own")),
        ] {
            let upstream = Upstream { forward_auth, api_key_file, ..Upstream::default() };
            let config = Config { upstreams: vec![upstream], ..Config::default() };
            let hosts = Hosts::new(&config, &PolicySlot::native(), SystemClock::shared(), None).unwrap();
            let mut headers = HeaderMap::new();
            set_host(&mut headers, &hosts.all()[0], client);
            assert_eq!(headers[header::HOST], "127.0.0.1:11434");
            assert_eq!(headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap()), sent, "{config:?}");
        }
    }
}
