use super::super::testing::{breakers, host, loaded, model, ollama};
use super::*;
use upright_core::testing::DrivenClock;
use upright_core::types::{ErrorCategory, FaultKind};
use upright_logic::classifier::classify;

fn refused() -> Fault {
    Fault::new(FaultKind::ConnectionRefused, "connection refused")
}

fn said(status: u16, text: &str) -> Fault {
    Fault { status: Some(status), ..Fault::new(FaultKind::HttpStatus, text) }
}

fn fail(host: &Arc<Host>, fault: &Fault, now: Instant) -> Classification {
    let classification = classify(fault);
    host.begin(None, None, now).unwrap().failed(fault.clone(), &classification, now);
    classification
}

#[test]
fn outstanding_requests_are_counted_down_by_dropping() {
    let host = host("a");
    let (one, two) = (host.begin(None, None, 0).unwrap(), host.begin(Some(&model("m")), None, 0).unwrap());
    assert_eq!(host.outstanding(), 2);
    drop(one);
    assert_eq!(host.outstanding(), 1);
    drop(two);
    assert_eq!(host.outstanding(), 0);
}

#[test]
fn a_missing_model_blames_no_host_and_renews_its_list() {
    let host = host("a");
    for _ in 0..50 {
        let classification = fail(&host, &said(404, "model 'm' not found, try pulling it first"), 0);
        assert_eq!(classification.action, SuggestedAction::PullModel);
    }
    assert_eq!((host.phase(None), host.is_struck(0), host.take_wishes()), (Phase::Closed, false, (false, true)));
}

#[test]
fn a_model_without_memory_blames_no_host() {
    let host = host("a");
    for _ in 0..50 {
        let classification = fail(&host, &said(500, "llama runner process has terminated: cudaMalloc failed: out of memory"), 0);
        assert!(classification.counted && classification.category == ErrorCategory::Resource);
    }
    assert_eq!((host.phase(None), host.is_struck(0), host.take_wishes()), (Phase::Closed, false, (false, false)));
}

#[test]
fn a_host_that_refuses_connections_is_struck_and_probed_and_its_breaker_opens() {
    let host = host("a");
    fail(&host, &refused(), 7);
    let end = 7 + nanoseconds(STRUCK);
    assert_eq!((host.is_struck(end - 1), host.is_struck(end), host.take_wishes()), (true, false, (true, false)));
    (0..4).for_each(|_| {
        fail(&host, &refused(), 7);
    });
    assert!(!host.admits(Some(&model("m"))) && host.phase(Some(&model("m"))) == Phase::Open);
    assert!(host.begin(None, None, 7).is_err());
}

#[test]
fn a_success_ends_the_strike_and_the_failures_in_a_row() {
    let host = host("a");
    for _ in 0..20 {
        (0..4).for_each(|_| {
            fail(&host, &refused(), 7);
        });
        host.begin(None, None, 7).unwrap().succeeded();
        assert!(!host.is_struck(8) && host.admits(None));
        // Below the share of failures that opens a breaker, too.
        (0..8).for_each(|_| host.begin(None, None, 7).unwrap().succeeded());
    }
}

#[test]
fn a_request_without_an_outcome_blames_nobody() {
    let host = host("a");
    (0..50).for_each(|_| drop(host.begin(None, None, 0).unwrap()));
    assert_eq!((host.phase(None), host.take_wishes()), (Phase::Closed, (false, false)));
}

#[test]
fn the_breaker_of_a_model_rejects_that_model_alone_and_on_one_host() {
    let breakers = breakers(&DrivenClock::new());
    let (a, b) = (ollama("a", &breakers), ollama("b", &breakers));
    let broken = a.model_breaker(&model("Broken"));
    assert_eq!(&**broken.name(), "a/broken:latest");
    broken.isolate();
    assert!(!a.admits(Some(&model("broken:latest"))) && a.admits(Some(&model("m"))) && a.admits(None));
    assert!(b.admits(Some(&model("broken"))));
}

#[test]
fn a_host_that_came_back_has_closed_breakers_but_for_those_isolated_by_hand() {
    let clock = DrivenClock::new();
    let breakers = breakers(&clock);
    let (a, b) = (ollama("a", &breakers), ollama("b", &breakers));
    for host in [&a, &b] {
        (0..5).for_each(|_| {
            fail(host, &refused(), 0);
            host.model_breaker(&model("m")).try_acquire().unwrap().fault(refused());
        });
        host.model_breaker(&model("isolated")).isolate();
    }
    a.was_probed(0, 1);
    assert!(!a.is_reachable() && !a.admits(None));
    a.was_probed(1, 2);
    assert_eq!((a.rate(), a.probed(), a.is_struck(2)), (1, Some(2), false));
    assert!(a.admits(Some(&model("m"))) && !a.admits(Some(&model("isolated"))));
    assert!(!b.admits(None) && b.phase(Some(&model("m"))) == Phase::Open);
}

#[test]
fn a_model_that_a_request_makes_a_host_load_is_warm_for_all() {
    let host = host("a");
    assert_eq!(host.memory(&model("m"), None), Memory::default());
    let request = host.begin(Some(&model("m")), Some(8192), 5).unwrap();
    assert_eq!(host.memory(&model("M:latest"), Some(8192)), Memory { warm: true, window: Some(8192), ..Memory::default() });
    assert_eq!(host.memory(&model("other"), None), Memory { others: 1, ..Memory::default() });
    assert!(!host.memory(&model("m"), Some(8193)).warm);
    // The list does not show it yet, but a request waits for it.
    host.learn_loaded(vec![], 9);
    assert!(host.memory(&model("m"), None).warm);
    drop(request);
    assert_eq!((host.memory(&model("m"), None).warm, host.changes()), (true, 1));
    // A list that was asked for before the load began says nothing of it.
    host.learn_loaded(vec![], 5);
    assert!(host.memory(&model("m"), None).warm);
    host.learn_loaded(vec![], 6);
    assert_eq!(host.memory(&model("m"), None), Memory::default());
}

#[test]
fn a_model_that_waits_for_the_memory_of_another_makes_its_host_a_worse_place_for_both() {
    let host = host("a");
    let waiting = host.begin(Some(&model("m")), None, 5).unwrap();
    // A list that was asked for before the load began says nothing of it.
    host.learn_loaded(loaded(&[("other:latest", 4096)]), 5);
    assert_eq!((host.memory(&model("m"), None).others, host.memory(&model("other"), None).others), (0, 0));
    host.learn_loaded(loaded(&[("other:latest", 4096)]), 6);
    let (mine, other) = (host.memory(&model("m"), None), host.memory(&model("other"), None));
    assert_eq!((mine.warm, mine.others, other.warm, other.others), (true, 1, true, 1));
    drop(waiting);
    host.learn_loaded(loaded(&[("other:latest", 4096)]), 7);
    assert_eq!((host.memory(&model("m"), None).warm, host.memory(&model("other"), None).others), (false, 0));
}

#[test]
fn a_load_ends_with_the_list_that_shows_it_and_with_a_failure_of_the_load() {
    let host = host("a");
    let _waiting = host.begin(Some(&model("m")), None, 0).unwrap();
    host.learn_loaded(loaded(&[("m:latest", 4096), ("other:latest", 4096)]), 1);
    assert!(host.loading().is_empty());
    assert_eq!(host.memory(&model("m"), Some(4096)), Memory { warm: true, window: Some(4096), ..Memory::default() });
    assert_eq!(host.memory(&model("m"), Some(4097)), Memory { window: Some(4096), others: 1, ..Memory::default() });

    let too_long = said(400, "the input length exceeds the context length");
    let missing = said(404, "model 'new' not found, try pulling it first");
    for (fault, stays) in [(too_long, true), (refused(), false), (missing, false)] {
        let mut request = host.begin(Some(&model("new")), None, 2).unwrap();
        request.failed(fault.clone(), &classify(&fault), 2);
        assert_eq!(host.memory(&model("new"), None).warm, stays, "{}", fault.message);
    }
}

#[test]
fn names_that_clients_make_up_do_not_pile_up_where_a_host_never_lists_its_loaded_models() {
    let host = host("a");
    for number in 0..1000 {
        drop(host.begin(Some(&model(&format!("m{number}"))), None, number));
    }
    assert_eq!(host.loading().len(), LOADS);
    assert!(host.memory(&model("m999"), None).warm && !host.memory(&model("m0"), None).warm);
}
