//! Tests every reader against real and hostile errors.

use super::*;
use crate::error::{AttemptTimeout, CircuitOpen, Failure, RejectedResult, Rejection};
use crate::store::StoreError;
use crate::types::{Endpoint, Reason};
use std::fmt;
use std::io::{self, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use upright_logic::types::MESSAGE_LIMIT;

fn closed() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn answering(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        // Unread input would reset the connection.
        let mut request = [0; 4096];
        let _ = connection.read(&mut request);
        let _ = connection.write_all(answer);
    });
    format!("http://{address}")
}

fn client() -> reqwest::Client {
    #[cfg(feature = "tls")]
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

async fn failed(request: reqwest::RequestBuilder) -> reqwest::Error {
    match request.send().await.and_then(reqwest::Response::error_for_status) {
        Ok(response) => response.json::<serde_json::Value>().await.unwrap_err(),
        Err(error) => error,
    }
}

fn kind(error: &(dyn Error + 'static)) -> FaultKind {
    fault_of(error).kind
}

#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct Context {
    what: &'static str,
    #[source]
    cause: BoxError,
}

fn within(what: &'static str, cause: impl Into<BoxError>) -> Context {
    Context { what, cause: cause.into() }
}

#[test]
fn a_refused_connection_is_recognized_by_its_error_number() {
    let error = TcpStream::connect(closed()).unwrap_err();
    let fault = fault_of(&error);
    assert_eq!(fault.kind, FaultKind::ConnectionRefused);
    assert_eq!(fault.errno, Some(111));
    assert!(fault.message.contains("refused"), "{}", fault.message);
}

#[test]
fn a_missing_file_is_recognized_by_its_error_number() {
    let fault = fault_of(&std::fs::read("no such file").unwrap_err());
    assert_eq!((fault.kind, fault.errno), (FaultKind::NotFound, Some(2)));
}

#[test]
fn kinds_of_io_errors_without_a_number_are_recognized() {
    let kinds = [
        (io::ErrorKind::ConnectionAborted, FaultKind::ConnectionReset),
        (io::ErrorKind::BrokenPipe, FaultKind::ConnectionReset),
        (io::ErrorKind::UnexpectedEof, FaultKind::ConnectionReset),
        (io::ErrorKind::HostUnreachable, FaultKind::Unreachable),
        (io::ErrorKind::TimedOut, FaultKind::Timeout),
        (io::ErrorKind::StorageFull, FaultKind::DiskFull),
        (io::ErrorKind::OutOfMemory, FaultKind::OutOfMemory),
        (io::ErrorKind::PermissionDenied, FaultKind::PermissionDenied),
        (io::ErrorKind::InvalidData, FaultKind::InvalidAnswer),
        (io::ErrorKind::AlreadyExists, FaultKind::Other),
    ];
    for (given, expected) in kinds {
        assert_eq!(kind(&io::Error::from(given)), expected, "{given:?}");
    }
}

#[test]
fn error_numbers_that_earlier_classifiers_missed_are_recognized() {
    for (errno, expected) in
        [(28, FaultKind::DiskFull), (24, FaultKind::TooManyOpenFiles), (12, FaultKind::OutOfMemory), (113, FaultKind::Unreachable)]
    {
        assert_eq!(kind(&io::Error::from_raw_os_error(errno)), expected, "{errno}");
    }
}

#[test]
fn a_name_that_does_not_resolve_is_recognized() {
    use std::net::ToSocketAddrs;
    let error = ("nonexistent.invalid", 1).to_socket_addrs().unwrap_err();
    assert_eq!(kind(&error), FaultKind::Dns, "{error:?}");
    assert_eq!(kind(&within("dns error", "the resolver gave up")), FaultKind::Other, "text alone is left to the policy");
}

#[tokio::test]
async fn an_http_clients_failures_to_connect_are_distinguished() {
    let refused = fault_of(&failed(client().post(format!("http://{}/api/chat", closed()))).await);
    assert_eq!((refused.kind, refused.errno, refused.endpoint), (FaultKind::ConnectionRefused, Some(111), Endpoint::Chat));
    let unresolved = fault_of(&failed(client().get("http://nonexistent.invalid:11434/v1/models")).await);
    assert_eq!((unresolved.kind, unresolved.endpoint), (FaultKind::Dns, Endpoint::Openai), "{}", unresolved.message);
}

#[tokio::test]
async fn an_http_clients_timeout_is_recognized() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/ollama/api/generate/", silent.local_addr().unwrap());
    let fault = fault_of(&failed(client().post(url).timeout(Duration::from_millis(20))).await);
    assert_eq!((fault.kind, fault.endpoint), (FaultKind::Timeout, Endpoint::Generate));
}

#[tokio::test]
async fn a_status_is_recognized_whatever_the_text_says() {
    let url = answering(b"HTTP/1.1 503 404 Not Found\r\ncontent-length: 0\r\n\r\n");
    let error = within("user_404 not found", failed(client().get(url + "/api/tags")).await);
    let fault = fault_of(&error);
    assert_eq!((fault.kind, fault.status, fault.endpoint), (FaultKind::HttpStatus, Some(503), Endpoint::Tags));
    assert!(fault.message.starts_with("user_404 not found: HTTP status server error"), "{}", fault.message);
}

#[tokio::test]
async fn a_connection_that_ends_before_or_within_an_answer_is_recognized() {
    for answer in [&b""[..], b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"model\""] {
        let error = failed(client().get(answering(answer) + "/api/ps")).await;
        assert_eq!(kind(&error), FaultKind::ConnectionReset, "{error:?}");
    }
}

#[tokio::test]
async fn an_answer_in_an_unexpected_format_is_recognized() {
    for answer in [&b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>"[..], b"SSH-2.0-OpenSSH_9.6\r\n"] {
        let error = failed(client().get(answering(answer))).await;
        assert_eq!(kind(&error), FaultKind::InvalidAnswer, "{error:?}");
    }
    assert_eq!(kind(&failed(client().get("not a url")).await), FaultKind::InvalidInput);
}

#[tokio::test]
async fn an_elapsed_timer_an_aborted_task_and_a_panicked_task_become_faults() {
    let elapsed = tokio::time::timeout(Duration::ZERO, std::future::pending::<()>()).await.unwrap_err();
    assert_eq!(kind(&elapsed), FaultKind::Timeout);
    let task = tokio::spawn(std::future::pending::<()>());
    task.abort();
    assert_eq!(kind(&task.await.unwrap_err()), FaultKind::Cancelled);
    let panicked = tokio::spawn(async { panic!("for a test") }).await.unwrap_err();
    assert_eq!(kind(&panicked), FaultKind::Panicked);
}

#[test]
fn mistakes_in_the_input_are_reported() {
    let errors: [BoxError; 8] = [
        serde_json::from_str::<u8>("{").unwrap_err().into(),
        "x".parse::<u8>().unwrap_err().into(),
        "x".parse::<f32>().unwrap_err().into(),
        "x".parse::<bool>().unwrap_err().into(),
        "x".parse::<std::net::IpAddr>().unwrap_err().into(),
        String::from_utf8(vec![0xff]).unwrap_err().into(),
        std::str::from_utf8(&"ü".as_bytes()[..1]).unwrap_err().into(),
        u8::try_from(300_u16).unwrap_err().into(),
    ];
    for error in errors {
        assert_eq!(fault_of_boxed(&error).kind, FaultKind::InvalidInput, "{error:?}");
    }
}

#[test]
fn what_reads_json_from_a_broken_connection_is_not_the_callers_mistake() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(104))
        }
    }
    assert_eq!(kind(&serde_json::from_reader::<_, u8>(Broken).unwrap_err()), FaultKind::ConnectionReset);
}

#[test]
fn a_failed_allocation_is_recognized() {
    assert_eq!(kind(&Vec::<u8>::new().try_reserve(usize::MAX).unwrap_err()), FaultKind::OutOfMemory);
}

fn open(rejection: Rejection) -> CircuitOpen {
    CircuitOpen { breaker: "ollama".into(), rejection }
}

fn failure(source: impl Into<BoxError>) -> Box<Failure> {
    let classification = upright_logic::classifier::classify(&Fault::new(FaultKind::Other, ""));
    Box::new(Failure { attempts: 4, reason: Reason::AttemptsExhausted, classification, elapsed: Duration::ZERO, source: source.into() })
}

#[test]
fn this_crates_own_errors_are_recognized_by_their_types() {
    assert_eq!(kind(&AttemptTimeout { limit: Duration::from_secs(1) }), FaultKind::Timeout);
    assert_eq!(kind(&RejectedResult), FaultKind::RejectedResult);
    let left = fault_of(&crate::Error::from(open(Rejection::Open { time_left: Duration::from_millis(1500) })));
    assert_eq!((left.kind, left.retry_after), (FaultKind::CircuitOpen, Some(1.5)));
    assert_eq!(fault_of(&open(Rejection::Isolated)).retry_after, None);
    assert_eq!(kind(&crate::Error::ShuttingDown), FaultKind::Cancelled);
    let invalid = fault_of(&crate::Error::from(StoreError::KeyInvalid { key: String::new(), length: 0 }));
    assert_eq!((invalid.kind, invalid.endpoint), (FaultKind::InvalidInput, Endpoint::Store));
    let unavailable = StoreError::Unavailable { store: "database", source: io::Error::from_raw_os_error(28).into() };
    let unavailable = fault_of(&unavailable);
    assert_eq!((unavailable.kind, unavailable.endpoint), (FaultKind::DiskFull, Endpoint::Store));
}

#[test]
fn a_failure_of_the_file_store_is_recognised_by_its_error_case() {
    let path = || "state.db".into();
    let full = StoreError::Full { path: path(), source: io::Error::from_raw_os_error(27).into() };
    let not_writable = StoreError::NotWritable { path: path(), source: "read-only".into() };
    let damaged = StoreError::Damaged { path: path(), source: "cut short".into() };
    for (error, kind) in [
        (full, FaultKind::DiskFull),
        (not_writable, FaultKind::PermissionDenied),
        (damaged, FaultKind::InvalidAnswer),
        (StoreError::Newer { path: path(), found: 2, known: 1 }, FaultKind::InvalidAnswer),
        (StoreError::NotAStore { path: path(), found: "a text".into() }, FaultKind::InvalidAnswer),
        (StoreError::NetworkFileSystem { path: path(), file_system: "NFS" }, FaultKind::InvalidInput),
        (StoreError::Forked { path: path() }, FaultKind::Other),
        (StoreError::Closed, FaultKind::Cancelled),
    ] {
        let fault = fault_of(&error);
        assert_eq!((fault.kind, fault.endpoint), (kind, Endpoint::Store), "{error}");
    }
}

#[test]
fn the_fault_of_a_guarded_call_is_that_of_its_operation() {
    let failed = crate::Error::Failed(failure(io::Error::from_raw_os_error(104)));
    let fault = fault_of(&failed);
    assert_eq!((fault.kind, fault.errno), (FaultKind::ConnectionReset, Some(104)));
    assert_eq!(fault.message.matches("Connection reset").count(), 1, "{}", fault.message);
    let both = crate::Error::FallbackFailed {
        fallback: RejectedResult.into(),
        first: Box::new(crate::Error::Failed(failure(io::Error::from_raw_os_error(111)))),
    };
    assert_eq!(kind(&both), FaultKind::ConnectionRefused);
}

#[test]
fn a_cause_deep_in_the_chain_is_found() {
    let error = within("the answer", within("the agent", within("the tool", io::Error::from_raw_os_error(111))));
    let fault = fault_of(&error);
    assert_eq!((fault.kind, fault.errno), (FaultKind::ConnectionRefused, Some(111)));
    assert_eq!(fault.message, "the answer: the agent: the tool: Connection refused (os error 111)");
}

#[test]
fn an_error_within_an_io_error_is_found() {
    let wrapped = io::Error::other(within("reading", AttemptTimeout { limit: Duration::ZERO }));
    assert_eq!(kind(&wrapped), FaultKind::Timeout);
    assert_eq!(kind(&io::Error::other(AttemptTimeout { limit: Duration::ZERO })), FaultKind::Timeout);
}

#[test]
fn an_error_that_is_shared_or_boxed_in_the_chain_is_found() {
    assert_eq!(kind(&within("shared", Arc::new(io::Error::from_raw_os_error(111)))), FaultKind::ConnectionRefused);
    assert_eq!(kind(&within("boxed", Box::new(Box::new(AttemptTimeout { limit: Duration::ZERO })) as BoxError)), FaultKind::Timeout);
}

#[test]
fn a_specific_cause_wins_over_a_general_one_and_the_outermost_of_equal_ones() {
    let parse = "x".parse::<u8>().unwrap_err();
    assert_eq!(kind(&io::Error::new(io::ErrorKind::TimedOut, parse)), FaultKind::Timeout);
    let specific = within("outer", io::Error::new(io::ErrorKind::InvalidData, io::Error::from_raw_os_error(104)));
    assert_eq!(kind(&specific), FaultKind::ConnectionReset);
    let equal = io::Error::new(io::ErrorKind::PermissionDenied, io::Error::from_raw_os_error(2));
    assert_eq!(kind(&equal), FaultKind::PermissionDenied);
}

#[test]
fn texts_without_facts_are_left_to_the_policy() {
    for error in [BoxError::from("rate limit exceeded"), String::from("rate limit exceeded").into_boxed()] {
        let fault = fault_of_boxed(&error);
        assert_eq!((fault.kind, fault.message.as_str()), (FaultKind::Other, "rate limit exceeded"));
        assert_eq!(upright_logic::classifier::classify(&fault).rule, "rate-limited-text");
    }
}

#[test]
fn boxing_keeps_the_type() {
    assert!(io::Error::from_raw_os_error(2).into_boxed().is::<io::Error>());
    assert!(BoxError::from(RejectedResult).into_boxed().is::<RejectedResult>());
    assert_eq!("text".into_boxed().to_string(), "text");
}

#[cfg(feature = "anyhow")]
#[test]
fn an_anyhow_error_keeps_its_type_its_causes_and_its_contexts() {
    use anyhow::Context as _;
    let plain = anyhow::Error::new(io::Error::from_raw_os_error(13)).into_boxed();
    assert_eq!(plain.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error), Some(13));
    let deep: io::Result<()> = Err(io::Error::from_raw_os_error(111));
    let deep = deep.context("connecting").context("asking the model").context("answering").unwrap_err().into_boxed();
    let fault = fault_of_boxed(&deep);
    assert_eq!((fault.kind, fault.errno), (FaultKind::ConnectionRefused, Some(111)));
    assert_eq!(fault.message, "answering: asking the model: connecting: Connection refused (os error 111)");
}

type Speech = fn(&mut fmt::Formatter<'_>) -> fmt::Result;

struct Speaking(Speech);

impl fmt::Debug for Speaking {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Speaking")
    }
}

impl fmt::Display for Speaking {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)(formatter)
    }
}

impl Error for Speaking {}

#[test]
fn an_error_whose_display_fails_or_panics_still_becomes_a_fault() {
    let cases: [(Speech, &str); 3] = [
        (|_| Err(fmt::Error), "outer: (this error cannot say what it is)"),
        (|_| panic!("for a test"), "outer: (this error cannot say what it is)"),
        (|formatter| formatter.write_str("half").and(Err(fmt::Error)), "outer: half (this error cannot say what it is)"),
    ];
    for (text, expected) in cases {
        assert_eq!(fault_of(&within("outer", Speaking(text))).message, expected);
    }
    let with_facts = io::Error::new(io::ErrorKind::TimedOut, Speaking(|_| panic!("for a test")));
    assert_eq!(kind(&with_facts), FaultKind::Timeout);
}

#[test]
fn a_fault_keeps_the_beginning_and_the_end_of_a_long_error_text() {
    let whole = Speaking(|formatter| {
        formatter.write_str("begins ")?;
        (0..1 << 18).try_for_each(|_| formatter.write_str("ü…x"))?;
        formatter.write_str(" out of memory")
    });
    for error in [BoxError::from(whole), format!("begins {} out of memory", "ü…x".repeat(1 << 18)).into()] {
        let message = fault_of(&within("outer", within("middle", error))).message;
        assert!(message.len() <= MESSAGE_LIMIT && message.len() > MESSAGE_LIMIT - 16, "{}", message.len());
        assert!(message.starts_with("outer: middle: begins ü…x"));
        assert!(message.ends_with("ü…x out of memory"));
    }
}

#[test]
fn a_cause_after_a_long_text_is_kept_and_a_text_within_the_limit_is_whole() {
    let cause = io::Error::from_raw_os_error(111);
    let long: &'static str = "y".repeat(1 << 20).leak();
    let message = fault_of(&within(long, cause)).message;
    assert!(message.ends_with(": Connection refused (os error 111)") && message.len() <= MESSAGE_LIMIT);
    for length in [MESSAGE_LIMIT - 1, MESSAGE_LIMIT] {
        let exact = "ab".repeat(MESSAGE_LIMIT)[..length].to_owned();
        assert_eq!(fault_of_boxed(&exact.clone().into()).message, exact);
    }
    let longer = "z".repeat(MESSAGE_LIMIT + 1);
    assert!(fault_of_boxed(&longer.into()).message.contains(" … "));
}

#[derive(Debug)]
struct Bitten;

impl fmt::Display for Bitten {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("bites its tail")
    }
}

impl Error for Bitten {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self)
    }
}

#[test]
fn a_cyclic_chain_of_causes_is_read_to_an_end() {
    assert_eq!(fault_of(&Bitten).message, "bites its tail");
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_failed_tls_handshake_is_recognized() {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let trusting_nobody = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let settings = trusting_nobody.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    let client = reqwest::Client::builder().no_proxy().use_preconfigured_tls(settings).build().unwrap();
    let url = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n").replace("http:", "https:");
    let error = failed(client.get(url)).await;
    assert_eq!(kind(&error), FaultKind::Tls, "{error:?}");
}

#[test]
fn an_ollama_error_is_taken_whole_and_its_context_stays() {
    let error = upright_protocol::OllamaError::Timeout {
        endpoint: Endpoint::Chat,
        timeout: upright_protocol::Timeout::Load,
        limit: Duration::from_secs(1),
    };
    let own = error.fault();
    let fault = fault_of(&within("asking", error));
    assert_eq!((fault.kind, fault.status, fault.endpoint), (own.kind, own.status, own.endpoint));
    assert_eq!(fault.message, format!("asking: {}", own.message));
}
