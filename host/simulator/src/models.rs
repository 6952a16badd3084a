//! Models of the simulated Ollama, and their place in its lists.

use crate::names::canonical_name;
use crate::window::{self, TooLong, Window};
use serde_json::{Value, json};

pub(crate) const MOMENT: &str = "2026-01-01T00:00:00Z";
pub(crate) const MOMENT_SECONDS: u64 = 1_767_225_600;

pub(crate) const FIRST_MODELS: &[&str] = &["qwen3:8b", "gemma3:4b", "nomic-embed-text"];

/// A simulated model, made from a name: `"qwen3:8b".into()`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Name with tag.
    pub name: String,
    /// 64 hexadecimal digits. A model replaced under its name has others.
    pub digest: String,
    /// Size in bytes.
    pub size: u64,
    /// Simulated window: one token is a word, and a request for another window reloads. `None` fits every question.
    pub window: Option<Window>,
}

impl Model {
    /// A model with this window.
    pub fn with_window(name: &str, window: Window) -> Self {
        Self { window: Some(window), size: FILE, ..name.into() }
    }
}

const FILE: u64 = 98_362_745;

impl From<&str> for Model {
    fn from(name: &str) -> Self {
        let name = canonical_name(name);
        Self { digest: digest(&name), size: 5_225_388_164, name, window: None }
    }
}

impl From<String> for Model {
    fn from(name: String) -> Self {
        name.as_str().into()
    }
}

impl Model {
    fn details(&self) -> Value {
        let (family, tag) = self.name.split_once(':').unwrap_or((&self.name, ""));
        let family: String = family.chars().filter(char::is_ascii_alphanumeric).collect();
        let parameters = if tag.starts_with(|c: char| c.is_ascii_digit()) { tag.to_uppercase() } else { "137M".to_owned() };
        json!({"parent_model": "", "format": "gguf", "family": family, "families": [family],
            "parameter_size": parameters, "quantization_level": "Q4_K_M"})
    }

    fn capabilities(&self) -> Value {
        if self.name.contains("embed") { json!(["embedding"]) } else { json!(["completion", "tools"]) }
    }

    pub(crate) fn tag(&self) -> Value {
        let mut tag = json!({"name": self.name, "model": self.name, "modified_at": MOMENT, "size": self.size, "digest": self.digest,
            "details": self.details(), "capabilities": self.capabilities()});
        // Older servers report neither.
        match self.window {
            Some(window) if window.too_long == TooLong::RefusesWithCounts => tag["details"]["context_length"] = window.own.into(),
            Some(_) => drop(tag.as_object_mut().and_then(|tag| tag.remove("capabilities"))),
            None => {}
        }
        tag
    }

    pub(crate) fn loaded(&self, tokens: u32) -> Value {
        let (size, on_card) = match self.window {
            Some(window) => (window::size(tokens), window::size(tokens).min(window.card)),
            None => (self.size, self.size),
        };
        json!({"name": self.name, "model": self.name, "size": size, "digest": self.digest, "details": self.details(),
            "expires_at": MOMENT, "size_vram": on_card, "context_length": tokens})
    }

    pub(crate) fn show(&self) -> Value {
        let metadata = |window| window::metadata(&window);
        let metadata = self.window.map_or_else(|| json!({"general.architecture": "replay", "replay.context_length": 4096}), metadata);
        let num_ctx = self.window.and_then(|window| window.modelfile);
        let parameters = num_ctx.map_or_else(String::new, |tokens| format!("num_ctx                        {tokens}"));
        json!({"modelfile": format!("FROM {}", self.name), "parameters": parameters, "template": "{{ .Prompt }}",
            "details": self.details(), "model_info": metadata,
            "capabilities": self.capabilities(), "modified_at": MOMENT})
    }

    pub(crate) fn openai(&self) -> Value {
        json!({"id": self.name, "object": "model", "created": MOMENT_SECONDS, "owned_by": "library"})
    }
}

/// FNV-1a: equal texts give equal numbers on every machine.
pub(crate) fn hash(text: &str, seed: u64) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    text.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn digest(name: &str) -> String {
    (0..4).map(|seed| format!("{:016x}", hash(name, seed))).collect()
}
