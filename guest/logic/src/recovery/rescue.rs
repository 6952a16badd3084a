//! The rest of an answer that the client has a part of.

use super::{Directive, ExchangeVerdict, Incident, Reason, Rescue, hosts};
use crate::types::{Classification, Seconds};

/// Repeats the request, continues the text, or restarts the answer, in this order. `again` is the delay before the
/// same call, or the reason why it is not repeated.
///
/// Only a host with the same model can repeat an answer. A model that ended its answer by itself would do so again.
pub(super) fn finish(
    incident: &Incident,
    classification: &Classification,
    rescue: Rescue,
    again: Result<Seconds, Reason>,
) -> (Directive, Reason) {
    let known = incident.circumstances.as_ref();
    let exchange = known.and_then(|known| known.exchange);
    let is_cut = exchange.is_none_or(|exchange| matches!(exchange.verdict, ExchangeVerdict::Cut | ExchangeVerdict::Failed));
    let given_up = (Directive::GiveUp, again.err().unwrap_or(Reason::AnswerCut));
    if !is_cut {
        return given_up;
    }
    let elsewhere = hosts::another(incident, classification, again.err(), |host| host.same_digest == Some(true));
    let here = || again.ok().map(|_| known.and_then(|known| known.hosts.as_ref()).map_or(0, |choice| choice.current));
    match (elsewhere, again) {
        (Some(index), _) if rescue.replay => (Directive::Replay(index), Reason::AnswerCut),
        (None, Ok(delay)) if rescue.replay => (Directive::RetryAfter(delay), Reason::Retryable),
        _ => match elsewhere.or_else(here) {
            Some(index) if rescue.prefill => (Directive::ContinueAnswer(index), Reason::AnswerCut),
            Some(index) if rescue.restart => (Directive::RestartAnswer(index), Reason::AnswerCut),
            _ => given_up,
        },
    }
}
