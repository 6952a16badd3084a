use super::*;
use std::time::Duration;

fn parse(text: &str) -> Config {
    Config::parse(text, "gateway.toml").unwrap_or_else(|error| panic!("{error}"))
}

fn refused(text: &str) -> (String, SettingError) {
    match Config::parse(text, "gateway.toml") {
        Err(ConfigError::InFile { place, error, excerpt }) => {
            let line = text.lines().nth(place.line - 1).unwrap_or_default();
            assert!(excerpt.contains(line.trim_end()) || error.found.contains("(not shown)"), "{excerpt}");
            (place.to_string(), *error)
        }
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn an_empty_file_is_the_default_configuration() {
    assert_eq!(parse(""), Config::default());
    assert_eq!(Config::default().check(), Ok(()));
}

#[test]
fn every_section_is_read() {
    let config = parse(
        r#"
        listen = { address = "[::1]:80", max_body = "1 MiB", head_time = 2.5 }
        limits = { loading = 600, total = "1h" }
        window.overflow = "truncate"
        access = { origins = ["https://chat.example"], keys.laptop.sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" }
        [[upstream]]
        url = "workstation"
        [[upstream]]
        url = "https://gpu.example/team"
        kind = "openai"
        name = "gpu"
        [aliases]
        "gpt-4o" = "qwen3:8b"
        [model."qwen3:8b"]
        keep_alive = "forever"
        window = 32768
        "#,
    );
    assert_eq!(config.listen.address.to_string(), "[::1]:80");
    assert_eq!((config.listen.max_body, config.listen.head_time), (1 << 20, Duration::from_millis(2500)));
    assert_eq!((config.limits.loading, config.limits.total), (Duration::from_secs(600), Some(Duration::from_secs(3600))));
    assert_eq!(config.window.overflow, Overflow::Truncate);
    assert_eq!(config.access.keys["laptop"].sha256, KeyHash::of(b"test"));
    let upstreams: Vec<_> = config.upstreams.iter().map(|upstream| (upstream.label(), upstream.kind)).collect();
    assert_eq!(upstreams, [("workstation:11434".to_owned(), Kind::Ollama), ("gpu".to_owned(), Kind::Openai)]);
    assert_eq!(config.model("QWEN3:8B").and_then(|model| model.keep_alive), Some(KeepAlive::Forever));
    assert_eq!(config.model("qwen3"), None);
}

/// Text, place, setting, and words of the error.
const REFUSED: [(&str, &str, &str, &[&str]); 48] = [
    ("listen = ", "1", "syntax", &["print-config"]),
    ("[listen", "1", "syntax", &["expected"]),
    ("a = 1\na = 2", "2", "syntax", &["duplicate key", "each key once"]),
    ("[listen]\nadress = 1", "2:1", "listen.adress", &["`adress`", "`address`", "Correct the name"]),
    ("servers = 1", "1:1", "servers", &["`servers`", "`upstream`"]),
    ("[upstream]\nurl = 'a'", "1:1", "upstream", &["a list in brackets"]),
    ("listen = 1", "1:10", "listen", &["integer `1`", "a table"]),
    ("[listen]\naddress = '127.0.0.1'", "2:11", "listen.address", &["\"127.0.0.1\"", "127.0.0.1:11444"]),
    ("[listen]\nmax_body = '64 MB'", "2:12", "listen.max_body", &["\"64 MB\"", "64 MiB"]),
    ("[listen]\nmax_body = 64", "2:12", "listen.max_body", &["64 B", "1 KiB to 1024 GiB"]),
    ("[listen]\nmax_body_memory = '1 MiB'", "2:19", "listen.max_body_memory", &["1 MiB", "64 MiB to"]),
    ("[listen]\nmax_head = '2 MiB'", "2:12", "listen.max_head", &["8 KiB to 1 MiB"]),
    ("[listen]\nmax_connections = 0", "2:19", "listen.max_connections", &["found 0", "1 to 1000000"]),
    ("[listen]\nmax_queue = -1", "2:13", "listen.max_queue", &["integer `-1`", "from 0"]),
    ("[listen]\naddress = '0.0.0.0:11444'", "2:11", "listen.address", &["access.keys", "--open-to-everyone"]),
    ("[listen]\naddress = '192.0.2.7:80'", "2:11", "listen.address", &["loopback"]),
    ("[listen]\ntls_certificate = 'a'", "2:19", "listen.tls_certificate", &["no tls_key"]),
    ("[listen]\ntls_key = 'a'", "2:11", "listen.tls_key", &["no tls_certificate"]),
    ("upstream = []", "1:12", "upstream", &["at least one"]),
    ("[[upstream]]\nurl = 'ftp://x'", "2:7", "upstream[0].url", &["\"ftp\"", "http or https"]),
    ("[[upstream]]\nurl = 'http://me:secret@x'", "2:7", "upstream[0].url", &["api_key_file"]),
    ("[[upstream]]\nurl = 'localhost:11444'", "2:7", "upstream[0].url", &["the gateway itself", "OLLAMA_HOST"]),
    ("[[upstream]]\nurl = 'x/v1'\nkind = 'openai'", "2:7", "upstream[0].url", &["Remove /v1"]),
    ("[[upstream]]\nkind = 'vllm'", "2:8", "upstream[0].kind", &["`vllm`", "`ollama`", "`openai`"]),
    ("[[upstream]]\n[[upstream]]", "2:1", "upstream[1].name", &["\"127.0.0.1:11434\" twice"]),
    ("[[upstream]]\nname = 'a b'", "2:8", "upstream[0].name", &["visible"]),
    ("[[upstream]]\nname = \"a\\r\\nb\"", "2:8", "upstream[0].name", &["visible"]),
    ("[[upstream]]\nweight = 0", "2:10", "upstream[0].weight", &["1 to 1000"]),
    ("[[upstream]]\nconcurrency = 0", "2:15", "upstream[0].concurrency", &["1 to"]),
    ("[[upstream]]\nforward_auth = true\napi_key_file = 'k'", "2:16", "upstream[0].forward_auth", &["api_key_file"]),
    ("[aliases]\na = 'b'\nb = 'A:latest'", "2:5", "aliases.a", &["leads back"]),
    ("[aliases]\na = 'a'", "2:5", "aliases.a", &["leads back"]),
    ("[aliases]\na = 'x'\n'A:latest' = 'y'", "2:5", "aliases.a", &["the same model"]),
    ("[aliases]\na = ''", "2:5", "aliases.a", &["the name of a model"]),
    ("[aliases]\n\"a\\nb\" = 'x'", "2:10", "aliases.\"a\\nb\"", &["the name of a model"]),
    ("[model.a]\nfallback = ['b', 'A']", "2:18", "model.a.fallback[1]", &["the model itself"]),
    ("[model.a]\nwindow = 100", "2:10", "model.a.window", &["256"]),
    ("[aliases]\na = 'b'\n[model.a]", "3:1", "model.a", &["the alias"]),
    ("[limits]\nqueue = 'soon'", "2:9", "limits.queue", &["\"soon\"", "\"30s\""]),
    ("[limits]\nconnect = 0", "2:11", "limits.connect", &["0s", "1ms to"]),
    ("[limits]\nloading = -1", "2:11", "limits.loading", &["`-1`", "a number of seconds"]),
    ("[limits]\ntotal = nan", "2:9", "limits.total", &["a number of seconds"]),
    ("[retry]\nmax_retries = 1001", "2:15", "retry.max_retries", &["0 to 1000"]),
    ("[breaker]\nfailure_threshold = 0", "2:21", "breaker.failure_threshold", &["at least 1"]),
    ("[access]\norigins = ['chat.example']", "2:12", "access.origins[0]", &["https://chat.example"]),
    ("[access]\nhosts = ['gateway.example:80']", "2:10", "access.hosts[0]", &["without scheme and port"]),
    ("[access.keys.a]", "1:1", "access.keys.a.sha256", &["sha256sum"]),
    ("[access.keys.a]\nsha256 = 'sk-secret'", "2:10", "access.keys.a.sha256", &["never the key itself"]),
];

#[test]
fn each_mistake_is_an_error_with_its_place_its_setting_and_the_next_step() {
    for (text, place, key, words) in REFUSED {
        let (found, error) = refused(text);
        assert_eq!(error.key(), key, "{text}\n{error}");
        // The TOML crate chooses the column of a syntax error.
        let found = if key == "syntax" { found.rsplit_once(':').map_or("", |(line, _)| line) } else { found.as_str() };
        assert_eq!(found, format!("gateway.toml:{place}"), "{text}");
        for word in words {
            assert!(error.to_string().contains(word), "{word}: {error}");
        }
        assert!(!error.found.is_empty() && !error.expected.is_empty() && !error.next_step.is_empty(), "{error:?}");
    }
}

#[test]
fn an_error_shows_the_line_of_the_file() {
    let error = Config::parse("[listen]\nmax_queue = 'many' # enough\n", "gateway.toml").unwrap_err();
    let lines: Vec<_> = error.to_string().lines().map(str::to_owned).collect();
    assert!(lines[0].starts_with("gateway.toml:2:13: listen.max_queue: found string \"many\"; expected a whole number"), "{error}");
    assert_eq!(lines[1..], ["    2 | max_queue = 'many' # enough", "      |             ^^^^^^"]);
}

#[test]
fn no_error_repeats_a_secret() {
    for text in ["[[upstream]]\nurl = 'http://me:secret@x'", "[access.keys.a]\nsha256 = 'sk-secret'"] {
        let error = Config::parse(text, "gateway.toml").unwrap_err();
        assert!(!error.to_string().contains("secret") && !format!("{error:?}").contains("secret"), "{error}");
    }
}

#[test]
fn two_keys_with_one_hash_are_refused_and_open_access_beside_keys_too() {
    let hash = KeyHash::of(b"test");
    let two = format!("[access.keys.a]\nsha256 = '{hash}'\n[access.keys.b]\nsha256 = '{hash}'");
    assert_eq!(refused(&two).0, "gateway.toml:4:10");
    let open = format!("[access]\nopen_to_everyone = true\nkeys.a.sha256 = '{hash}'");
    assert_eq!(refused(&open).0, "gateway.toml:2:20");
    let nothing = format!("access.keys.a.sha256 = '{}'", KeyHash::of(b""));
    assert_eq!(refused(&nothing).1.key(), "access.keys.a.sha256");
}

#[test]
fn another_address_than_loopback_is_served_with_keys_or_to_everyone() {
    let hash = KeyHash::of(b"test");
    parse("listen.address = '0.0.0.0:80'\naccess.open_to_everyone = true");
    parse(&format!("listen.address = '[::]:80'\naccess.keys.a.sha256 = '{hash}'"));
    parse("listen.address = '[::ffff:127.0.0.1]:80'");
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_that_names_it() {
    for path in ["/", "/no/such/file.toml"] {
        let error = Config::read(Path::new(path)).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{path}: ")) && error.contains("--print-config"), "{error}");
    }
}

#[test]
fn flags_make_a_configuration() {
    let urls = |config: Config| config.upstreams.iter().map(|upstream| upstream.url.to_string()).collect::<Vec<_>>();
    for (listen, upstreams, ollama_host, address, expected) in [
        (None, vec![], None, "127.0.0.1:11444", vec!["http://127.0.0.1:11434"]),
        (None, vec![], Some("0.0.0.0"), "127.0.0.1:11444", vec!["http://127.0.0.1:11434"]),
        (Some("[::1]:80"), vec![], Some("gpu:1"), "[::1]:80", vec!["http://gpu:1"]),
        (None, vec!["a", "https://b"], Some("gpu:1"), "127.0.0.1:11444", vec!["http://a:11434", "https://b"]),
    ] {
        let upstreams: Vec<_> = upstreams.into_iter().map(str::to_owned).collect();
        let config = Config::of_flags(listen, &upstreams, ollama_host).unwrap();
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.listen.address.to_string(), address);
        assert_eq!(urls(config), expected);
    }
}

#[test]
fn a_wrong_flag_is_named() {
    for (listen, upstream, ollama_host, key) in
        [(Some("80"), None, None, "--listen"), (None, Some("ftp://x"), None, "--upstream"), (None, None, Some("x:0"), "OLLAMA_HOST")]
    {
        let upstreams: Vec<_> = upstream.into_iter().map(str::to_owned).collect();
        match Config::of_flags(listen, &upstreams, ollama_host) {
            Err(ConfigError::Setting(error)) => assert_eq!(error.key(), key),
            other => panic!("{other:?}"),
        }
    }
    let itself = Config::of_flags(None, &[], Some("127.0.0.1:11444")).unwrap();
    assert!(itself.check().unwrap_err().to_string().contains("OLLAMA_HOST"));
    let open = Config::of_flags(Some("0.0.0.0:11444"), &[], None).unwrap();
    assert_eq!(open.check().unwrap_err().key(), "listen.address");
}

#[test]
fn an_alias_leads_to_its_model_by_any_form_of_its_name() {
    let config = parse("[aliases]\ngpt = 'claude'\nclaude = 'qwen3:8b'");
    for (name, model) in
        [("gpt", "qwen3:8b"), ("GPT:latest", "qwen3:8b"), ("claude", "qwen3:8b"), ("qwen3:8b", "qwen3:8b"), ("gpt:8b", "gpt:8b")]
    {
        assert_eq!(config.resolve(name), model, "{name}");
    }
    let circular = Config { aliases: BTreeMap::from([("a".to_owned(), "a".to_owned())]), ..Config::default() };
    assert_eq!(circular.resolve("a"), "a");
}

#[test]
fn a_reload_names_each_changed_setting_and_those_that_need_a_restart() {
    let old = Config::default();
    assert_eq!((old.changed(&old), old.restart_needed(&old)), (vec![], vec![]));
    let new = parse(
        "listen = { address = '127.0.0.1:1', max_queue = 1, tls_key = 'a', tls_certificate = 'b' }\nlimits.queue = 1\nlog.access = false\njournal.file = 'j'\naliases.a = 'b'",
    );
    let changed = [
        "listen.address",
        "listen.tls_certificate",
        "listen.tls_key",
        "listen.max_queue",
        "aliases",
        "limits.queue",
        "log.access",
        "journal.file",
    ];
    assert_eq!(old.changed(&new), changed);
    assert_eq!(old.restart_needed(&new), [changed[0], changed[7]]);
}
