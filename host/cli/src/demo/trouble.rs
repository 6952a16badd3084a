//! The demo's failures, replayed or injected.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::PoisonError;
use upright::ollama::OllamaError;
use upright::types::{Endpoint, Fault, FaultKind};
use upright_protocol::ErrorBody;
use upright_simulator::{FaultServer, HEALTHY_STEP, Match, Row, UnknownRow};

pub(super) enum Trouble {
    Replayed(FaultServer),
    /// By model.
    Injected(Mutex<BTreeMap<String, Plan>>),
}

#[derive(Default)]
pub(super) struct Plan {
    steps: VecDeque<String>,
    always: Option<String>,
}

impl Trouble {
    /// One failure for each of the next chats.
    pub(super) fn plan(&self, model: &str, steps: &[&str]) -> Result<(), UnknownRow> {
        match self {
            Self::Replayed(server) => server.plan(Match { path: Some("/api/chat"), model: Some(model) }, steps),
            Self::Injected(plans) => {
                lock(plans).entry(model.to_owned()).or_default().steps.extend(steps.iter().map(ToString::to_string));
                Ok(())
            }
        }
    }

    /// One failure for every chat.
    pub(super) fn always(&self, model: &str, step: &str) -> Result<(), UnknownRow> {
        match self {
            Self::Replayed(server) => server.always(Match { path: Some("/api/chat"), model: Some(model) }, step),
            Self::Injected(plans) => {
                lock(plans).entry(model.to_owned()).or_default().always = Some(step.to_owned());
                Ok(())
            }
        }
    }

    pub(super) fn clear(&self) {
        match self {
            Self::Replayed(server) => server.clear(),
            Self::Injected(plans) => lock(plans).clear(),
        }
    }

    pub(super) fn injected(&self, model: &str) -> Option<OllamaError> {
        let Self::Injected(plans) = self else { return None };
        let mut plans = lock(plans);
        let plan = plans.get_mut(model)?;
        let step = plan.steps.pop_front().or_else(|| plan.always.clone())?;
        let row = Row::find(&step).filter(|_| step != HEALTHY_STEP)?;
        Some(match row.status {
            200 => OllamaError::InStream {
                endpoint: Endpoint::Chat,
                message: "an error was encountered while running the model: unexpected EOF (injected by the demo)".into(),
                labels: None,
            },
            status => {
                let said = ErrorBody::read(row.body.text().as_bytes());
                let message = format!("{} (injected by the demo)", said.message);
                OllamaError::Status {
                    fault: Box::new(Fault {
                        status: Some(status),
                        endpoint: Endpoint::Chat,
                        labels: said.labels,
                        ..Fault::new(FaultKind::HttpStatus, message)
                    }),
                    window: None,
                }
            }
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
