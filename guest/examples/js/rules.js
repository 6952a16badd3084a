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
      "name": "cancelled-text",
      "kinds": [
        "other"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "context canceled",
        "keyboardinterrupt",
        "request canceled",
        "^canceled$",
        "^cancelled$",
        "user aborted",
        "aborterror",
        "cancellederror"
      ],
      "also": [],
      "unless": [
        "client.timeout exceeded",
        "timeout*",
        "timed out"
      ],
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
      "name": "redirected",
      "kinds": null,
      "statuses": [
        [
          300,
          399
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
        "host_specific": true,
        "action": "fix_address"
      }
    },
    {
      "name": "caller-gone-behind-proxy",
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
        "^context canceled$",
        "cancelled by client",
        "cancelled by user",
        "canceled by user",
        "request has been cancelled",
        "due to user request"
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
        "action": "nothing"
      }
    },
    {
      "name": "redirected-text",
      "kinds": [
        "other"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "exceeded .. redirects",
        "too many redirects",
        "redirect count exceeded",
        "maximum .. redirects followed",
        "unexpected redirect*",
        "redirections exceeded",
        "redirect response",
        "toomanyredirects",
        "error following redirect"
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
        "host_specific": true,
        "action": "fix_address"
      }
    },
    {
      "name": "named-in-vain",
      "kinds": [
        "other"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "unexpected keyword argument",
        "did not match any file",
        "is not a valid branch name",
        "no rule to make target",
        "no such column",
        "no context exists",
        "could not convert string",
        "cannot find module",
        "err_out_of_range",
        "invalid numeric value",
        "invalid time",
        "invalid upstream",
        "unknown revision",
        "has no attribute",
        "is not defined",
        "is not a git command",
        "illegalargumentexception",
        "destination path {} already exists",
        "directory not empty",
        "unknown url type"
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
        "database or disk is full",
        "not enough free disk space",
        "not enough disk space",
        "not enough space",
        "insufficient disk space",
        "enospc",
        "there is not enough space on the disk",
        "disk usage exceeded flood-stage"
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
      "name": "pulled-model-missing",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "pull model manifest .. file does not exist"
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
      "name": "server-too-old",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "requires a newer version of ollama",
        "pull model manifest: 412",
        "may need to upgrade",
        "upgrade to the latest version"
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
        "action": "upgrade_server"
      }
    },
    {
      "name": "registry-refuses-tag",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "pull model manifest: 400"
      ],
      "also": [],
      "unless": [
        "sharded"
      ],
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
      "name": "model-sharded",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "contains sharded gguf",
        "sharded gguf"
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
        "action": "use_another_model"
      }
    },
    {
      "name": "registry-key-damaged",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "ssh: no key found"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "critical",
        "retryable": false,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "repair_server"
      }
    },
    {
      "name": "registry-refuses",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "pull model manifest: 401",
        "pull model manifest: 403",
        "pull model manifest: unauthorized",
        "unauthorized: access denied"
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
        "action": "sign_in"
      }
    },
    {
      "name": "registry-rate-limited",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "pull model manifest: 429"
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
      "name": "registry-key-unreadable",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "pull model manifest: open"
      ],
      "also": [
        "permission denied"
      ],
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
      "name": "registry-insecure",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "insecure protocol http",
        "pull model manifest: invalid model name"
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
      "name": "registry-tls",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "pull model manifest",
        "max retries exceeded:",
        "registry-1.docker.io",
        "registry.ollama.ai/v2"
      ],
      "also": [
        "x509",
        "certificate*",
        "tls handshake failure"
      ],
      "unless": [],
      "meaning": {
        "category": "connection",
        "severity": "high",
        "retryable": false,
        "retry_limit": null,
        "counted": false,
        "model_specific": false,
        "host_specific": true,
        "action": "check_service"
      }
    },
    {
      "name": "registry-slow",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "pull model manifest",
        "max retries exceeded:",
        "registry-1.docker.io",
        "registry.ollama.ai/v2"
      ],
      "also": [
        "i/o timeout",
        "timeout*",
        "timed out",
        "deadline exceeded"
      ],
      "unless": [],
      "meaning": {
        "category": "timeout",
        "severity": "medium",
        "retryable": true,
        "retry_limit": null,
        "counted": false,
        "model_specific": false,
        "host_specific": true,
        "action": "check_service"
      }
    },
    {
      "name": "registry-away",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "pull model manifest",
        "max retries exceeded:",
        "registry-1.docker.io",
        "registry.ollama.ai/v2"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "connection",
        "severity": "high",
        "retryable": true,
        "retry_limit": null,
        "counted": false,
        "model_specific": false,
        "host_specific": true,
        "action": "check_service"
      }
    },
    {
      "name": "download-damaged",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "must be downloaded again",
        "hash sum mismatch",
        "eintegrity",
        "registry.ollama.ai .. no such host",
        "cloudflarestorage.com .. no such host",
        "maximum redirects exceeded",
        "sha mismatch for file",
        "download validation failed",
        "failed to download model"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "connection",
        "severity": "high",
        "retryable": true,
        "retry_limit": null,
        "counted": false,
        "model_specific": false,
        "host_specific": true,
        "action": "check_service"
      }
    },
    {
      "name": "model-unavailable",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "requires a subscription",
        "not included in your .. usage",
        "upgrade for access",
        "do not have access to .. model*",
        "does not have access to model*",
        "do not have access to it",
        "not have access to this model",
        "model_decommissioned",
        "decommissioned",
        "was retired",
        "been retired",
        "been deprecated",
        "is deprecated .. model*",
        "reached its end of life",
        "model .. discontinued",
        "model .. no longer available",
        "model .. no longer supported",
        "key not allowed to access model",
        "not allowed to access model",
        "model_not_available",
        "model .. not available on your plan",
        "model .. not available in your .. plan",
        "with the specified model id",
        "model access is denied",
        "by provider as legacy",
        "the end of its life",
        "with on-demand throughput",
        "requires terms acceptance",
        "must be verified to",
        "matching your data policy",
        "endpoint .. is not running",
        "disabled and cannot be loaded",
        "requested model is not supported"
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
        "host_specific": false,
        "action": "use_another_model"
      }
    },
    {
      "name": "key-limit-reached",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "per minute limit",
        "per-minute limit"
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
      "name": "request-above-limit",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "request too large for",
        "request body too large for",
        "tokens_limit_reached"
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
      "name": "quota-exhausted",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "usage limit",
        "usage limits",
        "insufficient_quota",
        "exceeded your current quota",
        "exceeded .. quota",
        "quota exceeded",
        "quota has been exceeded",
        "^limit exceeded$",
        "over its data quota",
        "insufficient balance",
        "insufficient credits",
        "insufficient funds",
        "insufficient_user_quota",
        "insufficient_balance",
        "credit balance is too low",
        "requires more credits",
        "run out of credits",
        "out of credits",
        "have any credits",
        "no credits",
        "add .. credits",
        "purchase credits",
        "usage balance is empty",
        "billing_not_active",
        "billing hard limit",
        "account is not active",
        "budget_exceeded",
        "budget has been exceeded",
        "exceeded budget",
        "exceeded your monthly",
        "monthly .. limit",
        "weekly .. limit",
        "daily .. limit",
        "hourly .. limit",
        "limit .. per day",
        "per day (tpd",
        "per day (rpd",
        "per-day",
        "tokens per day",
        "requests per day",
        "generaterequestsperday*",
        "payment required",
        "free allocation",
        "balance is insufficient",
        "is past due",
        "calls / month",
        "requires paid balance"
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
      "name": "payment-required",
      "kinds": null,
      "statuses": [
        [
          402,
          402
        ]
      ],
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": null,
      "also": [],
      "unless": [
        "not included in your .. usage",
        "requires a subscription"
      ],
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
      "name": "cloud-search-disabled",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "ollama cloud is disabled: web*"
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
        "host_specific": true,
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
        "ollama cloud is disabled",
        "cannot run this remote model"
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
      "name": "sign-in-needed",
      "kinds": null,
      "statuses": [
        [
          401,
          401
        ]
      ],
      "endpoints": null,
      "blank": false,
      "points": true,
      "phrases": null,
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
        "action": "sign_in"
      }
    },
    {
      "name": "sign-in-needed-text",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "need to be signed in to ollama",
        "you need to be signed in",
        "ollama signin",
        "ollama.com/connect"
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
        "action": "sign_in"
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
        "currently overloaded",
        "model is overloaded",
        "is at capacity",
        "engine_overloaded*",
        "models busy"
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
      "name": "proxy-overflow",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "reset reason: overflow"
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
      "name": "host-header-named",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "invalid host header",
        "host not allowed"
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
        "host_specific": true,
        "action": "fix_host_header"
      }
    },
    {
      "name": "plain-http-to-tls",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "plain http request was sent to https port",
        "http response to https client",
        "http request to an https server"
      ],
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
      "name": "other-service",
      "kinds": [
        "invalid_answer",
        "stream_error"
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
      "name": "connection-behind-proxy",
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
        "upstream connect error",
        "disconnect/reset before headers",
        "connection termination",
        "no healthy upstream .. refused",
        "response ended prematurely",
        "exception - connection error*",
        "error code: 520",
        "error code: 521",
        "error code: 522",
        "error code: 523",
        "error code: 530",
        "error code: 1033",
        "web server is down",
        "web server returned an unknown error",
        "origin is unreachable",
        "err_ngrok_3200",
        "err_ngrok_8012",
        "endpoint .. is offline",
        "zero sized reply",
        "zero size reply",
        "closed connection before returning",
        "error 1033",
        "cloudflare tunnel*",
        "tunnel .. not found",
        "cannot connect to host",
        "connection error*"
      ],
      "also": [],
      "unless": [
        "certificate*",
        "sslcertverificationerror",
        "many connection errors"
      ],
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
      "name": "tls-behind-proxy",
      "kinds": [
        "http_status",
        "stream_error"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "error code: 525",
        "error code: 526",
        "invalid ssl certificate",
        "ssl handshake failed"
      ],
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
      "name": "server-answer-unreadable",
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
        "error unmarshalling llama-server",
        "error unmarshaling llama*",
        "error reading llama-server",
        "unmarshalling llama-server",
        "unmarshal llm prediction response"
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
      "name": "manifest-damaged",
      "kinds": null,
      "statuses": [
        [
          500,
          500
        ]
      ],
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "^unexpected eof$",
        "^eof$",
        "invalid character .. x00"
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
      "name": "unusable-output-in-stream",
      "kinds": [
        "stream_error"
      ],
      "statuses": null,
      "endpoints": [
        "chat",
        "generate",
        "openai"
      ],
      "blank": false,
      "points": false,
      "phrases": [
        "invalid character {} looking for beginning of",
        "invalid character {} after",
        "invalid character {} in",
        "unexpected end of json input",
        "unterminated string",
        "unexpected eof$",
        "^eof$"
      ],
      "also": [],
      "unless": [
        "error was encountered while running the model",
        "llama-server",
        "llama runner",
        "dial tcp",
        "read tcp"
      ],
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
      "name": "inner-call-failed",
      "kinds": [
        "http_status",
        "stream_error"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "http://127.0.0.1",
        "http://localhost",
        "dial tcp 127.0.0.1",
        "dial tcp [::1]",
        "^connection refused$",
        "^eof$",
        "read tcp 127.0.0.1"
      ],
      "also": [],
      "unless": [
        "timeout*",
        "html",
        "api/chat",
        "api/generate",
        "api/embed",
        "v1/chat"
      ],
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
      "name": "invalid-tool-call",
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
        "invalid tool call arguments",
        "error parsing tool call",
        "parsing tool call",
        "parse tool call*",
        "parsing .. tool call*",
        "parse .. tool call*",
        "incomplete .. tool call",
        "malformed .. tool call",
        "invalid .. tool call",
        "tool call .. missing",
        "tool call .. invalid",
        "parse glimmer call",
        "tool_use_failed",
        "failed_generation",
        "failed to call a function",
        "required argument {} is missing for tool",
        "missing for tool",
        "tool {} not found",
        "unknown tool",
        "unexpected error format in response",
        "model tried to call unavailable tool",
        "malformed_function_call",
        "malformed function call"
      ],
      "also": [],
      "unless": [
        "tool_choice*",
        "tool parser*",
        "tool call arguments as json"
      ],
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
      "name": "unusable-output",
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
        "xml syntax error",
        "expected element type",
        "failed to parse xml",
        "failed to parse input at pos",
        "does not match the expected .. format",
        "token repeat limit",
        "unexpected empty grammar stack",
        "failed to parse reasoning*",
        "failed to parse generated",
        "error parsing grammar output",
        "embedding contains nan*",
        "contains nan or inf*",
        "nan values",
        "unsupported value: nan",
        "model output is not valid json",
        "model produced .. invalid",
        "mismatched arg_key"
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
      "name": "unusable-output-as-error",
      "kinds": null,
      "statuses": [
        [
          500,
          500
        ]
      ],
      "endpoints": [
        "chat",
        "generate",
        "openai"
      ],
      "blank": false,
      "points": false,
      "phrases": [
        "invalid character {} looking for beginning of",
        "invalid character {} after",
        "invalid character {} in",
        "unexpected end of json input",
        "unterminated string",
        "unexpected eof$",
        "^eof$"
      ],
      "also": [],
      "unless": [
        "llama-server",
        "llama runner",
        "manifest",
        "x00",
        "option",
        "invalid format",
        "unexpected eof",
        "^eof$"
      ],
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
      "name": "context-overflow",
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
        "longer than the context length",
        "exceed_context_size_error",
        "context_length_exceeded",
        "contextwindowexceedederror",
        "context_window_exceeded",
        "context window .. exceeded",
        "context length .. exceeded",
        "context size .. exceeded",
        "context .. full",
        "exceed .. context length",
        "exceeds the context",
        "exceeds the available context",
        "exceeds .. context length",
        "exceeds .. context window",
        "exceeds .. context size",
        "exceeds maximum context",
        "exceed .. context window",
        "exceed context*",
        "exceeded context*",
        "exceeded the context",
        "exceeds the model's .. length",
        "exceeds .. maximum length",
        "maximum context length",
        "maximum model length",
        "max_model_len",
        "maximum sequence length",
        "max_seq_len",
        "max sequence length",
        "max_total_tokens",
        "kv cache .. too small",
        "kv size",
        "cannot truncate prompt",
        "not fit in context",
        "not fit in the context",
        "not fit the context",
        "fit into the model",
        "fit within the context",
        "must have less than {} tokens",
        "must be less than {} tokens",
        "larger than the max context size",
        "larger than the context",
        "greater than the context length",
        "keep the first {} tokens",
        "prompt is too long",
        "prompt too long",
        "prompt .. is too long",
        "prompt .. too long",
        "prompt .. too big",
        "prompt .. too large",
        "prompt .. exceeds",
        "prompt .. longer than",
        "input is too long",
        "input too long",
        "input .. too long",
        "input .. too large to process",
        "input length .. exceeds",
        "input length .. exceed",
        "input tokens exceed",
        "input tokens exceeds",
        "input token count .. exceeds",
        "inputs tokens .. must be",
        "increase the physical batch size",
        "too many tokens",
        "too many input tokens",
        "token limit exceeded",
        "token count exceeds",
        "tokens .. exceeds the limit",
        "tokens exceeds the",
        "reduce the length of",
        "reduce the prompt*",
        "shorten the prompt",
        "max_prompt_tokens_exceeded",
        "string_above_max_length",
        "must be at least 1, got -*",
        "longer than the .. context length",
        "pre-allocated encoder cache",
        "inputs` tokens + `max_new_tokens` must be",
        "maximum prompt length",
        "range of input length",
        "out_of_context*",
        "prompt removed by truncation",
        "kv slot",
        "max length exceeded",
        "must have less than {} characters"
      ],
      "also": [],
      "unless": [
        "max_tokens .. is too large",
        "max_completion_tokens .. is too large",
        "^max_new_tokens .. must be",
        "truncate_prompt_tokens",
        "per minute",
        "per second",
        "rate limit*",
        "please wait",
        "tools",
        "not enough memory"
      ],
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
      "name": "max-tokens-too-large",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "max_tokens .. is too large",
        "max_completion_tokens .. is too large",
        "max_new_tokens .. must be",
        "max_tokens .. must be"
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
      "name": "blob-missing",
      "kinds": [
        "http_status",
        "stream_error"
      ],
      "statuses": null,
      "endpoints": [
        "manage",
        "other"
      ],
      "blank": false,
      "points": false,
      "phrases": [
        "blobs .. no such file or directory"
      ],
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
      "name": "architecture-unknown",
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
        "unknown model architecture",
        "unsupported .. architecture*",
        "unknown .. architecture*",
        "does not recognize this architecture"
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
      "name": "model-unreadable-inner",
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
        "no longer compatible",
        "may be incompatible with your version",
        "architecture {} not supported",
        "architecture .. not supported",
        "model type {} not supported",
        "model type .. not supported",
        "unable to load model",
        "error loading model",
        "error loading llama model",
        "missing tensor",
        "key not found in model",
        "key not found in model file",
        "invalid file magic",
        "invalid magic",
        "bad magic",
        "not a gguf",
        "unsupported gguf*",
        "invalid gguf*",
        "gguf .. corrupt*",
        "model .. corrupt*",
        "offset+size .. exceeds file size",
        "exceeds file size",
        "tensor .. not within the file bounds",
        "wrong number of tensors",
        "wrong shape",
        "failed to load model from",
        "unable to load model from",
        "could not be loaded",
        "invalid safetensors*",
        "metadataincompletebuffer",
        "headertoolarge",
        "header too large",
        "error while deserializing header",
        "blobs .. no such file or directory",
        "unsupported model*",
        "unsupported quantization*",
        "error loading model vocabulary",
        "unknown pre-tokenizer",
        "unable to open file .. blobs",
        "failed to read tensor*",
        "failed to read metadata*",
        "unknown renderer",
        "unknown parser",
        "validate gguf",
        "llama-quantize failed",
        "unknown projector type",
        "weights are missing",
        "gguf array size",
        "not in gguf format",
        "require the exllamav2 backend"
      ],
      "also": [],
      "unless": [
        "out of memory",
        "unable to allocate",
        "failed to allocate",
        "not enough memory",
        "insufficient memory",
        "insufficient system resources",
        "allocation failed",
        "requires more system memory",
        "too large for",
        "rpc error",
        "failed to start",
        "exit code",
        "outofmemory*",
        "out of device memory",
        "erroroutof*"
      ],
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
      "name": "model-unavailable-here",
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
      "phrases": [
        "model not found",
        "model {} not found"
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
        "host_specific": false,
        "action": "use_another_model"
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
        "model {} was not found",
        "model {} does not exist",
        "model {} is not found",
        "model {} not exist",
        "models {} not found",
        "model_not_found",
        "modelnotfound",
        "deploymentnotfound",
        "try pulling it first",
        "no such model",
        "model .. cannot be found",
        "model .. could not be found",
        "model .. not found locally",
        "lora adapter .. cannot be found",
        "adapter .. not found",
        "no models loaded",
        "no models are .. loaded",
        "no model is .. loaded",
        "no model loaded",
        "unknown model",
        "invalid model name passed",
        "model {} is not loaded",
        "model {} not loaded",
        "model {} is not available",
        "not a valid model id",
        "no endpoints found for",
        "no available channel for model",
        "model .. is not served",
        "could not find .. model",
        "couldn't find model",
        "for requested model",
        "^model:",
        "repository not found for url",
        "model specified in your request is not configured",
        "is not found for api version",
        "engine for model"
      ],
      "also": [],
      "unless": [
        "architecture*",
        "blobs",
        "failed to load model",
        "requires approximately",
        "vision model not loaded",
        "desc = model not loaded"
      ],
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
      "name": "capability-outdated",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "pull the model again to get"
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
        "does not support generate",
        "does not support multimodal",
        "not support embeddings",
        "is not a multimodal model",
        "is not multimodal",
        "not an embedding model",
        "not a generative model",
        "image input is not supported",
        "not a chat model",
        "not a completion model",
        "no endpoints found that support",
        "missing data required for image*",
        "^not supported$",
        "pooling type",
        "not appear to be an embedding model",
        "model is not embedding",
        "must be created with embedding*",
        "no llava model loaded",
        "think value .. not supported",
        "only supports one image",
        "at most {} image*",
        "does not have a chat template",
        "no chat template",
        "chat template",
        "prompt template",
        "jinja*",
        "template error",
        "while executing callexpression",
        "while executing filterexpression",
        "while executing forstatement",
        "value is not callable",
        "raise_exception",
        "roles must alternate",
        "must alternate",
        "only user, assistant",
        "system role not supported",
        "no user query found",
        "template: .. executing",
        "error calling index",
        "enable-auto-tool-choice",
        "tool-call-parser",
        "infill is not supported",
        "start it with `--embeddings`",
        "provide the mmproj",
        "vision model not loaded",
        "incompatible with system messages",
        "is not enabled for models",
        "not support successive",
        "unexpected role",
        "expected last role",
        "does not work with the specified model",
        "models are not currently supported",
        "not a re-ranker model",
        "expected token .. got",
        "image count .. exceeds",
        "matryoshka",
        "grammar is not supported",
        "no_vision_model",
        "content type is supported",
        "models do not support chat"
      ],
      "also": [],
      "unless": [
        "architecture*",
        "multi-instance proxy",
        "model type"
      ],
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
      "name": "capability-lacking",
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
        "not supported",
        "unsupported",
        "not support",
        "doesn't support",
        "does not accept",
        "not enabled",
        "is disabled",
        "are disabled"
      ],
      "also": [
        "image*",
        "vision",
        "audio",
        "video",
        "multimodal*",
        "multi-modal*",
        "mmproj",
        "tool*",
        "function calling",
        "embeddings",
        "embedding model",
        "infill",
        "thinking",
        "reasoning*",
        "logprobs",
        "chat completions",
        "rerank*"
      ],
      "unless": [
        "architecture*",
        "multi-instance proxy",
        "image urls",
        "image url*",
        "url*",
        "media type",
        "mime*",
        "content type",
        "cpu",
        "os",
        "toolchain"
      ],
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
        "json: cannot unmarshal",
        "missing {} required positional argument*",
        "failed to parse tools",
        "failed to parse grammar",
        "failed to initialize samplers",
        "json.exception",
        "illegal base64",
        "invalid image",
        "failed to decode image",
        "invalid duration",
        "invalid think value",
        "tool call arguments as json",
        "error processing image",
        "no model id could be identified",
        "neither .. was specified"
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
      "name": "payload-too-large",
      "kinds": [
        "http_status",
        "stream_error"
      ],
      "statuses": [
        [
          413,
          413
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
        "host_specific": true,
        "action": "shorten_prompt"
      }
    },
    {
      "name": "unsent-request",
      "kinds": null,
      "statuses": [
        [
          400,
          400
        ]
      ],
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "^unexpected eof$",
        "invalid character {} looking for beginning of",
        "unexpected end of json input"
      ],
      "also": [],
      "unless": [
        "state lock"
      ],
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
      "name": "model-too-large",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "requires more system memory",
        "requires more gpu memory",
        "requires more memory",
        "unable to load full model on gpu",
        "requires .. but only .. available",
        "requires .. but only .. free",
        "requires approximately",
        "insufficient system resources",
        "too large for ram",
        "too large for available memory",
        "too large for vram",
        "not enough vram to load",
        "no available memory for the cache blocks",
        "memory .. less than desired gpu memory utilization",
        "not enough memory to handle",
        "metal memory for kv cache",
        "of total memory",
        "too large for the available vram"
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
        "outofmemoryerror",
        "memoryerror",
        "enomem",
        "cannot allocate memory",
        "can not allocate memory",
        "cannot be allocated",
        "unable to allocate",
        "cudamalloc failed",
        "hipmalloc failed",
        "failed to allocate",
        "failed to alloc",
        "allocation failed",
        "allocation failure",
        "memory allocation of",
        "not enough memory",
        "insufficient memory",
        "insufficient vram",
        "vk_error_out_of_device_memory",
        "vk_error_out_of_host_memory",
        "erroroutofmemory",
        "erroroutofdevicememory",
        "kiogpucommandbuffercallbackerroroutofmemory",
        "signal: killed",
        "cudaerrormemoryallocation",
        "cublas_status_alloc_failed",
        "bad_alloc",
        "heap out of memory",
        "oom",
        "oomkilled",
        "metal::malloc",
        "enough available memory",
        "failed to commit memory",
        "runs out of memory",
        "not enough gpu memory",
        "not enough metal memory"
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
        "outofmemoryerror",
        "memoryerror",
        "enomem",
        "cannot allocate memory",
        "can not allocate memory",
        "cannot be allocated",
        "unable to allocate",
        "cudamalloc failed",
        "hipmalloc failed",
        "failed to allocate",
        "failed to alloc",
        "allocation failed",
        "allocation failure",
        "memory allocation of",
        "not enough memory",
        "insufficient memory",
        "insufficient vram",
        "vk_error_out_of_device_memory",
        "vk_error_out_of_host_memory",
        "erroroutofmemory",
        "erroroutofdevicememory",
        "kiogpucommandbuffercallbackerroroutofmemory",
        "signal: killed",
        "cudaerrormemoryallocation",
        "cublas_status_alloc_failed",
        "bad_alloc",
        "heap out of memory",
        "oom",
        "oomkilled",
        "metal::malloc",
        "enough available memory",
        "failed to commit memory",
        "runs out of memory",
        "not enough gpu memory",
        "not enough metal memory"
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
      "name": "runner-out-of-memory-text",
      "kinds": [
        "other"
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
        "outofmemoryerror",
        "memoryerror",
        "enomem",
        "cannot allocate memory",
        "can not allocate memory",
        "cannot be allocated",
        "unable to allocate",
        "cudamalloc failed",
        "hipmalloc failed",
        "failed to allocate",
        "failed to alloc",
        "allocation failed",
        "allocation failure",
        "memory allocation of",
        "not enough memory",
        "insufficient memory",
        "insufficient vram",
        "vk_error_out_of_device_memory",
        "vk_error_out_of_host_memory",
        "erroroutofmemory",
        "erroroutofdevicememory",
        "kiogpucommandbuffercallbackerroroutofmemory",
        "signal: killed",
        "cudaerrormemoryallocation",
        "cublas_status_alloc_failed",
        "bad_alloc",
        "heap out of memory",
        "oom",
        "oomkilled",
        "metal::malloc",
        "enough available memory",
        "failed to commit memory",
        "runs out of memory",
        "not enough gpu memory",
        "not enough metal memory"
      ],
      "also": [
        "llama runner",
        "llama-server",
        "runner process",
        "enginecore",
        "metal::malloc",
        "alloc_req_slots"
      ],
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
        "enfile",
        "object file: error 24"
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
      "name": "engine-missing",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "mlx is not supported",
        "mlx not available",
        "requires mlx support",
        "mlx on macos requires",
        "mlx runtime is not available"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "permanent",
        "severity": "critical",
        "retryable": false,
        "retry_limit": null,
        "counted": true,
        "model_specific": true,
        "host_specific": true,
        "action": "repair_server"
      }
    },
    {
      "name": "server-broken",
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
        "llama-server binary not found",
        "error starting llama-server",
        "error starting runner",
        "unable to start server",
        "fork/exec",
        "failed to initialize the metal library",
        "device kernel image is invalid",
        "no kernel image is available",
        "invalid device function",
        "driver version is insufficient",
        "error while loading shared libraries",
        "cannot open shared object file",
        "status 0xc0000135",
        "status 0xc000007b",
        "illegal instruction",
        "unable to find a usable .. backend",
        "no backend .. found",
        "backend not found",
        "could not find .. backend",
        "could not load .. backend",
        "no such file or directory: .. llama-server",
        "could not select device driver",
        "could not initialize tensile",
        "permission denied .. libggml*",
        "shared library with base name",
        "failed to load llm engine",
        "could not load engine",
        "symbol lookup error",
        "executable not found",
        "suitable llama servers",
        "unsupported toolchain",
        "failed to spawn server",
        "only supported on windows"
      ],
      "also": [],
      "unless": [
        "error 24"
      ],
      "meaning": {
        "category": "permanent",
        "severity": "critical",
        "retryable": false,
        "retry_limit": null,
        "counted": true,
        "model_specific": false,
        "host_specific": true,
        "action": "repair_server"
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
        "timed out waiting for llama*",
        "timeout waiting for mlx*",
        "timed out waiting for .. to load",
        "health check timed out",
        "load timed out",
        "model load timeout",
        "timed out loading",
        "health check failed after"
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
      "name": "runner-died-loading",
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
        "could not load model",
        "do load request"
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
        "runner process has terminated",
        "process no longer running",
        "model runner has unexpectedly stopped",
        "mlx runner failed",
        "mlx runner exited",
        "llama-server startup failed",
        "enginecore encountered an issue",
        "enginedeaderror",
        "engine is dead",
        "engine loop .. dead",
        "background loop .. errored",
        "model has crashed",
        "model crashed",
        "model process .. exited",
        "process exited",
        "exited unexpectedly",
        "exited prematurely",
        "terminated unexpectedly",
        "crashed without",
        "crashed with",
        "worker .. died",
        "failed to start",
        "remote server unixsocket",
        "failed to load model",
        "model_load_error",
        "failed to load the model",
        "failed to load$",
        "model failed to load",
        "upstream command exited",
        "died during startup"
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
      "name": "runner-failed",
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
        "error was encountered while running the model",
        "post predict",
        "compute error",
        "illegal memory access",
        "failed to sample token",
        "llama_decode",
        "do embedding request",
        "llama-server error",
        "llama-server chat error",
        "tokenize error",
        "health resp",
        "unspecified launch failure",
        "rpc error: code = unavailable",
        "failed during generation",
        "desc = model not loaded",
        "model name={} is not running",
        "failed to decode the batch",
        "failed to decode batch",
        "failed to decode prompt"
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
        "server not responding",
        "no slots available",
        "no slot available",
        "loading model",
        "currently loading",
        "is loading",
        "still loading",
        "model_loading",
        "is staging",
        "process is not ready",
        "not ready",
        "warming up"
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
      "name": "runner-cut",
      "kinds": [
        "http_status",
        "stream_error"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
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
        "manage",
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
      "name": "invalid-key",
      "kinds": null,
      "statuses": [
        [
          400,
          403
        ]
      ],
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "api key not valid",
        "invalid api key",
        "incorrect api key",
        "invalid_api_key",
        "no api key",
        "api key is missing",
        "authentication_error",
        "no required ssl certificate",
        "invalid username or password"
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
        "action": "sign_in"
      }
    },
    {
      "name": "refused-by-owner",
      "kinds": [
        "http_status",
        "stream_error"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "api is disabled",
        "user location is not supported",
        "unsupported_country*"
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
      "name": "rate-limited-words",
      "kinds": [
        "http_status",
        "stream_error"
      ],
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "rate limit exceeded",
        "rate limit reached",
        "rate_limit_exceeded",
        "rate_limit_error",
        "ratelimiterror",
        "too many requests",
        "resource_exhausted"
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
      "name": "cloud-slow",
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
        "https://ollama.com",
        "lookup ollama.com"
      ],
      "also": [
        "i/o timeout",
        "timeout*",
        "timed out",
        "deadline exceeded"
      ],
      "unless": [],
      "meaning": {
        "category": "timeout",
        "severity": "medium",
        "retryable": true,
        "retry_limit": null,
        "counted": true,
        "model_specific": true,
        "host_specific": true,
        "action": "increase_timeout"
      }
    },
    {
      "name": "cloud-away",
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
        "https://ollama.com",
        "lookup ollama.com"
      ],
      "also": [
        "dial tcp",
        "no such host",
        "connection refused",
        "connection reset*",
        "network is unreachable",
        "eof$",
        "tls"
      ],
      "unless": [],
      "meaning": {
        "category": "connection",
        "severity": "high",
        "retryable": true,
        "retry_limit": null,
        "counted": true,
        "model_specific": true,
        "host_specific": true,
        "action": "check_service"
      }
    },
    {
      "name": "slow-upstream",
      "kinds": [
        "http_status",
        "stream_error"
      ],
      "statuses": [
        [
          500,
          503
        ]
      ],
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "i/o timeout",
        "request timed out",
        "timed out",
        "timeouterror",
        "read timeout",
        "request timeout",
        "waiting timeout*",
        "server timeout of",
        "upstream request timeout",
        "deadline exceeded"
      ],
      "also": [],
      "unless": [
        "server error"
      ],
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
      "name": "cloud-unreachable",
      "kinds": [
        "http_status",
        "stream_error",
        "other"
      ],
      "statuses": [
        [
          500,
          599
        ]
      ],
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "connection refused",
        "connection reset*",
        "actively refused*",
        "no such host",
        "network is unreachable",
        "no route to host",
        "econnrefused",
        "econnreset",
        "enotfound",
        "server disconnected",
        "peer closed connection",
        "socket hang up",
        "fetch failed",
        "connection aborted",
        "broken pipe"
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
      "name": "not-there",
      "kinds": null,
      "statuses": [
        [
          404,
          404
        ],
        [
          410,
          410
        ]
      ],
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "html",
        "default backend"
      ],
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
      "name": "wrong-service",
      "kinds": null,
      "statuses": [
        [
          405,
          405
        ]
      ],
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
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
        "manage",
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
      "name": "unknown-route-words",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "page not found",
        "method not allowed",
        "unexpected endpoint or method",
        "^file not found$",
        "not supported in multi-instance proxy"
      ],
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
        "outofmemoryerror",
        "memoryerror",
        "enomem",
        "cannot allocate memory",
        "can not allocate memory",
        "cannot be allocated",
        "unable to allocate",
        "cudamalloc failed",
        "hipmalloc failed",
        "failed to allocate",
        "failed to alloc",
        "allocation failed",
        "allocation failure",
        "memory allocation of",
        "not enough memory",
        "insufficient memory",
        "insufficient vram",
        "vk_error_out_of_device_memory",
        "vk_error_out_of_host_memory",
        "erroroutofmemory",
        "erroroutofdevicememory",
        "kiogpucommandbuffercallbackerroroutofmemory",
        "signal: killed",
        "cudaerrormemoryallocation",
        "cublas_status_alloc_failed",
        "bad_alloc",
        "heap out of memory",
        "oom",
        "oomkilled",
        "metal::malloc",
        "enough available memory",
        "failed to commit memory",
        "runs out of memory",
        "not enough gpu memory",
        "not enough metal memory"
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
        "host_specific": false,
        "action": "use_smaller_model"
      }
    },
    {
      "name": "not-there-named",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "errno 2] no such file or directory",
        "change_dir .. no such file or directory",
        "link_stat .. no such file or directory",
        "modulenotfounderror",
        "no module named"
      ],
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
      "name": "version-not-there",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "no matching distribution found"
      ],
      "also": [],
      "unless": [
        "from versions: none"
      ],
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
        "toomanyrequests",
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
      "name": "conflict-text",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "deadlock*",
        "could not get lock",
        "database is locked",
        "database table is locked",
        "lock wait timeout",
        "try restarting transaction",
        "could not serialize access",
        "text file busy",
        "resource temporarily unavailable",
        "device or resource busy",
        "another process using it",
        "another git process seems to be running",
        "index.lock",
        "unable to lock",
        "could not lock",
        "is held by process",
        "blocking waiting for file lock",
        "sharing violation",
        "address already in use",
        "used by another process",
        "eagain",
        "etxtbsy",
        "ebusy",
        "operation .. is in progress",
        "already in progress",
        "state lock",
        "only one usage of each socket address",
        "could not obtain lock",
        "due to lock timeout",
        "conflict with recovery",
        "writeconflict",
        "watched variable changed"
      ],
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
      "name": "refused-login-text",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "permission denied (publickey",
        "authentication failed",
        "authentication failure*",
        "could not read username",
        "could not read password",
        "invalid username or password",
        "invalid credentials",
        "bad credentials",
        "access denied for user",
        "noauth authentication required",
        "wrongpass",
        "auth login",
        "unable to locate credentials",
        "api key not valid",
        "invalid api key",
        "incorrect api key",
        "invalid_api_key",
        "not logged in",
        "you must be logged in",
        "login required",
        "authentication required",
        "requires authentication",
        "unauthorized",
        "response 407",
        "e401",
        "need auth*",
        "eneedauth",
        "refresh token has expired",
        "authorization violation",
        "username-password pair",
        "with the client already authenticated",
        "no password supplied",
        "access denied: 530"
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
        "action": "sign_in"
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
        "eperm",
        "not authorized",
        "denied: requested access",
        "access forbidden",
        "module is read only",
        "must be owner of",
        "forbidden",
        "has no permissions to run",
        "readonly database",
        "pg_hba.conf entry",
        "blocked because of many connection errors"
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
      "name": "starting-up-text",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "database system is starting up",
        "database system is shutting down",
        "database system is in recovery mode",
        "not yet accepting connections",
        "too many clients",
        "too many connections",
        "max connections",
        "maxstartups",
        "remaining connection slots",
        "loading the dataset",
        "too many 503 error responses",
        "max number of clients reached",
        "try again later",
        "is starting up",
        "server is busy",
        "overloaded",
        "serviceunavailable*",
        "unable to handle the request",
        "redis is busy",
        "hash slot not served",
        "link with master is down",
        "not primary",
        "not leader for partition",
        "an error occurred (503"
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
      "name": "pool-timeout",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "pooltimeout",
        "queuepool limit",
        "connection pool timeout",
        "pool acquire timeout"
      ],
      "also": [],
      "unless": [],
      "meaning": {
        "category": "timeout",
        "severity": "medium",
        "retryable": true,
        "retry_limit": null,
        "counted": false,
        "model_specific": false,
        "host_specific": false,
        "action": "increase_timeout"
      }
    },
    {
      "name": "tls-text",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "certificate_verify_failed",
        "certificate verify failed",
        "certificate verification failed",
        "certificate has expired",
        "certificate is not trusted",
        "certificate not trusted",
        "self-signed certificate",
        "self signed certificate",
        "self_signed_cert*",
        "depth_zero_self_signed_cert",
        "unable_to_verify_leaf_signature",
        "unable to verify the first certificate",
        "unable to get local issuer certificate",
        "ssl certificate problem",
        "server certificate verification failed",
        "pkix path building failed",
        "x509",
        "wrong version number",
        "unknown ca",
        "invalid peer certificate",
        "unknownissuer",
        "ssl connection could not be established",
        "handshake failure",
        "sslv3 alert",
        "tlsv1 alert",
        "packet length too long",
        "record overflow",
        "received record with version",
        "err_cert*",
        "err_ssl*",
        "hostname mismatch",
        "host key verification failed",
        "no matching host key type found",
        "no matching key exchange method found",
        "remote host identification has changed",
        "sslcertverificationerror",
        "unrecognized ssl message",
        "ssl error has occurred",
        "rejected ssl upgrade",
        "tlsv13 alert",
        "tls handshake failed",
        "wrong_version_number",
        "unexpected tls packet",
        "unable to establish ssl connection"
      ],
      "also": [],
      "unless": [
        "unexpected eof while reading",
        "non-properly terminated"
      ],
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
      "name": "invalid-setting-text",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "timeout must be",
        "timeout .. must be",
        "timeout cannot be",
        "timeout .. cannot be",
        "invalid timeout",
        "unknown timeout option",
        "connection string",
        "pool size must be",
        "chunk size in configuration",
        "invalid port",
        "bad port",
        "invalid url*",
        "no scheme supplied",
        "no connection adapters were found",
        "is missing an 'http://' or 'https://' protocol",
        "client has been closed",
        "reset link",
        "unsupported protocol scheme",
        "unsupported url scheme",
        "timeout option*",
        "eresolve",
        "dependency tree",
        "resolutionimpossible",
        "exec format error",
        "cannot execute binary file",
        "eof inside string",
        "unexpected eof in archive",
        "template .. unexpected eof$"
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
      "name": "dns-text",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "name or service not known",
        "temporary failure in name resolution",
        "temporary failure resolving",
        "no address associated with hostname",
        "dns error",
        "no such host",
        "no such host is known",
        "getaddrinfo*",
        "could not resolve*",
        "couldn't resolve*",
        "failed to lookup address",
        "failed to resolve",
        "unable to resolve host*",
        "nodename nor servname",
        "name resolution",
        "unknown host",
        "unknownhostexception",
        "server misbehaving",
        "name_not_resolved",
        "err_name_not_resolved",
        "eai_again",
        "enotfound",
        "hostname could not be found",
        "unresolvedaddressexception",
        "address lookup failed",
        "nor servname provided",
        "unknown server host",
        "address could not be resolved"
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
      "name": "slow-text",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "a task was canceled",
        "operation too slow",
        "did not properly respond after a period of time",
        "client.timeout exceeded",
        "connect timeout",
        "connection timed out",
        "connection timeout",
        "lost connection .. timed out",
        "keepalive ping timeout",
        "i/o timeout",
        "read timed out",
        "readtimeout",
        "readtimeouterror",
        "request timed out",
        "operation timed out",
        "execution expired",
        "code=-1001",
        "error -1001",
        "max_statement_time exceeded",
        "esockettimedout",
        "deadline_exceeded"
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
      "name": "wrong-service-text",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "unexpected mimetype: text/html",
        "unexpected token {} doctype",
        "invalid character '<' looking for beginning of",
        "unexpected token '<'",
        "unexpected token < in json",
        "does not match the http/1.1 protocol",
        "malformed http response",
        "malformed http status code",
        "ssh-2.0",
        "invalid http version",
        "invalid http response",
        "parse error: expected http",
        "invalid response to ssl negotiation",
        "received http/0.9",
        "ssh protocol banner",
        "hpe_invalid*",
        "invalid status line",
        "badstatusline",
        "bad status line",
        "protocol error: b'http",
        "protocol error, got",
        "is not elasticsearch",
        "expected authentication request from server",
        "failed parsing http/2",
        "incorrect header check"
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
      "name": "connection-text",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "connection refused",
        "refused connection",
        "refused to connect",
        "actively refused*",
        "connection attempt failed",
        "connection reset*",
        "connection aborted",
        "connection was aborted",
        "established connection was aborted",
        "connection closed",
        "connection was closed",
        "closed connection",
        "closed the connection",
        "connection error*",
        "connection failed",
        "connection lost",
        "connection was lost",
        "lost connection",
        "connection was forcibly closed",
        "forcibly closed",
        "connection timed out while connecting",
        "connection interrupted",
        "connection terminated",
        "connection unexpectedly closed",
        "closed the connection unexpectedly",
        "broken pipe",
        "no route to host",
        "network is unreachable",
        "network unreachable",
        "unreachable host",
        "unreachable network",
        "network error",
        "networkerror",
        "network connection",
        "host is down",
        "host is unreachable",
        "failed to connect",
        "could not connect",
        "couldn't connect",
        "cannot connect",
        "can't connect",
        "unable to connect",
        "unable to access .. port",
        "econnrefused",
        "econnreset",
        "econnaborted",
        "epipe",
        "ehostunreach",
        "enetunreach",
        "connectionerror",
        "connectionrefusederror",
        "connectionreseterror",
        "connectionabortederror",
        "remotedisconnected",
        "connectexception",
        "socket hang up",
        "server disconnected",
        "error trying to connect",
        "error sending request",
        "all connection attempts failed",
        "fetch failed",
        "failed to fetch",
        "load failed",
        "err_connection*",
        "err_network*",
        "err_internet*",
        "winerror 10061",
        "winerror 10054",
        "winerror 10053",
        "is the docker daemon running",
        "is the server running",
        "is it running",
        "connect call failed",
        "keyserver available",
        "connecting to server on",
        "error -1004",
        "code=-1004",
        "not start up in",
        "no responders available",
        "no response from stream"
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
      "name": "cut-text",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "response ended prematurely",
        "incompleteread",
        "connection broken",
        "invalidchunklength",
        "httpx.readerror",
        "remoteprotocolerror",
        "no close frame",
        "socket disconnected",
        "read .. unexpected eof$",
        "incomplete chunked read",
        "incomplete chunked encoding",
        "err_incomplete_chunked_encoding",
        "err_empty_response",
        "err_http2*",
        "incompletemessage",
        "incomplete message",
        "premature close",
        "premature eof",
        "premature end of*",
        "ended prematurely",
        "other side closed",
        "und_err_socket",
        "did not receive done",
        "no data received",
        "server closed idle connection",
        "stream error: stream id",
        "stream .. not closed cleanly",
        "internal_error",
        "goaway",
        "end of file before message length reached",
        "error reading a body from connection",
        "error decoding response body",
        "end of file reached",
        "eoferror",
        "unexpected eof while reading",
        "eof occurred in violation of protocol",
        "transfer closed",
        "transferencodingerror",
        "payload is not completed",
        "clientpayloaderror",
        "not enough data to satisfy",
        "early eof",
        "hung up unexpectedly",
        "unexpected disconnect",
        "rpc failed",
        "recv failure",
        "send failure",
        "recv error",
        "ssl_error_syscall",
        "empty reply from server",
        "remote end closed connection",
        "header parser received no bytes",
        "unexpected end of stream",
        "unexpected end of file",
        "without sending tls close_notify",
        "close_notify",
        "non-properly terminated",
        "tar_entry_invalid",
        "post .. eof$",
        "get .. eof$",
        "head .. eof$",
        "put .. eof$",
        "^unexpected eof$",
        "^eof$",
        "connection to the peer",
        "packet from .. unexpectedly",
        "kex_exchange_identification",
        "wsarecv",
        "stream closed",
        "stream ended",
        "^terminated$",
        "typeerror: terminated",
        "fixed content-length",
        "terminated the handshake",
        "illegal chunk header",
        "chunk size",
        "errno=104",
        "prematurely closed",
        "been closed before",
        "empty response from server",
        "pool .. was cleared",
        "gone away"
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
        "gateway time-out",
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
        "esockettimedout",
        "readtimeout",
        "writetimeout",
        "connecttimeout",
        "err_timed_out"
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
        "invalid option*",
        "invalid requirement*",
        "invalid json",
        "invalid value",
        "invalid type",
        "invalid syntax",
        "invalid reference format",
        "invalid choice",
        "validation error*",
        "missing field",
        "missing required*",
        "field required",
        "expected value at line",
        "eof while parsing",
        "unexpected end of json input",
        "unterminated string",
        "incomplete input",
        "bad request",
        "usage:",
        "unknown command",
        "unknown option",
        "unknown flag",
        "unknown shorthand flag",
        "unrecognized option*",
        "unrecognized argument*",
        "unknown argument*",
        "requires at least",
        "accepts {} arg*",
        "illegal option",
        "bad option",
        "missing operand",
        "option .. requires",
        "syntax error*",
        "syntaxerror",
        "parse error*",
        "merge conflict*",
        "could not apply",
        "non-fast-forward",
        "hook declined",
        "failed to push some refs",
        "resolutionimpossible",
        "eresolve",
        "conflicting dependencies",
        "do not match the hashes",
        "dependency conflict*",
        "is already in use by container",
        "must be one of",
        "malformed",
        "should be smaller",
        "must be positive",
        "command must be",
        "unexpected eof in archive",
        "violates .. constraint",
        "duplicate key",
        "json at position",
        "duplicate entry",
        "error in your sql syntax",
        "data too long",
        "unknown column",
        "read-only transaction",
        "read only transaction",
        "division by zero",
        "length too large",
        "already exists",
        "file exists",
        "is a directory",
        "not appear to be a valid archive",
        "is not a database",
        "constraint failed",
        "closed database",
        "in that same thread",
        "within a transaction",
        "wrongtype",
        "wrong number of arguments",
        "not an integer",
        "busykey",
        "payload version",
        "out of range",
        "dimension error",
        "maximum payload exceeded",
        "invalid subject",
        "non-digit characters",
        "message exceeds maximum size",
        "unsupported protocol",
        "unsupported scheme",
        "unsupported message",
        "unknown scheme",
        "codec can't",
        "control characters",
        "cannotsendrequest",
        "session is closed",
        "running event loop",
        "recursion depth exceeded",
        "assign requested address",
        "invalid uri*",
        "failed to parse url",
        "illegal operation on a directory",
        "no valid patches",
        "no configured push destination",
        "not mounted",
        "unknown filesystem type",
        "invalid operation",
        "cannot index",
        "no modules specified",
        "invalid literal",
        "invalid data found",
        "unknown input format",
        "re-use a name",
        "not resolve to an alias",
        "assertionerror",
        "request entity too large",
        "was locked with",
        "not owned or is already unlocked",
        "busygroup",
        "unrecognized key*",
        "expected declaration",
        "is not a crate root",
        "model limit of",
        "string value length"
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
      "name": "not-there-text",
      "kinds": null,
      "statuses": null,
      "endpoints": null,
      "blank": false,
      "points": false,
      "phrases": [
        "enoent",
        "no such file or directory",
        "no such",
        "not found",
        "does not exist",
        "doesn't exist",
        "could not find a version",
        "no matching distribution",
        "no matching manifest",
        "unable to locate package",
        "manifest unknown",
        "does not appear to be a git repository",
        "not a git repository",
        "e404",
        "etarget",
        "cannot find*",
        "could not find*",
        "wasn't found",
        "no .. files found",
        "did not match any*",
        "no module named",
        "modulenotfounderror",
        "nosuchkey",
        "nosuchfileexception",
        "unable to access jarfile",
        "unknown database",
        "unknown thread id",
        "no matching tables",
        "could not be found",
        "invalid user",
        "no matching script",
        "not something we can merge"
      ],
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
    ],
    [
      400,
      "client error"
    ],
    [
      401,
      "client error"
    ],
    [
      403,
      "client error"
    ],
    [
      404,
      "client error"
    ],
    [
      405,
      "client error"
    ],
    [
      408,
      "client error"
    ],
    [
      429,
      "client error"
    ],
    [
      500,
      "server error"
    ],
    [
      502,
      "server error"
    ],
    [
      503,
      "server error"
    ],
    [
      504,
      "server error"
    ]
  ]
}
