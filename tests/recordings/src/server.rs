//! A stand-in for Ollama that answers with recordings over real HTTP on loopback.

use crate::Recording;
use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

type Own = dyn Fn(&str, u16) -> Option<String> + Send + Sync;
type Choose = dyn Fn(&str, &Value) -> Option<&'static Recording> + Send + Sync;

/// A server that runs until dropped.
#[derive(Debug)]
pub struct Server {
    address: String,
    stopped: Arc<AtomicBool>,
    requests: Requests,
}

type Requests = Arc<Mutex<Vec<(String, Value)>>>;

impl Server {
    /// Starts a server on a free port.
    ///
    /// # Errors
    /// The system's, if there is no port.
    pub fn start(choose: impl Fn(&str, &Value) -> Option<&'static Recording> + Send + Sync + 'static) -> io::Result<Self> {
        Self::answering(choose, |_, _| None)
    }

    /// Starts a server with documents of its own for paths without a recording.
    fn answering(
        choose: impl Fn(&str, &Value) -> Option<&'static Recording> + Send + Sync + 'static,
        own: impl Fn(&str, u16) -> Option<String> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let own: Arc<Own> = Arc::new(own);
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let (stopped, requests): (Arc<AtomicBool>, Requests) = Default::default();
        let (choose, ends, log): (Arc<Choose>, _, _) = (Arc::new(choose), Arc::clone(&stopped), Arc::clone(&requests));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ends.load(Ordering::SeqCst) {
                    break;
                }
                let (choose, own, log) = (Arc::clone(&choose), Arc::clone(&own), Arc::clone(&log));
                thread::spawn(move || drop(serve(&stream, &*choose, &*own, &log)));
            }
        });
        Ok(Self { address, stopped, requests })
    }

    /// Starts a server that also lists and describes this model, and one that is named after its port: `at-PORT`.
    ///
    /// # Errors
    /// The system's, if there is no port.
    pub fn with_model(
        model: &'static str,
        choose: impl Fn(&str, &Value) -> Option<&'static Recording> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listed = |name: &str| json!({ "name": name, "model": name, "digest": format!("digest of {name}"), "size": 1 });
        Self::answering(choose, move |path, port| match path {
            "/api/tags" | "/api/ps" => Some(json!({ "models": [listed(model), listed(&format!("at-{port}:latest"))] }).to_string()),
            "/api/version" => Some(json!({ "version": "0.33.0" }).to_string()),
            "/api/show" => Some(json!({ "parameters": "" }).to_string()),
            _ => None,
        })
    }

    /// Its port.
    pub fn port(&self) -> &str {
        self.address.rsplit(':').next().unwrap_or_default()
    }

    /// Address for a client.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Paths and bodies of all requests.
    pub fn requests(&self) -> Vec<(String, Value)> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(&self.address));
    }
}

fn serve(stream: &TcpStream, choose: &Choose, own: &Own, log: &Mutex<Vec<(String, Value)>>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let length =
            head.to_ascii_lowercase().lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let (recording, own) = (choose(&path, &body), own(&path, stream.local_addr()?.port()));
        log.lock().unwrap_or_else(PoisonError::into_inner).push((path, body));
        if let (None, Some(own)) = (recording, &own) {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", own.len());
            (&*stream).write_all(&[head.as_bytes(), own.as_bytes()].concat())?;
            continue;
        }
        let Some(recording) = recording else {
            (&*stream).write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")?;
            continue;
        };
        (&*stream).write_all(&recording.answer)?;
        if recording.body().is_none_or(|body| !body.ended) {
            return stream.shutdown(Shutdown::Both);
        }
    }
}
