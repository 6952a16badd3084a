//! Incidents with other hosts to choose from.

use super::recovery::{TOO_SMALL, busy, closed, everything, guard, models, plain, refusal};
use upright_logic::breaker::{BreakerState, Phase};
use upright_logic::recovery::{
    Circumstances, ClientProtocol, ExchangeFacts, ExchangeVerdict, HostChoice, HostFacts, Incident, RequestFacts, Rescue, WindowFacts,
};
use upright_logic::types::{Fault, FaultKind};

/// A host that nothing speaks against.
const GOOD: HostFacts =
    HostFacts { has_model: Some(true), same_digest: None, loaded_window: None, breaker: Phase::Closed, outstanding: 0, failed: 0 };
/// The host that failed.
const TRIED: HostFacts = HostFacts { failed: 1, ..GOOD };

fn circumstances(current: u32, hosts: &[HostFacts]) -> Circumstances {
    Circumstances { hosts: Some(HostChoice { current, hosts: hosts.to_vec() }), ..Circumstances::default() }
}

fn status(status: u16, message: &str) -> Fault {
    Fault { status: Some(status), ..Fault::new(FaultKind::HttpStatus, message) }
}

pub(super) fn incidents() -> Vec<(String, Incident)> {
    [choices(), failures(), orders(), rescues()]
        .into_iter()
        .flatten()
        .map(|(name, incident)| (format!("hosts: {name}"), incident))
        .collect()
}

type Named = (&'static str, Incident);

/// The choice of a host, after a refused connection.
fn choices() -> Vec<Named> {
    let open = HostFacts { breaker: Phase::Open, ..GOOD };
    let without = HostFacts { has_model: Some(false), ..GOOD };
    let loaded = HostFacts { loaded_window: Some(8192), ..GOOD };
    let busier = HostFacts { outstanding: 9, ..GOOD };
    let digest = |same| HostFacts { same_digest: Some(same), ..GOOD };
    let choices: [(&str, u32, &[HostFacts]); 17] = [
        ("another has the model and admits", 0, &[TRIED, GOOD]),
        ("another may have the model", 0, &[TRIED, HostFacts { has_model: None, ..GOOD }]),
        ("the others lack the model", 0, &[TRIED, without, without]),
        ("the next lacks the model", 0, &[TRIED, without, GOOD]),
        ("the next has it loaded", 0, &[TRIED, loaded, GOOD]),
        ("the last has it loaded, and the order decides", 0, &[TRIED, GOOD, loaded]),
        ("the next has the same digest", 0, &[TRIED, digest(true), digest(false)]),
        ("the last has the same digest, and the order decides", 0, &[TRIED, digest(false), digest(true)]),
        ("the next has a breaker that is open", 0, &[TRIED, open, GOOD]),
        ("the next has a breaker that is half open", 0, &[TRIED, HostFacts { breaker: Phase::HalfOpen, ..GOOD }, GOOD]),
        ("the next has failed before", 0, &[TRIED, TRIED, GOOD]),
        ("the next has fewer outstanding", 0, &[TRIED, GOOD, busier]),
        ("the last has fewer outstanding, and the order decides", 0, &[TRIED, busier, GOOD]),
        ("the best is not the current one", 1, &[GOOD, TRIED]),
        ("the current one has not failed before", 0, &[GOOD, GOOD]),
        ("none is left", 0, &[TRIED, TRIED, open, without]),
        ("there are none", 0, &[]),
    ];
    let incident = |current, hosts: &[HostFacts]| {
        let failure = Fault::new(FaultKind::ConnectionRefused, "");
        Incident { circumstances: Some(circumstances(current, hosts)), ..plain(failure) }
    };
    choices.map(|(name, current, hosts)| (name, incident(current, hosts))).into()
}

/// Failures that another host may have or not.
fn failures() -> Vec<Named> {
    let with = |incident| Incident { circumstances: Some(circumstances(0, &[TRIED, GOOD])), ..incident };
    let reset = || plain(Fault::new(FaultKind::ConnectionReset, ""));
    let open = guard(BreakerState { phase: Phase::Open, ..closed(0) });
    [
        ("a mistake of the caller's", plain(status(400, "invalid temperature"))),
        ("a caller that went away", plain(Fault::new(FaultKind::Cancelled, ""))),
        ("a missing model", plain(status(404, "model 'qwen3:8b' not found"))),
        ("a question too long for every host", plain(refusal())),
        ("a broken installation", plain(Fault::new(FaultKind::Tls, ""))),
        ("a breaker that opens here", Incident { guard: Some(open), ..reset() }),
        ("a breaker's rejection", plain(Fault::new(FaultKind::CircuitOpen, ""))),
        ("the last attempt here", Incident { attempt: 3, ..reset() }),
        ("the last attempt here, and no budget", Incident { attempt: 3, retry_budget: Some(0), ..reset() }),
        ("a pause that is too long", plain(Fault { retry_after: Some(61.0), ..busy() })),
        ("a call that must not be repeated", Incident { idempotent: false, ..reset() }),
        (
            "no memory, and a call that must not be repeated",
            Incident { idempotent: false, ..plain(Fault::new(FaultKind::OutOfMemory, "")) },
        ),
        ("a call that never arrived", Incident { idempotent: false, ..plain(Fault::new(FaultKind::ConnectionRefused, "")) }),
        ("no time for a delay", Incident { elapsed: 1.5, deadline: Some(2.0), ..reset() }),
        ("no time at all", Incident { attempt: 3, elapsed: 2.0, deadline: Some(2.0), ..reset() }),
    ]
    .map(|(name, incident)| (name, with(incident)))
    .into()
}

/// Steps before another host, and after it.
fn orders() -> Vec<Named> {
    let rescue = Some(Rescue { replay: false, prefill: true, restart: false });
    let request = RequestFacts {
        protocol: ClientProtocol::OllamaChat,
        streamed: true,
        tools: false,
        format: false,
        thinking: false,
        images: false,
        seed_fixed: true,
        temperature: None,
        allows_empty: false,
    };
    let exchange = ExchangeFacts {
        verdict: ExchangeVerdict::Empty,
        delivered_text: 0,
        delivered_thinking: 0,
        delivered_tool_calls: 0,
        thinking: 0,
        prompt_tokens: None,
        answer_tokens: None,
    };
    let window = |window| Circumstances { window: Some(window), ..circumstances(0, &[TRIED, GOOD]) };
    let last = || Incident { attempt: 3, models: models("qwen3:8b"), at_hand: everything(), ..plain(busy()) };
    let empty = || plain(Fault::new(FaultKind::EmptyAnswer, ""));
    let too_long = || Incident { models: models("qwen3:8b"), ..plain(refusal()) };
    let at = |circumstances, incident| Incident { circumstances: Some(circumstances), ..incident };
    vec![
        ("before another model and a cached answer", at(circumstances(0, &[TRIED, GOOD]), last())),
        ("another model, as no host is left", at(circumstances(0, &[TRIED, TRIED]), last())),
        ("a cached answer, as no host or model is left", at(circumstances(0, &[TRIED, TRIED]), Incident { models: None, ..last() })),
        ("after a larger window", at(window(TOO_SMALL), too_long())),
        ("not in place of a window that cannot grow", at(window(WindowFacts { fixed: true, ..TOO_SMALL }), too_long())),
        ("an answer of no use is asked for again here", at(circumstances(0, &[TRIED, GOOD]), empty())),
        (
            "an answer of no use that would be the same",
            at(Circumstances { request: Some(request), exchange: Some(exchange), ..circumstances(0, &[TRIED, GOOD]) }, empty()),
        ),
        ("not for an answer that has begun", at(Circumstances { rescue, ..circumstances(0, &[TRIED, GOOD]) }, last())),
    ]
}

/// The rest of an answer that the client has a part of.
fn rescues() -> Vec<Named> {
    let same = HostFacts { same_digest: Some(true), ..GOOD };
    let other = HostFacts { same_digest: Some(false), ..GOOD };
    let all = Rescue { replay: true, prefill: true, restart: true };
    let with = |rescue, hosts: &[HostFacts], incident| Incident {
        circumstances: Some(Circumstances { rescue: Some(rescue), ..circumstances(0, hosts) }),
        ..incident
    };
    let cut = || plain(Fault::new(FaultKind::IncompleteAnswer, ""));
    let alone =
        |incident: Incident| Incident { circumstances: Some(Circumstances { rescue: Some(all), ..Circumstances::default() }), ..incident };
    let judged = |verdict| {
        let exchange = ExchangeFacts {
            verdict,
            delivered_text: 9,
            delivered_thinking: 0,
            delivered_tool_calls: 0,
            thinking: 0,
            prompt_tokens: None,
            answer_tokens: None,
        };
        let incident = with(all, &[TRIED, same], cut());
        let circumstances = incident.circumstances.map(|known| Circumstances { exchange: Some(exchange), ..known });
        Incident { circumstances, ..incident }
    };
    let last = |incident| Incident { attempt: 3, models: models("qwen3:8b"), at_hand: everything(), ..incident };
    vec![
        ("a cut answer is repeated by a host with the same model", with(all, &[TRIED, other, same], cut())),
        ("a cut answer is repeated here, as the other host has another model", with(all, &[TRIED, other], cut())),
        ("a cut answer is repeated by the only host", alone(cut())),
        ("a cut answer is repeated elsewhere after the last attempt here", with(all, &[TRIED, same], last(cut()))),
        ("a cut answer is an error after the last attempt", with(all, &[TRIED, TRIED], last(cut()))),
        ("a differing answer goes on elsewhere", with(Rescue { replay: false, ..all }, &[TRIED, same], cut())),
        ("a differing answer goes on here", with(Rescue { replay: false, ..all }, &[TRIED, TRIED], cut())),
        ("a differing answer begins again", with(Rescue { replay: false, prefill: false, restart: true }, &[TRIED, same], cut())),
        ("a differing answer is an error", with(Rescue::default(), &[TRIED, same], last(cut()))),
        ("an answer that the model ended is not repeated", judged(ExchangeVerdict::Repetition)),
        ("an answer whose error came in the stream is repeated", judged(ExchangeVerdict::Failed)),
        ("a cut answer of a call that must not be repeated", Incident { idempotent: false, ..with(all, &[TRIED, same], cut()) }),
        ("a cut answer is not repeated without time", Incident { elapsed: 2.0, deadline: Some(2.0), ..with(all, &[TRIED, same], cut()) }),
        (
            "a repeat that is refused goes to the next host",
            with(all, &[TRIED, TRIED, same], plain(Fault::new(FaultKind::ConnectionRefused, ""))),
        ),
    ]
}
