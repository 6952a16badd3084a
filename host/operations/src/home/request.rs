//! Requests to a running program, as files in its home.
//!
//! Files need no port or secret: people who may write to the folder may ask. Request and reply share a name in
//! `requests/` and `replies/`. The program locks `answering`, so that commands without a program fail at once.

use super::{HomeError, PolicyHome, active_label, files};
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use upright_runtime::shadow::{Promotion, ShadowOptions, ShadowReport};
use upright_runtime::signature::Signature;
use upright_runtime::{HistoryEntry, PROBATION, PolicyLifecycle, PolicyLoader, SlotCounts, Stage, SwapOptions};

const GLANCE: Duration = Duration::from_millis(10);

const STARTING: Duration = Duration::from_secs(1);

const OLD: Duration = Duration::from_secs(3600);

/// Request to a running program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "action")]
pub enum Request {
    /// Swaps in the component beside the request.
    Swap {
        /// Shadow to run first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shadow: Option<ShadowRequest>,
        /// Probation; `None` for the default. In JSON seconds.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::seconds")]
        probation: Option<Duration>,
        /// See [`SwapOptions::allow_lower_revision`].
        #[serde(default)]
        allow_lower_revision: bool,
    },
    /// Makes the shadow active.
    Promote,
    /// Ends the shadow.
    EndShadow,
    /// Rolls back to the last good policy.
    RollBack,
    /// Reports the status.
    Status,
}

/// [`ShadowOptions`] in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShadowRequest {
    /// Share of incidents.
    pub sample: f64,
    /// Number of decisions before promotion; `None` for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decisions: Option<u64>,
    /// Maximum number of disagreements.
    #[serde(default)]
    pub disagreements: u64,
}

/// Reply of a running program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reply {
    /// Active policy after the request.
    pub active: String,
    /// Digest of the active component.
    pub digest: Option<String>,
    /// Stage reached by the candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// Why the request failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// [`ShadowReport`] of the current or ended shadow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<serde_json::Value>,
    /// Counts of the slot.
    pub counts: SlotCounts,
    /// Latest history.
    pub history: Vec<HistoryEntry>,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The candidate cannot be read.
    #[error("cannot read the candidate {}: {source}; expected a WebAssembly component", path.display())]
    Candidate {
        /// File of the candidate.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No program answers.
    #[error("no program answers requests in {}; expected a running program with this folder as its policy home", path.display())]
    NotRunning {
        /// The home.
        path: PathBuf,
    },
    /// The program did not answer in time.
    #[error("no reply from the program using {} within {:.0} s; try again when it is idle", path.display(), waited.as_secs_f64())]
    NoAnswer {
        /// The home.
        path: PathBuf,
        /// Time waited.
        waited: Duration,
    },
    /// The answer is malformed.
    #[error("the program's answer cannot be read: {detail}")]
    Answer {
        /// Why.
        detail: String,
    },
}

/// Marks this program as answering, until dropped.
#[derive(Debug)]
#[must_use = "requests fail at once when this is dropped"]
pub struct Answering {
    _locked: File,
}

impl PolicyHome {
    /// For programs that call [`PolicyHome::answer_all`] themselves.
    ///
    /// # Errors
    /// [`HomeError::File`].
    pub fn answering(&self) -> Result<Answering, HomeError> {
        let path = self.answering_file();
        let locked = files::open_to_lock(&path).and_then(|file| file.lock_shared().map(|()| file));
        // Programs that share a home may all answer.
        locked.map(|locked| Answering { _locked: locked }).map_err(|source| HomeError::File { path, source })
    }

    fn answering_file(&self) -> PathBuf {
        self.directory.join("answering")
    }

    /// True where files cannot be locked.
    fn somebody_answers(&self) -> bool {
        match files::open_to_lock(&self.answering_file()).map(|file| file.try_lock()) {
            Ok(Ok(())) => false,
            Ok(Err(TryLockError::WouldBlock | TryLockError::Error(_))) | Err(_) => true,
        }
    }

    /// Asks the program of this home, for up to `patience`. A candidate brings the signature beside it.
    ///
    /// # Errors
    /// [`RequestError`]; the program's refusal is in [`Reply::error`].
    pub fn ask(&self, request: &Request, candidate: Option<&Path>, patience: Duration) -> Result<Reply, RequestError> {
        if within(patience.min(STARTING), || self.somebody_answers().then_some(())).is_none() {
            return Err(RequestError::NotRunning { path: self.directory.clone() });
        }
        let id = format!("{}-{:016x}", std::process::id(), upright_core::random::unique());
        let (question, answer) = (self.requests().join(format!("{id}.json")), self.replies().join(format!("{id}.json")));
        let in_home = |path: &Path| {
            let path = path.to_owned();
            move |source| RequestError::from(HomeError::File { path, source })
        };
        let copied = self.requests().join(format!("{id}.wasm"));
        if let Some(candidate) = candidate {
            for (from, to) in [(Signature::path_for(candidate), Signature::path_for(&copied)), (candidate.to_owned(), copied.clone())] {
                match std::fs::read(&from) {
                    Ok(bytes) => files::replace(&to, &bytes).map_err(in_home(&to))?,
                    // Only the signature may be missing.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound && from != candidate => {}
                    Err(source) => return Err(RequestError::Candidate { path: from, source }),
                }
            }
        }
        let text = serde_json::to_vec(request).map_err(|error| RequestError::Answer { detail: error.to_string() })?;
        files::replace(&question, &text).map_err(in_home(&question))?;
        let replied = within(patience, || std::fs::read(&answer).ok());
        for file in [&question, &answer, &copied, &Signature::path_for(&copied)] {
            // The program must not find an abandoned request.
            let _ = std::fs::remove_file(file);
        }
        let text = replied.ok_or_else(|| RequestError::NoAnswer { path: self.directory.clone(), waited: patience })?;
        serde_json::from_slice(&text).map_err(|error| RequestError::Answer { detail: error.to_string() })
    }

    /// Answers all waiting requests, for programs that poll while [`answering`](PolicyHome::answering).
    /// `watch::answer_requests` (feature `watch`) answers at once.
    pub fn answer_all(&self, slot: &PolicyLifecycle, loader: &PolicyLoader) {
        self.forget_old_replies();
        let Ok(entries) = std::fs::read_dir(self.requests()) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            let Some(name) = path.file_name().filter(|_| path.extension().is_some_and(|extension| extension == "json")) else { continue };
            let Ok(text) = std::fs::read(&path) else { continue };
            let reply = match serde_json::from_slice(&text) {
                Ok(request) => answer(&request, &path.with_extension("wasm"), slot, loader),
                Err(error) => reply(slot, Err(format!("not a request: {error}")), None),
            };
            // Removed before the reply, which frees the name. A missing request has no asker.
            if std::fs::remove_file(&path).is_err() {
                continue;
            }
            let written =
                serde_json::to_vec(&reply).map_err(std::io::Error::from).and_then(|text| files::replace(&self.replies().join(name), &text));
            if let Err(error) = written {
                tracing::error!(target: "upright", home = %self.directory.display(), %error, "a request cannot be answered");
            }
        }
    }
}

impl PolicyHome {
    fn forget_old_replies(&self) {
        for entry in std::fs::read_dir(self.replies()).into_iter().flatten().flatten() {
            let modified = entry.metadata().and_then(|found| found.modified());
            if modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > OLD)) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

fn within<T>(patience: Duration, look: impl Fn() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if began.elapsed() >= patience {
            return None;
        }
        std::thread::sleep(GLANCE);
    }
}

fn answer(request: &Request, candidate: &Path, slot: &PolicyLifecycle, loader: &PolicyLoader) -> Reply {
    match request {
        Request::Swap { shadow, probation, allow_lower_revision } => {
            let options = swap_options(*shadow, *probation, *allow_lower_revision);
            // The swap probes it.
            let policy = loader.clone().probe(false).from_file(candidate).inspect_err(|error| slot.note_refusal("a candidate", error));
            let swapped = policy.and_then(|policy| slot.swap(policy, &options)).map_err(|error| error.to_string());
            reply(slot, swapped.map(Some), slot.shadow_report())
        }
        Request::Promote => match slot.promote() {
            Some(report) => reply(slot, Ok(Some(Stage::Active)), Some(report)),
            None => reply(slot, Err("there is no shadow to promote".into()), None),
        },
        Request::EndShadow => match slot.end_shadow() {
            Some(report) => reply(slot, Ok(Some(Stage::Retired)), Some(report)),
            None => reply(slot, Err("there is no shadow to end".into()), None),
        },
        Request::RollBack => {
            slot.roll_back();
            reply(slot, Ok(Some(Stage::RolledBack)), slot.shadow_report())
        }
        Request::Status => reply(slot, Ok(None), slot.shadow_report()),
    }
}

pub(crate) fn swap_options(shadow: Option<ShadowRequest>, probation: Option<Duration>, allow_lower_revision: bool) -> SwapOptions {
    let shadow = shadow.map(|shadow| ShadowOptions {
        sample: shadow.sample,
        promotion: shadow.decisions.map(|decisions| Promotion { decisions, disagreements: shadow.disagreements }),
    });
    SwapOptions { shadow, probation: probation.unwrap_or(PROBATION), allow_lower_revision, ..SwapOptions::default() }
}

fn reply(slot: &PolicyLifecycle, done: Result<Option<Stage>, String>, shadow: Option<ShadowReport>) -> Reply {
    let (stage, error) = match done {
        Ok(stage) => (stage, None),
        Err(error) => (None, Some(error)),
    };
    Reply {
        active: active_label(slot),
        digest: slot.policy().map(|policy| policy.digest().to_owned()),
        stage,
        error,
        shadow: shadow.and_then(|report| serde_json::to_value(report).ok()),
        counts: slot.counts(),
        history: slot.history(),
    }
}
