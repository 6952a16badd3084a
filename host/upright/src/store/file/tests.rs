use super::*;

mod in_memory {
    use super::*;

    crate::store::suite::holds_for!(async |clock| FileStore::in_memory(clock).unwrap());
}

/// On Unix a file that is open can be removed, so nothing is left behind.
#[cfg(unix)]
mod in_a_file {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn open(clock: SharedClock) -> FileStore {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let folder = format!("upright-suite-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(folder);
        let store = FileStore::open(folder.join("store.redb"), clock).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        store
    }

    crate::store::suite::holds_for!(async |clock| open(clock));
}
