//! TLS by rustls with ring.

use super::{CERTIFICATE, Connection};
use crate::config::{Address, KeyPath, SettingError};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::fmt::Display;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

const KEY: &str = "listen.tls_key";

/// The protocol within TLS, as ALPN names it.
const PROTOCOL: &[u8] = b"http/1.1";

/// Accepts clients by TLS.
#[derive(Clone, Debug)]
pub(crate) struct Acceptor(Arc<ServerConfig>);

impl Acceptor {
    /// Reads the files of a certificate with its chain, and of its key.
    pub(crate) fn read(certificate: &Path, key: &Path) -> Result<Self, SettingError> {
        // A file without a certificate is an error, and an empty list would not be one.
        let chain = |text: &[u8]| CertificateDer::from_pem_slice(text).and_then(|_| CertificateDer::pem_slice_iter(text).collect());
        let certificates: Vec<CertificateDer<'static>> = sections(CERTIFICATE, certificate, "a certificate in PEM, then its chain", chain)?;
        let expected = "a private key in PEM, without a passphrase";
        let private: PrivateKeyDer<'static> = sections(KEY, key, expected, PrivateKeyDer::from_pem_slice)?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, private));
        let mut config = config.map_err(|error| {
            SettingError::new(
                KeyPath::of(KEY),
                format_args!("{} for the certificate in {}: {error}", key.display(), certificate.display()),
                "the key of this certificate",
                "Name the two files that were made together",
            )
        })?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Self(Arc::new(config)))
    }

    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<Box<dyn Connection>> {
        let stream = TlsAcceptor::from(Arc::clone(&self.0)).accept(stream).await?;
        Ok(Box::new(TlsStream::Server(stream)))
    }
}

/// Reads PEM sections of a file.
fn sections<T>(setting: &str, file: &Path, expected: &str, read: impl FnOnce(&[u8]) -> Result<T, pem::Error>) -> Result<T, SettingError> {
    let wrong = |reason: &dyn Display| {
        let next_step = "Correct the path or the file, and check who may read it";
        SettingError::new(KeyPath::of(setting), format_args!("{}: {reason}", file.display()), expected, next_step)
    };
    let text = std::fs::read(file).map_err(|error| wrong(&error))?;
    read(&text).map_err(|error| match error {
        pem::Error::NoItemsFound => wrong(&"no such section"),
        _ => wrong(&"a damaged section"),
    })
}

/// Connects to hosts by TLS. Clones trust the same certificates.
#[derive(Clone, Debug, Default)]
pub struct Connector(Arc<OnceLock<Arc<ClientConfig>>>);

impl Connector {
    /// Trusts these certificates alone.
    ///
    /// # Errors
    /// rustls does not accept its own settings.
    pub fn trusting(roots: RootCertStore) -> Result<Self, rustls::Error> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Self(Arc::new(OnceLock::from(Arc::new(config)))))
    }

    /// Trusts the certificates that this machine trusts, unless it trusts some already.
    pub(crate) fn prepare(&self, path: KeyPath, url: &Address) -> Result<(), SettingError> {
        if self.0.get().is_some() {
            return Ok(());
        }
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (usable, _) = roots.add_parsable_certificates(found.certs);
        let trusting = match found.errors.first() {
            _ if usable > 0 => Self::trusting(roots).map_err(|error| error.to_string()),
            Some(error) => Err(error.to_string()),
            None => Err("there is none".to_owned()),
        };
        let trusting = trusting.map_err(|reason| {
            let found = format!("{url}, and no certificate that this machine trusts: {reason}");
            let next_step = "Install them, as with the package `ca-certificates`, or name a file in SSL_CERT_FILE";
            SettingError::new(path, found, "certificates of authorities in PEM", next_step)
        })?;
        if let Some(config) = trusting.0.get() {
            // A clone may have been prepared meanwhile.
            let _ = self.0.set(Arc::clone(config));
        }
        Ok(())
    }

    pub(crate) async fn connect(&self, name: &str, stream: TcpStream) -> io::Result<Box<dyn Connection>> {
        let name = ServerName::try_from(name.to_owned()).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let config = self.0.get().ok_or_else(|| io::Error::other("the certificates that this machine trusts were not read"))?;
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
        Ok(Box::new(TlsStream::Client(stream)))
    }
}

impl Connection for TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
