//! `#[with_circuit_breaker]`: opening, recovery, errors, fallback.

use super::{Count, Problem, missing, reset};
use std::error::Error;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use upright::testing::DrivenClock;
use upright::types::{ErrorCategory, Phase};
use upright::{CircuitBreaker, ErrorClassifier, with_circuit_breaker};

fn is_open(problem: &Problem) -> bool {
    matches!(problem, Problem::Guarded(upright::Error::CircuitOpen(_)))
}

#[tokio::test]
async fn after_the_threshold_the_body_is_not_run() {
    #[with_circuit_breaker(failure_threshold = 3, recovery_timeout = 3600)]
    async fn search(calls: &Count, _query: String) -> Result<(), Problem> {
        calls.up();
        tokio::task::yield_now().await;
        Err(reset())?
    }
    let calls = Count::new();
    for _ in 0..3 {
        assert!(matches!(search(&calls, "sky".into()).await, Err(Problem::Io(_))));
    }
    assert!(is_open(&search(&calls, "sky".into()).await.unwrap_err()));
    assert_eq!(calls.get(), 3);
}

#[test]
fn a_mistake_of_the_caller_opens_nothing() {
    #[with_circuit_breaker(failure_threshold = 1)]
    fn read(calls: &Count) -> Result<(), Problem> {
        calls.up();
        Err(missing())?
    }
    let calls = Count::new();
    for _ in 0..10 {
        assert!(matches!(read(&calls), Err(Problem::Io(_))));
    }
    assert_eq!(calls.get(), 10);
}

#[test]
fn the_functions_own_error_comes_out_as_it_went_in() {
    #[with_circuit_breaker]
    fn with_an_enum() -> Result<(), Problem> {
        Err(Problem::NoSuchRow(3))
    }
    #[with_circuit_breaker]
    fn with_anyhow() -> anyhow::Result<()> {
        Err(anyhow::Error::from(Problem::NoSuchRow(3)).context("while reading"))
    }
    #[with_circuit_breaker]
    fn with_a_box() -> Result<(), Box<dyn Error + Send + Sync>> {
        Err(Problem::NoSuchRow(3).into())
    }
    #[with_circuit_breaker]
    fn with_a_generic_one<E: Error + From<upright::Error> + Send + Sync + 'static>(error: E) -> Result<(), E> {
        Err(error)
    }
    assert!(matches!(with_an_enum(), Err(Problem::NoSuchRow(3))));
    let error = with_anyhow().unwrap_err();
    assert!(error.to_string() == "while reading" && matches!(error.downcast_ref(), Some(Problem::NoSuchRow(3))));
    assert!(matches!(with_a_box().unwrap_err().downcast_ref(), Some(Problem::NoSuchRow(3))));
    assert!(matches!(with_a_generic_one(Problem::NoSuchRow(3)), Err(Problem::NoSuchRow(3))));
}

#[derive(Debug)]
enum Opaque {
    Own(&'static str),
    Guarded(upright::Error),
}

impl From<upright::Error> for Opaque {
    fn from(error: upright::Error) -> Self {
        Self::Guarded(error)
    }
}

impl From<Opaque> for Box<dyn Error + Send + Sync> {
    fn from(error: Opaque) -> Self {
        match error {
            Opaque::Own(text) => text.into(),
            Opaque::Guarded(error) => error.into(),
        }
    }
}

#[tokio::test]
async fn an_error_that_cannot_be_looked_at_arrives_in_a_failure_and_counts() {
    #[with_circuit_breaker(failure_threshold = 2)]
    fn plain() -> Result<(), Opaque> {
        Err(Opaque::Own("connection refused"))
    }
    #[with_circuit_breaker(failure_threshold = 2)]
    async fn awaited() -> Result<(), Opaque> {
        Err(Opaque::Own("connection refused"))
    }
    for _ in 0..2 {
        for outcome in [plain(), awaited().await] {
            let Err(Opaque::Guarded(error)) = outcome else { panic!("{outcome:?}") };
            let failure = error.failure().unwrap();
            assert_eq!(
                (failure.classification.category, failure.source.to_string()),
                (ErrorCategory::Connection, "connection refused".into())
            );
        }
    }
    for outcome in [plain(), awaited().await] {
        assert!(matches!(outcome, Err(Opaque::Guarded(upright::Error::CircuitOpen(_)))), "{outcome:?}");
    }
}

#[tokio::test]
async fn each_object_may_have_a_breaker_of_its_own_that_recovers_and_keeps_a_history() {
    struct Client {
        breaker: CircuitBreaker,
        works: bool,
    }
    impl Client {
        #[with_circuit_breaker(breaker = self.breaker)]
        async fn ask(&self, calls: &Count) -> Result<(), Problem> {
            calls.up();
            if self.works { Ok(()) } else { Err(reset())? }
        }

        #[with_circuit_breaker(breaker = &self.breaker)]
        fn ask_blocking(&self, calls: &Count) -> Result<(), Problem> {
            calls.up();
            if self.works { Ok(()) } else { Err(reset())? }
        }
    }
    let (clock, history, calls) = (DrivenClock::new(), Arc::new(ErrorClassifier::new(10)), Count::new());
    let breaker = |name| {
        let builder = CircuitBreaker::builder(name).failure_threshold(2).success_threshold(2).clock(clock.shared());
        builder.classifier(Arc::clone(&history)).build().unwrap()
    };
    let mut client = Client { breaker: breaker("one"), works: false };
    let other = Client { breaker: breaker("other"), works: true };
    client.ask(&calls).await.unwrap_err();
    client.ask_blocking(&calls).unwrap_err();
    assert_eq!(history.history().len(), 2);
    assert!(is_open(&client.ask(&calls).await.unwrap_err()) && is_open(&client.ask_blocking(&calls).unwrap_err()));
    other.ask(&calls).await.unwrap();
    assert_eq!((calls.get(), other.breaker.state()), (3, Phase::Closed));
    client.works = true;
    clock.advance(Duration::from_secs(60));
    client.ask(&calls).await.unwrap();
    assert_eq!(client.breaker.state(), Phase::HalfOpen);
    client.ask_blocking(&calls).unwrap();
    assert_eq!(client.breaker.state(), Phase::Closed);
}

#[tokio::test]
async fn the_fallback_serves_when_the_call_fails_and_when_it_is_not_made() {
    #[with_circuit_breaker(failure_threshold = 1, fallback = cached)]
    async fn search(calls: &Count, query: String) -> Result<String, Problem> {
        calls.up();
        if query == "works" { Ok(query) } else { Err(reset())? }
    }
    async fn cached(calls: &Count, query: String) -> Result<String, Problem> {
        if query == "unknown" { Err(Problem::NoSuchRow(1)) } else { Ok(format!("{query} after {}", calls.get())) }
    }
    let calls = Count::new();
    assert_eq!(search(&calls, "works".into()).await.unwrap(), "works");
    assert_eq!(search(&calls, "sky".into()).await.unwrap(), "sky after 2");
    assert_eq!(search(&calls, "sea".into()).await.unwrap(), "sea after 2");
    let error = search(&calls, "unknown".into()).await.unwrap_err();
    let Problem::Guarded(upright::Error::FallbackFailed { fallback, first }) = error else { panic!("{error}") };
    assert!(matches!(fallback.downcast_ref(), Some(Problem::NoSuchRow(1))));
    assert!(matches!(*first, upright::Error::CircuitOpen(_)));
}

#[test]
fn a_plain_functions_fallback_serves_in_the_same_way() {
    static BREAKER: LazyLock<CircuitBreaker> = LazyLock::new(|| CircuitBreaker::builder("shared").failure_threshold(1).build().unwrap());
    #[with_circuit_breaker(breaker = BREAKER, fallback = by_heart)]
    fn search(calls: &Count, query: &str) -> Result<String, Problem> {
        calls.up();
        Err(reset())?;
        Ok(query.to_owned())
    }
    let calls = Count::new();
    assert_eq!(search(&calls, "sky").unwrap(), "sky by heart");
    assert_eq!(search(&calls, "sky").unwrap(), "sky by heart");
    assert_eq!((calls.get(), BREAKER.state()), (1, Phase::Open));
}

#[tokio::test]
async fn nothing_serves_in_place_of_a_call_that_was_cancelled() {
    #[with_circuit_breaker(fallback = by_heart)]
    fn plain(_calls: &Count, _query: &str) -> Result<String, Problem> {
        Err(upright::Error::ShuttingDown)?
    }
    #[with_circuit_breaker(fallback = by_heart_later)]
    async fn awaited(_calls: &Count, _query: &str) -> Result<String, Problem> {
        Err(upright::Error::ShuttingDown)?
    }
    let calls = Count::new();
    for outcome in [plain(&calls, "sky"), awaited(&calls, "sky").await] {
        assert!(matches!(outcome, Err(Problem::Guarded(upright::Error::Failed(_)))), "{outcome:?}");
    }
}

async fn by_heart_later(calls: &Count, query: &str) -> Result<String, Problem> {
    by_heart(calls, query)
}

fn by_heart(_: &Count, query: &str) -> Result<String, Problem> {
    Ok(format!("{query} by heart"))
}
