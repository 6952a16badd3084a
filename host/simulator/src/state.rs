//! State shared by a server's connections.

use crate::asked::Asked;
use crate::line::ResetFlag;
use crate::log::Log;
use crate::models::{FIRST_MODELS, Model};
use crate::names::canonical_name;
use crate::plans::Plans;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

const DEFAULT_WINDOW: u32 = 4096;

/// A panic while locked leaves nothing half done here.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) plans: Mutex<Plans>,
    pub(crate) models: Mutex<Vec<Model>>,
    pub(crate) token_interval: Mutex<Duration>,
    pub(crate) load_time: Mutex<Duration>,
    pub(crate) log: Log,
    pub(crate) holds: watch::Sender<()>,
    pub(crate) loads: watch::Sender<()>,
    pub(crate) loads_aborted: AtomicUsize,
    pub(crate) connections: AtomicUsize,
    pub(crate) reset_on_accept: AtomicBool,
    pub(crate) stopping: AtomicBool,
    resident: Mutex<BTreeMap<String, u32>>,
    pub(crate) model_loads: AtomicUsize,
    warmed: Mutex<BTreeSet<String>>,
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            plans: Mutex::default(),
            models: Mutex::new(FIRST_MODELS.iter().map(|name| Model::from(*name)).collect()),
            token_interval: Mutex::default(),
            load_time: Mutex::default(),
            log: Log::default(),
            holds: watch::Sender::default(),
            loads: watch::Sender::default(),
            loads_aborted: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            reset_on_accept: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            resident: Mutex::default(),
            model_loads: AtomicUsize::new(0),
            warmed: Mutex::default(),
        }
    }

    pub(crate) fn model(&self, name: &str) -> Option<Model> {
        let name = canonical_name(name);
        locked(&self.models).iter().find(|model| canonical_name(&model.name) == name).cloned()
    }

    pub(crate) fn is_resident(&self, model: &str) -> bool {
        self.loaded_window(model).is_some()
    }

    pub(crate) fn loaded_window(&self, model: &str) -> Option<u32> {
        locked(&self.resident).get(&canonical_name(model)).copied()
    }

    pub(crate) fn make_resident(&self, model: &str) {
        if !self.is_resident(model) {
            self.load_with(model, DEFAULT_WINDOW);
        }
    }

    pub(crate) fn load_with(&self, model: &str, tokens: u32) {
        locked(&self.resident).insert(canonical_name(model), tokens);
        self.model_loads.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn unload(&self, model: &str) {
        locked(&self.resident).remove(&canonical_name(model));
    }

    pub(crate) fn forget_cold_loads(&self) {
        locked(&self.warmed).clear();
    }

    /// Call before recording the request: a test that sees it may release it.
    pub(crate) fn releases(&self) -> Releases {
        Releases { holds: self.holds.subscribe(), loads: self.loads.subscribe() }
    }

    pub(crate) async fn load_cold(&self, model: &str, release: &mut watch::Receiver<()>) {
        let name = canonical_name(model);
        if locked(&self.warmed).contains(&name) {
            return;
        }
        let time = *locked(&self.load_time);
        self.hold_load(release, time).await;
        locked(&self.warmed).insert(name);
    }

    pub(crate) async fn load(&self, model: &str) {
        let time = *locked(&self.load_time);
        if !time.is_zero() && !self.is_resident(model) {
            let load = Load { state: self, over: false };
            tokio::time::sleep(time).await;
            load.finish();
        }
    }

    pub(crate) async fn hold_load(&self, release: &mut watch::Receiver<()>, time: Duration) {
        let load = Load { state: self, over: false };
        if time.is_zero() {
            // An error means that the server, and so this task, has ended.
            let _ = release.changed().await;
        } else {
            let _ = tokio::time::timeout(time, release.changed()).await;
        }
        load.finish();
    }
}

#[derive(Debug)]
pub(crate) struct Releases {
    pub(crate) holds: watch::Receiver<()>,
    pub(crate) loads: watch::Receiver<()>,
}

/// A load in progress. hyper drops it when the client leaves, which aborts it.
struct Load<'a> {
    state: &'a State,
    over: bool,
}

impl Load<'_> {
    fn finish(mut self) {
        self.over = true;
    }
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        if !self.over && !self.state.stopping.load(Ordering::SeqCst) {
            self.state.loads_aborted.fetch_add(1, Ordering::SeqCst);
            self.state.log.changed.send_replace(());
        }
    }
}

/// A request and its answer. Dropped before completion if the client left.
pub(crate) struct Exchange {
    state: Arc<State>,
    number: usize,
    reset: ResetFlag,
    complete: bool,
}

impl Exchange {
    pub(crate) fn begin(state: &Arc<State>, asked: &Asked, replay: &'static str, reset: ResetFlag) -> Self {
        let number = state.log.note(asked, replay);
        Self { state: Arc::clone(state), number, reset, complete: false }
    }

    pub(crate) fn complete(&mut self) {
        self.complete = true;
    }

    pub(crate) fn reset_connection(&mut self) {
        self.complete = true;
        self.reset.store(true, Ordering::SeqCst);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.complete && !self.state.stopping.load(Ordering::SeqCst) {
            self.state.log.note_client_left(self.number);
        }
    }
}
