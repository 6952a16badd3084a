//! A stand-in server: answers one request with given bytes, piece by piece. Until then it says that no model is loaded.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use upright::ollama::BaseUrl;

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Then {
    Close,
    Hang,
}

pub(crate) struct Scripted {
    pub(crate) address: BaseUrl,
    request: JoinHandle<String>,
}

impl Scripted {
    pub(crate) async fn start(pieces: Vec<Vec<u8>>, then: Then) -> Self {
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

    pub(crate) async fn body(status: &str, pieces: &[&[u8]], then: Then) -> Self {
        let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n").into_bytes();
        let pieces = pieces.iter().map(|piece| piece.to_vec());
        Self::start([head].into_iter().chain(pieces).collect(), then).await
    }

    pub(crate) async fn request(self) -> String {
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

pub(crate) async fn ends<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("it waits without end")
}

pub(crate) async fn nobody() -> BaseUrl {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap()).parse().unwrap()
}

/// A name that cannot resolve, since its label is too long; no network is asked.
pub(crate) fn no_such_name() -> BaseUrl {
    format!("http://{}.invalid:11434", "a".repeat(64)).parse().unwrap()
}

pub(crate) struct Series {
    pub(crate) address: BaseUrl,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Series {
    pub(crate) async fn start(answers: Vec<String>) -> Self {
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

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

pub(crate) fn answer(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} -\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}
