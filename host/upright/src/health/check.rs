//! Checks a server, its models and this machine.

use super::builder::{HealthCheckBuilder, Judge, ResourceReader};
use super::explain::{explain, not_loaded};
use super::report::{HealthReport, HealthStatus};
use crate::ollama::{BaseUrl, ChatRequest, ModelInfo, OllamaClient, SetupError};
use crate::types::{Finding, FindingLevel, ResourceName, ResourceSnapshot, ResourceThresholds, SuggestedAction};
use futures_util::future;
use serde_json::{Map, Value, json};
use upright_core::clock::SharedClock;
use upright_logic::classifier::classify;
use upright_logic::degradation::same_model;

/// Component name of the server.
pub const OLLAMA: &str = "ollama";
/// Component name of this machine.
pub const RESOURCES: &str = "resources";

const GIB: f64 = (1_u64 << 30) as f64;

/// Checks an Ollama server, its models and this machine. Clones share everything.
#[derive(Clone)]
pub struct HealthCheck {
    pub(super) client: OllamaClient,
    pub(super) clock: SharedClock,
    pub(super) thresholds: ResourceThresholds,
    pub(super) judge: Judge,
    pub(super) resources: ResourceReader,
}

impl std::fmt::Debug for HealthCheck {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("HealthCheck").field("client", &self.client).field("thresholds", &self.thresholds).finish_non_exhaustive()
    }
}

impl HealthCheck {
    /// A health check with the defaults of [`HealthCheck::builder`].
    pub fn new(address: BaseUrl) -> Result<Self, SetupError> {
        Self::builder(address).build()
    }

    /// Sets up a health check.
    pub fn builder(address: BaseUrl) -> HealthCheckBuilder {
        HealthCheckBuilder::new(address)
    }

    /// Checks whether an Ollama server answers at the address.
    pub async fn check_ollama(&self) -> HealthStatus {
        let begun = self.clock.now();
        let answer = self.client.is_running().await;
        let address = self.client.address();
        match answer {
            Ok(()) => {
                let seconds = upright_core::clock::between(begun, self.clock.now()).as_secs_f64();
                let details = details([("url", address.to_string().into()), ("response_seconds", seconds.into())]);
                self.status(OLLAMA.into(), true, format!("Ollama is running at {address}"), details)
            }
            Err(error) => {
                let (message, details) = explain(&error, address);
                self.status(OLLAMA.into(), false, message, details)
            }
        }
    }

    /// Checks whether the server has this model; compares names as Ollama does.
    pub async fn check_model_available(&self, name: &str) -> HealthStatus {
        let mut statuses = self.check_models(&[name]).await;
        statuses.swap_remove(0)
    }

    /// Checks whether the server has these models, in order, by one request. Sends none for an empty list.
    pub async fn check_models(&self, names: &[&str]) -> Vec<HealthStatus> {
        if names.is_empty() {
            return Vec::new();
        }
        let tags = self.client.tags().await;
        names
            .iter()
            .map(|name| {
                let (healthy, message, details) = match &tags {
                    Ok(models) => find_model(name, models),
                    Err(error) => {
                        let (why, details) = explain(error, self.client.address());
                        (false, format!("Model {name} cannot be looked up: {why}"), details)
                    }
                };
                self.status(format!("model:{name}"), healthy, message, details)
            })
            .collect()
    }

    /// Checks whether the server can load this model; only loading reveals a damaged file or a broken installation.
    /// Takes as long as [loading](super::HealthCheckBuilder::load_timeout) may. The model stays in memory.
    pub async fn check_model_loads(&self, name: &str) -> HealthStatus {
        let begun = self.clock.now();
        let mut outcome = self.client.chat(ChatRequest { model: name.to_owned(), ..ChatRequest::default() }).await.map(drop);
        // An embedding model does not chat.
        if outcome.as_ref().is_err_and(|error| classify(&error.fault()).action == SuggestedAction::UseCapableModel) {
            outcome = self.client.embed(name, &[]).await.map(drop);
        }
        let (healthy, message, details) = match outcome {
            Ok(()) => {
                let seconds = upright_core::clock::between(begun, self.clock.now()).as_secs_f64();
                (true, format!("Model {name} can be loaded"), details([("response_seconds", seconds.into())]))
            }
            Err(error) => {
                let (message, details) = not_loaded(&error, self.client.address(), name);
                (false, message, details)
            }
        };
        self.status(format!("load:{name}"), healthy, message, details)
    }

    /// Checks memory, disk and processor without waiting. The processor's load is that of the last second, null before
    /// the first sample.
    pub fn check_system_resources(&self) -> HealthStatus {
        let snapshot = (self.resources)();
        let judgement = (self.judge)(&snapshot, &self.thresholds);
        let words: Vec<String> = judgement.findings.iter().map(|finding| self.word(finding)).collect();
        let mut details = resource_details(&snapshot);
        let levels = judgement.findings.iter().map(|finding| (finding.resource.name().to_owned(), finding.level.name().into()));
        details.insert("findings".into(), Value::Object(levels.collect()));
        self.status(RESOURCES.into(), judgement.healthy, words.join(", "), details)
    }

    /// Whether memory is short, by the thresholds.
    #[cfg(feature = "manager")]
    pub(crate) fn is_short_of_memory(&self) -> bool {
        let findings = (self.judge)(&(self.resources)(), &self.thresholds).findings;
        findings.iter().any(|finding| finding.resource == ResourceName::Memory && finding.level == FindingLevel::Unhealthy)
    }

    /// Reads this machine's resources. Returns at once.
    pub fn resources(&self) -> ResourceSnapshot {
        (self.resources)()
    }

    /// Checks the server, each of the models and this machine at the same time.
    pub async fn check_all(&self, models: &[&str]) -> HealthReport {
        let resources = async { self.check_system_resources() };
        let (ollama, models, resources) = future::join3(self.check_ollama(), self.check_models(models), resources).await;
        [ollama].into_iter().chain(models).chain([resources]).collect()
    }

    fn word(&self, finding: &Finding) -> String {
        let (name, limit) = match finding.resource {
            ResourceName::Memory => ("memory", self.thresholds.memory_percent),
            ResourceName::Disk => ("disk", self.thresholds.disk_percent),
            ResourceName::Cpu => ("CPU", self.thresholds.cpu_percent),
        };
        match finding.level {
            FindingLevel::Fine => format!("{name} {:.1} % used", finding.percent),
            FindingLevel::Warning | FindingLevel::Unhealthy => format!("{name} {:.1} % used, above {limit} %", finding.percent),
            FindingLevel::Unread => format!("{name} not read yet"),
        }
    }

    fn status(&self, component: String, healthy: bool, message: String, details: Map<String, Value>) -> HealthStatus {
        HealthStatus { component, healthy, message, details, timestamp: self.clock.wall() }
    }
}

fn find_model(name: &str, models: &[ModelInfo]) -> (bool, String, Map<String, Value>) {
    match models.iter().find(|model| same_model(&model.name, name)) {
        Some(model) => {
            let found = details([("name", json!(model.name)), ("digest", json!(model.digest)), ("size_bytes", json!(model.size))]);
            (true, format!("Model {name} is available"), found)
        }
        None => {
            let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
            (false, format!("Model {name} not found. Pull it with: ollama pull {name}"), details([("available", json!(names))]))
        }
    }
}

fn resource_details(snapshot: &ResourceSnapshot) -> Map<String, Value> {
    let gib = |total: u64, bytes: u64| if total == 0 { Value::Null } else { json!(bytes as f64 / GIB) };
    let (memory, disk) = (snapshot.memory_total_bytes, snapshot.disk_total_bytes);
    details([
        ("memory_available_gb", gib(memory, snapshot.memory_available_bytes)),
        ("memory_total_gb", gib(memory, memory)),
        ("memory_percent", json!(snapshot.memory_percent())),
        ("disk_available_gb", gib(disk, snapshot.disk_available_bytes)),
        ("disk_total_gb", gib(disk, disk)),
        ("disk_percent", json!(snapshot.disk_percent())),
        ("cpu_percent", json!(snapshot.cpu_percent)),
    ])
}

fn details<const N: usize>(entries: [(&str, Value); N]) -> Map<String, Value> {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
