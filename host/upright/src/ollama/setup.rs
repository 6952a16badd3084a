//! Errors of making a client.

use crate::error::ConfigurationError;

/// Client setup error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The address needs TLS.
    #[error("the address {address} needs TLS, which this build does not have: build with the feature `tls`, or use an http address")]
    TlsNotBuilt {
        /// The address.
        address: String,
    },
    /// The HTTP client refused its settings.
    #[error("the HTTP client cannot be set up: {0}")]
    Http(#[source] reqwest::Error),
    /// A setting cannot be used.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
}

#[cfg(feature = "tls")]
pub(super) fn is_tls(error: &reqwest::Error) -> bool {
    use std::error::Error;
    let first: &(dyn Error + 'static) = error;
    std::iter::successors(Some(first), |link| (*link).source()).any(|link| {
        let wrapped = link.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        link.is::<rustls::Error>() || wrapped.is_some_and(|inner| inner.is::<rustls::Error>())
    })
}

#[cfg(not(feature = "tls"))]
pub(super) fn is_tls(_: &reqwest::Error) -> bool {
    false
}
