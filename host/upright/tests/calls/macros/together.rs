//! Both attributes on one function: the upper one is the outer.

use super::{Count, Problem, reset, strategy};
use std::io;
use upright::testing::DrivenClock;
use upright::types::{Phase, Reason};
use upright::{CircuitBreaker, RetryStrategy, with_circuit_breaker, with_retry};

fn is_open(problem: &Problem) -> bool {
    matches!(problem, Problem::Guarded(upright::Error::CircuitOpen(_)))
}

#[tokio::test]
async fn under_a_retry_each_attempt_counts_and_the_opening_breaker_ends_them() {
    #[with_retry(max_retries = 9, base_delay = 0)]
    #[with_circuit_breaker(failure_threshold = 3)]
    async fn call_tool(tries: &Count, _name: String) -> Result<(), Problem> {
        tries.up();
        Err(reset())?
    }
    let tries = Count::new();
    let Problem::Guarded(error) = call_tool(&tries, "search".into()).await.unwrap_err() else { panic!("not the guard's") };
    let failure = error.failure().unwrap();
    assert_eq!((tries.get(), failure.attempts, failure.reason), (3, 3, Reason::CircuitOpen));
    assert!(matches!(error.downcast_ref(), Some(Problem::Io(_))));
    assert!(is_open(&call_tool(&tries, "search".into()).await.unwrap_err()));
    assert_eq!(tries.get(), 3);
}

#[test]
fn over_a_retry_the_breaker_counts_whole_calls() {
    #[upright::with_circuit_breaker(failure_threshold = 2)]
    #[upright::with_retry(max_retries = 5, base_delay = 0)]
    fn call_tool(tries: &Count) -> Result<(), Problem> {
        tries.up();
        Err(reset())?
    }
    let tries = Count::new();
    // Six attempts would open the retry's own breaker, if it had one.
    assert_eq!((call_tool(&tries).unwrap_err().attempts(), tries.get()), (Some(6), 6));
    assert_eq!((call_tool(&tries).unwrap_err().attempts(), tries.get()), (Some(6), 12));
    assert!(is_open(&call_tool(&tries).unwrap_err()));
    assert_eq!(tries.get(), 12);
}

struct Client {
    retry: RetryStrategy,
    breaker: CircuitBreaker,
    tries: Count,
}

impl Client {
    fn new() -> Self {
        let breaker = CircuitBreaker::builder("tools").failure_threshold(6).build().unwrap();
        Self { retry: strategy(&DrivenClock::skipping()), breaker, tries: Count::new() }
    }

    #[with_retry(strategy = self.retry)]
    #[with_circuit_breaker(breaker = self.breaker)]
    async fn each_attempt(&self) -> Result<u32, Problem> {
        self.tries.up();
        Err(reset())?
    }

    #[with_retry(max_retries = 3, base_delay = 0)]
    #[with_circuit_breaker(breaker = self.breaker)]
    fn each_attempt_blocking(&self) -> Result<u32, Problem> {
        self.tries.up();
        Err(reset())?
    }

    #[with_circuit_breaker(breaker = self.breaker)]
    #[with_retry(strategy = self.retry)]
    async fn whole_calls(&self) -> Result<u32, Problem> {
        self.tries.up();
        Err(reset())?
    }

    #[with_circuit_breaker(breaker = self.breaker, fallback = Self::other)]
    #[with_retry(strategy = self.retry)]
    fn whole_calls_or_other(&self, (left, right): (u32, String)) -> Result<u32, Problem> {
        self.tries.up();
        assert_eq!(right, "right");
        if left == 0 { Ok(left) } else { Err(reset())? }
    }

    #[with_retry(strategy = self.retry, fallback = Self::other)]
    #[with_circuit_breaker(breaker = self.breaker)]
    fn each_attempt_or_other(&self, (left, right): (u32, String)) -> Result<u32, Problem> {
        self.tries.up();
        assert_eq!(right, "right");
        if left == 0 { Ok(left) } else { Err(reset())? }
    }

    fn other(&self, (left, right): (u32, String)) -> io::Result<u32> {
        Ok(left + u32::try_from(right.len()).unwrap() + self.tries.get())
    }

    fn failures(&self) -> u32 {
        self.breaker.snapshot().consecutive_failures
    }
}

#[tokio::test]
async fn macros_given_an_existing_strategy_and_breaker_keep_their_order() {
    let client = Client::new();
    assert_eq!(client.each_attempt().await.unwrap_err().attempts(), Some(4));
    assert_eq!((client.tries.get(), client.failures()), (4, 4));

    let client = Client::new();
    assert_eq!(client.each_attempt_blocking().unwrap_err().attempts(), Some(4));
    assert_eq!((client.tries.get(), client.failures()), (4, 4));
    client.each_attempt_blocking().unwrap_err();
    assert_eq!((client.tries.get(), client.breaker.state()), (6, Phase::Open));

    let client = Client::new();
    assert_eq!(client.whole_calls().await.unwrap_err().attempts(), Some(4));
    assert_eq!((client.tries.get(), client.failures()), (4, 1));
}

#[test]
fn the_upper_attributes_fallback_serves_when_everything_below_has_failed() {
    let client = Client::new();
    assert_eq!(client.whole_calls_or_other((1, "right".into())).unwrap(), 1 + 5 + 4);
    assert_eq!((client.failures(), client.whole_calls_or_other((0, "right".into())).unwrap()), (1, 0));

    let client = Client::new();
    assert_eq!(client.each_attempt_or_other((1, "right".into())).unwrap(), 1 + 5 + 4);
    assert_eq!(client.failures(), 4);
}
