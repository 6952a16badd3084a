//! Outcomes that are written down beforehand.

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

/// What one call of a [`Script`] ends in.
///
/// A `Result` is one too: `Script::new([Err(error), Ok(value)])`.
pub enum Outcome<T, E> {
    /// It succeeds.
    Ok(T),
    /// It fails.
    Fail(E),
    /// It does not end. Only whoever drops its future is rid of it.
    Hang,
    /// It panics with this text.
    Panic(String),
    /// It takes its time first; see [`Outcome::after`].
    Delayed {
        /// How long.
        by: Duration,
        /// By which clock.
        clock: SharedClock,
        /// What comes then.
        then: Box<Self>,
    },
}

impl<T, E> Outcome<T, E> {
    /// The same outcome, after so much time by this clock.
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

/// A script was called more often than it has outcomes.
///
/// It counts as a cancelled call, so nothing that guards the call retries it or covers it up: the test sees it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the script has ended: this is call {call}, and {scripted} outcomes are scripted")]
pub struct ScriptEnded {
    /// The number of this call, from 1.
    pub call: u32,
    /// How many outcomes there were.
    pub scripted: u32,
    #[source]
    known: KnownFault,
}

impl From<ScriptEnded> for io::Error {
    fn from(ended: ScriptEnded) -> Self {
        Self::other(ended)
    }
}

/// An operation whose outcomes are written down beforehand. Cloning shares it.
///
/// Each call takes the next outcome. **A call beyond the last one panics**, since a test that does not know how often its operation is called
/// has found something out; [`Script::then_always`] and [`Script::fail_at_end`] say otherwise.
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
/// As the operation of a manager it is told about each attempt, and remembers what it was told:
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

/// What a call beyond the last outcome ends in.
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

    /// A script of these outcomes, or `Result`s.
    pub fn new<O: Into<Outcome<T, E>>>(outcomes: impl IntoIterator<Item = O>) -> Self {
        Self::with(outcomes.into_iter().map(Into::into).collect())
    }

    /// So many failures.
    pub fn failing(times: u32, error: impl Fn() -> E) -> Self {
        Self::with(VecDeque::new()).then_failing(times, error)
    }

    /// The same outcome, or `Result`, however often it is called.
    pub fn always<O: Into<Outcome<T, E>>>(outcome: impl Fn() -> O + Send + Sync + 'static) -> Self {
        Self::with(VecDeque::new()).then_always(outcome)
    }

    /// One more outcome, or `Result`.
    #[must_use]
    pub fn then(self, outcome: impl Into<Outcome<T, E>>) -> Self {
        let mut state = self.state();
        state.outcomes.push_back(outcome.into());
        state.scripted = state.scripted.saturating_add(1);
        drop(state);
        self
    }

    /// Then one success.
    #[must_use]
    pub fn then_ok(self, value: T) -> Self {
        self.then(Outcome::Ok(value))
    }

    /// Then so many failures.
    #[must_use]
    pub fn then_failing(self, times: u32, error: impl Fn() -> E) -> Self {
        (0..times).fold(self, |script, _| script.then(Outcome::Fail(error())))
    }

    /// Then a call that does not end.
    #[must_use]
    pub fn then_hang(self) -> Self {
        self.then(Outcome::Hang)
    }

    /// Then a call that panics.
    #[must_use]
    pub fn then_panic(self, text: impl Into<String>) -> Self {
        self.then(Outcome::Panic(text.into()))
    }

    /// Beyond the last outcome this one, or `Result`, however often it is called.
    #[must_use]
    pub fn then_always<O: Into<Outcome<T, E>>>(self, outcome: impl Fn() -> O + Send + Sync + 'static) -> Self {
        self.state().end = End::Always(Arc::new(move || outcome().into()));
        self
    }

    /// A call beyond the last outcome fails with [`ScriptEnded`] instead of panicking.
    #[must_use]
    pub fn fail_at_end(self) -> Self
    where
        E: From<ScriptEnded>,
    {
        self.state().end = End::Fail(E::from);
        self
    }

    /// How often it was called.
    pub fn calls(&self) -> u32 {
        self.state().calls
    }

    /// How many calls were dropped before they had ended.
    pub fn cancelled(&self) -> u32 {
        self.state().cancelled
    }

    /// How many outcomes no call has had yet; those of [`Script::then_always`] do not count.
    pub fn left(&self) -> usize {
        self.state().outcomes.len()
    }

    /// The attempts that it was told about, in order.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.state().attempts.clone()
    }

    /// The next outcome. A call counts from now on, also if its future is never polled.
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
    /// As the script says.
    ///
    /// # Panics
    /// As the script says, and beyond its end, unless that was given.
    pub fn call(&self) -> impl Future<Output = Result<T, E>> + use<T, E> {
        self.play(None)
    }

    /// The next call, which is told about its attempt.
    ///
    /// # Errors
    /// As [`Script::call`].
    ///
    /// # Panics
    /// As [`Script::call`].
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

    /// The next call, which blocks the thread for as long as it is delayed.
    ///
    /// # Errors
    /// As [`Script::call`].
    ///
    /// # Panics
    /// As [`Script::call`], and where the script says to hang: nothing could end it.
    pub fn call_blocking(&self) -> Result<T, E> {
        Self::play_blocking(self.begin(None))
    }

    /// [`Script::call_blocking`], which is told about its attempt.
    ///
    /// # Errors
    /// As [`Script::call`].
    ///
    /// # Panics
    /// As [`Script::call_blocking`].
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

/// What a call returns whose waiting is over.
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

/// A call that has not ended yet.
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
