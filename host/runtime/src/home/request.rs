//! What a command asks of a running program, through files in the program's home.
//!
//! A file works everywhere and needs no port and no secret: who may write to the folder may ask. A request is a file in `requests/`, put there as a whole;
//! its answer appears under the same name in `replies/`. A program that answers holds a lock on `answering`, which ends with the program however that ends:
//! who asks where nobody answers is told so at once.

use super::{HomeError, PolicyHome, files};
use crate::lifecycle::{HistoryEntry, SwapOptions};
use crate::lifecycle::{PolicyLifecycle, SlotCounts};
use crate::loader::PolicyLoader;
use crate::shadow::{Promotion, ShadowOptions, ShadowReport};
use crate::signature::Signature;
use crate::{PolicyError, Stage};
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often a reply is looked for.
const GLANCE: Duration = Duration::from_millis(10);

/// How long a program that is being started is waited for.
const STARTING: Duration = Duration::from_secs(1);

/// Nobody waits for a reply that is older.
const OLD: Duration = Duration::from_secs(3600);

/// What can be asked of a running program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "action")]
pub enum Request {
    /// To swap in the component that lies beside the request.
    Swap {
        /// In the shadow first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shadow: Option<ShadowRequest>,
        /// Its probation, in seconds; none for the default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        probation: Option<f64>,
        /// See [`SwapOptions::allow_lower_revision`].
        #[serde(default)]
        allow_lower_revision: bool,
    },
    /// To make the shadow active.
    Promote,
    /// To end the shadow.
    EndShadow,
    /// To go back to the last good policy.
    RollBack,
    /// To say how things stand.
    Status,
}

/// [`ShadowOptions`] in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShadowRequest {
    /// The share of incidents.
    pub sample: f64,
    /// Promoted after so many decisions …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decisions: Option<u64>,
    /// … with at most so many disagreements.
    #[serde(default)]
    pub disagreements: u64,
}

/// What a running program answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reply {
    /// The active policy's name and version, after what was asked.
    pub active: String,
    /// Its digest, where it is a component.
    pub digest: Option<String>,
    /// The stage that the candidate reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// Why it could not be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What the shadow has shown, where there is or was one; see [`ShadowReport`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<serde_json::Value>,
    /// What the slot has counted.
    pub counts: SlotCounts,
    /// The latest of its history.
    pub history: Vec<HistoryEntry>,
}

/// Why a running program could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The candidate cannot be read.
    #[error("{}: {source}; expected a WebAssembly component", path.display())]
    Candidate {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No program runs that would answer.
    #[error("no program answers in {}; expected one that runs with this folder as its policies' home", path.display())]
    NotRunning {
        /// The home.
        path: PathBuf,
    },
    /// A program runs, and did not answer.
    #[error("the program that answers in {} did not within {:.0} s; expected it to be idle soon", path.display(), waited.as_secs_f64())]
    NoAnswer {
        /// The home.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The answer is none.
    #[error("the program's answer cannot be read: {detail}")]
    Answer {
        /// Why.
        detail: String,
    },
}

/// Says to those who ask in a home that this program answers, until it is dropped or the program ends.
#[derive(Debug)]
#[must_use = "who asks is told that nobody answers once this is dropped"]
pub struct Answering {
    _locked: File,
}

impl PolicyHome {
    /// For a program that calls [`PolicyHome::answer_all`] by itself; `PolicySlot::answer_requests` (feature `watch`) has one of its own.
    ///
    /// # Errors
    /// [`HomeError::File`].
    pub fn answering(&self) -> Result<Answering, HomeError> {
        let path = self.answering_file();
        let locked = files::open_to_lock(&path).and_then(|file| file.lock_shared().map(|()| file));
        // Several programs may share a home: either may answer.
        locked.map(|locked| Answering { _locked: locked }).map_err(|source| HomeError::File { path, source })
    }

    fn answering_file(&self) -> PathBuf {
        self.directory.join("answering")
    }

    /// Where files cannot be locked, somebody might.
    fn somebody_answers(&self) -> bool {
        match files::open_to_lock(&self.answering_file()).map(|file| file.try_lock()) {
            Ok(Ok(())) => false,
            Ok(Err(TryLockError::WouldBlock | TryLockError::Error(_))) | Err(_) => true,
        }
    }

    /// Asks the program that lives here, and waits so long for its answer. A candidate is handed over with the signature beside its file.
    ///
    /// # Errors
    /// [`RequestError`]. That the program refused is in the [`Reply`].
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
            // What the program has not taken up it shall not find later.
            let _ = std::fs::remove_file(file);
        }
        let text = replied.ok_or_else(|| RequestError::NoAnswer { path: self.directory.clone(), waited: patience })?;
        serde_json::from_slice(&text).map_err(|error| RequestError::Answer { detail: error.to_string() })
    }

    /// Answers every request that waits here, for a program that looks by itself and is [`answering`](PolicyHome::answering);
    /// `PolicySlot::answer_requests` (feature `watch`) does as soon as one comes.
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
            // Before the answer: who has it may ask again under the same name. Where it is gone already, nobody waits for the answer.
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
    /// Removes the replies that came just after their askers had given up.
    fn forget_old_replies(&self) {
        for entry in std::fs::read_dir(self.replies()).into_iter().flatten().flatten() {
            let modified = entry.metadata().and_then(|found| found.modified());
            if modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > OLD)) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// Looks now and then, for so long and at least once.
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
            let swapped = swap_options(*shadow, *probation, *allow_lower_revision).and_then(|options| {
                let policy = loader.step_by_step(candidate, &mut |_| {}).inspect_err(|error| slot.note_refusal("a candidate", error));
                policy.and_then(|policy| slot.swap(policy, &options)).map_err(|error: PolicyError| error.to_string())
            });
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

/// What was asked for, as options.
pub(crate) fn swap_options(
    shadow: Option<ShadowRequest>,
    probation: Option<f64>,
    allow_lower_revision: bool,
) -> Result<SwapOptions, String> {
    let mut options = SwapOptions { allow_lower_revision, ..SwapOptions::default() };
    if let Some(seconds) = probation {
        options.probation = Duration::try_from_secs_f64(seconds).map_err(|error| format!("a probation of {seconds} s: {error}"))?;
    }
    options.shadow = shadow.map(|shadow| ShadowOptions {
        sample: shadow.sample,
        promotion: shadow.decisions.map(|decisions| Promotion { decisions, disagreements: shadow.disagreements }),
    });
    Ok(options)
}

fn reply(slot: &PolicyLifecycle, done: Result<Option<Stage>, String>, shadow: Option<ShadowReport>) -> Reply {
    let (stage, error) = match done {
        Ok(stage) => (stage, None),
        Err(error) => (None, Some(error)),
    };
    Reply {
        active: slot.active_label(),
        digest: slot.policy().map(|policy| policy.digest().to_owned()),
        stage,
        error,
        shadow: shadow.and_then(|report| serde_json::to_value(report).ok()),
        counts: slot.counts(),
        history: slot.history(),
    }
}
