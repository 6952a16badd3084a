//! Hosts and answers for the tests of this folder.

use super::catalogue::{LoadedModel, Models, read_loaded};
use super::host::{Credentials, Host, HostSettings, Kind};
use super::names::ModelName;
use super::queue::Limits;
use http::Uri;
use std::sync::Arc;
use upright_core::breaker::{CircuitBreaker, CircuitBreakers};
use upright_core::testing::DrivenClock;

pub(super) fn model(text: &str) -> ModelName {
    ModelName::of(text).unwrap()
}

pub(super) fn breakers(clock: &DrivenClock) -> CircuitBreakers {
    CircuitBreakers::new(CircuitBreaker::builder("template").clock(clock.shared())).unwrap()
}

pub(super) fn settings(name: &str) -> HostSettings {
    HostSettings {
        name: name.into(),
        url: Uri::from_static("http://127.0.0.1:1"),
        kind: Kind::Ollama,
        weight: 1,
        limits: Limits::default(),
        credentials: Credentials::None,
    }
}

pub(super) fn ollama(name: &str, breakers: &CircuitBreakers) -> Arc<Host> {
    Host::new(settings(name), breakers.clone())
}

pub(super) fn host(name: &str) -> Arc<Host> {
    ollama(name, &breakers(&DrivenClock::new()))
}

/// An answer of `/api/tags`: names with their digests.
pub(super) fn tags(models: &[(&str, &str)]) -> String {
    let entry = |(name, digest): &(&str, &str)| format!(r#"{{"name":"{name}","model":"{name}","digest":"{digest}"}}"#);
    format!(r#"{{"models":[{}]}}"#, models.iter().map(entry).collect::<Vec<_>>().join(","))
}

pub(super) fn models(models: &[(&str, &str)]) -> Models {
    Models::read(Kind::Ollama, tags(models).as_bytes()).unwrap()
}

/// An answer of `/api/ps`: names with their windows.
pub(super) fn ps(models: &[(&str, u32)]) -> String {
    let entry = |(name, window): &(&str, u32)| format!(r#"{{"name":"{name}","model":"{name}","context_length":{window}}}"#);
    format!(r#"{{"models":[{}]}}"#, models.iter().map(entry).collect::<Vec<_>>().join(","))
}

pub(super) fn loaded(models: &[(&str, u32)]) -> Vec<LoadedModel> {
    read_loaded(ps(models).as_bytes()).unwrap()
}
