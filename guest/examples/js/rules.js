// Written by `cargo xtask vectors` from the default policy's own table.
export default {
  "rules": [
    {
      "name": "cancelled",
      "kinds": [
        "cancelled"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "low",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": false,
        "host_specific": false,
        "action": "nothing"
      }
    },
    {
      "name": "request-cancelled",
      "kinds": null,
      "statuses": [
        [
          499,
          499
        ]
      ],
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "low",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": false,
        "host_specific": false,
        "action": "nothing"
      }
    },
    {
      "name": "circuit-open",
      "kinds": [
        "circuit_open"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "transient",
        "severity": "medium",
        "retryable": true,
        "retry_limit": null,
        "counted": false,
        "model_specific": true,
        "host_specific": true,
        "action": "wait"
      }
    },
    {
      "name": "circuit-open-text",
      "kinds": [
        "other"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "circuit breaker open",
        "circuit breaker is open",
        "circuit open"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "transient",
        "severity": "medium",
        "retryable": true,
        "retry_limit": null,
        "counted": false,
        "model_specific": true,
        "host_specific": true,
        "action": "wait"
      }
    },
    {
      "name": "bulkhead-full",
      "kinds": [
        "bulkhead_full"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "transient",
        "severity": "medium",
        "retryable": true,
        "retry_limit": null,
        "counted": false,
        "model_specific": false,
        "host_specific": true,
        "action": "wait"
      }
    },
    {
      "name": "panicked",
      "kinds": [
        "panicked"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "high",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": false,
        "host_specific": false,
        "action": "log_and_continue"
      }
    },
    {
      "name": "disk-full-text",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "no space left on device",
        "disk full",
        "disk is full",
        "disk quota exceeded",
        "enospc",
        "not enough space on the disk"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "resource",
        "severity": "high",
        "retryable": false,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "free_disk"
      }
    },
    {
      "name": "quota-exhausted",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "usage limit",
        "insufficient_quota",
        "exceeded your current quota",
        "quota exceeded"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "transient",
        "severity": "medium",
        "retryable": true,
        "retry_limit": 0,
        "counted": true,
        "model_specific": true,
        "host_specific": false,
        "action": "use_fallback"
      }
    },
    {
      "name": "cloud-disabled",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "ollama cloud is disabled"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "high",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": true,
        "host_specific": true,
        "action": "use_fallback"
      }
    },
    {
      "name": "overloaded",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "server overloaded",
        "concurrent request slot",
        "overloaded_error",
        "currently overloaded"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "transient",
        "severity": "medium",
        "retryable": true,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "wait"
      }
    },
    {
      "name": "model-not-found",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "model {} not found",
        "model {} does not exist",
        "model_not_found",
        "try pulling it first",
        "no such model",
        "pull model manifest"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "high",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": true,
        "host_specific": true,
        "action": "pull_model"
      }
    },
    {
      "name": "model-incompatible",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "no longer compatible",
        "may be incompatible with your version",
        "unknown model architecture",
        "unsupported model architecture"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "high",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": true,
        "host_specific": true,
        "action": "repull_model"
      }
    },
    {
      "name": "capability-missing",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "does not support tools",
        "does not support vision",
        "does not support image*",
        "does not support thinking",
        "does not support embedding*",
        "does not support completion*",
        "does not support insert",
        "does not support chat",
        "does not support generate"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "low",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": true,
        "host_specific": false,
        "action": "use_capable_model"
      }
    },
    {
      "name": "context-overflow",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "longer than the context length",
        "exceeds the available context size",
        "exceed_context_size_error",
        "exceeds the context length",
        "exceeds maximum context length",
        "maximum context length",
        "context_length_exceeded",
        "exceeds the context window"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "low",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": true,
        "host_specific": false,
        "action": "shorten_prompt"
      }
    },
    {
      "name": "invalid-option",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "option {} must be of type"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "low",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": false,
        "host_specific": false,
        "action": "fix_input"
      }
    },
    {
      "name": "invalid-format",
      "kinds": [
        "http_status",
        "stream_error",
        "other"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "valid json schema object",
        "invalid format:"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "low",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": false,
        "host_specific": false,
        "action": "fix_input"
      }
    },
    {
      "name": "invalid-request",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "model is required",
        "invalid model name",
        "missing request body",
        "invalid character {} looking for beginning of"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "low",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": false,
        "host_specific": false,
        "action": "fix_input"
      }
    },
    {
      "name": "invalid-tool-call",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "invalid tool call arguments"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "transient",
        "severity": "low",
        "retryable": true,
        "retry_limit": 2,
        "counted": false,
        "model_specific": true,
        "host_specific": false,
        "action": "resample"
      }
    },
    {
      "name": "model-too-large",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "requires more system memory",
        "requires more gpu memory",
        "unable to load full model on gpu"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "resource",
        "severity": "critical",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": true,
        "host_specific": true,
        "action": "use_smaller_model"
      }
    },
    {
      "name": "server-out-of-memory",
      "kinds": [
        "http_status",
        "stream_error"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "out of memory",
        "out-of-memory",
        "out of device memory",
        "outofmemory*",
        "memoryerror",
        "enomem",
        "cannot allocate memory",
        "cudamalloc failed",
        "hipmalloc failed",
        "failed to allocate",
        "allocation failed",
        "not enough memory",
        "insufficient memory",
        "vk_error_out_of_device_memory",
        "vk_error_out_of_host_memory",
        "erroroutofmemory",
        "erroroutofdevicememory",
        "signal: killed",
        "cudaerrormemoryallocation",
        "bad_alloc",
        "oom"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "resource",
        "severity": "critical",
        "retryable": true,
        "retry_limit": 1,
        "counted": true,
        "model_specific": true,
        "host_specific": true,
        "action": "use_smaller_model"
      }
    },
    {
      "name": "server-out-of-memory-text",
      "kinds": [
        "other"
      ],
      "statuses": [
        [
          400,
          599
        ]
      ],
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "out of memory",
        "out-of-memory",
        "out of device memory",
        "outofmemory*",
        "memoryerror",
        "enomem",
        "cannot allocate memory",
        "cudamalloc failed",
        "hipmalloc failed",
        "failed to allocate",
        "allocation failed",
        "not enough memory",
        "insufficient memory",
        "vk_error_out_of_device_memory",
        "vk_error_out_of_host_memory",
        "erroroutofmemory",
        "erroroutofdevicememory",
        "signal: killed",
        "cudaerrormemoryallocation",
        "bad_alloc",
        "oom"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "resource",
        "severity": "critical",
        "retryable": true,
        "retry_limit": 1,
        "counted": true,
        "model_specific": true,
        "host_specific": true,
        "action": "use_smaller_model"
      }
    },
    {
      "name": "out-of-memory",
      "kinds": [
        "out_of_memory"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "resource",
        "severity": "critical",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": true,
        "host_specific": false,
        "action": "use_smaller_model"
      }
    },
    {
      "name": "disk-full",
      "kinds": [
        "disk_full"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "resource",
        "severity": "high",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": false,
        "host_specific": false,
        "action": "free_disk"
      }
    },
    {
      "name": "too-many-open-files",
      "kinds": [
        "too_many_open_files"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "resource",
        "severity": "high",
        "retryable": true,
        "retry_limit": 1,
        "counted": false,
        "model_specific": false,
        "host_specific": false,
        "action": "raise_open_files_limit"
      }
    },
    {
      "name": "too-many-open-files-text",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "too many open files",
        "emfile",
        "enfile"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "resource",
        "severity": "high",
        "retryable": true,
        "retry_limit": 1,
        "counted": false,
        "model_specific": false,
        "host_specific": true,
        "action": "raise_open_files_limit"
      }
    },
    {
      "name": "load-timed-out",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "timed out waiting for llama*"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "transient",
        "severity": "medium",
        "retryable": true,
        "retry_limit": 1,
        "counted": true,
        "model_specific": true,
        "host_specific": true,
        "action": "increase_timeout"
      }
    },
    {
      "name": "runner-died",
      "kinds": [
        "http_status",
        "stream_error",
        "other"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "llama-server process has terminated",
        "llama runner process has terminated",
        "process no longer running",
        "model runner has unexpectedly stopped",
        "post predict"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "transient",
        "severity": "medium",
        "retryable": true,
        "retry_limit": 1,
        "counted": true,
        "model_specific": true,
        "host_specific": true,
        "action": "retry"
      }
    },
    {
      "name": "runner-loading",
      "kinds": [
        "http_status",
        "stream_error"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "llm server loading model",
        "llm server not responding",
        "no slots available",
        "loading model"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "transient",
        "severity": "medium",
        "retryable": true,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "retry"
      }
    },
    {
      "name": "runner-failed",
      "kinds": [
        "http_status",
        "stream_error"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "error was encountered while running the model",
        "unexpected eof"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "transient",
        "severity": "medium",
        "retryable": true,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "retry"
      }
    },
    {
      "name": "embedding-runner-failed",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "do embedding request"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "transient",
        "severity": "medium",
        "retryable": true,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "retry"
      }
    },
    {
      "name": "queue-full",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "server busy",
        "maximum pending requests exceeded"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "transient",
        "severity": "medium",
        "retryable": true,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "wait"
      }
    },
    {
      "name": "dns",
      "kinds": [
        "dns"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "connection",
        "severity": "high",
        "retryable": true,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "check_service"
      }
    },
    {
      "name": "connection-refused",
      "kinds": [
        "connection_refused"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "connection",
        "severity": "high",
        "retryable": true,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "check_service"
      }
    },
    {
      "name": "connection-reset",
      "kinds": [
        "connection_reset"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "connection",
        "severity": "high",
        "retryable": true,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "check_service"
      }
    },
    {
      "name": "unreachable",
      "kinds": [
        "unreachable"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "connection",
        "severity": "high",
        "retryable": true,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "check_service"
      }
    },
    {
      "name": "tls",
      "kinds": [
        "tls"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "connection",
        "severity": "high",
        "retryable": false,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "check_service"
      }
    },
    {
      "name": "timeout",
      "kinds": [
        "timeout"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "timeout",
        "severity": "medium",
        "retryable": true,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "increase_timeout"
      }
    },
    {
      "name": "permission-denied",
      "kinds": [
        "permission_denied"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "high",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": false,
        "host_specific": false,
        "action": "fix_permissions"
      }
    },
    {
      "name": "not-found",
      "kinds": [
        "not_found"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "medium",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": false,
        "host_specific": false,
        "action": "fix_input"
      }
    },
    {
      "name": "invalid-input",
      "kinds": [
        "invalid_input"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "low",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": false,
        "host_specific": false,
        "action": "fix_input"
      }
    },
    {
      "name": "incomplete-answer",
      "kinds": [
        "incomplete_answer"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "transient",
        "severity": "medium",
        "retryable": true,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "resample"
      }
    },
    {
      "name": "empty-answer",
      "kinds": [
        "empty_answer"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "transient",
        "severity": "low",
        "retryable": true,
        "retry_limit": 2,
        "counted": false,
        "model_specific": true,
        "host_specific": false,
        "action": "resample"
      }
    },
    {
      "name": "cut-question",
      "kinds": [
        "cut_question"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "low",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": true,
        "host_specific": false,
        "action": "raise_window"
      }
    },
    {
      "name": "other-service",
      "kinds": [
        "invalid_answer"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "doctype html",
        "html"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "high",
        "retryable": false,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "check_service"
      }
    },
    {
      "name": "invalid-answer",
      "kinds": [
        "invalid_answer"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "transient",
        "severity": "medium",
        "retryable": true,
        "retry_limit": 1,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "check_service"
      }
    },
    {
      "name": "in-use",
      "kinds": [
        "in_use"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "transient",
        "severity": "low",
        "retryable": true,
        "retry_limit": null,
        "counted": false,
        "model_specific": false,
        "host_specific": false,
        "action": "wait"
      }
    },
    {
      "name": "rejected-result",
      "kinds": [
        "rejected_result"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "transient",
        "severity": "low",
        "retryable": true,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "resample"
      }
    },
    {
      "name": "host-header-refused",
      "kinds": null,
      "statuses": [
        [
          403,
          403
        ]
      ],
      "endpoints": [
        "chat",
        "generate",
        "embed",
        "show",
        "tags",
        "ps",
        "pull",
        "version",
        "openai"
      ],
      "blank": true,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "high",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": false,
        "host_specific": true,
        "action": "fix_host_header"
      }
    },
    {
      "name": "unauthorized",
      "kinds": null,
      "statuses": [
        [
          401,
          401
        ],
        [
          407,
          407
        ],
        [
          511,
          511
        ]
      ],
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "high",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": false,
        "host_specific": false,
        "action": "sign_in"
      }
    },
    {
      "name": "forbidden",
      "kinds": null,
      "statuses": [
        [
          403,
          403
        ]
      ],
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "high",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": false,
        "host_specific": false,
        "action": "fix_permissions"
      }
    },
    {
      "name": "request-timeout",
      "kinds": null,
      "statuses": [
        [
          408,
          408
        ]
      ],
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "timeout",
        "severity": "medium",
        "retryable": true,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "increase_timeout"
      }
    },
    {
      "name": "rate-limited",
      "kinds": null,
      "statuses": [
        [
          429,
          429
        ]
      ],
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "transient",
        "severity": "medium",
        "retryable": true,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "wait"
      }
    },
    {
      "name": "overloaded-status",
      "kinds": null,
      "statuses": [
        [
          503,
          503
        ],
        [
          529,
          529
        ]
      ],
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "transient",
        "severity": "medium",
        "retryable": true,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "wait"
      }
    },
    {
      "name": "too-early",
      "kinds": null,
      "statuses": [
        [
          421,
          421
        ],
        [
          425,
          425
        ]
      ],
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "transient",
        "severity": "medium",
        "retryable": true,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "retry"
      }
    },
    {
      "name": "unknown-route",
      "kinds": null,
      "statuses": [
        [
          404,
          405
        ],
        [
          501,
          501
        ]
      ],
      "endpoints": [
        "chat",
        "generate",
        "embed",
        "show",
        "tags",
        "ps",
        "pull",
        "version",
        "openai"
      ],
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "medium",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": false,
        "host_specific": true,
        "action": "upgrade_server"
      }
    },
    {
      "name": "http-not-found",
      "kinds": null,
      "statuses": [
        [
          404,
          405
        ],
        [
          410,
          410
        ]
      ],
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "medium",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": false,
        "host_specific": false,
        "action": "fix_input"
      }
    },
    {
      "name": "not-implemented",
      "kinds": null,
      "statuses": [
        [
          501,
          501
        ],
        [
          505,
          505
        ]
      ],
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "medium",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": false,
        "host_specific": true,
        "action": "upgrade_server"
      }
    },
    {
      "name": "server-error",
      "kinds": null,
      "statuses": [
        [
          500,
          599
        ]
      ],
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "transient",
        "severity": "medium",
        "retryable": true,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "retry"
      }
    },
    {
      "name": "invalid-request-status",
      "kinds": null,
      "statuses": [
        [
          400,
          499
        ]
      ],
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "low",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": false,
        "host_specific": false,
        "action": "fix_input"
      }
    },
    {
      "name": "server-error-in-stream",
      "kinds": [
        "http_status",
        "stream_error"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [],
      "meaning": {
        "category": "transient",
        "severity": "medium",
        "retryable": true,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "retry"
      }
    },
    {
      "name": "out-of-memory-text",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "out of memory",
        "out-of-memory",
        "out of device memory",
        "outofmemory*",
        "memoryerror",
        "enomem",
        "cannot allocate memory",
        "cudamalloc failed",
        "hipmalloc failed",
        "failed to allocate",
        "allocation failed",
        "not enough memory",
        "insufficient memory",
        "vk_error_out_of_device_memory",
        "vk_error_out_of_host_memory",
        "erroroutofmemory",
        "erroroutofdevicememory",
        "signal: killed",
        "cudaerrormemoryallocation",
        "bad_alloc",
        "oom"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "resource",
        "severity": "critical",
        "retryable": false,
        "retry_limit": null,
        "counted": true,
        "model_specific": true,
        "host_specific": true,
        "action": "use_smaller_model"
      }
    },
    {
      "name": "rate-limited-text",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "rate limit*",
        "rate-limit*",
        "ratelimit*",
        "rate_limit*",
        "too many requests",
        "throttl*"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "transient",
        "severity": "medium",
        "retryable": true,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "wait"
      }
    },
    {
      "name": "permission-denied-text",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "permission denied",
        "access denied",
        "access is denied",
        "operation not permitted",
        "read-only file system",
        "permissionerror",
        "eacces",
        "unauthorized"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "high",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": false,
        "host_specific": false,
        "action": "fix_permissions"
      }
    },
    {
      "name": "dns-text",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "name or service not known",
        "temporary failure in name resolution",
        "no address associated with hostname",
        "dns error",
        "no such host",
        "getaddrinfo*",
        "could not resolve host*",
        "failed to lookup address",
        "nodename nor servname",
        "enotfound"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "connection",
        "severity": "high",
        "retryable": true,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "check_service"
      }
    },
    {
      "name": "connection-text",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "connection refused",
        "connection reset*",
        "connection aborted",
        "connection closed",
        "connection error*",
        "connection failed",
        "connection was forcibly closed",
        "connection timed out while connecting",
        "broken pipe",
        "no route to host",
        "network is unreachable",
        "network unreachable",
        "host is down",
        "failed to connect",
        "could not connect",
        "cannot connect",
        "unable to connect",
        "econnrefused",
        "econnreset",
        "econnaborted",
        "epipe",
        "ehostunreach",
        "enetunreach",
        "connectionerror",
        "connectionrefusederror",
        "connectionreseterror",
        "socket hang up",
        "server disconnected",
        "error trying to connect",
        "error sending request"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "connection",
        "severity": "high",
        "retryable": true,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "check_service"
      }
    },
    {
      "name": "server-error-text",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "internal server error",
        "bad gateway",
        "service unavailable",
        "gateway timeout",
        "service temporarily unavailable"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "transient",
        "severity": "medium",
        "retryable": true,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "retry"
      }
    },
    {
      "name": "timeout-text",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "timed out",
        "timeout*",
        "time-out",
        "timeouterror",
        "timeoutexpired",
        "deadline exceeded",
        "deadline has elapsed",
        "etimedout",
        "readtimeout",
        "connecttimeout"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "timeout",
        "severity": "medium",
        "retryable": true,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "increase_timeout"
      }
    },
    {
      "name": "invalid-input-text",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "valueerror",
        "typeerror",
        "invalid input",
        "invalid argument*",
        "validation error*",
        "invalid value",
        "invalid type",
        "missing field",
        "expected value at line",
        "invalid json",
        "jsondecodeerror",
        "bad request"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "low",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": false,
        "host_specific": false,
        "action": "fix_input"
      }
    }
  ],
  "unknown": {
    "name": "unknown",
    "kinds": null,
    "statuses": null,
    "endpoints": null,
    "blank": false,
    "points": false,
    "phrases": null,
    "also": [],
    "unless": [],
    "meaning": {
      "category": "unknown",
      "severity": "medium",
      "retryable": false,
      "retry_limit": null,
      "counted": true,
      "model_specific": false,
      "host_specific": false,
      "action": "log_and_continue"
    }
  },
  "errno_kinds": {
    "1": "permission_denied",
    "2": "not_found",
    "11": "timeout",
    "12": "out_of_memory",
    "13": "permission_denied",
    "16": "in_use",
    "22": "invalid_input",
    "23": "too_many_open_files",
    "24": "too_many_open_files",
    "26": "in_use",
    "28": "disk_full",
    "30": "permission_denied",
    "32": "connection_reset",
    "100": "unreachable",
    "101": "unreachable",
    "102": "connection_reset",
    "103": "connection_reset",
    "104": "connection_reset",
    "107": "connection_reset",
    "108": "connection_reset",
    "110": "timeout",
    "111": "connection_refused",
    "112": "unreachable",
    "113": "unreachable",
    "122": "disk_full",
    "125": "cancelled"
  },
  "status_words": [
    "http",
    "status",
    "code",
    "error",
    "returned",
    "response",
    "got",
    "http_status",
    "status_code"
  ],
  "status_reasons": [
    [
      400,
      "bad request"
    ],
    [
      401,
      "unauthorized"
    ],
    [
      403,
      "forbidden"
    ],
    [
      404,
      "not found"
    ],
    [
      404,
      "page not found"
    ],
    [
      405,
      "method not allowed"
    ],
    [
      408,
      "request timeout"
    ],
    [
      413,
      "payload too large"
    ],
    [
      422,
      "unprocessable"
    ],
    [
      429,
      "too many requests"
    ],
    [
      500,
      "internal server error"
    ],
    [
      502,
      "bad gateway"
    ],
    [
      503,
      "service unavailable"
    ],
    [
      504,
      "gateway time"
    ]
  ]
}
