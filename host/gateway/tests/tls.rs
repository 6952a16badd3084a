//! TLS of the gateway works, and a build without it refuses the settings that need it.
//!
//! A binary of its own, because it is also built with the feature `tls`.
//!
//! `data` holds two certificates that sign themselves, for `localhost` alone and until 2120: `localhost.crt` with
//! `localhost.key`, and `renewed.crt` with `other.key`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use upright_core::PolicySlot;
use upright_gateway::config::Config;
use upright_gateway::serve::{Gateway, StartError, StartOptions};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");

fn files(certificate: &str, key: &str) -> String {
    format!("tls_certificate = '{DATA}/{certificate}'\ntls_key = '{DATA}/{key}'")
}

/// A configuration with this upstream, and with these settings of the listener.
fn config(upstream: &str, listen: &str) -> Config {
    let text = format!("[listen]\naddress = '127.0.0.1:0'\n{listen}\n[[upstream]]\nurl = '{upstream}'\n");
    Config::parse(&text, "test.toml").unwrap()
}

/// Starts a gateway before this upstream, with these settings of its listener.
fn start(upstream: &str, listen: &str) -> Result<Gateway, StartError> {
    Gateway::start(config(upstream, listen), PolicySlot::native(), StartOptions { workers: 1, ..StartOptions::default() })
}

#[cfg(not(feature = "tls"))]
#[test]
fn a_build_without_tls_refuses_a_setting_that_needs_it_and_names_the_feature() {
    for (upstream, listen, setting) in [
        ("https://example.org", String::new(), "upstream[0].url: found https://example.org; "),
        ("http://127.0.0.1:1", files("localhost.crt", "localhost.key"), "listen.tls_certificate: found "),
    ] {
        let text = start(upstream, &listen).unwrap_err().to_string();
        assert!(text.starts_with(setting) && text.contains("feature `tls`"), "{text}");
    }
}

#[cfg(feature = "tls")]
mod with {
    use super::{DATA, config, files, start};
    use bytes::Bytes;
    use http::Request;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, RootCertStore};
    use std::rc::Rc;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::task::LocalSet;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;
    use upright_core::types::{Endpoint, FaultKind};
    use upright_gateway::serve::Gateway;
    use upright_gateway::tls::Connector;
    use upright_gateway::upstream::{Outgoing, Peer, Pool};
    use upright_recordings::named;
    use upright_recordings::server::Server;
    use upright_test_kit::folder::Folder;

    /// A host that nobody asks.
    const NO_HOST: &str = "http://127.0.0.1:1";

    fn secure(upstream: &str) -> Gateway {
        start(upstream, &files("localhost.crt", "localhost.key")).unwrap()
    }

    fn trusting(certificate: &str) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(format!("{DATA}/{certificate}")).unwrap()).unwrap();
        roots
    }

    fn trusted() -> RootCertStore {
        trusting("localhost.crt")
    }

    async fn connected(gateway: &Gateway) -> TlsStream<TcpStream> {
        connected_by(gateway, trusted()).await.unwrap()
    }

    async fn connected_by(gateway: &Gateway, roots: RootCertStore) -> std::io::Result<TlsStream<TcpStream>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let stream = TcpStream::connect(gateway.address()).await.unwrap();
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
    }

    /// Reads the body of `/healthz` on a connection that stays open.
    async fn healthy(client: &mut TlsStream<TcpStream>) {
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok") {
            answer.push(client.read_u8().await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_client_by_tls_gets_a_whole_answer_with_an_end_and_a_cut_answer_without() {
        for (recording, whole) in [("plain-longer", true), ("cut", false)] {
            let host = Server::start(move |path, _| (path == "/api/chat").then(|| named(recording))).unwrap();
            let gateway = secure(&host.url());
            for version in ["1.0", "1.1"] {
                let mut client = connected(&gateway).await;
                assert_eq!(client.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
                let body = r#"{"model":"m","messages":[{"role":"user","content":"Hello?"}]}"#;
                let head = format!("POST /api/chat HTTP/{version}\r\nhost: localhost\r\nconnection: close\r\n");
                let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
                client.write_all(request.as_bytes()).await.unwrap();
                let mut answer = Vec::new();
                let ended = client.read_to_end(&mut answer).await;
                let answer = String::from_utf8_lossy(&answer);
                assert_eq!(ended.is_ok(), whole, "{recording}, HTTP/{version}: {ended:?} {answer}");
                if whole {
                    assert!(answer.starts_with(&format!("HTTP/{version} 200 OK")) && answer.contains(r#""done":true"#), "{answer}");
                }
            }
        }
    }

    #[tokio::test]
    async fn a_client_that_does_not_begin_its_handshake_is_disconnected_after_the_time_for_a_head() {
        let gateway = start(NO_HOST, &format!("{}\nhead_time = 0.1", files("localhost.crt", "localhost.key"))).unwrap();
        let mut client = TcpStream::connect(gateway.address()).await.unwrap();
        let read = tokio::time::timeout(Duration::from_secs(60), client.read(&mut [0])).await;
        assert_eq!(read.unwrap().unwrap(), 0);
    }

    #[test]
    fn files_that_are_no_certificate_with_its_key_are_refused_with_setting_file_and_next_step() {
        for (certificate, key, setting, reason) in [
            ("absent.crt", "localhost.key", "listen.tls_certificate", "data/absent.crt: "),
            ("localhost.key", "localhost.key", "listen.tls_certificate", "data/localhost.key: no such section"),
            ("damaged.crt", "localhost.key", "listen.tls_certificate", "data/damaged.crt: a damaged section"),
            ("localhost.crt", "absent.key", "listen.tls_key", "data/absent.key: "),
            ("localhost.crt", "localhost.crt", "listen.tls_key", "data/localhost.crt: no such section"),
            ("localhost.crt", "other.key", "listen.tls_key", "data/other.key for the certificate in "),
        ] {
            let text = start(NO_HOST, &files(certificate, key)).unwrap_err().to_string();
            assert!(text.starts_with(&format!("{setting}: found ")) && text.contains(reason), "{text}");
            assert!(["Correct the path", "Name the two files"].iter().any(|next_step| text.contains(next_step)), "{text}");
        }
    }

    #[tokio::test]
    async fn a_renewed_certificate_is_taken_up_by_a_reload_and_a_bad_one_is_not_and_connections_stay() {
        let folder = Folder::new("tls-renewed");
        let put = |certificate: &str, key: &str| {
            for (name, from) in [("tls.crt", certificate), ("tls.key", key)] {
                std::fs::copy(format!("{DATA}/{from}"), folder.path(name)).unwrap();
            }
        };
        put("localhost.crt", "localhost.key");
        let listen = format!("tls_certificate = '{}'\ntls_key = '{}'", folder.text("tls.crt"), folder.text("tls.key"));
        let gateway = start(NO_HOST, &listen).unwrap();
        let same = config(NO_HOST, &listen);
        let mut old = connected(&gateway).await;
        let (begun, rest) = ("GET /healthz HTTP/1.1\r\nhost: lo", "calhost\r\n\r\n");
        old.write_all(begun.as_bytes()).await.unwrap();

        put("renewed.crt", "other.key");
        assert_eq!(gateway.reload(&same).unwrap(), [""; 0]);
        old.write_all(rest.as_bytes()).await.unwrap();
        healthy(&mut old).await;
        assert!(connected_by(&gateway, trusted()).await.is_err());

        for (certificate, key) in [("renewed.crt", "localhost.key"), ("damaged.crt", "other.key")] {
            put(certificate, key);
            assert!(gateway.reload(&same).is_err(), "{certificate} {key}");
            let mut new = connected_by(&gateway, trusting("renewed.crt")).await.unwrap();
            for client in [&mut old, &mut new] {
                client.write_all(format!("{begun}{rest}").as_bytes()).await.unwrap();
                healthy(client).await;
            }
        }
    }

    /// A gateway with TLS stands in for the host.
    #[tokio::test]
    async fn an_https_host_is_asked_if_its_certificate_is_trusted_for_its_name_and_is_else_a_fault_of_tls() {
        let host = secure(NO_HOST);
        let ask = async |roots: RootCertStore, name: &str| {
            let pool = Rc::new(Pool::new(Connector::trusting(roots).unwrap()));
            let peer = Peer::of(&format!("https://{name}:{}", host.address().port()).parse().unwrap());
            let request = || Some(Request::get("/healthz").header("host", "localhost").body(Outgoing::from(Bytes::new())).unwrap());
            let answer = pool.send(&peer, Duration::from_secs(60), request).await;
            answer.map(|answer| answer.head.status.as_u16()).map_err(|error| error.fault(Endpoint::Chat).kind)
        };
        let asked = async {
            assert_eq!(ask(trusted(), "localhost").await, Ok(200));
            assert_eq!(ask(RootCertStore::empty(), "localhost").await, Err(FaultKind::Tls));
            assert_eq!(ask(trusted(), "127.0.0.1").await, Err(FaultKind::Tls));
        };
        LocalSet::new().run_until(asked).await;
    }
}
