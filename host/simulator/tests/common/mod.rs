//! A client that keeps every byte of an answer, and how the connection ended.

use serde_json::{Value, json};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use upright_simulator::FaultServer;

pub(crate) struct Raw {
    pub(crate) text: String,
    /// An error is a reset; otherwise the server sent FIN.
    pub(crate) end: io::Result<()>,
}

impl Raw {
    pub(crate) fn is_whole(&self) -> bool {
        self.end.is_ok() && self.text.ends_with("\r\n0\r\n\r\n")
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        self.text.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect()
    }
}

pub(crate) async fn send(server: &FaultServer, method: &str, path: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

pub(crate) async fn read(mut stream: TcpStream) -> Raw {
    let mut bytes = Vec::new();
    let end = within(stream.read_to_end(&mut bytes)).await.map(drop);
    Raw { text: String::from_utf8(bytes).unwrap(), end }
}

pub(crate) fn body(model: &str, stream: bool) -> String {
    json!({"model": model, "stream": stream, "prompt": "one two three", "input": "one two three",
        "messages": [{"role": "user", "content": "one two three"}]})
    .to_string()
}

pub(crate) async fn ask(server: &FaultServer, path: &str, model: &str, stream: bool) -> Raw {
    read(send(server, "POST", path, &body(model, stream)).await).await
}

pub(crate) async fn read_tokens(stream: &mut TcpStream, tokens: usize) -> String {
    let mut text = String::new();
    while text.matches("\"done\":false").count() < tokens {
        let mut buffer = [0; 1024];
        let length = within(stream.read(&mut buffer)).await.unwrap();
        assert_ne!(length, 0, "ended after: {text}");
        text.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
    }
    text
}

/// A hanging test should say where; nothing here takes long.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("this should have happened by now")
}
