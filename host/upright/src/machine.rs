//! Reads this machine's memory.

use sysinfo::{MemoryRefreshKind, System};

/// Size and available bytes, within the process's control group if that has a limit.
pub(crate) fn read_memory(system: &mut System) -> (u64, u64) {
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let (total, available) = (system.total_memory(), system.available_memory());
    match system.cgroup_limits() {
        // The group's own "free" counts cached files as used, although they give way.
        Some(group) if group.total_memory > 0 && group.total_memory < total => {
            (group.total_memory, available.min(group.total_memory.saturating_sub(group.rss)))
        }
        _ => (total, available),
    }
}

/// Available bytes for a program outside any control group, such as a server; `None` if unreadable.
pub(crate) fn available_memory() -> Option<u64> {
    let mut system = System::new().ok()?;
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    (system.total_memory() > 0).then(|| system.available_memory())
}
