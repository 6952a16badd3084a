//! The gateway's configuration: one TOML file, or the flags of the simple case.
//!
//! Every key has a default, and the defaults serve the Ollama of this machine. A key that is not known is an error.
//! Each error names file, line and column, the value found, the value expected and the next step.

mod address;
mod check;
mod documented;
mod error;
mod path;
mod sections;
mod units;

pub use address::{Address, AddressError};
pub use error::{ConfigError, Place, SettingError};
pub(crate) use path::KeyPath;
pub use sections::{
    Access, AccessKey, Breaker, Cache, Integrity, Journal, Kind, Limits, Listen, Log, Model, OnDifference, Overflow, Policy, Replay, Retry,
    Upstream, Window,
};
pub use units::{KeepAlive, KeyHash};

use sections::Section;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};
pub(crate) use units::hold;
use units::listening;
use upright_logic::degradation::same_model;

/// The configuration of a gateway.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The listener: its address, TLS, and its limits.
    pub listen: Listen,
    /// The servers that answer: `[[upstream]]`.
    #[serde(rename = "upstream")]
    pub upstreams: Vec<Upstream>,
    /// Other names for models. See [`Config::resolve`].
    pub aliases: BTreeMap<String, String>,
    /// Settings of single models: `[model."name"]`. See [`Config::model`].
    #[serde(rename = "model")]
    pub models: BTreeMap<String, Model>,
    /// Limits of time.
    pub limits: Limits,
    /// Retries of one request on one host.
    pub retry: Retry,
    /// The circuit breaker of each model on each host.
    pub breaker: Breaker,
    /// Questions that are longer than the window.
    pub window: Window,
    /// The clients that may use the gateway.
    pub access: Access,
    /// The log.
    pub log: Log,
    /// The journal of decisions.
    pub journal: Journal,
    /// The policy that decides about failures.
    pub policy: Policy,
    /// The cache of answers.
    pub cache: Cache,
    /// Answers that are cut after their first content.
    pub replay: Replay,
    /// The proof that an answer is whole.
    pub integrity: Integrity,
}

impl Default for Config {
    /// Serves the Ollama of this machine on 127.0.0.1:11444.
    fn default() -> Self {
        Self {
            listen: Listen::default(),
            upstreams: vec![Upstream::default()],
            aliases: BTreeMap::new(),
            models: BTreeMap::new(),
            limits: Limits::default(),
            retry: Retry::default(),
            breaker: Breaker::default(),
            window: Window::default(),
            access: Access::default(),
            log: Log::default(),
            journal: Journal::default(),
            policy: Policy::default(),
            cache: Cache::default(),
            replay: Replay::default(),
            integrity: Integrity::default(),
        }
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`] if the file cannot be read, or if [`Config::parse`] refuses it.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, &file),
            Err(error) => Err(ConfigError::Unreadable { file, reason: error.to_string() }),
        }
    }

    /// Reads the text of a file and checks it. `name` is the file's name in errors.
    ///
    /// # Errors
    /// [`ConfigError::InFile`] for the first place that is wrong.
    pub fn parse(text: &str, name: &str) -> Result<Self, ConfigError> {
        let of_toml = |error: &toml::de::Error, root: Option<&DeValue<'_>>| {
            ConfigError::in_file(name, text, &error.span().unwrap_or_default(), SettingError::of_toml(error, root))
        };
        let table = DeTable::parse(text).map_err(|error| of_toml(&error, None))?;
        let root = Spanned::new(table.span(), DeValue::Table(table.into_inner()));
        let config = Self::deserialize(ValueDeserializer::from(root.clone())).map_err(|error| of_toml(&error, Some(root.get_ref())))?;
        config.check().map_err(|error| ConfigError::in_file(name, text, &error.path.span_in(root.get_ref()), error))?;
        Ok(config)
    }

    /// The simple case: the defaults with flags. Without `upstreams`, `ollama_host` names the only one.
    ///
    /// Call [`Config::check`] when all flags are in.
    ///
    /// # Errors
    /// [`ConfigError::Setting`] if an address cannot be read.
    pub fn of_flags(listen: Option<&str>, upstreams: &[String], ollama_host: Option<&str>) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let wrong =
            |flag: &str, found: &dyn Display, expected: &str| SettingError::new(KeyPath::of(flag), found, expected, "Correct the address");
        if let Some(text) = listen {
            config.listen.address =
                listening::read(text).ok_or_else(|| wrong("--listen", &format_args!("{text:?}"), listening::EXPECTED))?;
        }
        let named: Vec<_> = match ollama_host {
            Some(host) if upstreams.is_empty() => vec![("OLLAMA_HOST", host)],
            _ => upstreams.iter().map(|url| ("--upstream", url.as_str())).collect(),
        };
        if !named.is_empty() {
            config.upstreams.clear();
        }
        for (flag, text) in named {
            let url = text.parse::<Address>().map_err(|error| wrong(flag, &error, error.expected()))?;
            config.upstreams.push(Upstream { url, ..Upstream::default() });
        }
        Ok(config)
    }

    /// Returns the model that serves a request for this name: the end of its chain of aliases, or the name itself.
    pub fn resolve<'a>(&'a self, name: &'a str) -> &'a str {
        let mut name = name;
        // A chain is never longer than the table, unless it is circular.
        for _ in 0..self.aliases.len() {
            match self.alias_of(name) {
                Some(model) => name = model,
                None => break,
            }
        }
        name
    }

    fn alias_of(&self, name: &str) -> Option<&str> {
        self.aliases.iter().find(|(alias, _)| same_model(alias, name)).map(|(_, model)| model.as_str())
    }

    /// Returns the settings of a model. Names compare as Ollama compares them.
    pub fn model(&self, name: &str) -> Option<&Model> {
        self.models.iter().find(|(known, _)| same_model(known, name)).map(|(_, model)| model)
    }

    /// Returns the names of the settings that differ, such as `limits.queue` or `upstream`.
    pub fn changed(&self, new: &Self) -> Vec<String> {
        fn keys<S: Section>(table: &str, old: &S, new: &S) -> Vec<String> {
            old.changed(new).into_iter().map(|key| format!("{table}.{key}")).collect()
        }
        let tables =
            [("upstream", self.upstreams != new.upstreams), ("aliases", self.aliases != new.aliases), ("model", self.models != new.models)];
        let tables: Vec<String> = tables.into_iter().filter(|(_, changed)| *changed).map(|(table, _)| table.to_owned()).collect();
        [
            keys("listen", &self.listen, &new.listen),
            tables,
            keys("limits", &self.limits, &new.limits),
            keys("retry", &self.retry, &new.retry),
            keys("breaker", &self.breaker, &new.breaker),
            keys("window", &self.window, &new.window),
            keys("access", &self.access, &new.access),
            keys("log", &self.log, &new.log),
            keys("journal", &self.journal, &new.journal),
            keys("policy", &self.policy, &new.policy),
            keys("cache", &self.cache, &new.cache),
            keys("replay", &self.replay, &new.replay),
            keys("integrity", &self.integrity, &new.integrity),
        ]
        .concat()
    }

    /// Returns the names of the changed settings that a reload cannot change.
    pub fn restart_needed(&self, new: &Self) -> Vec<&'static str> {
        let settings =
            [("listen.address", self.listen.address != new.listen.address), ("journal.file", self.journal.file != new.journal.file)];
        settings.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests;
