//! Stand-in servers that answer with given bytes. Until then they say that no model is loaded.

use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use upright::ollama::BaseUrl;

/// The end of a connection after its last piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The server closes it.
    Close,
    /// The server waits for the client to close it.
    Hang,
}

/// Answers one request, piece by piece.
#[derive(Debug)]
pub struct Scripted {
    /// Where it listens.
    pub address: BaseUrl,
    request: JoinHandle<String>,
}

impl Scripted {
    /// Listens on a free port. Each piece is a write of its own.
    pub async fn start(pieces: Vec<Vec<u8>>, then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let request = tokio::spawn(async move {
            let (mut stream, request) = asked(&listener).await;
            for piece in pieces {
                if stream.write_all(&piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            if then == Then::Hang {
                let _ = stream.read(&mut [0; 1]).await;
            }
            request
        });
        Self { address, request }
    }

    /// Answers with this status line, no length, and a body in pieces.
    pub async fn body(status: &str, pieces: &[&[u8]], then: Then) -> Self {
        let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n").into_bytes();
        let pieces = pieces.iter().map(|piece| piece.to_vec());
        Self::start([head].into_iter().chain(pieces).collect(), then).await
    }

    /// The request, once it was answered.
    pub async fn request(self) -> String {
        self.request.await.unwrap()
    }
}

async fn asked(listener: &TcpListener) -> (TcpStream, String) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut request = Vec::new();
        while !is_whole(&request) {
            assert!(stream.read_buf(&mut request).await.unwrap() > 0, "the client left");
        }
        let request = String::from_utf8(request).unwrap();
        if !request.starts_with("GET /api/ps ") {
            return (stream, request);
        }
        stream.write_all(answer(200, "", r#"{"models":[]}"#).as_bytes()).await.unwrap();
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |length| length.parse().unwrap());
    body.len() >= length
}

/// An address on which nobody listens.
pub async fn nobody() -> BaseUrl {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap()).parse().unwrap()
}

/// An address that cannot resolve, since a label of its name is too long; no network is asked.
pub fn no_such_name() -> BaseUrl {
    format!("http://{}.invalid:11434", "a".repeat(64)).parse().unwrap()
}

/// Answers one request after the other, each on a connection of its own.
#[derive(Debug)]
pub struct Series {
    /// Where it listens.
    pub address: BaseUrl,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Series {
    /// Listens on a free port.
    pub async fn start(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let requests = Arc::default();
        let log: Arc<Mutex<Vec<String>>> = Arc::clone(&requests);
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, request) = asked(&listener).await;
                log.lock().unwrap().push(request);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { address, requests }
    }

    /// Requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// A whole answer. Each of `headers` ends with a line end.
pub fn answer(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} -\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}
