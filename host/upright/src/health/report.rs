//! Results of a health check.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use std::time::SystemTime;

/// State of one component.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HealthStatus {
    /// `ollama`, `model:NAME` or `resources`.
    pub component: String,
    /// Whether it is fit to work.
    pub healthy: bool,
    /// Message with the next step.
    pub message: String,
    /// Figures.
    pub details: Map<String, Value>,
    /// Time of the check; in JSON seconds since 1970.
    #[serde(serialize_with = "as_seconds")]
    pub timestamp: SystemTime,
}

fn as_seconds<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let seconds = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => after.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    };
    serializer.serialize_f64(seconds)
}

/// State of all components, in the order of the check. In JSON an object with one member for each component.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HealthReport {
    statuses: Vec<HealthStatus>,
}

impl HealthReport {
    /// State of this component.
    pub fn get(&self, component: &str) -> Option<&HealthStatus> {
        self.statuses.iter().find(|status| status.component == component)
    }

    /// Whether all components are healthy.
    pub fn is_healthy(&self) -> bool {
        self.statuses.iter().all(|status| status.healthy)
    }

    /// All components.
    pub fn iter(&self) -> std::slice::Iter<'_, HealthStatus> {
        self.statuses.iter()
    }
}

impl FromIterator<HealthStatus> for HealthReport {
    /// The first of two statuses for one component counts.
    fn from_iter<T: IntoIterator<Item = HealthStatus>>(statuses: T) -> Self {
        statuses.into_iter().fold(Self::default(), |mut report, status| {
            if report.get(&status.component).is_none() {
                report.statuses.push(status);
            }
            report
        })
    }
}

impl IntoIterator for HealthReport {
    type Item = HealthStatus;
    type IntoIter = std::vec::IntoIter<HealthStatus>;

    fn into_iter(self) -> Self::IntoIter {
        self.statuses.into_iter()
    }
}

impl<'a> IntoIterator for &'a HealthReport {
    type Item = &'a HealthStatus;
    type IntoIter = std::slice::Iter<'a, HealthStatus>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Serialize for HealthReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.statuses.len()))?;
        for status in &self.statuses {
            map.serialize_entry(&status.component, status)?;
        }
        map.end()
    }
}
