//! `#[with_retry]`: attempts, arguments, errors, fallback.

use super::{Count, Problem, missing, reset, strategy};
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use upright::testing::DrivenClock;
use upright::types::Reason;
use upright::{CircuitBreaker, RetryStrategy, with_retry};

#[tokio::test]
async fn an_async_function_is_tried_again_until_it_succeeds() {
    #[with_retry(base_delay = 0)]
    async fn fetch(tries: &Count, url: &str) -> Result<String, Problem> {
        tokio::task::yield_now().await;
        if tries.up() < 3 {
            return Err(reset().into());
        }
        Ok(format!("{url} at last"))
    }
    let tries = Count::new();
    assert_eq!(fetch(&tries, "/page").await.unwrap(), "/page at last");
    assert_eq!(tries.get(), 3);
}

#[test]
fn a_plain_function_waits_between_its_attempts_on_its_own_thread() {
    #[with_retry(strategy = retry)]
    fn fetch(retry: &RetryStrategy, tries: &Count) -> Result<(), Problem> {
        tries.up();
        Err(reset())?
    }
    let (clock, tries) = (DrivenClock::skipping(), Count::new());
    let error = fetch(&strategy(&clock), &tries).unwrap_err();
    assert_eq!((tries.get(), error.attempts()), (4, Some(4)));
    assert_eq!(clock.waits(), [1, 2, 4].map(Duration::from_secs));
}

#[tokio::test]
async fn with_retry_does_not_retry_a_permanent_failure() {
    #[with_retry(base_delay = 0)]
    async fn fetch(tries: &Count) -> Result<(), Problem> {
        tries.up();
        Err(missing())?
    }
    let tries = Count::new();
    let Problem::Guarded(error) = fetch(&tries).await.unwrap_err() else { panic!("not the guard's") };
    assert_eq!((tries.get(), error.failure().unwrap().reason), (1, Reason::NotRetryable));
    assert!(matches!(error.downcast_ref(), Some(Problem::Io(_))));
}

#[test]
fn every_kind_of_error_tells_how_the_guard_ended() {
    #[with_retry(max_retries = 1, base_delay = 0.0)]
    fn with_anyhow() -> anyhow::Result<()> {
        Err(anyhow::Error::from(reset()).context("while reading"))
    }
    #[with_retry(max_retries = 1, base_delay = 0.0)]
    fn with_a_box() -> Result<(), Box<dyn Error + Send + Sync>> {
        Err(Box::new(reset()))
    }
    #[with_retry(max_retries = 1, base_delay = 0.0)]
    fn with_the_crates_own(breaker: &CircuitBreaker) -> Result<(), upright::Error> {
        breaker.call_blocking(|| Err(reset()))
    }
    #[with_retry(max_retries = 1, base_delay = 0.0)]
    fn with_a_generic_one<E: Error + From<io::Error> + From<upright::Error> + Send + Sync + 'static>() -> Result<(), E> {
        Err(reset().into())
    }

    let error = with_anyhow().unwrap_err();
    let guard: &upright::Error = error.downcast_ref().unwrap();
    assert_eq!(guard.failure().unwrap().attempts, 2);
    assert!(error.to_string().contains("while reading"), "{error}");
    let error = with_a_box().unwrap_err();
    let guard: &upright::Error = error.downcast_ref().unwrap();
    assert!(guard.failure().unwrap().attempts == 2 && guard.downcast_ref::<io::Error>().is_some());
    let breaker = CircuitBreaker::builder("inside").build().unwrap();
    let error = with_the_crates_own(&breaker).unwrap_err();
    let inner: &upright::Error = error.downcast_ref().unwrap();
    assert!(error.failure().unwrap().attempts == 2 && inner.downcast_ref::<io::Error>().is_some());
    assert_eq!(with_a_generic_one::<Problem>().unwrap_err().attempts(), Some(2));
}

#[test]
fn each_attempt_gets_the_arguments_as_the_caller_passed_them() {
    #[derive(Clone)]
    struct Point {
        x: u32,
        y: u32,
    }
    #[with_retry(base_delay = 0, max_retries = 2)]
    fn sum(
        seen: &RefCell<Vec<String>>,
        mut list: Vec<u32>,
        (a, b): (u32, u32),
        Point { x, mut y }: Point,
        [first, .., last]: [u32; 3],
        _: String,
    ) -> Result<u32, Problem> {
        list.push(9);
        y += 1;
        seen.borrow_mut().push(format!("{list:?} {a} {b} {x} {y} {first} {last}"));
        Err(reset())?
    }
    let log = RefCell::default();
    sum(&log, vec![1], (2, 3), Point { x: 4, y: 5 }, [6, 7, 8], String::new()).unwrap_err();
    assert_eq!(*log.borrow(), ["[1, 9] 2 3 4 6 6 8"; 3]);
}

#[tokio::test]
async fn the_fallback_gets_the_same_arguments_when_all_attempts_have_failed() {
    #[with_retry(base_delay = 0, max_retries = 1, fallback = cached)]
    async fn fetch(tries: &Count, key: String, (page, size): (u32, u32)) -> Result<String, Problem> {
        tries.up();
        drop(key);
        Err(reset())?;
        Ok(format!("{page} of {size}"))
    }
    async fn cached(tries: &Count, key: String, (page, size): (u32, u32)) -> io::Result<String> {
        Ok(format!("{key} {page} {size} after {}", tries.get()))
    }
    let tries = Count::new();
    assert_eq!(fetch(&tries, "sky".into(), (1, 20)).await.unwrap(), "sky 1 20 after 2");
}

#[test]
fn a_methods_fallback_gets_self_first() {
    #[derive(Clone)]
    struct Client(&'static str);
    impl Client {
        #[with_retry(base_delay = 0, max_retries = 0, fallback = Self::by_heart)]
        fn ask(&self, question: &str) -> Result<String, Problem> {
            if question.is_empty() { Ok(String::new()) } else { Err(reset())? }
        }

        fn by_heart(&self, question: &str) -> Result<String, Problem> {
            Ok(format!("{} knows {question}", self.0))
        }

        #[with_retry(base_delay = 0, max_retries = 0, fallback = free)]
        fn consumed(self, question: String) -> Result<String, Problem> {
            Err(reset())?;
            Ok(self.0.to_owned() + &question)
        }
    }
    fn free(client: Client, question: String) -> Result<String, Problem> {
        Ok(format!("{} guesses {question}", client.0))
    }
    assert_eq!(Client("she").ask("why").unwrap(), "she knows why");
    assert_eq!(Client("he").consumed("how".into()).unwrap(), "he guesses how");
}

#[test]
fn a_fallback_that_fails_hides_nothing() {
    #[with_retry(base_delay = 0, max_retries = 1, fallback = worse)]
    fn fetch() -> Result<(), Problem> {
        Err(reset())?
    }
    fn worse() -> Result<(), Problem> {
        Err(Problem::NoSuchRow(7))
    }
    let Problem::Guarded(error) = fetch().unwrap_err() else { panic!("not the guard's") };
    let upright::Error::FallbackFailed { fallback, .. } = &error else { panic!("{error}") };
    assert!(matches!(fallback.downcast_ref(), Some(Problem::NoSuchRow(7))));
    assert_eq!(error.failure().unwrap().attempts, 2);
}

#[test]
fn an_existing_strategy_may_stand_behind_anything_that_shares_it() {
    static KEPT: LazyLock<Result<RetryStrategy, upright::error::ConfigurationError>> =
        LazyLock::new(|| RetryStrategy::builder().max_retries(1).base_delay(Duration::ZERO).build());
    static WRONG: LazyLock<Result<RetryStrategy, upright::error::ConfigurationError>> =
        LazyLock::new(|| RetryStrategy::builder().deadline(Duration::ZERO).build());
    struct Client {
        retry: Arc<RetryStrategy>,
    }
    impl Client {
        #[with_retry(strategy = self.retry)]
        fn ask(&self, tries: &Count) -> Result<(), Problem> {
            tries.up();
            Err(reset())?
        }
    }
    #[with_retry(strategy = KEPT)]
    fn kept(tries: &Count) -> Result<(), Problem> {
        tries.up();
        Err(reset())?
    }
    #[with_retry(strategy = client.retry.clone())]
    fn moved(client: Arc<Client>, tries: &Count) -> Result<(), Problem> {
        tries.up();
        drop(client);
        Err(reset())?
    }
    #[with_retry(strategy = &*WRONG)]
    fn wrong(tries: &Count) -> Result<(), Problem> {
        tries.up();
        Ok(())
    }
    let clock = DrivenClock::skipping();
    let client = Arc::new(Client { retry: Arc::new(strategy(&clock)) });
    let (asked, kept_tries, moved_tries, wrong_tries) = (Count::new(), Count::new(), Count::new(), Count::new());
    client.ask(&asked).unwrap_err();
    kept(&kept_tries).unwrap_err();
    moved(Arc::clone(&client), &moved_tries).unwrap_err();
    let error = wrong(&wrong_tries).unwrap_err();
    assert_eq!((asked.get(), kept_tries.get(), moved_tries.get(), wrong_tries.get()), (4, 2, 4, 0));
    assert!(matches!(error, Problem::Guarded(upright::Error::Configuration(error)) if error.setting == "deadline"));
}

#[tokio::test]
async fn a_future_can_be_sent_to_another_thread_although_an_argument_cannot_be_shared() {
    #[with_retry(base_delay = 0)]
    async fn add(cell: Cell<u32>) -> Result<u32, Problem> {
        tokio::task::yield_now().await;
        cell.set(cell.get() + 1);
        Ok(cell.get())
    }
    fn sendable<F: Future + Send>(future: F) -> F {
        future
    }
    assert_eq!(sendable(add(Cell::new(1))).await.unwrap(), 2);
}

#[test]
fn all_calls_share_the_functions_breaker() {
    #[with_retry(max_retries = 0)]
    fn fetch<T>(tries: &Count, _kind: T) -> Result<(), Problem>
    where
        T: Clone,
    {
        tries.up();
        Err(reset())?
    }
    let tries = Count::new();
    for _ in 0..5 {
        assert!(fetch(&tries, 1_u8).unwrap_err().attempts().is_some());
    }
    let error = fetch(&tries, "text").unwrap_err();
    assert!(matches!(&error, Problem::Guarded(upright::Error::CircuitOpen(_))), "{error}");
    assert_eq!(tries.get(), 5);
}
