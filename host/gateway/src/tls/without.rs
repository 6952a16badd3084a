//! Refuses TLS, which this build does not have.

use super::{CERTIFICATE, Connection};
use crate::config::{Address, KeyPath, SettingError};
use std::convert::Infallible;
use std::io;
use std::path::Path;
use tokio::net::TcpStream;

/// Accepts clients by TLS. None exists in this build.
#[derive(Clone, Debug)]
pub(crate) struct Acceptor(Infallible);

impl Acceptor {
    pub(crate) fn read(certificate: &Path, _key: &Path) -> Result<Self, SettingError> {
        Err(SettingError::new(
            KeyPath::of(CERTIFICATE),
            certificate.display(),
            "no certificate, because this build has no TLS",
            "Build with the feature `tls`, or remove tls_certificate and tls_key",
        ))
    }

    pub(crate) async fn accept(&self, _: TcpStream) -> io::Result<Box<dyn Connection>> {
        match self.0 {}
    }
}

/// Connects to hosts by TLS, which this build does not have.
#[derive(Clone, Debug, Default)]
pub struct Connector(());

impl Connector {
    pub(crate) fn prepare(&self, path: KeyPath, url: &Address) -> Result<(), SettingError> {
        let expected = "an http address, because this build has no TLS";
        Err(SettingError::new(path, url, expected, "Build with the feature `tls`, or name an http address"))
    }

    pub(crate) async fn connect(&self, _name: &str, _: TcpStream) -> io::Result<Box<dyn Connection>> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this build has no TLS; build with the feature `tls`"))
    }
}
