//! Each feature works, and an absent one is reported.
//!
//! A binary of its own, because it is also built with the feature `tls`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use upright::ollama::{BaseUrl, OllamaClient};

fn client(address: &str) -> Result<OllamaClient, upright::ollama::SetupError> {
    OllamaClient::new(address.parse::<BaseUrl>().unwrap())
}

#[test]
fn an_http_address_needs_no_feature() {
    assert!(client("http://example.org").is_ok());
}

#[cfg(not(feature = "tls"))]
#[test]
fn without_tls_an_https_address_is_refused_with_a_reason_and_never_spoken_to_in_the_clear() {
    let text = client("https://example.org").unwrap_err().to_string();
    assert!(text.contains("https://example.org") && text.contains("feature `tls`"), "{text}");
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn with_tls_an_https_address_is_spoken_to_in_tls() {
    use tokio::io::AsyncReadExt;

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
    let first_bytes = async {
        let mut connection = listener.accept().await.unwrap().0;
        let mut bytes = [0; 2];
        connection.read_exact(&mut bytes).await.unwrap();
        bytes
    };
    let (answer, bytes) = tokio::join!(client.version(), first_bytes);
    // A TLS handshake record, not the `GE` of a request.
    assert_eq!(bytes, [0x16, 0x03]);
    answer.unwrap_err();
}

#[cfg(feature = "anyhow")]
#[tokio::test]
async fn with_anyhow_the_type_within_its_error_is_kept_and_classified() {
    let retry = upright::RetryStrategy::builder().max_retries(0).build().unwrap();
    let refused = || async { Err::<(), _>(anyhow::Error::from(std::io::Error::from_raw_os_error(111))) };
    let error = retry.execute(refused).await.unwrap_err();
    assert_eq!(error.downcast_ref::<std::io::Error>().unwrap().raw_os_error(), Some(111));
    assert_eq!(error.failure().unwrap().classification.category, upright::ErrorCategory::Connection);

    let blocking = retry.execute_blocking(|| Err::<(), _>(anyhow::Error::from(std::io::Error::from_raw_os_error(111)))).unwrap_err();
    assert!(blocking.downcast_ref::<std::io::Error>().is_some());
}

#[cfg(not(feature = "wasi"))]
#[test]
fn without_wasi_no_policy_can_be_allowed_it_and_the_refusal_names_the_feature() {
    let policy = include_bytes!("../../runtime/policy.wasm");
    let error = upright::policy::PolicyLoader::default().allow_wasi(true).from_bytes(policy).unwrap_err();
    assert!(error.to_string().contains("feature `wasi`"), "{error}");
}
