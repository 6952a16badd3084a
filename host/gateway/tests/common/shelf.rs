//! A host with models that requests change, as an Ollama has them.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

/// Models, blobs and requests of a host.
#[derive(Default)]
pub(crate) struct Shelf {
    pub(crate) models: BTreeSet<String>,
    pub(crate) loaded: BTreeSet<String>,
    blobs: BTreeSet<String>,
    /// Method, path and body of each request, but for those of probes.
    pub(crate) asked: Vec<(String, Value)>,
}

/// A host that runs until the test ends.
pub(crate) struct Ollama {
    pub(crate) name: String,
    shelf: Arc<Mutex<Shelf>>,
}

impl Ollama {
    pub(crate) fn start(models: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let name = listener.local_addr().unwrap().to_string();
        let models = models.iter().map(|model| format!("{model}:latest")).collect();
        let shelf = Arc::new(Mutex::new(Shelf { models, ..Shelf::default() }));
        let shared = Arc::clone(&shelf);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shelf = Arc::clone(&shared);
                std::thread::spawn(move || drop(serve(&stream.unwrap(), &shelf)));
            }
        });
        Self { name, shelf }
    }

    pub(crate) fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap()
    }

    /// Number of requests with this method and path.
    pub(crate) fn asked(&self, what: &str) -> usize {
        self.shelf().asked.iter().filter(|(asked, _)| asked == what).count()
    }
}

fn serve(stream: &TcpStream, shelf: &Mutex<Shelf>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let mut words = head.split(' ');
        let what = format!("{} {}", words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let length = head.to_ascii_lowercase().lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body)?;
        let request = serde_json::from_slice(&body).unwrap_or_default();
        let (status, answer) = shelf.lock().unwrap().answer(&what, &request);
        let length = if what.starts_with("HEAD") { 0 } else { answer.len() };
        (&*stream).write_all(format!("HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\n").as_bytes())?;
        if what.ends_with("/api/create") {
            // Progress comes in lines.
            (&*stream).write_all(format!("transfer-encoding: chunked\r\n\r\n{length:x}\r\n{answer}\r\n0\r\n\r\n").as_bytes())?;
        } else {
            (&*stream).write_all(format!("content-length: {length}\r\n\r\n{answer}").as_bytes())?;
        }
    }
}

fn listed(names: &BTreeSet<String>) -> String {
    let entries: Vec<Value> = names.iter().map(|name| json!({ "name": name, "model": name, "digest": name })).collect();
    json!({ "models": entries }).to_string()
}

impl Shelf {
    fn answer(&mut self, what: &str, request: &Value) -> (u16, String) {
        match what {
            "GET /api/version" => return (200, json!({ "version": "0.33.0" }).to_string()),
            "GET /api/tags" => return (200, listed(&self.models)),
            "GET /api/ps" => return (200, listed(&self.loaded)),
            _ => self.asked.push((what.to_owned(), request.clone())),
        }
        let text = |key: &str| request[key].as_str().filter(|text| !text.is_empty());
        let tagged = |name: Option<&str>| format!("{}:latest", name.unwrap_or_default().to_lowercase());
        let model = tagged(text("source").or_else(|| text("model")).or_else(|| text("name")));
        let missing = (404, json!({ "error": format!("model '{model}' not found") }).to_string());
        let has_it = self.models.contains(&model);
        match what {
            "POST /api/create" => {
                let blobs = request["files"].as_object().cloned().unwrap_or_default();
                if blobs.values().any(|digest| !self.blobs.contains(digest.as_str().unwrap())) {
                    return (400, json!({ "error": "invalid digest" }).to_string());
                }
                if text("from").is_some_and(|from| !self.models.contains(&tagged(Some(from)))) {
                    return (200, json!({ "error": "pull model manifest: no such host" }).to_string());
                }
                self.models.insert(model);
                (200, "{\"status\":\"success\"}\n".to_owned())
            }
            _ if what.starts_with("POST /api/blobs/") => {
                self.blobs.insert(what.rsplit('/').next().unwrap().to_owned());
                (201, String::new())
            }
            _ if what.starts_with("HEAD /api/blobs/") => {
                (if self.blobs.contains(what.rsplit('/').next().unwrap()) { 200 } else { 404 }, String::new())
            }
            "POST /api/pull" => {
                self.models.insert(model);
                (200, "{\"status\":\"success\"}\n".to_owned())
            }
            "POST /v1/audio/transcriptions" => (200, json!({ "text": "heard" }).to_string()),
            _ if !has_it => missing,
            "POST /api/copy" => {
                self.models.insert(tagged(text("destination")));
                (200, String::new())
            }
            "DELETE /api/delete" => {
                self.models.remove(&model);
                (200, String::new())
            }
            "POST /api/generate" | "POST /api/chat" if request["keep_alive"] == 0 || request["keep_alive"] == "0s" => {
                self.loaded.remove(&model);
                (200, json!({ "model": model, "response": "", "done": true, "done_reason": "unload" }).to_string())
            }
            "POST /api/chat" => {
                self.loaded.insert(model.clone());
                let message = json!({ "role": "assistant", "content": "Hello." });
                (200, json!({ "model": model, "message": message, "done": true, "done_reason": "stop" }).to_string())
            }
            _ => (200, json!({ "details": {} }).to_string()),
        }
    }
}
