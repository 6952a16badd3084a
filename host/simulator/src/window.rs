//! The window of a simulated model: what is refused or dropped when a question does not fit it, and what loads the model again.

use crate::asked::Asked;
use crate::healthy::Reply;
use crate::models::Model;
use crate::state::State;
use serde_json::{Value, json};

/// Tokens that the template adds to a question's words.
const TEMPLATE: usize = 10;
/// The memory of the model without a window, and of each token of window: as `/api/ps` shows them for a model of 134 million parameters.
const WEIGHTS: u64 = 88_384_469;
const EACH_TOKEN: u64 = 29_570;
/// The memory of a token in the cache alone.
const EACH_TOKEN_CACHED: u64 = 23_040;

/// The batch of an embedding model where nobody asks for another; tokens.
const BATCH: u64 = 2048;

/// How a server meets a question that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooLong {
    /// Refuses it with counts, if it was asked not to cut it.
    RefusesWithCounts,
    /// Refuses it without counts, if it was asked not to cut it: as Ollama 0.12 does.
    Refuses,
    /// Cuts it, whatever it was asked: as servers of before 2025 do.
    Cuts,
}

/// The window of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The model's own: no larger one is loaded. Tokens.
    pub own: u32,
    /// The window that it is loaded with where a request asks for none; tokens.
    pub default: u32,
    /// The window that its Modelfile asks for, in place of the default; tokens.
    pub modelfile: Option<u32>,
    /// The largest that there is memory for; tokens.
    pub loadable: u32,
    /// How a question that does not fit is met.
    pub too_long: TooLong,
    /// The memory of a graphics card, which the model is put into as far as there is room; bytes.
    pub card: u64,
}

impl Default for Window {
    /// A default of 4,096, a model's own of 8,192, memory for it, and a server of today.
    fn default() -> Self {
        Self { own: 8192, default: 4096, modelfile: None, loadable: u32::MAX, too_long: TooLong::RefusesWithCounts, card: 0 }
    }
}

impl Window {
    /// The window that a request is answered with.
    fn asked_for(&self, asked: &Asked) -> u32 {
        let option = asked.body.get("options").and_then(|options| options.get("num_ctx")).and_then(Value::as_u64);
        let option = option.map(|tokens| u32::try_from(tokens).unwrap_or(u32::MAX));
        option.or(self.modelfile).unwrap_or(self.default).min(self.own)
    }
}

/// How a question was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Read {
    /// Tokens of it that were read.
    pub(crate) tokens: usize,
    /// How long the model took to load; nanoseconds.
    pub(crate) load: u64,
}

impl Read {
    /// By a model without a window: all of it.
    pub(crate) fn of(asked: &Asked) -> Self {
        Self { tokens: asked.tokens(), load: 40_000_000 }
    }
}

/// The load times that are reported for a model that was loaded, and for one in memory; nanoseconds. Nobody waits for them.
const LOADING: u64 = 550_000_000;
const LOADED: u64 = 1_500_000;

/// Loads the model as the request needs it, and reads the question; or refuses.
pub(crate) fn read(state: &State, asked: &Asked, model: &Model, window: &Window) -> Result<Read, Reply> {
    let (tokens, mut load) = (window.asked_for(asked), LOADED);
    if state.loaded_window(&model.name) != Some(tokens) {
        if tokens > window.loadable {
            // The one before was unloaded to make room.
            state.unload(&model.name);
            return Err(Reply::error(asked, 500, &no_memory(tokens)));
        }
        state.load_with(&model.name, tokens);
        load = LOADING;
    }
    let embeds = asked.path.contains("embed");
    let counted = if embeds { asked.longest_text() } else { asked.words() } + TEMPLATE;
    // A text is embedded in one batch.
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

/// The memory of a model with a window; bytes.
pub(crate) fn size(tokens: u32) -> u64 {
    WEIGHTS + u64::from(tokens) * EACH_TOKEN
}

/// The metadata of a model with such a window, as `/api/show` has it.
pub(crate) fn metadata(window: &Window) -> Value {
    json!({
        "general.architecture": "llama", "general.basename": "smollm2", "general.file_type": 3, "general.parameter_count": 134_515_008,
        "llama.attention.head_count": 9, "llama.attention.head_count_kv": 3, "llama.attention.layer_norm_rms_epsilon": 0.00001,
        "llama.block_count": 30, "llama.context_length": window.own, "llama.embedding_length": 576, "llama.feed_forward_length": 1536,
        "llama.rope.dimension_count": 64, "llama.rope.freq_base": 100_000, "llama.vocab_size": 49152,
    })
}
