//! Simulates a model's window: questions refused or cut, and reloads.

use crate::asked::Asked;
use crate::healthy::Reply;
use crate::models::Model;
use crate::state::State;
use serde_json::{Value, json};

/// Tokens that the template adds.
const TEMPLATE: usize = 10;
/// Bytes of the model, and of each token of window, as `/api/ps` shows them for 134 million parameters.
const WEIGHTS: u64 = 88_384_469;
const EACH_TOKEN: u64 = 29_570;
const EACH_TOKEN_CACHED: u64 = 23_040;

/// Default batch of an embedding model; tokens.
const BATCH: u64 = 2048;

/// A server's reaction to a question that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooLong {
    /// Refuses with counts, if asked not to cut.
    RefusesWithCounts,
    /// Refuses without counts, if asked not to cut, as Ollama 0.12.
    Refuses,
    /// Always cuts, as servers before 2025.
    Cuts,
}

/// The window of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Maximum window of the model; tokens.
    pub own: u32,
    /// Window loaded by default; tokens.
    pub default: u32,
    /// Window of the Modelfile instead of the default; tokens.
    pub modelfile: Option<u32>,
    /// Largest window that memory allows; tokens.
    pub loadable: u32,
    /// Reaction to a question that does not fit.
    pub too_long: TooLong,
    /// Memory of the graphics card, which takes as much of the model as fits; bytes.
    pub card: u64,
}

impl Default for Window {
    /// A default of 4,096, a maximum of 8,192, enough memory.
    fn default() -> Self {
        Self { own: 8192, default: 4096, modelfile: None, loadable: u32::MAX, too_long: TooLong::RefusesWithCounts, card: 0 }
    }
}

impl Window {
    fn asked_for(&self, asked: &Asked) -> u32 {
        let option = asked.body.get("options").and_then(|options| options.get("num_ctx")).and_then(Value::as_u64);
        let option = option.map(|tokens| u32::try_from(tokens).unwrap_or(u32::MAX));
        option.or(self.modelfile).unwrap_or(self.default).min(self.own)
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Read {
    pub(crate) tokens: usize,
    pub(crate) load: u64,
}

impl Read {
    pub(crate) fn of(asked: &Asked) -> Self {
        Self { tokens: asked.tokens(), load: 40_000_000 }
    }
}

const LOADING: u64 = 550_000_000;
const LOADED: u64 = 1_500_000;

pub(crate) fn read(state: &State, asked: &Asked, model: &Model, window: &Window) -> Result<Read, Reply> {
    let (tokens, mut load) = (window.asked_for(asked), LOADED);
    if state.loaded_window(&model.name) != Some(tokens) {
        if tokens > window.loadable {
            state.unload(&model.name);
            return Err(Reply::error(asked, 500, &no_memory(tokens)));
        }
        state.load_with(&model.name, tokens);
        load = LOADING;
    }
    let embeds = asked.path.contains("embed");
    let counted = if embeds { asked.longest_text() } else { asked.words() } + TEMPLATE;
    let batch = asked.body.get("options").and_then(|options| options.get("num_batch")).and_then(Value::as_u64).unwrap_or(BATCH);
    let room = if embeds { (tokens as usize).min(usize::try_from(batch).unwrap_or(usize::MAX)) } else { tokens as usize };
    if counted < room {
        return Ok(Read { tokens: counted, load });
    }
    let may_cut = asked.body.get("truncate").and_then(Value::as_bool) != Some(false);
    match window.too_long {
        _ if may_cut || window.too_long == TooLong::Cuts => Ok(Read { tokens: room / 2 + 2, load }),
        TooLong::RefusesWithCounts if !embeds => {
            let inner = json!({"error": {"code": 400, "message":
                format!("request ({counted} tokens) exceeds the available context size ({room} tokens), try increasing it"),
                "type": "exceed_context_size_error", "n_prompt_tokens": counted, "n_ctx": room}});
            Err(Reply::error(asked, 400, &inner.to_string()))
        }
        _ => Err(Reply::error(asked, 400, "the input length exceeds the context length")),
    }
}

fn no_memory(tokens: u32) -> String {
    let bytes = u64::from(tokens) * EACH_TOKEN_CACHED;
    let mebibytes = bytes >> 20;
    format!(
        "llama-server process has terminated: exit status 1: ggml_aligned_malloc: insufficient memory (attempted to allocate {mebibytes}.00 MB)\n\
         ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size {bytes}\n\
         alloc_tensor_range: failed to allocate CPU buffer of size {bytes}\n\
         llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache"
    )
}

pub(crate) fn size(tokens: u32) -> u64 {
    WEIGHTS + u64::from(tokens) * EACH_TOKEN
}

pub(crate) fn metadata(window: &Window) -> Value {
    json!({
        "general.architecture": "llama", "general.basename": "smollm2", "general.file_type": 3, "general.parameter_count": 134_515_008,
        "llama.attention.head_count": 9, "llama.attention.head_count_kv": 3, "llama.attention.layer_norm_rms_epsilon": 0.00001,
        "llama.block_count": 30, "llama.context_length": window.own, "llama.embedding_length": 576, "llama.feed_forward_length": 1536,
        "llama.rope.dimension_count": 64, "llama.rope.freq_base": 100_000, "llama.vocab_size": 49152,
    })
}
