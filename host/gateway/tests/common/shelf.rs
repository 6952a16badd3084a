//! A host with models that requests change, as an Ollama has them.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use upright_test_kit::model_host::ModelHost;

/// Models, blobs and requests of a host.
#[derive(Default)]
pub(crate) struct Shelf {
    pub(crate) models: BTreeSet<String>,
    pub(crate) loaded: BTreeSet<String>,
    blobs: BTreeSet<String>,
    /// Method, path and body of each request, but for those of probes.
    pub(crate) asked: Vec<(String, Value)>,
}

/// A host with a shelf.
pub(crate) struct Ollama {
    pub(crate) name: String,
    shelf: Arc<Mutex<Shelf>>,
    _host: ModelHost,
}

impl Ollama {
    pub(crate) fn start(models: &[&str]) -> Self {
        let models = models.iter().map(|model| format!("{model}:latest")).collect();
        let shelf = Arc::new(Mutex::new(Shelf { models, ..Shelf::default() }));
        let shared = Arc::clone(&shelf);
        let host = ModelHost::start(move |asked, line| {
            let (status, answer) = shared.lock().unwrap().answer(&asked.target, &asked.json());
            if asked.target.ends_with("/api/create") {
                // Progress comes in lines.
                line.head("application/x-ndjson");
                line.piece(answer);
                return line.end();
            }
            line.whole(status, "application/json", answer);
        });
        Self { name: host.name(), shelf, _host: host }
    }

    pub(crate) fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap()
    }

    /// Number of requests with this method and path.
    pub(crate) fn asked(&self, what: &str) -> usize {
        self.shelf().asked.iter().filter(|(asked, _)| asked == what).count()
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
