//! Whether a machine is fit to run a model (`wit/health.wit`).

use alloc::vec::Vec;

/// What the machine has left. A total of 0 means that it could not be read.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ResourceSnapshot {
    /// Physical memory, bytes.
    pub memory_total_bytes: u64,
    /// Memory that can be had without swapping, bytes.
    pub memory_available_bytes: u64,
    /// Size of the disk that was asked about, bytes.
    pub disk_total_bytes: u64,
    /// Free on it, bytes.
    pub disk_available_bytes: u64,
    /// 0 to 100 over all cores; none before the first sample.
    #[cfg_attr(feature = "serde", serde(default))]
    pub cpu_percent: Option<f64>,
}

impl ResourceSnapshot {
    /// Memory in use, percent; none where it could not be read.
    pub fn memory_percent(&self) -> Option<f64> {
        used_percent(self.memory_total_bytes, self.memory_available_bytes)
    }

    /// Disk in use, percent; none where it could not be read.
    pub fn disk_percent(&self) -> Option<f64> {
        used_percent(self.disk_total_bytes, self.disk_available_bytes)
    }
}

/// Where a reading becomes a finding.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ResourceThresholds {
    /// Memory in use above this share is unhealthy; percent.
    pub memory_percent: f64,
    /// Disk in use above this share is unhealthy, unless `disk_free_bytes` are left; percent.
    pub disk_percent: f64,
    /// So much free disk is enough however large the disk is; bytes.
    pub disk_free_bytes: u64,
    /// CPU in use above this share is a warning; percent.
    pub cpu_percent: f64,
}

impl Default for ResourceThresholds {
    /// The specification's 90 %; 50 GiB of free disk, room for any model that fits such a machine, are always enough.
    fn default() -> Self {
        Self { memory_percent: 90.0, disk_percent: 90.0, disk_free_bytes: 50 << 30, cpu_percent: 90.0 }
    }
}

named_enum! {
    /// What was read.
    pub enum ResourceName {
        /// Physical memory.
        Memory = "memory",
        /// A disk.
        Disk = "disk",
        /// All processor cores together.
        Cpu = "cpu",
    }
}

named_enum! {
    /// What a reading means.
    pub enum FindingLevel {
        /// Within its threshold.
        Fine = "fine",
        /// Worth knowing; the machine still counts as healthy.
        Warning = "warning",
        /// The machine counts as unhealthy.
        Unhealthy = "unhealthy",
        /// It could not be read.
        Unread = "unread",
    }
}

/// One reading, judged.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Finding {
    /// What was read.
    pub resource: ResourceName,
    /// What it means.
    pub level: FindingLevel,
    /// In use; percent, 0 where it could not be read.
    pub percent: f64,
}

/// All readings, judged.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Judgement {
    /// No finding is unhealthy.
    pub healthy: bool,
    /// One for each resource: memory, disk, cpu.
    pub findings: Vec<Finding>,
}

fn used_percent(total: u64, available: u64) -> Option<f64> {
    (total > 0).then(|| (total.saturating_sub(available)) as f64 / total as f64 * 100.0)
}

/// Judges a snapshot.
pub fn judge(snapshot: &ResourceSnapshot, thresholds: &ResourceThresholds) -> Judgement {
    let cpu = snapshot.cpu_percent.filter(|percent| percent.is_finite());
    let enough_disk = snapshot.disk_available_bytes >= thresholds.disk_free_bytes;
    let disk_level = if enough_disk { FindingLevel::Fine } else { FindingLevel::Unhealthy };
    let readings = [
        (ResourceName::Memory, snapshot.memory_percent(), thresholds.memory_percent, FindingLevel::Unhealthy),
        (ResourceName::Disk, snapshot.disk_percent(), thresholds.disk_percent, disk_level),
        (ResourceName::Cpu, cpu, thresholds.cpu_percent, FindingLevel::Warning),
    ];
    let findings: Vec<_> = readings
        .into_iter()
        .map(|(resource, percent, limit, above)| {
            let level = match percent {
                None => FindingLevel::Unread,
                Some(percent) if percent > limit => above,
                Some(_) => FindingLevel::Fine,
            };
            Finding { resource, level, percent: percent.unwrap_or(0.0) }
        })
        .collect();
    Judgement { healthy: findings.iter().all(|finding| finding.level != FindingLevel::Unhealthy), findings }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn snapshot() -> ResourceSnapshot {
        ResourceSnapshot {
            memory_total_bytes: 32 * GIB,
            memory_available_bytes: 16 * GIB,
            disk_total_bytes: 500 * GIB,
            disk_available_bytes: 250 * GIB,
            cpu_percent: Some(20.0),
        }
    }

    fn level(snapshot: ResourceSnapshot, resource: ResourceName) -> FindingLevel {
        let judgement = judge(&snapshot, &ResourceThresholds::default());
        judgement.findings.iter().find(|finding| finding.resource == resource).map_or(FindingLevel::Unread, |finding| finding.level)
    }

    #[test]
    fn a_machine_with_room_is_healthy() {
        assert!(judge(&snapshot(), &ResourceThresholds::default()).healthy);
    }

    #[test]
    fn memory_above_ninety_percent_is_unhealthy() {
        let full = ResourceSnapshot { memory_available_bytes: 3 * GIB, ..snapshot() };
        assert_eq!(level(full, ResourceName::Memory), FindingLevel::Unhealthy);
        assert!(!judge(&full, &ResourceThresholds::default()).healthy);
    }

    #[test]
    fn a_disk_above_ninety_percent_is_unhealthy() {
        let full = ResourceSnapshot { disk_available_bytes: 40 * GIB, ..snapshot() };
        assert_eq!(level(full, ResourceName::Disk), FindingLevel::Unhealthy);
    }

    #[test]
    fn ninety_gibibytes_free_of_a_tebibyte_are_healthy() {
        let large = ResourceSnapshot { disk_total_bytes: 1024 * GIB, disk_available_bytes: 90 * GIB, ..snapshot() };
        assert_eq!(level(large, ResourceName::Disk), FindingLevel::Fine);
    }

    #[test]
    fn a_busy_processor_is_a_warning_and_no_more() {
        let busy = ResourceSnapshot { cpu_percent: Some(99.0), ..snapshot() };
        assert_eq!(level(busy, ResourceName::Cpu), FindingLevel::Warning);
        assert!(judge(&busy, &ResourceThresholds::default()).healthy);
    }

    #[test]
    fn what_could_not_be_read_is_said_and_judged_neither_way() {
        let blind = ResourceSnapshot { memory_total_bytes: 0, disk_total_bytes: 0, cpu_percent: None, ..snapshot() };
        let judgement = judge(&blind, &ResourceThresholds::default());
        assert!(judgement.healthy);
        assert!(judgement.findings.iter().all(|finding| finding.level == FindingLevel::Unread));
    }

    #[test]
    fn more_available_than_there_is_counts_as_empty() {
        let odd = ResourceSnapshot { memory_available_bytes: 64 * GIB, ..snapshot() };
        assert_eq!(odd.memory_percent(), Some(0.0));
    }
}
