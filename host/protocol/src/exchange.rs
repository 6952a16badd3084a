//! Gives a policy the facts of a request and its answer.

use crate::asked::Asked;
use crate::judge::{Cut, Judge, Judgement, Verdict};
use upright_logic::recovery::{Circumstances, ClientProtocol, ExchangeFacts, ExchangeVerdict, RequestFacts};

/// A request and its judged answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// The request.
    pub asked: Asked,
    /// The judgement.
    pub judgement: Judgement,
}

impl Exchange {
    /// The exchange as judged so far.
    #[doc(hidden)]
    pub fn of(judge: &Judge) -> Box<Self> {
        Box::new(Self { asked: judge.asked().clone(), judgement: judge.judgement() })
    }

    /// Facts for a policy.
    #[doc(hidden)]
    pub fn circumstances(&self) -> Circumstances {
        let Self { asked, judgement } = self;
        let Judgement { received, usage, .. } = judgement;
        let tokens = |count: Option<u64>| count.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        // Only streamed pieces were passed on.
        let delivered = |count: u64| if asked.streamed { count } else { 0 };
        Circumstances {
            request: Some(RequestFacts {
                protocol: ClientProtocol::Direct,
                streamed: asked.streamed,
                tools: asked.tools,
                format: asked.format,
                thinking: asked.thinking,
                images: asked.images,
                seed_fixed: asked.seed_fixed,
                temperature: asked.temperature,
                allows_empty: asked.allows_empty,
            }),
            exchange: Some(ExchangeFacts {
                verdict: verdict(judgement),
                delivered_text: delivered(received.text),
                delivered_thinking: delivered(received.thinking),
                delivered_tool_calls: u32::try_from(delivered(received.tool_calls)).unwrap_or(u32::MAX),
                thinking: received.thinking,
                prompt_tokens: tokens(usage.prompt),
                answer_tokens: tokens(usage.answer),
            }),
            ..Circumstances::default()
        }
    }
}

fn verdict(judgement: &Judgement) -> ExchangeVerdict {
    match &judgement.verdict {
        Verdict::Whole => ExchangeVerdict::Whole,
        Verdict::Cut(Cut::Repetition) => ExchangeVerdict::Repetition,
        Verdict::Cut(_) => ExchangeVerdict::Cut,
        // Both apply if thinking used up the length.
        Verdict::Empty(_) if judgement.used_up_length => ExchangeVerdict::UsedUpLength,
        Verdict::Empty(_) => ExchangeVerdict::Empty,
        Verdict::UsedUpLength => ExchangeVerdict::UsedUpLength,
        Verdict::QuestionCut(_) => ExchangeVerdict::QuestionCut,
        Verdict::Failed(_) => ExchangeVerdict::Failed,
    }
}
