//! The failures of Ollama (0.5 to 0.33), one row for each text or behaviour.

use crate::rows::{Behaviour, Body, Expect, Header, Row};

const CHAT: &[&str] = &["/api/chat"];
const GENERATE: &[&str] = &["/api/generate"];
const EMBED: &[&str] = &["/api/embed"];
const BY_MODEL: &[&str] = &["/api/chat", "/api/generate", "/api/show"];
const NATIVE: &[&str] = &["/api/chat", "/api/generate"];
const TEXT: &[&str] = &["/api/chat", "/api/generate", "/v1/chat/completions", "/v1/completions"];
const OPENAI: &[&str] = &["/v1/chat/completions", "/v1/completions"];
const ANY_MODEL: &[&str] = &["/api/chat", "/api/generate", "/api/embed", "/v1/chat/completions", "/v1/completions", "/v1/embeddings"];
const EVERYWHERE: &[&str] = &["/api/tags", "/", "/api/version", "/api/ps", "/api/chat", "/v1/models"];

const TRANSIENT: Expect = Expect { category: "transient", retryable: true };
const PERMANENT: Expect = Expect { category: "permanent", retryable: false };
/// One retry makes sense: Ollama unloads other models after the failure.
const RESOURCE: Expect = Expect { category: "resource", retryable: true };
const RESOURCE_FOR_GOOD: Expect = Expect { category: "resource", retryable: false };
const CONNECTION: Expect = Expect { category: "connection", retryable: true };
const TIMEOUT: Expect = Expect { category: "timeout", retryable: true };

const fn error(
    name: &'static str,
    status: u16,
    text: &'static str,
    endpoints: &'static [&'static str],
    expect: Expect,
    about: &'static str,
) -> Row {
    let body = Body::NativeJson(text);
    Row { name, about, endpoints, status, body, headers: &[], behaviour: Behaviour::Answer, expect }
}

const fn behaves(name: &'static str, behaviour: Behaviour, endpoints: &'static [&'static str], expect: Expect, about: &'static str) -> Row {
    Row { name, about, endpoints, status: 200, body: Body::Empty, headers: &[], behaviour, expect }
}

/// All failures that can be replayed.
// One line a row; the formatter would spread it over nine.
#[rustfmt::skip]
pub static ROWS: &[Row] = &[
    // The model is missing.
    error("model-not-found", 404, "model 'qwen3:8b' not found", BY_MODEL, PERMANENT,
        "The model has not been pulled."),
    error("model-not-found-embed", 404, r#"model "nomic-embed-text" not found, try pulling it first"#, EMBED, PERMANENT,
        "The embedding model has not been pulled."),

    // The caller's mistakes.
    error("model-required", 400, "model is required", TEXT, PERMANENT, "The request names no model."),
    error("invalid-model-name", 400, "invalid model name", BY_MODEL, PERMANENT, "The model's name cannot be one."),
    error("missing-request-body", 400, "missing request body", ANY_MODEL, PERMANENT, "The request has no body."),
    error("json-syntax", 400, "invalid character '}' looking for beginning of object key string", ANY_MODEL, PERMANENT,
        "The request's body is not JSON."),
    error("json-type", 400, "json: cannot unmarshal string into Go struct field ChatRequest.messages of type []api.Message",
        CHAT, PERMANENT, "A field of the request has the wrong type."),
    error("option-not-integer", 500, r#"option "num_ctx" must be of type integer"#, NATIVE, PERMANENT,
        "An option has the wrong type: the caller's mistake, under status 500."),
    error("option-not-boolean", 500, r#"option "use_mmap" must be of type boolean"#, NATIVE, PERMANENT,
        "An option has the wrong type: the caller's mistake, under status 500."),
    error("option-not-float", 500, r#"option "temperature" must be of type float32"#, NATIVE, PERMANENT,
        "An option has the wrong type: the caller's mistake, under status 500."),
    error("option-not-string", 500, r#"option "grammar" must be of type string"#, NATIVE, PERMANENT,
        "An option has the wrong type: the caller's mistake, under status 500."),
    error("option-not-array", 500, r#"option "stop" must be of type array"#, NATIVE, PERMANENT,
        "An option has the wrong type: the caller's mistake, under status 500."),
    error("invalid-format", 500, r#"invalid format: "\"yaml\""; expected "json" or a valid JSON Schema object"#, TEXT,
        PERMANENT, "The format is neither `json` nor a schema: the caller's mistake, under status 500."),

    // Abilities the model lacks.
    error("no-tools", 400, "registry.ollama.ai/library/gemma3:4b does not support tools", CHAT, PERMANENT,
        "Tools were sent to a model that has none."),
    error("no-vision", 400, "registry.ollama.ai/library/qwen3:8b does not support vision", TEXT, PERMANENT,
        "An image was sent to a model that cannot see."),
    error("no-thinking", 400, "registry.ollama.ai/library/gemma3:4b does not support thinking", NATIVE, PERMANENT,
        "Thinking was asked of a model that cannot (as a capability)."),
    error("no-thinking-quoted", 400, r#""gemma3:4b" does not support thinking"#, NATIVE, PERMANENT,
        "Thinking was asked of a model that cannot (as the handler says it)."),
    error("no-embedding", 400, "registry.ollama.ai/library/qwen3:8b does not support embedding", EMBED, PERMANENT,
        "Embeddings were asked of a model that makes none."),
    error("no-completion", 400, "registry.ollama.ai/library/nomic-embed-text:latest does not support completion", TEXT,
        PERMANENT, "Text was asked of an embedding model."),
    error("no-insert", 400, "registry.ollama.ai/library/qwen3:8b does not support insert", GENERATE, PERMANENT,
        "A suffix was sent to a model that cannot fill in."),
    error("no-chat", 400, r#""nomic-embed-text" does not support chat"#, CHAT, PERMANENT,
        "Chat was asked of an embedding model."),
    error("no-generate", 400, r#""nomic-embed-text" does not support generate"#, GENERATE, PERMANENT,
        "Text was asked of an embedding model."),

    // The model does not suit this server.
    error("no-longer-compatible", 500, "'llama3.2-vision' is no longer compatible with your version of Ollama and has \
        been replaced by a newer version. To re-download, run 'ollama pull llama3.2-vision'", NATIVE, PERMANENT,
        "The model's file is of a format that was given up."),
    error("may-be-incompatible", 500, "error loading model architecture: this model may be incompatible with your version \
        of Ollama. If you previously pulled this model, try updating it by running `ollama pull qwen3:8b`", ANY_MODEL,
        PERMANENT, "The model's file is newer or older than this server understands."),

    // Too long for the context.
    error("context-prompt-too-long", 400, "the prompt is longer than the context length currently available to the model; \
        shorten the prompt, adjust the context length in settings, or use a model with a longer context length", TEXT,
        PERMANENT, "The prompt does not fit."),
    Row { body: Body::InnerJson(r#"{"error":{"code":400,"message":"request (5120 tokens) exceeds the available context size (4096 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":5120,"n_ctx":4096}}"#),
        ..error("context-exceeded-inner-json", 400, "", TEXT, PERMANENT,
        "The prompt does not fit; the figures are in JSON inside the error's text.") },
    error("context-embed-input-length", 400, "the input length exceeds the context length", EMBED, PERMANENT,
        "The text to embed does not fit."),
    error("context-embed-input-truncated", 400, "input after truncation exceeds maximum context length", EMBED, PERMANENT,
        "The text to embed does not fit, even when cut."),

    // Memory.
    error("needs-more-system-memory", 500, "model requires more system memory (12.3 GiB) than is available (7.8 GiB)",
        ANY_MODEL, RESOURCE_FOR_GOOD, "The model is too big for this machine."),
    error("needs-more-system-memory-gpu", 500, "model requires more system memory than is currently available unable to \
        load full model on GPU", ANY_MODEL, RESOURCE_FOR_GOOD, "The model is too big for this machine."),
    error("out-of-memory", 500, "CUDA error: out of memory", ANY_MODEL, RESOURCE, "The GPU's memory is full."),
    error("out-of-device-memory", 500, "ggml_vulkan: out of device memory", ANY_MODEL, RESOURCE,
        "The GPU's memory is full."),
    error("cuda-malloc-failed", 500,
        "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 4096.00 MiB on device 0: cudaMalloc failed", ANY_MODEL,
        RESOURCE, "The GPU's memory is full (NVIDIA)."),
    error("hip-malloc-failed", 500,
        "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 4096.00 MiB on device 0: hipMalloc failed", ANY_MODEL,
        RESOURCE, "The GPU's memory is full (AMD)."),
    error("failed-to-allocate", 500, "alloc_tensor_range: failed to allocate Vulkan0 buffer of size 820943872", ANY_MODEL,
        RESOURCE, "A buffer could not be had."),
    error("allocation-failed", 500, "ggml_gallocr_reserve_n: buffer allocation failed", ANY_MODEL, RESOURCE,
        "A buffer could not be had."),
    error("not-enough-memory", 500, "not enough memory to load the model", ANY_MODEL, RESOURCE, "Memory is short."),
    error("insufficient-memory", 500, "insufficient memory for the compute graph", ANY_MODEL, RESOURCE, "Memory is short."),
    error("vk-error-out-of-device-memory", 500, "vk::Device::allocateMemory: VK_ERROR_OUT_OF_DEVICE_MEMORY", ANY_MODEL,
        RESOURCE, "The GPU's memory is full (Vulkan)."),
    error("error-out-of-device-memory", 500, "vk::Device::allocateMemory: ErrorOutOfDeviceMemory", ANY_MODEL, RESOURCE,
        "The GPU's memory is full (Vulkan)."),

    // The runner died.
    error("llama-server-terminated", 500, "llama-server process has terminated: exit status 2: GGML_ASSERT(n_tokens > 0)",
        ANY_MODEL, TRANSIENT, "The runner crashed."),
    error("llama-server-terminated-memory", 500,
        "llama-server process has terminated: exit status 1: cudaMalloc failed: out of memory", ANY_MODEL, RESOURCE,
        "The runner crashed for want of memory."),
    error("llama-runner-terminated", 500, "llama runner process has terminated: exit status 2", ANY_MODEL, TRANSIENT,
        "The runner crashed (0.5 to 0.24)."),
    error("llama-runner-terminated-memory", 500,
        "llama runner process has terminated: error loading model: unable to allocate CUDA0 buffer: out of memory",
        ANY_MODEL, RESOURCE, "The runner crashed for want of memory (0.5 to 0.24)."),
    error("out-of-memory-during-startup", 500, "llama-server startup failed before projector CPU offload retry: \
        llama-server reported out-of-memory during startup", ANY_MODEL, RESOURCE,
        "The runner could not start for want of memory."),
    error("llama-server-no-longer-running", 500, "llama-server process no longer running: 1 ", ANY_MODEL, TRANSIENT,
        "The runner is gone."),
    error("model-runner-stopped", 500, "model runner has unexpectedly stopped, this may be due to resource limitations or \
        an internal error, check ollama server logs for details", ANY_MODEL, TRANSIENT, "The runner died while it answered."),
    error("predict-eof", 500, r#"POST predict: Post "http://127.0.0.1:40231/completion": EOF"#, TEXT, TRANSIENT,
        "The runner died before it answered."),
    error("runner-unexpected-eof", 500, "an error was encountered while running the model: unexpected EOF", TEXT, TRANSIENT,
        "The runner died while it answered."),
    error("embed-eof", 400, r#"do embedding request: Post "http://127.0.0.1:40231/embedding": EOF"#, EMBED, TRANSIENT,
        "The runner died: transient, under status 400."),
    error("embed-runner-reset", 400,
        r#"do embedding request: Post "http://127.0.0.1:40231/embedding": read: connection reset by peer"#, EMBED, TRANSIENT,
        "The runner died: transient, under status 400."),

    // Busy or loading.
    error("server-busy", 503, "server busy, please try again.  maximum pending requests exceeded", ANY_MODEL, TRANSIENT,
        "The queue is full (two spaces, as sent)."),
    error("load-timed-out", 500, "timed out waiting for llama-server to start - loading model", ANY_MODEL, TRANSIENT,
        "A load made no progress for five minutes."),
    error("load-timed-out-runner", 500, "timed out waiting for llama runner to start - progress 0.42 - ", ANY_MODEL,
        TRANSIENT, "A load made no progress for five minutes (0.5 to 0.24)."),
    error("loading-model", 500, "unexpected server status: llm server loading model", ANY_MODEL, TRANSIENT,
        "The runner is still loading."),
    error("runner-not-responding", 500, "unexpected server status: llm server not responding", ANY_MODEL, TRANSIENT,
        "The runner does not answer."),
    error("no-slots", 500, "no slots available after 10 retries", ANY_MODEL, TRANSIENT, "The runner's slots are taken."),
    error("invalid-tool-call", 500, r#"llama-server returned invalid tool call arguments for "get_weather""#,
        &["/api/chat", "/v1/chat/completions"], TRANSIENT, "The model wrote a tool call that does not parse."),
    error("request-canceled", 499, "request canceled", ANY_MODEL, PERMANENT, "The client went away."),

    // The cloud pass-through.
    Row { body: Body::NativeJsonWith("unauthorized", &[("signin_url", "https://ollama.com/connect?name=replay&key=replay")]),
        ..error("unauthorized", 401, "", TEXT, PERMANENT, "A cloud model without a signed-in user.") },
    error("cloud-disabled", 403, "ollama cloud is disabled: remote model is unavailable", TEXT, PERMANENT,
        "The administrator forbids cloud models."),
    error("weekly-usage-limit", 429, "you've reached your weekly usage limit, please wait or upgrade to continue", TEXT,
        TRANSIENT, "The cloud quota is used up: transient by status, but for hours or days."),
    error("cloud-overloaded", 503, "Server overloaded, please retry shortly (ref: 3f9a61c2)", TEXT, TRANSIENT,
        "The cloud has too much to do."),
    error("cloud-slot-timed-out", 503, "timed out waiting for a concurrent request slot", TEXT, TRANSIENT,
        "The cloud's queue is too long."),
    error("cloud-unreachable", 502,
        r#"Post "https://ollama.com:443/api/chat": dial tcp 203.0.113.7:443: connect: connection refused"#, TEXT, CONNECTION,
        "The cloud cannot be reached from the server."),
    Row { headers: &[("retry-after", Header::Fixed("2"))],
        ..error("cloud-overloaded-retry-after", 503, "Server overloaded, please retry shortly (ref: 3f9a61c2)", TEXT,
        TRANSIENT, "The cloud says how many seconds to wait.") },
    Row { headers: &[("retry-after", Header::HttpDateIn(2))],
        ..error("cloud-overloaded-retry-after-date", 503, "Server overloaded, please retry shortly (ref: 3f9a61c2)", TEXT,
        TRANSIENT, "The cloud says until when to wait, as an HTTP date.") },
    Row { headers: &[("retry-after", Header::Fixed("2"))],
        ..error("rate-limited-retry-after", 429, "too many requests", TEXT, TRANSIENT,
        "The cloud limits the rate and says how many seconds to wait.") },
    Row { headers: &[("retry-after", Header::HttpDateIn(2))],
        ..error("rate-limited-retry-after-date", 429, "too many requests", TEXT, TRANSIENT,
        "The cloud limits the rate and says until when to wait, as an HTTP date.") },

    // Not even JSON.
    Row { body: Body::Empty, ..error("host-header-forbidden", 403, "", EVERYWHERE, PERMANENT,
        "A loopback-bound server does not like the Host header, and says nothing.") },
    Row { body: Body::Plain("404 page not found"), ..error("route-not-found", 404, "", EVERYWHERE, PERMANENT,
        "This version does not know the route.") },
    Row { body: Body::Plain("405 method not allowed"), ..error("method-not-allowed", 405, "", EVERYWHERE, PERMANENT,
        "This version knows the route by another method.") },
    Row { body: Body::Html("<!doctype html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>"),
        ..error("html-page", 200, "", EVERYWHERE, PERMANENT, "Something else answers at the address, with status 200.") },

    // Failures that look like success.
    Row { body: Body::NativeJson("an error was encountered while running the model: unexpected EOF"),
        ..behaves("stream-error-line", Behaviour::StreamThenErrorLine { after_tokens: 5 }, NATIVE, TRANSIENT,
        "The runner dies in the middle of an answer.") },
    Row { body: Body::NativeJson("an error was encountered while running the model: unexpected EOF"),
        ..behaves("stream-error-line-at-once", Behaviour::StreamThenErrorLine { after_tokens: 0 }, NATIVE, TRANSIENT,
        "The runner dies before the first token, under status 200.") },
    Row { body: Body::NativeJson("CUDA error: out of memory"),
        ..behaves("stream-error-line-memory", Behaviour::StreamThenErrorLine { after_tokens: 5 }, NATIVE, RESOURCE,
        "The GPU's memory is full in the middle of an answer.") },
    behaves("stream-clean-end", Behaviour::StreamThenCleanEnd { after_tokens: 5 }, NATIVE, TRANSIENT,
        "Ollama stops a model that repeats itself: the stream ends without `done: true`."),
    behaves("stream-empty", Behaviour::StreamThenCleanEnd { after_tokens: 0 }, NATIVE, TRANSIENT,
        "The stream ends before it began."),
    behaves("done-false", Behaviour::DoneFalse, NATIVE, TRANSIENT,
        "Ollama stops a model that repeats itself: `done` is false under status 200."),
    behaves("openai-swallowed-error", Behaviour::OpenAiSwallowedError { after_tokens: 5 }, OPENAI, TRANSIENT,
        "The OpenAI-compatible route swallows an error in the middle of a stream."),
    behaves("load-reason", Behaviour::LoadReason, NATIVE, TRANSIENT, "The model was only loaded; there is no content."),
    behaves("unload-reason", Behaviour::UnloadReason, NATIVE, TRANSIENT, "The model was only unloaded; there is no content."),

    // The connection.
    behaves("reset-before-headers", Behaviour::ResetBeforeHeaders, ANY_MODEL, CONNECTION,
        "The connection is reset before the answer."),
    behaves("stream-reset", Behaviour::StreamThenReset { after_tokens: 5 }, TEXT, CONNECTION,
        "The connection is reset in the middle of an answer."),
    behaves("stream-abort", Behaviour::StreamThenAbort { after_tokens: 5 }, TEXT, CONNECTION,
        "The connection ends in the middle of an answer."),

    // Timing.
    behaves("stream-stall", Behaviour::StreamThenStall { after_tokens: 5 }, TEXT, TIMEOUT,
        "The answer stops coming, and nothing says so."),
    behaves("stall-before-first-token", Behaviour::StreamThenStall { after_tokens: 0 }, TEXT, TIMEOUT,
        "Headers come, and no token."),
    behaves("hang-before-headers", Behaviour::HangBeforeHeaders, ANY_MODEL, TIMEOUT,
        "The request waits in a queue; not even headers come."),
    behaves("cold-load", Behaviour::ColdLoad, ANY_MODEL, TIMEOUT,
        "The model is being loaded; leaving aborts the load."),
    behaves("slow-drip", Behaviour::SlowDrip, EVERYWHERE, TIMEOUT,
        "One byte at a time, for ever: each read succeeds, the whole never does."),
];
