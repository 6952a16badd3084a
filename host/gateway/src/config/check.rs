//! Refuses settings that are readable and cannot work.

use super::Config;
use super::error::SettingError;
use super::path::KeyPath;
use super::sections::{Kind, Listen, Upstream};
use super::units::{KeyHash, size_text, span_text};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;
use upright_core::clock::DURATION_LIMIT;
use upright_core::configuration;
use upright_core::error::ConfigurationError;
use upright_core::types::{BreakerConfig, RetryConfig};
use upright_logic::degradation::{canonical_model, same_model};

type Checked = Result<(), SettingError>;

/// Maximum number of keys. Every request is compared with each of them.
const MAX_KEYS: usize = 1000;

const CORRECT: &str = "Correct the value";

impl Config {
    /// Refuses settings that cannot work. Reads no file and looks up no name.
    ///
    /// # Errors
    /// The first setting that cannot work.
    pub fn check(&self) -> Checked {
        self.check_listener()?;
        self.check_upstreams()?;
        self.check_aliases()?;
        self.check_models()?;
        self.check_access()?;
        self.check_numbers()?;
        self.check_times()
    }

    fn check_listener(&self) -> Checked {
        let Listen { address, tls_certificate, tls_key, .. } = &self.listen;
        let guarded = address.ip().to_canonical().is_loopback() || !self.access.keys.is_empty() || self.access.open_to_everyone;
        ensure(
            guarded,
            || KeyPath::of("listen.address"),
            address,
            "an address of loopback, such as 127.0.0.1:11444, or API keys",
            "Add a key below access.keys, or set access.open_to_everyone (`--open-to-everyone`) to serve everyone who reaches the address",
        )?;
        ensure(
            !self.access.open_to_everyone || self.access.keys.is_empty(),
            || KeyPath::of("access.open_to_everyone"),
            "true beside access.keys",
            "keys, or true",
            "Remove one of the two. With keys, only clients that have one are served",
        )?;
        let needed = "Name both files, or none";
        match (tls_certificate, tls_key) {
            (Some(_), None) => Err(SettingError::new(KeyPath::of("listen.tls_certificate"), "no tls_key", "the file of its key", needed)),
            (None, Some(_)) => Err(SettingError::new(KeyPath::of("listen.tls_key"), "no tls_certificate", "its file", needed)),
            _ => Ok(()),
        }
    }

    fn check_upstreams(&self) -> Checked {
        let none = || KeyPath::of("upstream");
        ensure(!self.upstreams.is_empty(), none, "no upstream", "at least one", "Add [[upstream]] with the url of a server")?;
        let mut labels: Vec<String> = Vec::new();
        for (index, upstream) in self.upstreams.iter().enumerate() {
            let Upstream { url, kind, weight, concurrency, forward_auth, api_key_file, .. } = upstream;
            let at = |key: &str| KeyPath::of("upstream").number(index).key(key);
            ensure(
                !url.is(self.listen.address),
                || at("url"),
                format_args!("{url}, where the gateway itself listens"),
                "the address of another server",
                "Correct the url. If it comes from OLLAMA_HOST, name the server as `--upstream`",
            )?;
            ensure(
                *kind != Kind::Openai || !url.path.ends_with("/v1"),
                || at("url"),
                url,
                "an address without /v1",
                "Remove /v1. The gateway adds it",
            )?;
            ensure(
                !forward_auth || api_key_file.is_none(),
                || at("forward_auth"),
                "true beside api_key_file",
                "one of the two",
                "Remove the one that is not meant",
            )?;
            let label = upstream.label();
            check_name(|| at("name"), &label)?;
            ensure(
                !labels.contains(&label),
                || at("name"),
                format_args!("{label:?} twice"),
                "a name of its own for each upstream",
                "Add a name to one of them",
            )?;
            labels.push(label);
            within(|| at("weight"), *weight, 1, 1000)?;
            concurrency.map_or(Ok(()), |number| within(|| at("concurrency"), number, 1, 1_000_000))?;
        }
        Ok(())
    }

    fn check_aliases(&self) -> Checked {
        let at = |alias: &str| KeyPath::of("aliases").key(alias);
        check_models_differ(self.aliases.keys(), at)?;
        for (alias, model) in &self.aliases {
            check_model_name(|| at(alias), alias)?;
            check_model_name(|| at(alias), model)?;
            let ends = self.alias_of(self.resolve(alias)).is_none();
            ensure(
                ends,
                || at(alias),
                format_args!("{model:?}, which leads back to {alias:?}"),
                "a chain of names that ends at a model",
                "Name a model that a server has",
            )?;
        }
        Ok(())
    }

    fn check_models(&self) -> Checked {
        let at = |model: &str| KeyPath::of("model").key(model);
        check_models_differ(self.models.keys(), at)?;
        for (name, model) in &self.models {
            check_model_name(|| at(name), name)?;
            let alias = "Use the name of the model itself. A request for an alias has the settings of its model";
            ensure(self.alias_of(name).is_none(), || at(name), format_args!("the alias {name:?}"), "a model", alias)?;
            for (index, fallback) in model.fallback.iter().enumerate() {
                let at = || at(name).key("fallback").number(index);
                check_model_name(at, fallback)?;
                ensure(!same_model(name, fallback), at, format_args!("{fallback:?}, the model itself"), "another model", CORRECT)?;
            }
            model.window.map_or(Ok(()), |window| within(|| at(name).key("window"), window, 256, 100_000_000))?;
        }
        Ok(())
    }

    fn check_access(&self) -> Checked {
        for (index, origin) in self.access.origins.iter().enumerate() {
            let wildcards = origin.matches('*').count();
            ensure(
                wildcards == 1 || wildcards == 0 && origin.contains("://"),
                || KeyPath::of("access.origins").number(index),
                format_args!("{origin:?}"),
                r#"an origin such as "https://chat.example", with at most one *, such as "chrome-extension://*""#,
                CORRECT,
            )?;
        }
        for (index, host) in self.access.hosts.iter().enumerate() {
            let plain = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
            let path = || KeyPath::of("access.hosts").number(index);
            ensure(plain, path, format_args!("{host:?}"), "a name such as gateway.example, without scheme and port", CORRECT)?;
        }
        let keys = &self.access.keys;
        let too_many = "Remove keys that nobody uses";
        ensure(keys.len() <= MAX_KEYS, || KeyPath::of("access.keys"), format_args!("{} keys", keys.len()), "at most 1000", too_many)?;
        let mut seen: Vec<KeyHash> = vec![KeyHash::default(), KeyHash::of(b"")];
        for (name, key) in keys {
            let at = |setting: &str| KeyPath::of("access.keys").key(name).key(setting);
            check_name(|| KeyPath::of("access.keys").key(name), name)?;
            ensure(
                !seen.contains(&key.sha256),
                || at("sha256"),
                "no hash, the hash of nothing, or the hash of another key",
                "the SHA-256 of this key",
                "Hash the key with `printf %s KEY | sha256sum`",
            )?;
            seen.push(key.sha256);
            key.requests_per_minute.map_or(Ok(()), |number| within(|| at("requests_per_minute"), number, 1, 1_000_000))?;
            within(|| at("burst"), key.burst, 1, 1_000_000)?;
        }
        Ok(())
    }

    fn check_numbers(&self) -> Checked {
        let Listen { max_body, max_body_memory, max_head, .. } = self.listen;
        for (key, found, low, high) in [
            ("listen.max_body", max_body, 1 << 10, 1 << 40),
            ("listen.max_body_memory", max_body_memory, max_body, 1 << 50),
            ("listen.max_head", max_head, 8 << 10, 1 << 20),
            ("cache.memory", self.cache.memory, 1 << 20, 1 << 40),
        ] {
            let expected = format!("{} to {}", size_text(low), size_text(high));
            ensure((low..=high).contains(&found), || KeyPath::of(key), size_text(found), expected, CORRECT)?;
        }
        for (key, found, low, high) in [
            ("listen.max_connections", self.listen.max_connections, 1, 1_000_000),
            ("listen.max_queue", self.listen.max_queue, 0, 1_000_000),
            ("retry.max_retries", self.retry.max_retries, 0, 1000),
            ("cache.entries", self.cache.entries, 1, 10_000_000),
        ] {
            within(|| KeyPath::of(key), found, low, high)?;
        }
        configuration::retry(&RetryConfig::from(&self.retry)).map_err(|error| of_core("retry", error))?;
        configuration::breaker(&BreakerConfig::from(&self.breaker)).map_err(|error| of_core("breaker", error))
    }

    fn check_times(&self) -> Checked {
        let limits = &self.limits;
        let zero = Duration::ZERO;
        let shortest = Duration::from_millis(1);
        for (key, found, low) in [
            ("listen.head_time", self.listen.head_time, shortest),
            ("limits.queue", limits.queue, zero),
            ("limits.connect", limits.connect, shortest),
            ("limits.loading", limits.loading, shortest),
            ("limits.whole_answer", limits.whole_answer, shortest),
            ("limits.first_content", limits.first_content, shortest),
            ("limits.between_content", limits.between_content, shortest),
            ("limits.total", limits.total.unwrap_or(shortest), shortest),
            ("cache.fresh_for", self.cache.fresh_for, shortest),
            ("cache.stale_for", self.cache.stale_for, zero),
        ] {
            let expected = format!("{} to {}", span_text(low), span_text(DURATION_LIMIT));
            ensure((low..=DURATION_LIMIT).contains(&found), || KeyPath::of(key), span_text(found), expected, CORRECT)?;
        }
        Ok(())
    }
}

fn ensure(fits: bool, path: impl FnOnce() -> KeyPath, found: impl Display, expected: impl Display, next_step: &'static str) -> Checked {
    if fits { Ok(()) } else { Err(SettingError::new(path(), found, expected, next_step)) }
}

fn within(path: impl FnOnce() -> KeyPath, found: u32, low: u32, high: u32) -> Checked {
    ensure((low..=high).contains(&found), path, found, format_args!("a number from {low} to {high}"), CORRECT)
}

fn of_core(section: &str, error: ConfigurationError) -> SettingError {
    let expected = error.expected.strip_prefix("expected ").unwrap_or(error.expected);
    SettingError::new(KeyPath::of(section).key(error.setting), error.value, expected, CORRECT)
}

/// A name that becomes a part of headers, log lines and metrics.
fn check_name(path: impl FnOnce() -> KeyPath, name: &str) -> Checked {
    let fits = (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    ensure(fits, path, format_args!("{name:?}"), "1 to 64 visible ASCII characters without spaces", CORRECT)
}

fn check_model_name(path: impl FnOnce() -> KeyPath, name: &str) -> Checked {
    let fits = !name.trim().is_empty() && !name.chars().any(char::is_control);
    ensure(fits, path, format_args!("{name:?}"), "the name of a model", CORRECT)
}

/// Refuses two names of one model, of which only one could count.
fn check_models_differ<'a>(names: impl Iterator<Item = &'a String>, at: impl Fn(&str) -> KeyPath) -> Checked {
    let mut seen = BTreeMap::new();
    for name in names {
        if let Some(other) = seen.insert(canonical_model(name), name) {
            let found = format!("{name:?}, the same model as {other:?}");
            return Err(SettingError::new(at(name), found, "each model once", "Remove one of the two"));
        }
    }
    Ok(())
}
