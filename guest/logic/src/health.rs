//! Whether a machine is fit to run a model (`wit/health.wit`).

use alloc::vec::Vec;

/// Resources of the machine; a total of 0 is unreadable.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ResourceSnapshot {
    /// Physical memory, bytes.
    pub memory_total_bytes: u64,
    /// Memory available without swapping, bytes.
    pub memory_available_bytes: u64,
    /// Size of the disk, bytes.
    pub disk_total_bytes: u64,
    /// Free space on the disk, bytes.
    pub disk_available_bytes: u64,
    /// Load of all cores, 0 to 100; `None` before the first sample.
    #[cfg_attr(feature = "serde", serde(default))]
    pub cpu_percent: Option<f64>,
}

impl ResourceSnapshot {
    /// Memory in use, percent; `None` if unreadable.
    pub fn memory_percent(&self) -> Option<f64> {
        used_percent(self.memory_total_bytes, self.memory_available_bytes)
    }

    /// Disk in use, percent; `None` if unreadable.
    pub fn disk_percent(&self) -> Option<f64> {
        used_percent(self.disk_total_bytes, self.disk_available_bytes)
    }
}

/// Limits for a healthy machine.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ResourceThresholds {
    /// Unhealthy memory use above this, percent.
    pub memory_percent: f64,
    /// Unhealthy disk use above this unless `disk_free_bytes` are free, percent.
    pub disk_percent: f64,
    /// Free disk space always enough, bytes.
    pub disk_free_bytes: u64,
    /// CPU warning above this, percent.
    pub cpu_percent: f64,
}

impl Default for ResourceThresholds {
    /// 90 % from the specification; 50 GiB hold any model for such a machine.
    fn default() -> Self {
        Self { memory_percent: 90.0, disk_percent: 90.0, disk_free_bytes: 50 << 30, cpu_percent: 90.0 }
    }
}

named_enum! {
    /// Resource.
    pub enum ResourceName {
        /// Physical memory.
        Memory = "memory",
        /// Disk.
        Disk = "disk",
        /// All processor cores.
        Cpu = "cpu",
    }
}

named_enum! {
    /// Level of a finding.
    pub enum FindingLevel {
        /// Within the limit.
        Fine = "fine",
        /// Above the limit, but still healthy.
        Warning = "warning",
        /// Makes the machine unhealthy.
        Unhealthy = "unhealthy",
        /// Could not be read.
        Unread = "unread",
    }
}

/// Finding on one resource.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Finding {
    /// Resource.
    pub resource: ResourceName,
    /// Level.
    pub level: FindingLevel,
    /// Percent in use; 0 if unreadable.
    pub percent: f64,
}

/// Findings on all resources.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Judgement {
    /// Whether no finding is unhealthy.
    pub healthy: bool,
    /// One for each resource: memory, disk, cpu.
    pub findings: Vec<Finding>,
}

fn used_percent(total: u64, available: u64) -> Option<f64> {
    (total > 0).then(|| (total.saturating_sub(available)) as f64 / total as f64 * 100.0)
}

/// Compares a snapshot with the limits.
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
    fn unreadable_resources_are_reported_and_do_not_make_a_machine_unhealthy() {
        let blind = ResourceSnapshot { memory_total_bytes: 0, disk_total_bytes: 0, cpu_percent: None, ..snapshot() };
        let judgement = judge(&blind, &ResourceThresholds::default());
        assert!(judgement.healthy);
        assert!(judgement.findings.iter().all(|finding| finding.level == FindingLevel::Unread));
    }

    #[test]
    fn available_memory_above_the_total_counts_as_unused() {
        let odd = ResourceSnapshot { memory_available_bytes: 64 * GIB, ..snapshot() };
        assert_eq!(odd.memory_percent(), Some(0.0));
    }
}
