//! All hosts of one configuration.

use super::balance::{Ranking, Wish, survey};
use super::catalogue::Catalogue;
use super::host::{Credentials, Host, HostSettings, Kind};
use super::names::{AliasError, Aliases, ModelName};
use super::queue::Limits;
use crate::config::{self, Config};
use bytes::Bytes;
use http::{HeaderValue, Uri};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use upright_core::PolicySlot;
use upright_core::breaker::{BreakerSharing, CircuitBreaker, CircuitBreakers};
use upright_core::clock::SharedClock;
use upright_core::error::ConfigurationError;

/// Why hosts cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostsError {
    /// A setting of the breakers.
    #[error(transparent)]
    Breaker(#[from] ConfigurationError),
    /// An alias.
    #[error(transparent)]
    Alias(#[from] AliasError),
    /// An address that cannot be called.
    #[error("upstream {name}: {url} cannot be called; expected http://HOST:PORT")]
    Address {
        /// Name of the upstream.
        name: String,
        /// Its address.
        url: String,
    },
    /// An API key that cannot be used.
    #[error("upstream {name}: the API key in {} cannot be used: {reason}; expected a file with the key in one line", file.display())]
    Key {
        /// Name of the upstream.
        name: String,
        /// The file, `api_key_file`.
        file: PathBuf,
        /// Why, without the key.
        reason: String,
    },
}

/// The hosts of one configuration, with its aliases.
#[derive(Debug)]
pub(crate) struct Hosts {
    all: Vec<Arc<Host>>,
    aliases: Aliases,
    spread: AtomicU64,
    clock: SharedClockOf,
}

/// A clock, without `Debug` of its own.
struct SharedClockOf(SharedClock);

impl std::fmt::Debug for SharedClockOf {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SharedClock")
    }
}

impl Hosts {
    /// The hosts of a configuration. This policy moves their breakers, which `sharing` shares with other programs.
    /// Nothing is known of the hosts yet.
    ///
    /// # Errors
    /// [`HostsError`].
    pub(crate) fn new(
        config: &Config,
        policy: &PolicySlot,
        clock: SharedClock,
        sharing: Option<&BreakerSharing>,
    ) -> Result<Self, HostsError> {
        let template = CircuitBreaker::builder("gateway").policy(policy.clone()).clock(Arc::clone(&clock));
        let template = template.config((&config.breaker).into());
        let breakers = CircuitBreakers::new(match sharing {
            Some(sharing) => template.shared_by(sharing.clone()),
            None => template,
        })?;
        let aliases = Aliases::new(config.aliases.keys().map(|alias| (alias, config.resolve(alias))))?;
        let host = |upstream: &config::Upstream| -> Result<_, HostsError> {
            let (name, url) = (upstream.label(), upstream.url.to_string());
            let parsed = url.parse::<Uri>().ok().filter(|uri| uri.authority().is_some());
            let Some(url) = parsed else { return Err(HostsError::Address { name, url }) };
            let kind = match upstream.kind {
                config::Kind::Ollama => Kind::Ollama,
                config::Kind::Openai => Kind::Openai,
            };
            let limits = Limits { concurrent: upstream.concurrency, queued: config.listen.max_queue };
            let credentials = match &upstream.api_key_file {
                Some(file) => {
                    let unusable = |reason| HostsError::Key { name: name.clone(), file: file.clone(), reason };
                    Credentials::Key(bearer(file).map_err(unusable)?)
                }
                None if upstream.forward_auth => Credentials::Client,
                None => Credentials::None,
            };
            // A slash separates a host from a model.
            let name = name.replace('/', "_").into();
            Ok(Host::new(HostSettings { name, url, kind, weight: upstream.weight, limits, credentials }, breakers.clone()))
        };
        let all = config.upstreams.iter().map(host).collect::<Result<_, _>>()?;
        Ok(Self { all, aliases, spread: AtomicU64::new(0), clock: SharedClockOf(clock) })
    }

    /// All hosts, in the order of the configuration.
    pub(crate) fn all(&self) -> &[Arc<Host>] {
        &self.all
    }

    /// The clock of the hosts.
    pub(crate) fn clock(&self) -> &SharedClock {
        &self.clock.0
    }

    /// The model that a name means, and its name for hosts; `None` for a name that is blank or too long.
    pub(crate) fn resolve(&self, name: &str) -> Option<(ModelName, Arc<str>)> {
        let model = ModelName::of(name)?;
        Some(match self.aliases.resolve(&model) {
            Some(alias) => (alias.model.clone(), Arc::clone(&alias.sent)),
            None => (model, name.into()),
        })
    }

    /// The hosts for a request, best first.
    pub(crate) fn rank(&self, model: Option<&ModelName>, window: Option<u32>, kind: Option<Kind>) -> Ranking {
        let wish = Wish { model, window, kind, failed: &[] };
        Ranking::of(survey(&self.all, &wish, self.clock.0.now()), self.spread.fetch_add(1, Ordering::Relaxed))
    }

    /// Ends when the lists of all hosts show the changes that requests made so far, or after a short limit.
    pub(crate) async fn shown(&self) {
        futures_util::future::join_all(self.all.iter().map(|host| host.shown())).await;
    }

    /// The host of this name.
    pub(crate) fn named(&self, name: &HeaderValue) -> Option<&Arc<Host>> {
        self.all.iter().find(|host| host.label() == Some(name))
    }

    /// Whether a host speaks Ollama's protocol.
    pub(crate) fn speaks_ollama(&self) -> bool {
        self.all.iter().any(|host| host.kind() == Kind::Ollama)
    }

    /// Whether a host has OpenAI's API alone.
    pub(crate) fn speaks_openai(&self) -> bool {
        self.all.iter().any(|host| host.kind() == Kind::Openai)
    }

    /// Whether a host with OpenAI's API alone serves this model, as far as is known. Without its list such a host may
    /// have the model, unless an Ollama does.
    pub(crate) fn openai_serves(&self, model: &ModelName) -> bool {
        let has = |host: &Host| host.models().map(|models| models.find(model).is_some());
        let any = |kind, holds: Option<bool>| self.all.iter().any(|host| host.kind() == kind && has(host) == holds);
        any(Kind::Openai, Some(true)) || any(Kind::Openai, None) && !any(Kind::Ollama, Some(true))
    }

    /// Whether a host can be reached.
    pub(crate) fn is_ready(&self) -> bool {
        self.all.iter().any(|host| host.is_reachable() && host.probed().is_some())
    }

    /// `/api/tags` of all hosts.
    pub(crate) fn tags(&self) -> Option<Bytes> {
        Catalogue::of(&self.all).tags(&self.aliases)
    }

    /// `/api/ps` of all hosts.
    pub(crate) fn ps(&self) -> Option<Bytes> {
        Catalogue::of(&self.all).ps()
    }

    /// `/v1/models` of all hosts.
    pub(crate) fn openai_models(&self) -> Option<Bytes> {
        Catalogue::of(&self.all).openai_models(&self.aliases)
    }

    /// `/v1/models/NAME`.
    pub(crate) fn openai_model(&self, name: &str) -> Option<Bytes> {
        Catalogue::of(&self.all).openai_model(name, &self.aliases)
    }

    /// `/api/version`: the lowest of all hosts.
    pub(crate) fn version(&self) -> Option<Bytes> {
        Catalogue::of(&self.all).version()
    }
}

/// `Authorization` with the API key in a file.
fn bearer(file: &Path) -> Result<HeaderValue, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let key = text.trim();
    if key.is_empty() {
        return Err("it is empty".to_owned());
    }
    let value = HeaderValue::from_str(&format!("Bearer {key}")).ok().filter(|_| key.is_ascii());
    let mut value = value.ok_or("it has several lines, or signs that are not ASCII")?;
    // Hidden from `Debug`.
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Upstream;
    use upright_core::clock::SystemClock;
    use upright_test_kit::folder::Folder;

    fn hosts(file: PathBuf) -> Result<Hosts, HostsError> {
        let upstream = Upstream { api_key_file: Some(file), ..Upstream::default() };
        Hosts::new(&Config { upstreams: vec![upstream], ..Config::default() }, &PolicySlot::native(), SystemClock::shared(), None)
    }

    #[test]
    fn an_api_key_is_read_from_its_file_and_hidden_from_debug() {
        let folder = Folder::new("api-key");
        let hosts = hosts(folder.write("key", " sk-secret\n")).unwrap();
        let credentials = &hosts.all()[0].settings().credentials;
        assert_eq!(*credentials, Credentials::Key(HeaderValue::from_static("Bearer sk-secret")));
        assert!(!format!("{:?}", hosts.all()[0].settings()).contains("secret"));
    }

    #[test]
    fn an_api_key_that_cannot_be_used_is_an_error_that_names_its_file_and_not_the_key() {
        let folder = Folder::new("api-key");
        for (name, text) in [("empty", Some("\n")), ("lines", Some("secret\nsecret")), ("umlaut", Some("secr\u{e9}t")), ("missing", None)] {
            let file = text.map_or_else(|| folder.path(name), |text| folder.write(name, text));
            let error = hosts(file.clone()).err().unwrap().to_string();
            assert!(error.contains(&file.display().to_string()) && !error.contains("secr"), "{error}");
        }
    }
}
