//! Reads this machine's resources without waiting.

use super::cpu::{CpuSampler, ReadLoad};
use super::disk;
use crate::machine::read_memory;
use crate::types::ResourceSnapshot;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use sysinfo::System;
use upright_core::clock::{Instant, SharedClock, between};

/// Maximum age of a reading of memory and disk.
const FRESH: Duration = Duration::from_secs(1);

type ReadRoom = Box<dyn FnMut() -> ResourceSnapshot + Send>;

/// Reads this machine's resources: memory and disk at most once a second, within a container's memory limit. A thread
/// samples the processor's load until half a minute after the last question.
pub(super) struct ResourceProbe {
    clock: SharedClock,
    room: Mutex<Room>,
    cpu: CpuSampler,
}

struct Room {
    read: ReadRoom,
    last: Option<(Instant, ResourceSnapshot)>,
}

impl std::fmt::Debug for ResourceProbe {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ResourceProbe").finish_non_exhaustive()
    }
}

impl ResourceProbe {
    /// A probe for this machine and the disk that holds this path, by this clock.
    pub(super) fn with_clock(disk_path: impl Into<PathBuf>, clock: SharedClock) -> Self {
        let path = disk_path.into();
        let mut system = System::new().ok();
        let room = move || {
            let (memory_total_bytes, memory_available_bytes) = system.as_mut().map_or((0, 0), read_memory);
            let (disk_total_bytes, disk_available_bytes) = disk::room(&path);
            ResourceSnapshot { memory_total_bytes, memory_available_bytes, disk_total_bytes, disk_available_bytes, cpu_percent: None }
        };
        Self::reading(Box::new(room), this_machines_load(), clock)
    }

    fn reading(room: ReadRoom, load: ReadLoad, clock: SharedClock) -> Self {
        Self { clock, room: Mutex::new(Room { read: room, last: None }), cpu: CpuSampler::new(load) }
    }

    /// Current resources. Never waits: the processor's load is `None` before its first sample.
    pub(super) fn snapshot(&self) -> ResourceSnapshot {
        let cpu_percent = self.cpu.load();
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let read = match room.last {
            Some((then, read)) if between(then, now) < FRESH => read,
            _ => {
                let read = (room.read)();
                room.last = Some((now, read));
                read
            }
        };
        ResourceSnapshot { cpu_percent, ..read }
    }
}

/// Reads this machine's resources and those of the disk that holds this path. Blocks for a fifth of a second: the
/// processor's load is the difference between two readings.
#[doc(hidden)]
pub fn measure(disk_path: impl Into<PathBuf>) -> ResourceSnapshot {
    let path = disk_path.into();
    let mut load = this_machines_load();
    load();
    std::thread::sleep(sysinfo::MINIMUM_CPU_UPDATE_INTERVAL);
    let cpu_percent = load();
    let (memory_total_bytes, memory_available_bytes) = System::new().ok().as_mut().map_or((0, 0), read_memory);
    let (disk_total_bytes, disk_available_bytes) = disk::room(&path);
    ResourceSnapshot { memory_total_bytes, memory_available_bytes, disk_total_bytes, disk_available_bytes, cpu_percent }
}

fn this_machines_load() -> ReadLoad {
    let mut system = None;
    Box::new(move || {
        // Made on the sampling thread, because making it takes time.
        let system = match &mut system {
            Some(system) => system,
            none => none.insert(System::new().ok()?),
        };
        system.refresh_cpu_usage();
        Some(f64::from(system.global_cpu_usage()))
    })
}

/// Ollama's models directory: `OLLAMA_MODELS`, else the first that exists of the user's folder, the system service's
/// folder, the home directory, the current directory.
pub(super) fn models_directory() -> PathBuf {
    if let Some(path) = std::env::var_os("OLLAMA_MODELS").filter(|path| !path.is_empty()) {
        return path.into();
    }
    let home = std::env::home_dir();
    let in_home = home.as_ref().map(|home| home.join(".ollama").join("models"));
    let service = PathBuf::from("/usr/share/ollama/.ollama/models");
    [in_home, Some(service), home].into_iter().flatten().find(|path| path.is_dir()).unwrap_or_else(|| ".".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::DrivenClock;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc::channel;

    const NOTHING: ResourceSnapshot = ResourceSnapshot {
        memory_total_bytes: 0,
        memory_available_bytes: 0,
        disk_total_bytes: 0,
        disk_available_bytes: 0,
        cpu_percent: None,
    };

    #[test]
    fn this_machine_has_memory_and_a_disk() {
        let snapshot = ResourceProbe::with_clock(".", DrivenClock::new().shared()).snapshot();
        assert!(snapshot.memory_total_bytes > 0 && snapshot.disk_total_bytes > 0, "{snapshot:?}");
        assert!(snapshot.memory_available_bytes <= snapshot.memory_total_bytes);
    }

    #[test]
    fn this_machines_load_is_a_share_of_all_cores() {
        let mut read = this_machines_load();
        let loads = [read(), read()];
        assert!(loads.iter().all(|load| load.is_some_and(|load| (0.0..=100.0).contains(&load))), "{loads:?}");
    }

    #[test]
    fn a_probe_whose_load_takes_for_ever_answers_all_the_same() {
        let (release, held) = channel::<()>();
        let hang = move || {
            let _ = held.recv();
            None
        };
        let probe = ResourceProbe::reading(Box::new(|| NOTHING), Box::new(hang), DrivenClock::new().shared());
        assert_eq!(probe.snapshot(), NOTHING);
        assert_eq!(probe.snapshot(), NOTHING);
        drop(release);
    }

    #[test]
    fn memory_and_disk_are_read_at_most_once_a_second() {
        let count = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&count);
        let read = move || ResourceSnapshot { memory_total_bytes: 1 + counter.fetch_add(1, Ordering::SeqCst), ..NOTHING };
        let clock = DrivenClock::new();
        let probe = ResourceProbe::reading(Box::new(read), Box::new(|| None), clock.shared());
        let total = || probe.snapshot().memory_total_bytes;
        assert_eq!([total(), total()], [1, 1]);
        clock.advance(Duration::from_millis(999));
        assert_eq!(total(), 1);
        clock.advance(Duration::from_millis(1));
        assert_eq!(total(), 2);
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }
}
