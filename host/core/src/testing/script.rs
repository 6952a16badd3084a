//! Scripts an operation's outcomes.

use crate::clock::SharedClock;
use crate::driving::Attempt;
use crate::fault::KnownFault;
use crate::types::{Fault, FaultKind};
use std::collections::VecDeque;
use std::fmt;
use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A call's outcome; `Result`s convert: `Script::new([Err(error), Ok(value)])`.
pub enum Outcome<T, E> {
    /// Success.
    Ok(T),
    /// Failure.
    Fail(E),
    /// Hangs until dropped.
    Hang,
    /// Panics.
    Panic(String),
    /// Delayed; see [`Outcome::after`].
    Delayed {
        /// Delay.
        by: Duration,
        /// Its clock.
        clock: SharedClock,
        /// Outcome.
        then: Box<Self>,
    },
}

impl<T, E> Outcome<T, E> {
    /// Delays the outcome.
    ///
    /// ```
    /// use std::time::Duration;
    /// use upright::clock::Clock;
    /// use upright::testing::{DrivenClock, Outcome, Script};
    ///
    /// let clock = DrivenClock::skipping();
    /// let slow = Script::<_, std::io::Error>::new([Outcome::Ok("late").after(Duration::from_secs(3), clock.shared())]);
    /// assert_eq!(slow.call_blocking().unwrap(), "late");
    /// assert_eq!(clock.now(), 3_000_000_000);
    /// ```
    #[must_use]
    pub fn after(self, span: Duration, clock: SharedClock) -> Self {
        Self::Delayed { by: span, clock, then: Box::new(self) }
    }
}

impl<T, E> From<Result<T, E>> for Outcome<T, E> {
    fn from(result: Result<T, E>) -> Self {
        result.map_or_else(Self::Fail, Self::Ok)
    }
}

impl<T, E> fmt::Debug for Outcome<T, E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok(_) => formatter.write_str("Ok"),
            Self::Fail(_) => formatter.write_str("Fail"),
            Self::Hang => formatter.write_str("Hang"),
            Self::Panic(text) => write!(formatter, "Panic({text:?})"),
            Self::Delayed { by, then, .. } => write!(formatter, "{then:?} after {by:?}"),
        }
    }
}

/// A call beyond the script. It counts as cancelled, so no guard hides it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the script has ended: this is call {call}, and {scripted} outcomes are scripted")]
pub struct ScriptEnded {
    /// Number of the call, from 1.
    pub call: u32,
    /// Number of scripted outcomes.
    pub scripted: u32,
    #[source]
    known: KnownFault,
}

impl From<ScriptEnded> for io::Error {
    fn from(ended: ScriptEnded) -> Self {
        Self::other(ended)
    }
}

/// A scripted operation. Clones share it.
///
/// **Calls beyond the last outcome panic**: the test miscounted. [`Script::then_always`] and [`Script::fail_at_end`]
/// change this.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::io::{Error, ErrorKind::ConnectionRefused};
/// use upright::testing::Script;
///
/// let fetch = Script::failing(2, || Error::from(ConnectionRefused)).then_ok("page");
/// assert!(fetch.call().await.is_err());
/// assert!(fetch.call_blocking().is_err());
/// assert_eq!(fetch.left(), 1);
/// assert_eq!(fetch.call().await.unwrap(), "page");
/// # }
/// ```
///
/// A manager's operation can pass its attempts for recording:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::io::{Error, ErrorKind::TimedOut};
/// use upright::RetryStrategy;
/// use upright::testing::{DrivenClock, Script};
///
/// let ask = Script::new([Err(Error::from(TimedOut)), Ok("blue")]);
/// let retry = RetryStrategy::builder().clock(DrivenClock::skipping().shared()).build()?;
/// retry.execute_accepting(|attempt| ask.call_with(attempt), |_| true).await?;
/// assert_eq!(ask.attempts()[1].number, 2);
/// # Ok(()) }
/// ```
pub struct Script<T, E> {
    state: Arc<Mutex<State<T, E>>>,
}

struct State<T, E> {
    outcomes: VecDeque<Outcome<T, E>>,
    scripted: u32,
    end: End<T, E>,
    calls: u32,
    cancelled: u32,
    attempts: Vec<Attempt>,
}

enum End<T, E> {
    Panic,
    Fail(fn(ScriptEnded) -> E),
    Always(Arc<dyn Fn() -> Outcome<T, E> + Send + Sync>),
}

impl<T, E> Clone for Script<T, E> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state) }
    }
}

impl<T, E> fmt::Debug for Script<T, E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        write!(formatter, "Script({} calls, {} outcomes left)", state.calls, state.outcomes.len())
    }
}

impl<T, E> Script<T, E> {
    fn state(&self) -> MutexGuard<'_, State<T, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with(outcomes: VecDeque<Outcome<T, E>>) -> Self {
        let scripted = u32::try_from(outcomes.len()).unwrap_or(u32::MAX);
        let state = State { outcomes, scripted, end: End::Panic, calls: 0, cancelled: 0, attempts: Vec::new() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Scripts outcomes or `Result`s.
    pub fn new<O: Into<Outcome<T, E>>>(outcomes: impl IntoIterator<Item = O>) -> Self {
        Self::with(outcomes.into_iter().map(Into::into).collect())
    }

    /// Scripts `times` failures.
    pub fn failing(times: u32, error: impl Fn() -> E) -> Self {
        Self::with(VecDeque::new()).then_failing(times, error)
    }

    /// Repeats an outcome or `Result`.
    pub fn always<O: Into<Outcome<T, E>>>(outcome: impl Fn() -> O + Send + Sync + 'static) -> Self {
        Self::with(VecDeque::new()).then_always(outcome)
    }

    /// Adds an outcome or `Result`.
    #[must_use]
    pub fn then(self, outcome: impl Into<Outcome<T, E>>) -> Self {
        let mut state = self.state();
        state.outcomes.push_back(outcome.into());
        state.scripted = state.scripted.saturating_add(1);
        drop(state);
        self
    }

    /// Adds a success.
    #[must_use]
    pub fn then_ok(self, value: T) -> Self {
        self.then(Outcome::Ok(value))
    }

    /// Adds `times` failures.
    #[must_use]
    pub fn then_failing(self, times: u32, error: impl Fn() -> E) -> Self {
        (0..times).fold(self, |script, _| script.then(Outcome::Fail(error())))
    }

    /// Adds a hanging call.
    #[must_use]
    pub fn then_hang(self) -> Self {
        self.then(Outcome::Hang)
    }

    /// Adds a panicking call.
    #[must_use]
    pub fn then_panic(self, text: impl Into<String>) -> Self {
        self.then(Outcome::Panic(text.into()))
    }

    /// Then repeats an outcome or `Result`.
    #[must_use]
    pub fn then_always<O: Into<Outcome<T, E>>>(self, outcome: impl Fn() -> O + Send + Sync + 'static) -> Self {
        self.state().end = End::Always(Arc::new(move || outcome().into()));
        self
    }

    /// Calls beyond the script fail with [`ScriptEnded`].
    #[must_use]
    pub fn fail_at_end(self) -> Self
    where
        E: From<ScriptEnded>,
    {
        self.state().end = End::Fail(E::from);
        self
    }

    /// Number of calls.
    pub fn calls(&self) -> u32 {
        self.state().calls
    }

    /// Number of calls dropped early.
    pub fn cancelled(&self) -> u32 {
        self.state().cancelled
    }

    /// Number of unused outcomes.
    pub fn left(&self) -> usize {
        self.state().outcomes.len()
    }

    /// Recorded attempts, in order.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.state().attempts.clone()
    }

    /// Counts now, even if never polled.
    fn begin(&self, attempt: Option<Attempt>) -> Outcome<T, E> {
        let mut state = self.state();
        state.calls = state.calls.saturating_add(1);
        state.attempts.extend(attempt);
        if let Some(outcome) = state.outcomes.pop_front() {
            return outcome;
        }
        let (call, scripted) = (state.calls, state.scripted);
        let known =
            Fault::new(FaultKind::Cancelled, format!("the script has ended: this is call {call}, and {scripted} outcomes are scripted"));
        let ended = ScriptEnded { call, scripted, known: known.into() };
        let always = match &state.end {
            End::Panic => return Outcome::Panic(ended.to_string()),
            End::Fail(error) => return Outcome::Fail(error(ended)),
            End::Always(outcome) => Arc::clone(outcome),
        };
        drop(state);
        always()
    }

    /// The next call.
    ///
    /// # Errors
    /// If scripted.
    ///
    /// # Panics
    /// If scripted, or beyond the script.
    pub fn call(&self) -> impl Future<Output = Result<T, E>> + use<T, E> {
        self.play(None)
    }

    /// The next call; records its attempt.
    ///
    /// # Errors
    /// If scripted.
    ///
    /// # Panics
    /// If scripted, or beyond the script.
    pub fn call_with(&self, attempt: Attempt) -> impl Future<Output = Result<T, E>> + use<T, E> {
        self.play(Some(attempt))
    }

    fn play(&self, attempt: Option<Attempt>) -> impl Future<Output = Result<T, E>> + use<T, E> {
        let mut outcome = self.begin(attempt);
        let running = Running { script: self.clone(), ended: false };
        async move {
            let mut running = running;
            loop {
                outcome = match outcome {
                    Outcome::Delayed { by, clock, then } => {
                        clock.sleep(by).await;
                        *then
                    }
                    Outcome::Hang => pending().await,
                    ended => {
                        running.end();
                        return result(ended);
                    }
                };
            }
        }
    }

    /// The next call, blocking for delays.
    ///
    /// # Errors
    /// If scripted.
    ///
    /// # Panics
    /// If scripted, beyond the script, or on [`Outcome::Hang`].
    pub fn call_blocking(&self) -> Result<T, E> {
        Self::play_blocking(self.begin(None))
    }

    /// [`Script::call_blocking`] that records its attempt.
    ///
    /// # Errors
    /// If scripted.
    ///
    /// # Panics
    /// If scripted, beyond the script, or on [`Outcome::Hang`].
    pub fn call_with_blocking(&self, attempt: Attempt) -> Result<T, E> {
        Self::play_blocking(self.begin(Some(attempt)))
    }

    fn play_blocking(mut outcome: Outcome<T, E>) -> Result<T, E> {
        loop {
            outcome = match outcome {
                Outcome::Delayed { by, clock, then } => {
                    clock.sleep_blocking(by);
                    *then
                }
                ended => return result(ended),
            };
        }
    }
}

fn result<T, E>(outcome: Outcome<T, E>) -> Result<T, E> {
    match outcome {
        Outcome::Ok(value) => Ok(value),
        Outcome::Fail(error) => Err(error),
        Outcome::Panic(text) => panic!("{text}"),
        Outcome::Hang | Outcome::Delayed { .. } => {
            panic!("a blocking call cannot hang, since nothing could end it: use an asynchronous call")
        }
    }
}

struct Running<T, E> {
    script: Script<T, E>,
    ended: bool,
}

impl<T, E> Running<T, E> {
    fn end(&mut self) {
        self.ended = true;
    }
}

impl<T, E> Drop for Running<T, E> {
    fn drop(&mut self) {
        if !self.ended {
            let mut state = self.script.state();
            state.cancelled = state.cancelled.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests;
