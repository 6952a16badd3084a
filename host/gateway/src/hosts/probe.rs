//! When to ask a host what: a schedule without clock and network.
//!
//! A host is probed every 10 s, and soon after a failure. Silence is not death: a host that loads a model or has no
//! processor time left is asked once more, with a longer limit, before it counts as dead. A host that came back gets a
//! few requests at first, and twice as many after each probe.

use super::host::{FULL_RATE, Kind};
use std::time::Duration;
use upright_core::clock::{Instant, between, nanoseconds};

/// A question to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Whether the host answers.
    Alive,
    /// Its models.
    Models,
    /// Its loaded models; also the last question to a silent host.
    Loaded,
}

impl Question {
    /// Path of the question. An OpenAI-compatible host knows only one.
    pub(crate) const fn path(self, kind: Kind) -> &'static str {
        match (kind, self) {
            (Kind::Openai, _) => "/v1/models",
            (Kind::Ollama, Self::Alive) => "/api/version",
            (Kind::Ollama, Self::Models) => "/api/tags",
            (Kind::Ollama, Self::Loaded) => "/api/ps",
        }
    }

    /// Time limit of the answer.
    pub(crate) const fn limit(self) -> Duration {
        Duration::from_secs(match self {
            Self::Alive => 2,
            Self::Models => 10,
            Self::Loaded => 5,
        })
    }

    /// Time from one answer to the next question.
    pub(crate) const fn period(self) -> Duration {
        match self {
            Self::Alive => LONGEST,
            Self::Models | Self::Loaded => Duration::from_secs(30),
        }
    }

    const ALL: [Self; 3] = [Self::Alive, Self::Models, Self::Loaded];
}

/// Delay of the first probe after a failure. It doubles up to [`LONGEST`].
pub(crate) const FIRST: Duration = Duration::from_millis(500);
/// Maximum delay between two probes.
pub(crate) const LONGEST: Duration = Duration::from_secs(10);
/// Minimum time between two questions of one kind, whoever asks for them.
pub(crate) const SOONEST: Duration = Duration::from_millis(500);
/// Time after which a host that came back is probed, and gets twice as many requests.
pub(crate) const STEP: Duration = Duration::from_secs(1);
/// Number of requests from which a host that came back has no limit.
pub(crate) const FULL_FROM: u32 = 64;

/// The answer to a question, for the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The host answered.
    Answer,
    /// No connection: no process listens, or no machine is there.
    Refused,
    /// No answer in time, or none that can be read. It may be busy.
    Nothing,
}

/// The next step of whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Ask this now, then report by [`Schedule::heard`].
    Ask(Question),
    /// Wait so long.
    Wait(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It answers. Number of requests that it should get at once.
    Up(u32),
    /// It did not answer, and is asked once more. Number of requests as before.
    Silent(u32),
    /// It cannot be reached.
    Down,
    /// It answers again, and must list its models before it gets requests.
    Back,
}

/// The schedule of one host.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    state: State,
    /// Number of failures in a row.
    failures: u32,
    /// When each question is due, in the order of [`Question::ALL`].
    due: [Instant; 3],
    /// When each question was answered last.
    ended: [Option<Instant>; 3],
}

impl Schedule {
    /// The schedule of a host that was never asked. It may get requests at once: most hosts are up.
    pub(crate) const fn new(now: Instant) -> Self {
        Self { state: State::Up(FULL_RATE), failures: 0, due: [now; 3], ended: [None; 3] }
    }

    /// The next step. One question at a time: call it only after the last answer.
    pub(crate) fn next(&self, now: Instant) -> Step {
        let questions: &[Question] = match self.state {
            State::Silent(_) => return Step::Ask(Question::Loaded),
            State::Back => return Step::Ask(Question::Models),
            State::Down => &[Question::Alive],
            State::Up(_) => &Question::ALL,
        };
        let due = |question: &Question| self.due[*question as usize];
        match questions.iter().find(|question| due(question) <= now) {
            Some(question) => Step::Ask(*question),
            None => Step::Wait(between(now, questions.iter().map(due).min().unwrap_or(now))),
        }
    }

    /// Number of requests that the host should get at once; 0 while it cannot be reached.
    pub(crate) const fn rate(&self) -> u32 {
        match self.state {
            State::Up(rate) | State::Silent(rate) => rate,
            State::Down | State::Back => 0,
        }
    }

    /// Takes the answer to a question.
    pub(crate) fn heard(&mut self, question: Question, heard: Heard, now: Instant) {
        self.ended[question as usize] = Some(now);
        self.ask_in(question, question.period(), now);
        self.state = match (heard, self.state) {
            (Heard::Answer, State::Down) => State::Back,
            (Heard::Answer, State::Back) => {
                self.failures = 0;
                self.ask_in(Question::Alive, STEP, now);
                self.ask_in(Question::Loaded, Duration::ZERO, now);
                State::Up(1)
            }
            (Heard::Answer, State::Up(rate)) if question == Question::Alive && rate < FULL_RATE => {
                let doubled = rate.saturating_mul(2);
                self.ask_in(Question::Alive, STEP, now);
                State::Up(if doubled < FULL_FROM { doubled } else { FULL_RATE })
            }
            (Heard::Answer, State::Up(rate) | State::Silent(rate)) => State::Up(rate),
            (Heard::Nothing, State::Up(rate)) => State::Silent(rate),
            (Heard::Nothing, State::Silent(_) | State::Down | State::Back) | (Heard::Refused, _) => {
                let doubled = FIRST.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
                self.failures = self.failures.saturating_add(1);
                self.ask_in(Question::Alive, doubled.min(LONGEST), now);
                State::Down
            }
        };
    }

    fn ask_in(&mut self, question: Question, delay: Duration, now: Instant) {
        self.due[question as usize] = now.saturating_add(nanoseconds(delay));
    }

    /// Somebody's request failed: probe soon. A host that cannot be reached keeps its delays.
    pub(crate) fn suspect(&mut self, now: Instant) {
        if matches!(self.state, State::Up(_)) {
            self.ask_soon(Question::Alive, now);
        }
    }

    /// The models may have changed: ask for the lists soon.
    pub(crate) fn renew(&mut self, now: Instant) {
        self.ask_soon(Question::Models, now);
        self.ask_soon(Question::Loaded, now);
    }

    fn ask_soon(&mut self, question: Question, now: Instant) {
        let soonest = self.ended[question as usize].map_or(now, |ended| ended.saturating_add(nanoseconds(SOONEST)));
        let due = &mut self.due[question as usize];
        *due = (*due).min(soonest.max(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Heard::{Answer, Nothing, Refused};
    use Question::{Alive, Loaded, Models};

    fn at(milliseconds: u64) -> Instant {
        milliseconds * 1_000_000
    }

    /// Answers the next question at this time, which must be this one.
    #[track_caller]
    fn answer(schedule: &mut Schedule, now: u64, question: Question, heard: Heard) {
        assert_eq!(schedule.next(at(now)), Step::Ask(question), "at {now} ms");
        schedule.heard(question, heard, at(now));
    }

    #[track_caller]
    fn waits(schedule: &Schedule, now: u64, milliseconds: u64) {
        assert_eq!(schedule.next(at(now)), Step::Wait(Duration::from_millis(milliseconds)), "at {now} ms");
    }

    fn up() -> Schedule {
        let mut schedule = Schedule::new(0);
        for question in Question::ALL {
            answer(&mut schedule, 0, question, Answer);
        }
        schedule
    }

    #[test]
    fn a_healthy_host_is_probed_every_ten_seconds_and_lists_its_models_every_thirty() {
        let mut schedule = up();
        for probe in [10_000, 20_000, 30_000] {
            waits(&schedule, probe - 10_000, 10_000);
            answer(&mut schedule, probe, Alive, Answer);
        }
        answer(&mut schedule, 30_000, Models, Answer);
        answer(&mut schedule, 30_000, Loaded, Answer);
        waits(&schedule, 30_001, 9_999);
        assert_eq!(schedule.rate(), FULL_RATE);
    }

    #[test]
    fn a_host_may_get_requests_before_its_first_answer() {
        assert_eq!(Schedule::new(0).rate(), FULL_RATE);
    }

    #[test]
    fn a_dead_host_is_probed_quickly_at_first_and_then_every_ten_seconds() {
        let mut schedule = up();
        let mut now = 10_000;
        answer(&mut schedule, now, Alive, Refused);
        assert_eq!(schedule.rate(), 0);
        for delay in [500, 1000, 2000, 4000, 8000, 10_000, 10_000] {
            waits(&schedule, now, delay);
            now += delay;
            answer(&mut schedule, now, Alive, Refused);
        }
        (0..100).for_each(|_| schedule.heard(Alive, Refused, at(now)));
        waits(&schedule, now, 10_000);
    }

    #[test]
    fn a_silent_host_is_asked_for_its_loaded_models_before_it_is_called_dead() {
        let mut busy = up();
        answer(&mut busy, 10_000, Alive, Nothing);
        assert_eq!(busy.rate(), FULL_RATE);
        answer(&mut busy, 12_000, Loaded, Answer);
        assert_eq!(busy.rate(), FULL_RATE);
        waits(&busy, 12_000, 8000);

        let mut dead = up();
        answer(&mut dead, 10_000, Alive, Nothing);
        answer(&mut dead, 12_000, Loaded, Nothing);
        assert_eq!(dead.rate(), 0);
        waits(&dead, 12_000, 500);
    }

    #[test]
    fn a_host_that_loads_for_minutes_is_never_called_dead() {
        let mut schedule = up();
        for now in (10_000..600_000).step_by(10_000) {
            for _ in 0..2 {
                if let Step::Ask(question) = schedule.next(at(now)) {
                    // Only the last question gets an answer.
                    schedule.heard(question, if question == Loaded { Answer } else { Nothing }, at(now));
                }
                assert_eq!(schedule.rate(), FULL_RATE, "at {now} ms");
            }
        }
    }

    #[test]
    fn a_host_that_came_back_lists_its_models_first_and_gets_twice_as_many_requests_each_second() {
        let mut schedule = up();
        answer(&mut schedule, 10_000, Alive, Refused);
        answer(&mut schedule, 10_500, Alive, Answer);
        assert_eq!(schedule.rate(), 0);
        answer(&mut schedule, 10_500, Models, Answer);
        assert_eq!(schedule.rate(), 1);
        answer(&mut schedule, 10_500, Loaded, Answer);
        let mut now = 10_500;
        for rate in [2, 4, 8, 16, 32, FULL_RATE] {
            waits(&schedule, now, 1000);
            now += 1000;
            answer(&mut schedule, now, Alive, Answer);
            assert_eq!(schedule.rate(), rate);
        }
        waits(&schedule, now, 1000);
        answer(&mut schedule, now + 1000, Alive, Answer);
        waits(&schedule, now + 1000, 10_000);
    }

    #[test]
    fn a_host_whose_list_fails_after_it_came_back_gets_no_requests_and_its_delays_go_on_doubling() {
        for heard in [Nothing, Refused] {
            let mut schedule = up();
            answer(&mut schedule, 10_000, Alive, Refused);
            answer(&mut schedule, 10_500, Alive, Answer);
            answer(&mut schedule, 10_500, Models, heard);
            assert_eq!(schedule.rate(), 0);
            waits(&schedule, 10_500, 1000);
        }
    }

    #[test]
    fn a_busy_host_keeps_its_slow_start() {
        let mut schedule = up();
        answer(&mut schedule, 10_000, Alive, Refused);
        answer(&mut schedule, 10_500, Alive, Answer);
        answer(&mut schedule, 10_500, Models, Answer);
        answer(&mut schedule, 10_500, Loaded, Answer);
        answer(&mut schedule, 11_500, Alive, Nothing);
        assert_eq!(schedule.rate(), 1);
        answer(&mut schedule, 11_500, Loaded, Answer);
        assert_eq!(schedule.rate(), 1);
    }

    #[test]
    fn a_suspected_host_is_probed_at_once_but_not_for_each_of_many_failures() {
        let mut schedule = up();
        schedule.suspect(at(5000));
        answer(&mut schedule, 5000, Alive, Answer);
        (5001..5400).for_each(|now| schedule.suspect(at(now)));
        waits(&schedule, 5400, 100);
        answer(&mut schedule, 5500, Alive, Refused);
        schedule.suspect(at(5501));
        waits(&schedule, 5501, 499);
    }

    #[test]
    fn lists_are_asked_for_at_once_after_a_change_but_not_for_each_of_many() {
        let mut schedule = up();
        schedule.renew(at(5000));
        answer(&mut schedule, 5000, Models, Answer);
        answer(&mut schedule, 5000, Loaded, Answer);
        (5001..5400).for_each(|now| schedule.renew(at(now)));
        waits(&schedule, 5400, 100);
        answer(&mut schedule, 5500, Models, Answer);
        answer(&mut schedule, 5500, Loaded, Answer);
        waits(&schedule, 5500, 4500);
    }

    #[test]
    fn an_openai_compatible_host_is_asked_on_the_one_path_it_knows() {
        for question in Question::ALL {
            assert_eq!(question.path(Kind::Openai), "/v1/models");
        }
        assert_eq!(Question::ALL.map(|question| question.path(Kind::Ollama)), ["/api/version", "/api/tags", "/api/ps"]);
    }
}
