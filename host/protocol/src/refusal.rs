//! Describes a question that did not fit the window.

use crate::answer::ErrorBody;
use std::fmt;
use upright_logic::recovery::{Circumstances, ModelFacts, WindowFacts};

/// Facts of all models' windows, after a refused question or a failed load.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// Facts of the window.
    pub facts: WindowFacts,
    /// Models of the server.
    pub models: Vec<(String, ModelFacts)>,
}

impl Refusal {
    /// Reads a refusal's counts; `None` if absent.
    #[doc(hidden)]
    pub fn counted(said: &ErrorBody) -> Option<Self> {
        let facts = WindowFacts { needed: said.prompt_tokens.map(saturated), loaded: said.window.map(saturated), ..WindowFacts::UNKNOWN };
        (facts != WindowFacts::UNKNOWN).then_some(Self { facts, models: Vec::new() })
    }

    /// Facts for a policy.
    #[doc(hidden)]
    pub fn circumstances(&self) -> Circumstances {
        Circumstances { window: Some(self.facts), ..Circumstances::default() }
    }
}

/// Shows the known numbers.
impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WindowFacts { needed, estimated, asked, fixed, loaded, model_limit, caller_limit, .. } = self.facts;
        let about = if estimated { "about " } else { "" };
        let parts = [
            needed.map(|needed| format!("the question has {about}{needed} tokens")),
            loaded.map(|loaded| format!("the window {loaded}")),
            asked.filter(|asked| fixed || loaded.is_none_or(|loaded| loaded != *asked)).map(|asked| {
                if fixed { format!("num_ctx={asked} was asked for by the caller") } else { format!("a window of {asked} was asked for") }
            }),
            model_limit.map(|limit| format!("the model can have {limit}")),
            caller_limit.map(|limit| format!("the caller allows {limit}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        formatter.write_str(&parts.join(", "))
    }
}

fn saturated(tokens: u64) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}
