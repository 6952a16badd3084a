//! All hosts of one configuration.

use super::balance::{Ranking, Wish, survey};
use super::catalogue::Catalogue;
use super::host::{Host, HostSettings, Kind};
use super::names::{AliasError, Aliases, ModelName};
use super::queue::Limits;
use crate::config::{self, Config};
use bytes::Bytes;
use http::Uri;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use upright_core::breaker::{CircuitBreaker, CircuitBreakers};
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
}

/// The hosts of one configuration, with its aliases.
#[derive(Debug)]
pub struct Hosts {
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
    /// The hosts of a configuration. Nothing is known of them yet.
    ///
    /// # Errors
    /// [`HostsError`].
    pub fn new(config: &Config, clock: SharedClock) -> Result<Self, HostsError> {
        let template = CircuitBreaker::builder("gateway").clock(Arc::clone(&clock)).config((&config.breaker).into());
        let breakers = CircuitBreakers::new(template)?;
        let aliases = Aliases::new(config.aliases.keys().map(|alias| (alias, config.resolve(alias))))?;
        let host = |upstream: &config::Upstream| {
            let (name, url) = (upstream.label(), upstream.url.to_string());
            let parsed = url.parse::<Uri>().ok().filter(|uri| uri.authority().is_some());
            let Some(url) = parsed else { return Err(HostsError::Address { name, url }) };
            let kind = match upstream.kind {
                config::Kind::Ollama => Kind::Ollama,
                config::Kind::Openai => Kind::Openai,
            };
            let limits = Limits { concurrent: upstream.concurrency, queued: config.listen.max_queue };
            // A slash separates a host from a model.
            let name = name.replace('/', "_").into();
            Ok(Host::new(HostSettings { name, url, kind, weight: upstream.weight, limits }, breakers.clone()))
        };
        let all = config.upstreams.iter().map(host).collect::<Result<_, _>>()?;
        Ok(Self { all, aliases, spread: AtomicU64::new(0), clock: SharedClockOf(clock) })
    }

    /// All hosts, in the order of the configuration.
    pub fn all(&self) -> &[Arc<Host>] {
        &self.all
    }

    /// The clock of the hosts.
    pub fn clock(&self) -> &SharedClock {
        &self.clock.0
    }

    /// The model that a name means, and its name for hosts; `None` for a name that is blank or too long.
    pub fn resolve(&self, name: &str) -> Option<(ModelName, Arc<str>)> {
        let model = ModelName::of(name)?;
        Some(match self.aliases.resolve(&model) {
            Some(alias) => (alias.model.clone(), Arc::clone(&alias.sent)),
            None => (model, name.into()),
        })
    }

    /// The hosts for a request, best first.
    pub fn rank(&self, model: Option<&ModelName>, window: Option<u32>, kind: Option<Kind>) -> Ranking {
        let wish = Wish { model, window, kind, failed: &[] };
        Ranking::of(survey(&self.all, &wish, self.clock.0.now()), self.spread.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether a host speaks Ollama's protocol.
    pub fn speaks_ollama(&self) -> bool {
        self.all.iter().any(|host| host.kind() == Kind::Ollama)
    }

    /// Whether a host can be reached.
    pub fn is_ready(&self) -> bool {
        self.all.iter().any(|host| host.is_reachable() && host.probed().is_some())
    }

    /// `/api/tags` of all hosts.
    pub fn tags(&self) -> Option<Bytes> {
        Catalogue::of(&self.all).tags(&self.aliases)
    }

    /// `/api/ps` of all hosts.
    pub fn ps(&self) -> Option<Bytes> {
        Catalogue::of(&self.all).ps()
    }

    /// `/v1/models` of all hosts.
    pub fn openai_models(&self) -> Option<Bytes> {
        Catalogue::of(&self.all).openai_models(&self.aliases)
    }

    /// `/v1/models/NAME`.
    pub fn openai_model(&self, name: &str) -> Option<Bytes> {
        Catalogue::of(&self.all).openai_model(name, &self.aliases)
    }

    /// `/api/version`: the lowest of all hosts.
    pub fn version(&self) -> Option<Bytes> {
        Catalogue::of(&self.all).version()
    }
}
