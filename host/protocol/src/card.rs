//! Reads a model's card (`/api/show`), and estimates the memory of a token of window.
//!
//! Each attention layer caches a key and a value for each token. The architecture decides which layers keep all tokens,
//! as in llama.cpp; in unknown ones every layer does.

use serde_json::{Map, Value};

/// Type of cached numbers (`OLLAMA_KV_CACHE_TYPE`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CacheType {
    /// 2 bytes each; Ollama's default.
    #[default]
    F16,
    /// 34 bytes for 32.
    Q8_0,
    /// 18 bytes for 32.
    Q4_0,
}

impl CacheType {
    const fn bytes(self) -> f64 {
        match self {
            Self::F16 => 2.0,
            Self::Q8_0 => 34.0 / 32.0,
            Self::Q4_0 => 18.0 / 32.0,
        }
    }
}

/// Layers that keep all tokens. Others slide over a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Full {
    /// Last of each group of this size.
    Last(u64),
    /// First of each group of this size.
    First(u64),
}

impl Full {
    const fn has(self, layer: u64) -> bool {
        match self {
            Self::Last(group) => layer % group == group - 1,
            Self::First(group) => layer.is_multiple_of(group),
        }
    }
}

/// Architectures with sliding layers, if their metadata has a window (llama.cpp, `src/models/`).
const SLIDING: [(&str, Full); 17] = [
    ("afmoe", Full::Last(4)),
    ("cohere2", Full::Last(4)),
    ("cohere2moe", Full::First(4)),
    ("exaone-moe", Full::Last(4)),
    ("gemma2", Full::Last(2)),
    ("gemma3", Full::Last(6)),
    ("gemma3n", Full::Last(5)),
    ("gemma4", Full::Last(6)),
    ("gpt-oss", Full::Last(2)),
    ("gptoss", Full::Last(2)),
    ("laguna", Full::First(4)),
    ("mellum", Full::Last(4)),
    ("muse-glimmer", Full::Last(4)),
    ("olmo2", Full::Last(4)),
    ("olmo3", Full::Last(4)),
    ("plamo3", Full::Last(8)),
    ("smallthinker", Full::First(4)),
];

/// Interval of attention layers without other metadata; others are recurrent.
const INTERVALS: [(&str, u64); 4] = [("qwen35", 4), ("qwen35moe", 4), ("qwen3next", 4), ("qwen4exp", 4)];

/// Recurrent architectures and encoders: their cache does not grow.
const WITHOUT_CACHE: [&str; 14] = [
    "arwkv7",
    "bert",
    "gemma-embedding",
    "jina-bert-v2",
    "jina-bert-v3",
    "mamba",
    "mamba2",
    "modern-bert",
    "nomic-bert",
    "nomic-bert-moe",
    "rwkv6",
    "rwkv6qwen2",
    "rwkv7",
    "wavtokenizer-dec",
];

/// Number of layers in gemma3n with their own cache.
const GEMMA3N_CACHED: u64 = 20;

/// A model's card.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelCard {
    /// Architecture, such as `llama`.
    pub architecture: String,
    /// Maximum window, tokens.
    pub context_length: Option<u64>,
    /// Window set in the Modelfile, tokens.
    pub num_ctx: Option<u64>,
    /// Abilities, such as `completion`, `tools`, `vision`; `None` if unknown.
    pub capabilities: Option<Vec<String>>,
    info: Map<String, Value>,
}

impl ModelCard {
    /// Reads an answer of `/api/show`; missing or mistyped values are unknown.
    #[doc(hidden)]
    pub fn of(answer: &Value) -> Self {
        let info: Map<String, Value> = answer
            .get("model_info")
            .and_then(Value::as_object)
            .map(|info| {
                info.iter().filter(|(key, _)| !key.starts_with("tokenizer.")).map(|(key, value)| (key.clone(), value.clone())).collect()
            })
            .unwrap_or_default();
        let architecture = info.get("general.architecture").and_then(Value::as_str).unwrap_or_default().to_owned();
        let parameters = answer.get("parameters").and_then(Value::as_str).unwrap_or_default();
        let num_ctx = parameters
            .lines()
            .filter_map(|line| line.trim().strip_prefix("num_ctx"))
            .filter_map(|value| value.trim().parse().ok())
            .next_back();
        let capabilities = answer.get("capabilities").and_then(Value::as_array);
        let capabilities = capabilities.map(|all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect());
        let mut card = Self { architecture, context_length: None, num_ctx, capabilities, info };
        card.context_length = card.number("context_length");
        card
    }

    /// Whether the model has an ability; `None` if unknown.
    pub fn can(&self, capability: &str) -> Option<bool> {
        self.capabilities.as_ref().map(|all| all.iter().any(|one| one == capability))
    }

    /// Number of cache bytes for one more token of window, with this many parallel `slots`; `None` if unknown. Buffers
    /// took a quarter more with a small model.
    ///
    /// ```
    /// use serde_json::json;
    /// use upright_protocol::{CacheType, ModelCard};
    ///
    /// let card = ModelCard::of(&json!({"model_info": {
    ///     "general.architecture": "llama", "llama.block_count": 30, "llama.embedding_length": 576,
    ///     "llama.attention.head_count": 9, "llama.attention.head_count_kv": 3,
    /// }}));
    /// assert_eq!(card.cache_bytes_per_token(CacheType::F16, 1), Some(23_040.0));
    /// ```
    #[doc(hidden)]
    pub fn cache_bytes_per_token(&self, cache: CacheType, slots: u32) -> Option<f64> {
        let numbers: u64 = if WITHOUT_CACHE.contains(&self.architecture.as_str()) {
            0
        } else {
            let layers = self.cached_layers()?;
            (0..layers)
                .filter(|layer| self.keeps_all(*layer))
                .try_fold(0_u64, |sum, layer| Some(sum.saturating_add(self.numbers(layer)?)))?
        };
        #[expect(clippy::cast_precision_loss, reason = "a few million at most")]
        let numbers = numbers as f64;
        Some(numbers * cache.bytes() * f64::from(slots))
    }

    /// Without layers that only draft, or share a cache.
    fn cached_layers(&self) -> Option<u64> {
        let drafting = self.number("nextn_predict_layers").unwrap_or(0);
        let layers = self.number("block_count")?.min(LAYERS).saturating_sub(drafting);
        Some(match self.architecture.as_str() {
            "gemma3n" => layers.min(GEMMA3N_CACHED),
            "gemma4" => layers.saturating_sub(self.number("attention.shared_kv_layers").unwrap_or(0)),
            _ => layers,
        })
    }

    fn keeps_all(&self, layer: u64) -> bool {
        fn of<T: Copy>(table: &[(&str, T)], architecture: &str) -> Option<T> {
            table.iter().find(|(name, _)| *name == architecture).map(|(_, value)| *value)
        }
        if let Some(interval) = of(&INTERVALS, &self.architecture) {
            let interval = self.number("full_attention_interval").filter(|interval| *interval > 0).unwrap_or(interval);
            return Full::Last(interval).has(layer);
        }
        let full = match of(&SLIDING, &self.architecture) {
            Some(full) if self.number("attention.sliding_window").is_some_and(|window| window > 0) => full,
            // The metadata lacks its window.
            None if self.architecture == "llama4" => Full::Last(4),
            _ => return true,
        };
        // The smallest gemma4 differs.
        let full = if self.architecture == "gemma4" && self.number("block_count") == Some(35) { Full::Last(5) } else { full };
        match self.value("attention.sliding_window_pattern") {
            Some(Value::Number(group)) => group.as_u64().filter(|group| *group > 0).is_some_and(|group| Full::Last(group).has(layer)),
            Some(Value::Array(slides)) => {
                usize::try_from(layer).ok().and_then(|layer| slides.get(layer)).is_none_or(|slides| slides == false || slides == 0)
            }
            _ => full.has(layer),
        }
    }

    fn numbers(&self, layer: u64) -> Option<u64> {
        let heads = self.number_of("attention.head_count", layer);
        // Null is a list that the server does not print.
        let kept = if self.value("attention.head_count_kv").is_some() { self.number_of("attention.head_count_kv", layer) } else { heads }?;
        let length = |key: &str| self.number(key).or_else(|| self.number("embedding_length")?.checked_div(heads?));
        let (key, value) = (length("attention.key_length")?, length("attention.value_length")?);
        // Latent attention keeps one vector for both.
        let is_latent = self.number("attention.key_length_mla").is_some_and(|length| length > 0);
        Some(kept.saturating_mul(if is_latent { key } else { key.saturating_add(value) }))
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.info.get(&format!("{}.{key}", self.architecture))
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.value(key)?.as_u64()
    }

    fn number_of(&self, key: &str, layer: u64) -> Option<u64> {
        match self.value(key)? {
            Value::Array(each) => each.get(usize::try_from(layer).ok()?)?.as_u64(),
            all => all.as_u64(),
        }
    }
}

const LAYERS: u64 = 1 << 12;
