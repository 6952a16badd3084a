//! A stand-in for a host of models: a test writes its answers in bytes, and sees its questions and its connections.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Method and path.
    pub target: String,
    /// The head, in small letters.
    pub head: String,
    /// The body, of a request with a `Content-Length` or in chunks.
    pub body: Vec<u8>,
    /// Number of the request on its connection, from 1.
    pub number: usize,
}

impl Asked {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Whether it goes to a model.
    pub fn is_question(&self) -> bool {
        self.target.starts_with("POST ") && self.target != "POST /api/show"
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// The connection that an answer goes to. A client that has gone is no error.
#[derive(Debug)]
pub struct Line {
    /// The socket.
    pub stream: TcpStream,
    keeps: bool,
}

impl Line {
    /// Sends these bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Sends a whole answer.
    pub fn whole(&mut self, status: u16, kind: &str, body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        let head = format!("HTTP/1.1 {status} -\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
        self.send([head.as_bytes(), body].concat());
    }

    /// Sends a whole answer of JSON.
    pub fn json(&mut self, status: u16, body: &Value) {
        self.whole(status, "application/json; charset=utf-8", body.to_string());
    }

    /// Sends the head of a stream.
    pub fn head(&mut self, kind: &str) {
        self.send(format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"));
    }

    /// Sends a piece of a stream.
    pub fn piece(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.send([format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat());
    }

    /// Sends a JSON line of a stream.
    pub fn line(&mut self, line: &Value) {
        self.piece(format!("{line}\n"));
    }

    /// Ends a stream properly.
    pub fn end(&mut self) {
        self.send("0\r\n\r\n");
    }

    /// Closes the connection after this answer.
    pub fn close(&mut self) {
        self.keeps = false;
    }

    /// Stays silent for this time, as a host that loads or thinks.
    pub fn silent(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    /// Waits until the client closes the connection.
    pub fn gone(&mut self) {
        while self.stream.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {}
        self.keeps = false;
    }
}

#[derive(Debug, Default)]
struct Shared {
    asked: Mutex<Vec<Asked>>,
    open: AtomicUsize,
    connections: AtomicUsize,
    stopped: AtomicBool,
}

/// A host that runs until dropped.
#[derive(Debug)]
pub struct ModelHost {
    address: SocketAddr,
    shared: Arc<Shared>,
}

type Answer = dyn Fn(&Asked, &mut Line) + Send + Sync;

impl ModelHost {
    /// Starts a host that answers by this function, on a thread for each connection.
    pub fn start(answer: impl Fn(&Asked, &mut Line) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, shared) = (listener.local_addr().unwrap(), Arc::<Shared>::default());
        let (answer, of_thread): (Arc<Answer>, _) = (Arc::new(answer), Arc::clone(&shared));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if of_thread.stopped.load(Ordering::SeqCst) {
                    break;
                }
                of_thread.connections.fetch_add(1, Ordering::SeqCst);
                of_thread.open.fetch_add(1, Ordering::SeqCst);
                let (answer, shared) = (Arc::clone(&answer), Arc::clone(&of_thread));
                std::thread::spawn(move || {
                    serve(stream, &*answer, &shared);
                    shared.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, shared }
    }

    /// Starts an Ollama that has these models, loaded, and answers questions by this function.
    pub fn ollama(models: &'static [&'static str], answer: impl Fn(&Asked, &mut Line) + Send + Sync + 'static) -> Self {
        Self::start(move |asked, line| match asked.target.as_str() {
            "GET /api/version" => line.json(200, &json!({ "version": "0.33.0" })),
            "GET /api/tags" | "GET /api/ps" => line.json(200, &listed(models)),
            "POST /api/show" => line.json(200, &json!({ "parameters": "" })),
            _ => answer(asked, line),
        })
    }

    /// Its address for a client.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its name in the gateway: host and port.
    pub fn name(&self) -> String {
        self.address.to_string()
    }

    /// The questions so far.
    pub fn questions(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().iter().filter(|asked| asked.is_question()).cloned().collect()
    }

    /// Number of requests for this method and path so far.
    pub fn count(&self, target: &str) -> usize {
        self.shared.asked.lock().unwrap().iter().filter(|asked| asked.target == target).count()
    }

    /// Number of open connections.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Number of connections so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for ModelHost {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

/// A list of models, as `/api/tags` and `/api/ps` write it.
pub fn listed(models: &[&str]) -> Value {
    let of =
        |model: &&str| json!({ "name": model, "model": model, "digest": format!("digest of {model}"), "size": 1, "context_length": 4096 });
    json!({ "models": models.iter().map(of).collect::<Vec<_>>() })
}

fn serve(stream: TcpStream, answer: &Answer, shared: &Shared) {
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = Line { stream, keeps: true };
    for number in 1.. {
        let Some(asked) = request(&mut reader, &mut line, number) else { break };
        shared.asked.lock().unwrap().push(asked.clone());
        answer(&asked, &mut line);
        if !line.keeps {
            break;
        }
    }
    let _ = line.stream.shutdown(Shutdown::Both);
}

fn request(reader: &mut BufReader<TcpStream>, line: &mut Line, number: usize) -> Option<Asked> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let target = head.lines().next()?.rsplit_once(' ')?.0.to_owned();
    let head = head.to_ascii_lowercase();
    let mut asked = Asked { target, head, body: Vec::new(), number };
    if asked.header("expect").is_some() {
        line.send("HTTP/1.1 100 Continue\r\n\r\n");
    }
    if asked.header("transfer-encoding").is_some() {
        asked.body = chunks(reader)?;
    } else if let Some(length) = asked.header("content-length") {
        asked.body = vec![0; length.parse().ok()?];
        reader.read_exact(&mut asked.body).ok()?;
    }
    Some(asked)
}

fn chunks(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut length = String::new();
        reader.read_line(&mut length).ok()?;
        let mut chunk = vec![0; usize::from_str_radix(length.trim_end(), 16).ok()? + 2];
        reader.read_exact(&mut chunk).ok()?;
        if chunk.len() == 2 {
            return Some(body);
        }
        chunk.truncate(chunk.len() - 2);
        body.extend_from_slice(&chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_in_for_a_host_shows_its_questions_and_its_open_connections() {
        let host = ModelHost::ollama(&["m:latest"], |_, line| line.json(200, &json!({ "done": true })));
        let mut client = TcpStream::connect(host.name()).unwrap();
        for body in ["content-length: 2\r\n\r\n{}", "transfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"] {
            client.write_all(format!("POST /api/chat HTTP/1.1\r\nHost: a\r\n{body}").as_bytes()).unwrap();
            let mut answer = String::new();
            let mut reader = BufReader::new(&client);
            while !answer.ends_with('}') {
                let mut byte = [0];
                reader.read_exact(&mut byte).unwrap();
                answer.push(byte[0].into());
            }
            assert!(answer.contains("200") && answer.contains(r#"{"done":true}"#), "{answer}");
        }
        let asked = host.questions();
        assert!(asked.iter().all(|asked| asked.target == "POST /api/chat" && asked.body == b"{}" && asked.header("host") == Some("a")));
        assert_eq!((asked.len(), asked[1].number, host.open(), host.connections()), (2, 2, 1, 1));
        drop(client);
        crate::wait::until_blocking("the connection is closed", || host.open() == 0);
    }
}
