//! Varies values of known questions field by field, and simplifies those that fail.

use crate::dice::Dice;
use crate::nasty::{INTEGERS, LENGTHS, TAME, TEXTS, WILD};
use upright::types::*;

const LOOKED_AT: usize = 12;
const LONGEST_LIST: usize = 1000;
const LONGEST_TEXT: usize = 20_000;

/// Values that can be varied and simplified.
pub trait Vary: Clone {
    /// Changes one part.
    fn vary(&mut self, dice: &mut Dice);

    /// Values simpler by one step, the simplest first. Every chain of steps ends.
    fn simpler(&self) -> Vec<Self>;
}

impl Vary for f64 {
    fn vary(&mut self, dice: &mut Dice) {
        *self = match dice.below(8) {
            0 => *self * 2.0,
            1 => self.next_up(),
            2 => self.next_down(),
            3 if !dice.tame => -*self,
            4 if !dice.tame => Self::from_bits(dice.number()),
            _ if dice.tame => *dice.pick(TAME),
            _ => *dice.pick(WILD),
        };
    }

    fn simpler(&self) -> Vec<Self> {
        match self.to_bits() {
            0 => Vec::new(),
            bits if bits == 1.0_f64.to_bits() => vec![0.0],
            _ => vec![0.0, 1.0],
        }
    }
}

macro_rules! integers {
    ($($name:ty)*) => { $(
        impl Vary for $name {
            fn vary(&mut self, dice: &mut Dice) {
                *self = match dice.below(4) {
                    0 => self.wrapping_add(1),
                    1 => self.wrapping_sub(1),
                    _ => *dice.pick(INTEGERS) as $name,
                };
            }

            fn simpler(&self) -> Vec<Self> {
                if *self == 0 { Vec::new() } else { vec![0, *self / 2] }
            }
        }
    )* };
}
integers!(u8 u16 i32 i64 u32 u64);

impl Vary for bool {
    fn vary(&mut self, _: &mut Dice) {
        *self = !*self;
    }

    fn simpler(&self) -> Vec<Self> {
        if *self { vec![false] } else { Vec::new() }
    }
}

fn cut(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at)
}

impl Vary for String {
    fn vary(&mut self, dice: &mut Dice) {
        let (from, to) = {
            let part = dice.part(self.len(), 64);
            (cut(self, part.start), cut(self, part.end))
        };
        let text = *dice.pick(TEXTS);
        match dice.below(7) {
            0 => self.replace_range(from..to, ""),
            1 => self.insert_str(from, text),
            2 => self.push_str(text),
            3 => text.clone_into(self),
            4 => self.insert_str(0, &"x ".repeat(*dice.pick(LENGTHS) / 2)),
            5 => self.push_str(&text.repeat(100)),
            _ => *self = self.to_uppercase(),
        }
        self.truncate(cut(self, LONGEST_TEXT));
    }

    fn simpler(&self) -> Vec<Self> {
        let half = cut(self, self.len() / 2);
        let mut simpler: Vec<Self> = ["", &self[..half], &self[half..]].map(Self::from).into();
        simpler.retain(|text| text.len() < self.len());
        simpler
    }
}

impl<T: Vary + Sample> Vary for Option<T> {
    fn vary(&mut self, dice: &mut Dice) {
        match self {
            Some(_) if dice.chance(20) => *self = None,
            Some(value) => value.vary(dice),
            None => {
                let mut value = T::sample();
                value.vary(dice);
                *self = Some(value);
            }
        }
    }

    fn simpler(&self) -> Vec<Self> {
        let Some(value) = self else { return Vec::new() };
        std::iter::once(None).chain(value.simpler().into_iter().map(Some)).collect()
    }
}

impl<T: Vary + Sample> Vary for Vec<T> {
    fn vary(&mut self, dice: &mut Dice) {
        if self.is_empty() || dice.chance(15) {
            self.push(T::sample());
        }
        let at = dice.below(self.len());
        match dice.below(10) {
            0 => drop(self.remove(at)),
            1 => self.insert(at, self[at].clone()),
            2 => self.reverse(),
            3 => *self = self.iter().cycle().take(*dice.pick(LENGTHS)).cloned().collect(),
            _ => self[at].vary(dice),
        }
        self.truncate(LONGEST_LIST);
    }

    fn simpler(&self) -> Vec<Self> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut simpler = vec![Self::new()];
        let half = self.len() / 2;
        if half > 0 {
            simpler.extend([self[..half].to_vec(), self[half..].to_vec()]);
        }
        let looked_at = if self.len() > LOOKED_AT * LOOKED_AT { 0 } else { self.len().min(LOOKED_AT) };
        for at in 0..looked_at {
            let mut without = self.clone();
            without.remove(at);
            simpler.push(without);
            simpler.extend(self[at].simpler().into_iter().map(|item| {
                let mut with = self.clone();
                with[at] = item;
                with
            }));
        }
        simpler
    }
}

impl<T: Vary> Vary for Box<T> {
    fn vary(&mut self, dice: &mut Dice) {
        (**self).vary(dice);
    }

    fn simpler(&self) -> Vec<Self> {
        (**self).simpler().into_iter().map(Self::new).collect()
    }
}

/// A value to start with.
pub trait Sample {
    /// The value.
    fn sample() -> Self;
}

macro_rules! samples {
    ($($name:ty: $value:expr;)*) => { $( impl Sample for $name { fn sample() -> Self { $value } } )* };
}
samples! {
    u8: 0;
    u16: 500;
    i32: 5;
    u32: 1;
    u64: 1;
    bool: true;
    f64: 1.0;
    ErrorLabels: ErrorLabels { error_type: Some("server_error".to_owned()), error_code: None };
    Fact: Fact { name: "attempts-elsewhere".to_owned(), value: FactValue::Whole(2) };
    ModelFacts: ModelFacts { window: Some(8192), ..ModelFacts::default() };
    Vec<ModelFacts>: vec![ModelFacts::sample()];
    Vec<PastAttempt>: vec![PastAttempt::sample()];
    Vec<Fact>: vec![Fact::sample()];
    HostFacts: HostFacts {
        has_model: Some(true),
        same_digest: None,
        loaded_window: Some(4096),
        breaker: Phase::Closed,
        outstanding: 0,
        failed: 0,
    };
    HostChoice: HostChoice { current: 0, hosts: vec![HostFacts::sample(), HostFacts::sample()] };
    RequestFacts: RequestFacts {
        protocol: ClientProtocol::Direct,
        streamed: true,
        tools: false,
        format: false,
        thinking: false,
        images: false,
        seed_fixed: false,
        temperature: Some(0.0),
        allows_empty: false,
    };
    WindowFacts: WindowFacts {
        needed: Some(6010),
        estimated: false,
        answer_length: None,
        asked: None,
        fixed: false,
        loaded: Some(4096),
        model_limit: Some(8192),
        caller_limit: None,
        memory: MemoryOwner::ThisMachine,
        memory_available: Some(8 << 30),
        bytes_per_token: Some(29_571.0),
        reading_speed: Some(95.0),
        load_time: Some(0.5),
    };
    ExchangeFacts: ExchangeFacts {
        verdict: ExchangeVerdict::Cut,
        delivered_text: 120,
        delivered_thinking: 0,
        delivered_tool_calls: 0,
        thinking: 0,
        prompt_tokens: Some(31),
        answer_tokens: None,
    };
    Rescue: Rescue { replay: true, prefill: true, restart: false };
    Circumstances: Circumstances::default();
    PastAttempt: PastAttempt { model: None, host: Some(0), category: ErrorCategory::Transient, rule: "queue-full".to_owned(), took: 0.5 };
    String: "qwen3:8b".to_owned();
    WorkflowEntry: WorkflowEntry { key: "temperature".to_owned(), value: WorkflowValue::Number(0.9) };
    CachedAnswer: CachedAnswer { age: 5.0, max_age: 60.0 };
    ModelChoice: ModelChoice { current: "qwen3".to_owned(), chain: vec!["qwen3".to_owned(), "gemma3".to_owned()], known: None };
    ResourceSnapshot: ResourceSnapshot {
        memory_total_bytes: 16 << 30,
        memory_available_bytes: 8 << 30,
        disk_total_bytes: 1 << 40,
        disk_available_bytes: 1 << 39,
        cpu_percent: Some(20.0),
    };
    Guard: Guard {
        config: BreakerConfig::default(),
        state: BreakerState { phase: Phase::Closed, consecutive_failures: 4, half_open_successes: 0, since: 0, generation: 2, memory: Vec::new() },
        generation: 2,
        successes: 0,
        took: 0.0,
    };
}

macro_rules! names {
    ($($name:ident)*) => { $(
        impl Vary for $name {
            fn vary(&mut self, dice: &mut Dice) {
                *self = *dice.pick(Self::ALL);
            }

            fn simpler(&self) -> Vec<Self> {
                Vec::new()
            }
        }
    )* };
}
names!(FaultKind Endpoint ErrorCategory ErrorSeverity SuggestedAction Phase Profile ClientProtocol MemoryOwner ExchangeVerdict);

/// Varies the fields of one type.
#[macro_export]
macro_rules! vary_one {
    ($dice:ident: $($place:expr),+) => {{
        let mut left = 1 + $dice.below([$(stringify!($place)),+].len());
        $( left -= 1; if left == 0 { $crate::vary::Vary::vary($place, $dice); return; } )+
    }};
}

macro_rules! records {
    ($($name:ident: $($field:ident)+;)*) => { $(
        impl Vary for $name {
            fn vary(&mut self, dice: &mut Dice) {
                vary_one!(dice: $(&mut self.$field),+)
            }

            fn simpler(&self) -> Vec<Self> {
                let mut simpler = Vec::new();
                $( simpler.extend(self.$field.simpler().into_iter().map(|field| {
                    let mut copy = self.clone();
                    copy.$field = field;
                    copy
                })); )+
                simpler
            }
        }
    )* };
}
records! {
    ErrorLabels: error_type error_code;
    Fact: name value;
    Fault: kind status errno endpoint message labels retry_after should_retry points_to;
    Classification: category severity retryable retry_limit counted model_specific host_specific action rule;
    JitterRange: low high;
    RetryConfig: max_retries base_delay max_delay backoff_factor jitter jitter_range jitter_may_exceed_max;
    BreakerConfig: failure_threshold recovery_timeout success_threshold half_open_permits failure_window failure_rate_threshold minimum_calls
        slow_call_duration slow_call_rate_threshold;
    BreakerState: phase consecutive_failures half_open_successes since generation memory;
    Observation: event now successes took;
    WorkflowEntry: key value;
    ResourceSnapshot: memory_total_bytes memory_available_bytes disk_total_bytes disk_available_bytes cpu_percent;
    ResourceThresholds: memory_percent disk_percent disk_free_bytes cpu_percent;
    Guard: config state generation successes took;
    ModelFacts: window loaded_window size_bytes tools images thinking;
    ModelChoice: current chain known;
    HostFacts: has_model same_digest loaded_window breaker outstanding failed;
    HostChoice: current hosts;
    RequestFacts: protocol streamed tools format thinking images seed_fixed temperature allows_empty;
    WindowFacts: needed estimated answer_length asked fixed loaded model_limit caller_limit memory memory_available bytes_per_token
        reading_speed load_time;
    ExchangeFacts: verdict delivered_text delivered_thinking delivered_tool_calls thinking prompt_tokens answer_tokens;
    Rescue: replay prefill restart;
    PastAttempt: model host category rule took;
    CachedAnswer: age max_age;
    Alternatives: fallback cached checkpoint can_simplify;
    Incident: failure attempt elapsed deadline idempotent retry_budget retry random now guard models at_hand resources circumstances;
    Circumstances: hosts request window exchange rescue history more;
}

impl Vary for BreakerEvent {
    fn vary(&mut self, dice: &mut Dice) {
        let generation = *dice.pick(INTEGERS);
        *self = *dice.pick(&[Self::Elapsed, Self::Success(generation), Self::Failure(generation), Self::Ignored(generation)]);
    }

    fn simpler(&self) -> Vec<Self> {
        match self {
            Self::Elapsed => Vec::new(),
            Self::Success(generation) => generation.simpler().into_iter().map(Self::Success).collect(),
            Self::Failure(generation) => generation.simpler().into_iter().map(Self::Failure).collect(),
            Self::Ignored(generation) => generation.simpler().into_iter().map(Self::Ignored).collect(),
        }
    }
}

impl Vary for FactValue {
    fn vary(&mut self, dice: &mut Dice) {
        *self = match dice.below(4) {
            0 => Self::Flag(dice.chance(50)),
            1 => Self::Whole(*dice.pick(INTEGERS) as i64),
            2 => Self::Number(*dice.pick(TAME)),
            _ => Self::Text((*dice.pick(TEXTS)).to_owned()),
        };
    }

    fn simpler(&self) -> Vec<Self> {
        if *self == Self::Flag(false) { Vec::new() } else { vec![Self::Flag(false)] }
    }
}

impl Vary for WorkflowValue {
    fn vary(&mut self, dice: &mut Dice) {
        match (dice.below(8), self) {
            (0, value) => *value = Self::Null,
            (1, value) => *value = Self::Boolean(true),
            (2, value) => *value = Self::Items(*dice.pick(INTEGERS) as u32),
            (3, value) => *value = Self::Nested,
            (4, value) => *value = Self::Text((*dice.pick(TEXTS)).to_owned()),
            (_, Self::Text(text)) => text.vary(dice),
            (_, Self::Number(number)) => number.vary(dice),
            (_, value) => *value = Self::Number(*dice.pick(TAME)),
        }
    }

    fn simpler(&self) -> Vec<Self> {
        match self {
            Self::Null => Vec::new(),
            Self::Text(text) if !text.is_empty() => vec![Self::Null, Self::Text(String::new())],
            _ => vec![Self::Null],
        }
    }
}
