use super::*;

fn incident(failure: Fault) -> Incident {
    Incident { retry: RetryConfig { jitter: false, ..RetryConfig::default() }, random: 0.5, ..Incident::of(failure) }
}

fn busy() -> Incident {
    incident(Fault {
        status: Some(503),
        ..Fault::new(FaultKind::HttpStatus, "server busy, please try again.  maximum pending requests exceeded")
    })
}

fn missing() -> Incident {
    incident(Fault { status: Some(404), ..Fault::new(FaultKind::HttpStatus, "model 'qwen3:30b' not found") })
}

fn models(current: &str) -> Option<ModelChoice> {
    Some(ModelChoice { current: current.into(), chain: crate::degradation::SPEED_CHAIN.map(String::from).into(), known: None })
}

fn decided(incident: Incident) -> (Directive, Reason) {
    let verdict = decide(incident);
    (verdict.directive, verdict.reason)
}

#[test]
fn a_transient_failure_is_retried_with_growing_delays_until_attempts_are_exhausted() {
    let at = |attempt| decided(Incident { attempt, ..busy() });
    assert_eq!(at(0), (Directive::RetryAfter(1.0), Reason::Retryable));
    assert_eq!(at(2), (Directive::RetryAfter(4.0), Reason::Retryable));
    assert_eq!(at(3), (Directive::GiveUp, Reason::AttemptsExhausted));
}

#[test]
fn a_server_that_asks_to_be_left_alone_is_obeyed_within_the_callers_limit() {
    let asked = |seconds| {
        let mut incident = busy();
        incident.failure.retry_after = Some(seconds);
        decided(incident)
    };
    // Half of the extra, as `random` is 0.5.
    assert_eq!(asked(8.0), (Directive::RetryAfter(9.0), Reason::Retryable));
    assert_eq!(asked(0.1), (Directive::RetryAfter(0.125), Reason::Retryable));
    assert_eq!(asked(0.0), (Directive::RetryAfter(1.0), Reason::Retryable));
    assert_eq!(asked(60.0), (Directive::RetryAfter(67.5), Reason::Retryable));
    assert_eq!(asked(86_400.0), (Directive::GiveUp, Reason::RetryAfterTooLong));
    assert_eq!(asked(f64::NAN), (Directive::RetryAfter(1.0), Reason::Retryable));
}

#[test]
fn a_used_up_budget_ends_retries_and_is_told_from_used_up_attempts() {
    let with = |budget, attempt| decided(Incident { retry_budget: budget, attempt, ..busy() }).1;
    assert_eq!(with(Some(1), 0), Reason::Retryable);
    assert_eq!(with(Some(0), 0), Reason::BudgetExhausted);
    assert_eq!(with(Some(0), 3), Reason::AttemptsExhausted);
}

#[test]
fn no_retry_begins_after_the_deadline() {
    let within = |elapsed| decided(Incident { elapsed, deadline: Some(2.0), ..busy() });
    assert_eq!(within(0.9), (Directive::RetryAfter(1.0), Reason::Retryable));
    assert_eq!(within(1.0), (Directive::GiveUp, Reason::DeadlineExceeded));
}

#[test]
fn a_missing_model_switches_at_once_and_speaks_against_no_breaker() {
    let guard = Guard { config: BreakerConfig::default(), state: breaker::initial(0).state, generation: 0, successes: 0, took: 0.0 };
    let verdict = decide(Incident { models: models("qwen3:30b-a3b"), guard: Some(guard), ..missing() });
    assert_eq!((verdict.directive, verdict.reason), (Directive::SwitchModel(1), Reason::ModelUnsuitable));
    assert_eq!(verdict.breaker, Some(breaker::initial(0)));
}

#[test]
fn after_the_last_model_come_the_cached_answer_then_the_fallback_then_giving_up() {
    let cached = Some(CachedAnswer { age: 10.0, max_age: 60.0 });
    let with = |at_hand| decided(Incident { models: models("gemma3:4b"), attempt: 3, at_hand, ..busy() }).0;
    assert_eq!(with(AtHand { cached, fallback: true, ..AtHand::default() }), Directive::ServeCached);
    assert_eq!(with(AtHand { fallback: true, ..AtHand::default() }), Directive::UseFallback);
    assert_eq!(with(AtHand { cached: Some(CachedAnswer { age: 61.0, max_age: 60.0 }), ..AtHand::default() }), Directive::GiveUp);
    assert_eq!(with(AtHand::default()), Directive::GiveUp);
}

#[test]
fn a_timeout_simplifies_the_workflow_when_no_model_is_left() {
    let slow = Incident {
        attempt: 3,
        at_hand: AtHand { can_simplify: true, ..AtHand::default() },
        ..incident(Fault::new(FaultKind::Timeout, ""))
    };
    assert_eq!(decided(slow.clone()), (Directive::Simplify, Reason::AttemptsExhausted));
    assert_eq!(decided(Incident { models: models("qwen3:8b"), ..slow }).0, Directive::SwitchModel(2));
}

#[test]
fn a_callers_mistake_is_neither_retried_nor_sent_to_another_model() {
    let mistake = incident(Fault::new(FaultKind::InvalidInput, "temperature must be a number"));
    assert_eq!(decided(Incident { models: models("qwen3:8b"), ..mistake }), (Directive::GiveUp, Reason::NotRetryable));
}

#[test]
fn a_non_idempotent_call_is_retried_only_if_it_never_reached_the_server() {
    let unsafe_to_repeat = Incident { idempotent: false, models: models("qwen3:8b"), ..busy() };
    assert_eq!(decided(unsafe_to_repeat), (Directive::GiveUp, Reason::NotIdempotent));
    assert_eq!(decided(Incident { idempotent: false, models: models("qwen3:8b"), ..missing() }).0, Directive::SwitchModel(2));
    let refused = Incident { idempotent: false, ..incident(Fault::new(FaultKind::ConnectionRefused, "")) };
    assert_eq!(decided(refused), (Directive::RetryAfter(1.0), Reason::Retryable));
}

#[test]
fn a_breaker_that_opens_in_a_retry_loop_ends_it_and_the_cause_stays_in_sight() {
    let mut state = breaker::initial(0).state;
    state.consecutive_failures = 4;
    let guard = Guard { config: BreakerConfig::default(), state, generation: 0, successes: 0, took: 0.0 };
    let verdict = decide(Incident { guard: Some(guard), ..busy() });
    assert_eq!((verdict.directive, verdict.reason), (Directive::GiveUp, Reason::CircuitOpen));
    assert_eq!(verdict.classification.rule, "queue-full");
    assert_eq!(verdict.breaker.map(|transition| transition.state.phase), Some(Phase::Open));
}

#[test]
fn one_retry_is_made_after_a_servers_out_of_memory_unless_memory_is_short() {
    let failure = Fault { status: Some(500), ..Fault::new(FaultKind::HttpStatus, "cudaMalloc failed: out of memory") };
    assert_eq!(decided(incident(failure.clone())), (Directive::RetryAfter(1.0), Reason::Retryable));
    assert_eq!(decided(Incident { attempt: 1, ..incident(failure.clone()) }).1, Reason::AttemptsExhausted);
    let short = ResourceSnapshot {
        memory_total_bytes: 100,
        memory_available_bytes: 5,
        disk_total_bytes: 0,
        disk_available_bytes: 0,
        cpu_percent: None,
    };
    let verdict = decided(Incident { resources: Some(short), models: models("qwen3:8b"), ..incident(failure) });
    assert_eq!(verdict, (Directive::SwitchModel(2), Reason::ModelUnsuitable));
}

#[test]
fn a_caller_that_went_away_gets_nothing_more_done() {
    let gone = Incident {
        at_hand: AtHand { fallback: true, ..AtHand::default() },
        models: models("qwen3:8b"),
        ..incident(Fault::new(FaultKind::Cancelled, ""))
    };
    assert_eq!(decided(gone), (Directive::GiveUp, Reason::Cancelled));
}

#[test]
fn no_other_model_is_tried_when_the_host_cannot_be_reached() {
    let refused = Incident { attempt: 3, models: models("qwen3:8b"), ..incident(Fault::new(FaultKind::ConnectionRefused, "")) };
    assert_eq!(decided(refused), (Directive::GiveUp, Reason::AttemptsExhausted));
}

#[test]
fn a_rejection_by_a_breaker_is_not_waited_for_but_worked_around() {
    let rejected = Fault { retry_after: Some(5.0), ..Fault::new(FaultKind::CircuitOpen, "") };
    assert_eq!(decided(incident(rejected.clone())), (Directive::GiveUp, Reason::CircuitOpen));
    let with_models = Incident { models: models("qwen3:8b"), idempotent: false, ..incident(rejected) };
    assert_eq!(decided(with_models), (Directive::SwitchModel(2), Reason::CircuitOpen));
}

#[test]
fn an_empty_answer_is_asked_for_again_only_where_it_can_be_another() {
    let request = RequestFacts {
        protocol: ClientProtocol::Direct,
        streamed: true,
        tools: false,
        format: false,
        thinking: false,
        images: false,
        seed_fixed: false,
        temperature: None,
        allows_empty: false,
    };
    let exchange = |verdict| ExchangeFacts {
        verdict,
        delivered_text: 0,
        delivered_thinking: 0,
        delivered_tool_calls: 0,
        thinking: 9,
        prompt_tokens: None,
        answer_tokens: None,
    };
    let empty = |request, verdict| {
        let circumstances = Circumstances { request: Some(request), exchange: Some(exchange(verdict)), ..Circumstances::default() };
        let failure = Fault::new(FaultKind::EmptyAnswer, "");
        decided(Incident { circumstances: Some(circumstances), models: models("qwen3:8b"), ..incident(failure) })
    };
    let again = (Directive::AskAgain, Reason::Retryable);
    let next = (Directive::SwitchModel(2), Reason::AnswerUnusable);
    assert_eq!(empty(request, ExchangeVerdict::Empty), again);
    assert_eq!(empty(RequestFacts { temperature: Some(0.7), ..request }, ExchangeVerdict::Repetition), again);
    assert_eq!(empty(RequestFacts { seed_fixed: true, ..request }, ExchangeVerdict::Empty), next);
    assert_eq!(empty(RequestFacts { temperature: Some(0.0), ..request }, ExchangeVerdict::Empty), next);
    assert_eq!(empty(request, ExchangeVerdict::UsedUpLength), next);
    assert_eq!(decided(incident(Fault::new(FaultKind::EmptyAnswer, ""))), again);
}

#[test]
fn equal_incidents_get_equal_verdicts() {
    for incident in [busy(), missing()] {
        assert_eq!(decide(incident.clone()), decide(incident));
    }
}

const WINDOW: WindowFacts = WindowFacts { needed: Some(6010), loaded: Some(4096), model_limit: Some(8192), ..WindowFacts::UNKNOWN };

fn too_long(window: WindowFacts) -> Incident {
    let failure = Fault { status: Some(400), ..Fault::new(FaultKind::HttpStatus, "the input length exceeds the context length") };
    let circumstances = Some(Circumstances { window: Some(window), ..Circumstances::default() });
    Incident { circumstances, ..incident(failure) }
}

fn enlarged(window: WindowFacts) -> Option<u32> {
    match decided(too_long(window)) {
        (Directive::EnlargeWindow(tokens), Reason::WindowTooSmall) => Some(tokens),
        (Directive::GiveUp, Reason::WindowTooSmall) => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_window_is_doubled_until_question_and_answer_have_room() {
    let of = |needed, answer_length| enlarged(WindowFacts { needed: Some(needed), answer_length, model_limit: Some(131_072), ..WINDOW });
    assert_eq!(of(4096, None), Some(8192));
    assert_eq!(of(7168, None), Some(8192));
    assert_eq!(of(7169, None), Some(16_384));
    assert_eq!(of(6010, Some(3000)), Some(16_384));
    assert_eq!(of(6010, Some(2182)), Some(8192));
    assert_eq!(of(131_072, None), None);
    // Answers may be shorter.
    assert_eq!(enlarged(WindowFacts { answer_length: Some(4096), ..WINDOW }), Some(8192));
    assert_eq!(enlarged(WindowFacts { needed: Some(8190), answer_length: Some(2), ..WINDOW }), Some(8192));
    assert_eq!(of(u32::MAX, Some(u32::MAX)), None);
}

#[test]
fn no_window_is_larger_than_the_model_or_the_caller_allows() {
    assert_eq!(enlarged(WindowFacts { needed: Some(7900), ..WINDOW }), Some(8192));
    assert_eq!(enlarged(WindowFacts { needed: Some(7937), ..WINDOW }), None, "no room for an answer");
    assert_eq!(enlarged(WindowFacts { caller_limit: Some(6266), ..WINDOW }), Some(6266));
    assert_eq!(enlarged(WindowFacts { caller_limit: Some(6265), ..WINDOW }), None);
    assert_eq!(enlarged(WindowFacts { model_limit: None, ..WINDOW }), Some(8192));
    assert_eq!(enlarged(WindowFacts { model_limit: None, needed: Some(2_000_000), ..WINDOW }), None);
    assert_eq!(enlarged(WindowFacts { loaded: Some(8192), ..WINDOW }), None);
    assert_eq!(
        enlarged(WindowFacts { asked: Some(8192), model_limit: None, ..WINDOW }),
        None,
        "the server gave less than it was asked for"
    );
}

#[test]
fn a_window_that_the_caller_chose_is_not_changed() {
    assert_eq!(enlarged(WindowFacts { fixed: true, asked: Some(4096), ..WINDOW }), None);
    let chain = Incident { models: models("qwen3:30b-a3b"), ..too_long(WindowFacts { fixed: true, asked: Some(4096), ..WINDOW }) };
    assert_eq!(decided(chain).0, Directive::GiveUp, "another model would be asked with the same window");
    let clamped = WindowFacts { fixed: true, asked: Some(100_000), ..WINDOW };
    assert_eq!(decided(Incident { models: models("qwen3:30b-a3b"), ..too_long(clamped) }).0, Directive::SwitchModel(1));
}

#[test]
fn memory_of_this_machine_limits_a_window_and_other_memory_does_not() {
    let with =
        |memory, available| enlarged(WindowFacts { memory, memory_available: Some(available), bytes_per_token: Some(23_040.0), ..WINDOW });
    let each = 31_680; // 1.375 times the cache
    assert_eq!(with(MemoryOwner::ThisMachine, 4096 * each), Some(8192));
    // Rounded down to steps of 256.
    assert_eq!(with(MemoryOwner::ThisMachine, 4095 * each), Some(7936));
    assert_eq!(with(MemoryOwner::ThisMachine, 2304 * each), Some(6400));
    assert_eq!(with(MemoryOwner::ThisMachine, 2303 * each), None);
    for memory in [MemoryOwner::OtherMachine, MemoryOwner::Unknown] {
        assert_eq!(with(memory, 0), Some(8192));
    }
}

#[test]
fn an_estimate_says_only_that_the_last_window_was_too_small() {
    let of = |needed, limit| enlarged(WindowFacts { needed: Some(needed), estimated: true, model_limit: limit, ..WINDOW });
    assert_eq!(of(4097, Some(32_768)), Some(8192));
    assert_eq!(of(20_000, Some(32_768)), Some(32_768));
    assert_eq!(of(200_000, Some(32_768)), Some(32_768));
    assert_eq!(of(200_000, Some(4096)), None);
    assert_eq!(of(4097, None), None, "nothing would end the search");
}

#[test]
fn a_window_is_not_enlarged_where_the_deadline_leaves_no_time_for_it() {
    let slow = WindowFacts { reading_speed: Some(100.0), load_time: Some(1.0), ..WINDOW };
    let within = |deadline, known: Option<u32>| {
        let facts = |loaded_window| ModelFacts { window: Some(32_768), loaded_window, ..ModelFacts::default() };
        let chain = ["a", "b", "c"].map(String::from).into();
        let models = Some(ModelChoice { current: "a".into(), chain, known: Some([facts(Some(4096)), facts(None), facts(known)].into()) });
        decided(Incident { deadline: Some(deadline), models, ..too_long(slow) }).0
    };
    assert_eq!(within(61.2, None), Directive::EnlargeWindow(8192));
    assert_eq!(within(61.1, None), Directive::SwitchModel(1));
    assert_eq!(within(61.1, Some(8192)), Directive::SwitchModel(2), "one that is loaded with such a window needs no loading");
}

#[test]
fn a_question_that_cannot_be_given_room_goes_to_the_next_model_that_has_it() {
    let full = WindowFacts { loaded: Some(8192), needed: Some(9010), ..WINDOW };
    let with = |windows: [Option<u32>; 3]| {
        let known = windows.map(|window| ModelFacts { window, ..ModelFacts::default() });
        let models = models("qwen3:30b-a3b").map(|models| ModelChoice { known: Some(known.into()), ..models });
        let at_hand = AtHand { can_simplify: true, ..AtHand::default() };
        decided(Incident { models, at_hand, ..too_long(full) }).0
    };
    assert_eq!(with([Some(8192), Some(4096), Some(131_072)]), Directive::SwitchModel(2));
    assert_eq!(with([Some(8192), None, Some(131_072)]), Directive::SwitchModel(1));
    assert_eq!(with([Some(8192), Some(9265), Some(8192)]), Directive::Simplify);
    assert_eq!(with([Some(8192), Some(9266), Some(8192)]), Directive::SwitchModel(1));
}

#[test]
fn a_kept_window_that_cannot_be_loaded_is_let_go_of_and_the_same_call_made_again() {
    let failure = Fault {
        status: Some(500),
        ..Fault::new(FaultKind::HttpStatus, "model requires more system memory (12.3 GiB) than is available (7.8 GiB)")
    };
    let with = |window| {
        let circumstances = Some(Circumstances { window: Some(window), ..Circumstances::default() });
        decided(Incident { circumstances, models: models("qwen3:30b-a3b"), ..incident(failure.clone()) }).0
    };
    let kept = WindowFacts { needed: None, asked: Some(8192), loaded: None, ..WINDOW };
    assert_eq!(with(kept), Directive::RetryAfter(1.0));
    assert_eq!(with(WindowFacts { fixed: true, ..kept }), Directive::SwitchModel(1));
    // The prompt needs it.
    assert_eq!(with(WindowFacts { asked: Some(8192), ..WINDOW }), Directive::SwitchModel(1));
}

#[test]
fn an_open_breaker_and_a_call_that_may_not_be_repeated_are_left_as_they_are() {
    let state = BreakerState { phase: Phase::Open, ..breaker::initial(0).state };
    let guard = Guard { config: BreakerConfig::default(), state, generation: 0, successes: 0, took: 0.0 };
    assert_eq!(decided(Incident { guard: Some(guard), ..too_long(WINDOW) }).0, Directive::GiveUp);
    // A refused call may be repeated.
    assert_eq!(decided(Incident { idempotent: false, ..too_long(WINDOW) }).0, Directive::EnlargeWindow(8192));
}

fn host(failed: u32) -> HostFacts {
    HostFacts { has_model: None, same_digest: None, loaded_window: None, breaker: Phase::Closed, outstanding: 0, failed }
}

/// A failure on the first of these hosts.
fn on_hosts(failure: Fault, hosts: &[HostFacts]) -> Incident {
    let hosts = Some(HostChoice { current: 0, hosts: hosts.to_vec() });
    Incident { circumstances: Some(Circumstances { hosts, ..Circumstances::default() }), ..Incident::of(failure) }
}

#[test]
fn a_host_that_fails_hands_the_request_to_the_next_at_once() {
    let refused = || Fault::new(FaultKind::ConnectionRefused, "connection refused");
    let verdict = decide(on_hosts(refused(), &[host(1), host(0)]));
    assert_eq!((verdict.directive, verdict.reason), (Directive::SwitchHost(1), Reason::HostUnsuitable));
    let open = HostFacts { breaker: Phase::Open, ..host(0) };
    let without = HostFacts { has_model: Some(false), ..host(0) };
    for hosts in [&[host(1)][..], &[host(1), host(1)], &[host(1), open], &[host(1), without]] {
        assert!(matches!(decide(on_hosts(refused(), hosts)).directive, Directive::RetryAfter(_)), "{hosts:?}");
    }
    assert_eq!(decide(on_hosts(refused(), &[host(1), open, host(0)])).directive, Directive::SwitchHost(2));
    let spent = Incident { retry_budget: Some(0), ..on_hosts(refused(), &[host(1), host(0)]) };
    assert_eq!(decide(spent).directive, Directive::GiveUp);
}

#[test]
fn a_model_that_one_host_lacks_is_looked_for_on_another_and_a_callers_mistake_is_not() {
    let status = |status, message: &str| Fault { status: Some(status), ..Fault::new(FaultKind::HttpStatus, message) };
    let missing = on_hosts(status(404, "model 'qwen3:8b' not found"), &[host(1), host(0)]);
    assert_eq!(decide(missing).directive, Directive::SwitchHost(1));
    let mistake = on_hosts(status(400, "invalid temperature"), &[host(1), host(0)]);
    assert_eq!(decide(mistake).directive, Directive::GiveUp);
}

fn cut(rescue: Rescue, hosts: &[HostFacts]) -> Incident {
    let hosts = Some(HostChoice { current: 0, hosts: hosts.to_vec() });
    let circumstances = Circumstances { hosts, rescue: Some(rescue), ..Circumstances::default() };
    Incident { circumstances: Some(circumstances), ..incident(Fault::new(FaultKind::IncompleteAnswer, "")) }
}

#[test]
fn a_cut_answer_is_repeated_only_by_a_host_with_the_same_model() {
    let host = |same, failed| HostFacts {
        has_model: Some(true),
        same_digest: same,
        loaded_window: None,
        breaker: Phase::Closed,
        outstanding: 0,
        failed,
    };
    let (tried, same, other, unknown) = (host(Some(true), 1), host(Some(true), 0), host(Some(false), 0), host(None, 0));
    let all = Rescue { replay: true, prefill: true, restart: true };
    assert_eq!(decided(cut(all, &[tried, unknown, other, same])), (Directive::Replay(3), Reason::AnswerCut));
    assert_eq!(decided(cut(all, &[tried, unknown, other])), (Directive::RetryAfter(1.0), Reason::Retryable));
    let differs = Rescue { replay: false, ..all };
    assert_eq!(decided(cut(differs, &[tried, other, same])), (Directive::ContinueAnswer(2), Reason::AnswerCut));
    assert_eq!(decided(cut(differs, &[tried, other])), (Directive::ContinueAnswer(0), Reason::AnswerCut));
    let restarts = Rescue { prefill: false, ..differs };
    assert_eq!(decided(cut(restarts, &[tried, same])), (Directive::RestartAnswer(1), Reason::AnswerCut));
    let nothing = cut(Rescue::default(), &[tried, same]);
    assert_eq!(decided(nothing), (Directive::GiveUp, Reason::AnswerCut));
}

#[test]
fn nothing_but_the_rest_serves_a_client_that_has_a_part_of_an_answer() {
    let at_hand = AtHand { fallback: true, can_simplify: true, cached: Some(CachedAnswer { age: 1.0, max_age: 9.0 }), ..AtHand::default() };
    for rescue in [Rescue::default(), Rescue { replay: true, ..Rescue::default() }] {
        let incident = Incident { attempt: 3, models: models("qwen3:8b"), at_hand, ..cut(rescue, &[]) };
        assert_eq!(decided(incident), (Directive::GiveUp, Reason::AttemptsExhausted));
    }
}
