//! A question that did not fit the window, with all that is known of it.

use crate::answer::ErrorBody;
use std::fmt;
use upright_logic::recovery::{Circumstances, ModelFacts, WindowFacts};

/// The facts of the window and of other models' windows, where a question was refused or a model could not be loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The window.
    pub facts: WindowFacts,
    /// The models that the server has.
    pub models: Vec<(String, ModelFacts)>,
}

impl Refusal {
    /// The counts that the body of a refusal names; `None` where it names none.
    pub fn counted(said: &ErrorBody) -> Option<Self> {
        let facts = WindowFacts { needed: said.prompt_tokens.map(saturated), loaded: said.window.map(saturated), ..WindowFacts::UNKNOWN };
        (facts != WindowFacts::UNKNOWN).then_some(Self { facts, models: Vec::new() })
    }

    /// The facts for a policy.
    pub fn circumstances(&self) -> Circumstances {
        Circumstances { window: Some(self.facts), ..Circumstances::default() }
    }
}

/// The numbers, to stand behind the server's own words; nothing where nothing is known.
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

/// Tokens as a policy counts them.
fn saturated(tokens: u64) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}
