//! Which models have answers that repeat: those whose own file sets a seed, or temperature 0.

use super::Relays;
use super::question::Question;
use crate::front::Wire;
use crate::hosts::host::{Host, Kind};
use crate::hosts::names::ModelName;
use crate::upstream::{Outgoing, Pool, path_at, set_host};
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, header};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use upright_core::driving::within;
use upright_core::random::Random as _;

/// Maximum number of models remembered; beyond it all are forgotten.
const MODELS: usize = 256;
/// Maximum time to learn a model's settings. The request goes on without.
const LIMIT: Duration = Duration::from_millis(500);
/// Maximum size of a model's card, bytes.
const LARGEST: usize = 4 << 20;
/// Number of seeds: Ollama takes the positive ones for a choice.
const SEEDS: f64 = i32::MAX as f64;

/// The settings in a model's own file that fix its answers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sampling {
    seed: bool,
    temperature: Option<f64>,
}

impl Sampling {
    /// Reads an answer of `/api/show`. Its `parameters` are lines such as `seed   42`.
    fn read(body: &[u8]) -> Option<Self> {
        let card: Value = serde_json::from_slice(body).ok()?;
        let parameters = card.get("parameters").and_then(Value::as_str).unwrap_or_default();
        let mut sampling = Self::default();
        for line in parameters.lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("seed"), Some(_)) => sampling.seed = true,
                (Some("temperature"), Some(value)) => sampling.temperature = value.trim_matches('"').parse().ok(),
                _ => {}
            }
        }
        Some(sampling)
    }
}

/// Knowledge of models, by digest. `None` for a model that its host does not describe.
#[derive(Debug, Default)]
pub(super) struct Samplings(Mutex<HashMap<String, Option<Sampling>>>);

impl Samplings {
    fn get(&self, digest: &str) -> Option<Option<Sampling>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(digest).copied()
    }

    fn put(&self, digest: &str, sampling: Option<Sampling>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MODELS {
            known.clear();
        }
        known.insert(digest.to_owned(), sampling);
    }
}

impl Relays {
    /// A seed for this request, and whether the model's own file fixes the answer. No seed where the caller or the
    /// model's file has one, or temperature 0, and where the file cannot be read.
    pub(super) async fn seed(&self, pool: &Rc<Pool>, host: &Host, model: &ModelName, question: &Question) -> (Option<u32>, bool) {
        let asked = &question.asked;
        if !self.replay.enabled || !asked.streamed || !asked.route.is_ollamas() || !asked.question || !asked.can_differ() {
            return (None, false);
        }
        let models = host.models();
        let Some(found) = models.as_ref().and_then(|models| models.find(model)) else { return (None, false) };
        let Some(digest) = found.digest.as_deref() else { return (None, false) };
        let sampling = match self.samplings.get(digest) {
            Some(known) => known,
            None => {
                let learned = within(Some(LIMIT), self.hosts.clock(), pin!(self.shown(pool, host, &found.name, question))).await;
                // The next request asks again for a card that took too long.
                let Ok(learned) = learned else { return (None, false) };
                self.samplings.put(digest, learned);
                learned
            }
        };
        let Some(Sampling { seed, temperature }) = sampling else { return (None, false) };
        if seed || asked.temperature.is_none() && temperature == Some(0.0) {
            return (None, true);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to the largest")]
        let drawn = (self.random.draw() * (SEEDS - 1.0)) as u32 + 1;
        (self.replay.seed.then_some(drawn), false)
    }

    /// The settings in the model's file. `Err` for a host that does not answer.
    async fn shown(&self, pool: &Rc<Pool>, host: &Host, name: &str, question: &Question) -> Result<Option<Sampling>, ()> {
        if host.kind() != Kind::Ollama {
            return Ok(None);
        }
        let body = Bytes::from(json!({"model": name}).to_string());
        let request = || {
            let mut request = Request::new(Outgoing::from(body.clone()));
            *request.method_mut() = Method::POST;
            *request.uri_mut() = path_at(host, &PathAndQuery::from_static("/api/show"));
            set_host(request.headers_mut(), host, question.authorization.as_ref());
            request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(Wire::Json.content_type()));
            Some(request)
        };
        let answer = pool.send(host.peer(), self.limits.connect, request).await.map_err(|_| ())?;
        let (status, mut body) = (answer.head.status, answer.body);
        let mut card = Vec::new();
        while let Some(bytes) = body.bytes().await {
            card.extend_from_slice(&bytes.map_err(|_| ())?);
            if card.len() > LARGEST {
                return Ok(None);
            }
        }
        if status.is_server_error() {
            return Err(());
        }
        Ok(if status.is_success() { Sampling::read(&card) } else { None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_and_the_temperature_of_a_models_file_are_read_from_its_card() {
        for (parameters, expected) in [
            ("", Sampling::default()),
            ("stop    \"seed 4\"\nnum_ctx 4096", Sampling::default()),
            ("num_ctx                        2048\nseed                           42", Sampling { seed: true, temperature: None }),
            ("temperature                    0\ntop_k 5", Sampling { seed: false, temperature: Some(0.0) }),
            ("temperature 0.7", Sampling { seed: false, temperature: Some(0.7) }),
        ] {
            assert_eq!(Sampling::read(json!({"parameters": parameters}).to_string().as_bytes()), Some(expected), "{parameters}");
        }
        assert_eq!(Sampling::read(b"{\"details\":{}}"), Some(Sampling::default()));
        assert_eq!(Sampling::read(b"404 page not found"), None);
    }
}
