//! Sets up a health check.

use super::check::HealthCheck;
use super::resources::{ResourceProbe, models_directory};
use crate::error::ConfigurationError;
use crate::ollama::{BaseUrl, OllamaClient, SetupError, Timeouts};
use crate::types::{Judgement, ResourceSnapshot, ResourceThresholds};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use upright_core::clock::{SharedClock, SystemClock};

/// Default time limit of a check.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// Judges the machine's resources.
pub type Judge = Arc<dyn Fn(&ResourceSnapshot, &ResourceThresholds) -> Judgement + Send + Sync>;

/// Reads the machine's resources. Must not block.
pub type ResourceReader = Arc<dyn Fn() -> ResourceSnapshot + Send + Sync>;

/// Sets up a [`HealthCheck`].
#[must_use = "it does nothing until it is built"]
pub struct HealthCheckBuilder {
    address: BaseUrl,
    timeout: Duration,
    load_timeout: Duration,
    thresholds: ResourceThresholds,
    disk_path: Option<PathBuf>,
    clock: SharedClock,
    judge: Judge,
    resources: Option<ResourceReader>,
}

impl HealthCheckBuilder {
    pub(super) fn new(address: BaseUrl) -> Self {
        Self {
            address,
            timeout: DEFAULT_TIMEOUT,
            load_timeout: Timeouts::default().load,
            thresholds: ResourceThresholds::default(),
            disk_path: None,
            clock: SystemClock::shared(),
            judge: Arc::new(upright_logic::health::judge),
            resources: None,
        }
    }

    /// Maximum time of a check, from the first byte sent to the last one read. Default 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Maximum time for loading a model. Default 10 min.
    pub fn load_timeout(mut self, timeout: Duration) -> Self {
        self.load_timeout = timeout;
        self
    }

    /// Sets the thresholds beyond which a reading becomes a finding.
    ///
    /// `memory_percent` also counts in the decisions of a `RecoveryManager` with this health check. Above it the
    /// manager does not retry a call that ran out of a resource. The policy has a limit of its own, in the default
    /// policy 90 % of memory, and the lower limit wins. The other thresholds decide only reports.
    pub fn thresholds(mut self, thresholds: ResourceThresholds) -> Self {
        self.thresholds = thresholds;
        self
    }

    /// Checks the disk that holds this path. Default Ollama's models directory: `OLLAMA_MODELS`, else the first
    /// that exists of the user's folder, the system service's folder, the home directory, the current directory.
    pub fn disk_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.disk_path = Some(path.into());
        self
    }

    /// Sets the clock.
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the judge of the machine's resources. Default [`upright_logic::health::judge`].
    #[doc(hidden)]
    pub fn judge(mut self, judge: Judge) -> Self {
        self.judge = judge;
        self
    }

    /// Sets the reader of the machine's resources. Default this machine's memory, disk and
    /// processor.
    pub fn resources(mut self, resources: ResourceReader) -> Self {
        self.resources = Some(resources);
        self
    }

    /// Builds the health check. Sends and reads nothing yet.
    pub fn build(self) -> Result<HealthCheck, SetupError> {
        let timeout = self.timeout;
        for (setting, timeout) in [("timeout", timeout), ("load_timeout", self.load_timeout)] {
            ConfigurationError::unless(!timeout.is_zero(), setting, format!("{timeout:?}"), "it must be longer than nothing")?;
        }
        for (setting, percent) in [
            ("thresholds.memory_percent", self.thresholds.memory_percent),
            ("thresholds.disk_percent", self.thresholds.disk_percent),
            ("thresholds.cpu_percent", self.thresholds.cpu_percent),
        ] {
            ConfigurationError::unless((0.0..=100.0).contains(&percent), setting, percent, "it must be from 0 to 100")?;
        }
        // The limit of the whole check must end it before the limit of connecting does.
        let timeouts = Timeouts {
            connect: timeout.saturating_mul(2),
            load: self.load_timeout,
            total_for_short_requests: timeout,
            ..Timeouts::default()
        };
        let client = OllamaClient::builder(self.address).timeouts(timeouts).clock(Arc::clone(&self.clock)).build()?;
        let resources = self.resources.unwrap_or_else(|| {
            let probe = ResourceProbe::with_clock(self.disk_path.unwrap_or_else(models_directory), Arc::clone(&self.clock));
            Arc::new(move || probe.snapshot())
        });
        Ok(HealthCheck { client, clock: self.clock, thresholds: self.thresholds, judge: self.judge, resources })
    }
}
