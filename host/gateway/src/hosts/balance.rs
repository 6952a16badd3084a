//! Which host gets a request.
//!
//! A model that moves from host to host is loaded again each time, which takes longer than most answers. So a host that
//! has the model loaded comes first, and a model that nobody has loaded goes where it evicts none. A host that fails at
//! once is idle, so idleness alone attracts nothing: a failure of its own puts it behind all others for a while.

use super::host::{Host, Kind, Memory};
use super::names::ModelName;
use std::sync::Arc;
use upright_core::clock::Instant;
use upright_core::types::{HostChoice, HostFacts};

/// The demands of a request on its host.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish<'a> {
    /// The model, if it names one.
    pub model: Option<&'a ModelName>,
    /// Smallest window that will do, tokens.
    pub window: Option<u32>,
    /// The only API that will do, if not any.
    pub kind: Option<Kind>,
    /// Number of failed attempts of this request on each host, in the order of the hosts; missing ones are 0.
    pub failed: &'a [u32],
}

/// A host as a request sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Index of the host.
    pub host: usize,
    /// Whether it has the model, if known.
    pub has_model: Option<bool>,
    /// Digest of its model, if known.
    pub digest: Option<Arc<str>>,
    /// The model's place in its memory.
    pub memory: Memory,
    /// Whether its breakers admit a call.
    pub admits: bool,
    /// Number of failed attempts of this request there.
    pub failed: u32,
    /// Whether it failed by itself a short while ago.
    pub struck: bool,
    /// Whether a call of the model would wait in its queue.
    pub full: bool,
    /// Number of requests that it should have in flight at most; 0 if it cannot be reached.
    pub rate: u32,
    /// Number of requests in flight.
    pub outstanding: u32,
    /// Share of the requests, at least 1.
    pub weight: u32,
}

/// Reads the hosts of the right kind, in their order.
pub(crate) fn survey(hosts: &[Arc<Host>], wish: &Wish<'_>, now: Instant) -> Vec<Candidate> {
    let is_right = |host: &Host| wish.kind.is_none_or(|kind| kind == host.kind());
    let read = |(index, host): (usize, &Arc<Host>)| {
        let models = wish.model.and_then(|model| Some((host.models()?, model)));
        let found = models.as_ref().map(|(models, model)| models.find(model));
        Candidate {
            host: index,
            has_model: found.map(|found| found.is_some()),
            digest: found.flatten().and_then(|model| model.digest.clone()),
            memory: wish.model.map_or(Memory { warm: true, ..Memory::default() }, |model| host.memory(model, wish.window)),
            admits: host.admits(wish.model),
            failed: wish.failed.get(index).copied().unwrap_or(0),
            struck: host.is_struck(now),
            full: wish.model.is_some_and(|model| host.is_full(model)),
            rate: host.rate(),
            outstanding: host.outstanding(),
            weight: host.settings().weight.max(1),
        }
    };
    hosts.iter().enumerate().filter(|(_, host)| is_right(host)).map(read).collect()
}

/// Excluded, lacks the model, reach, loading, models to evict, load: the smallest is best.
type Place = (bool, u8, u8, u8, u32, u64);

impl Candidate {
    /// Whether this request must not go there.
    fn is_excluded(&self) -> bool {
        !self.admits || self.failed > 0
    }

    /// Its place among all candidates, best first.
    fn place(&self) -> Place {
        let has_model = match self.has_model {
            Some(true) => 0,
            // It may have it.
            None if self.rate > 0 => 1,
            Some(false) | None => 2,
        };
        let reach = match self.rate {
            0 => 2,
            rate if self.outstanding >= rate => 1,
            _ => 0,
        };
        let Memory { warm, others, waits, .. } = self.memory;
        let at_ease = !self.full && !self.struck;
        let loading = match (warm, others, at_ease) {
            (true, 0, true) => 0,
            // Nothing would be evicted.
            (false, 0, true) => 1,
            (true, 0, false) => 2,
            // It is loaded, and another model waits for its memory.
            (true, _, _) if !waits => 3,
            // It waits for the memory of another: sent elsewhere, neither would stay anywhere.
            (true, _, _) => 4,
            (false, _, true) => 5,
            (false, _, false) => 6,
        };
        let load = u64::from(self.outstanding) * LOAD_UNIT / u64::from(self.weight.max(1));
        (self.is_excluded(), has_model, reach, loading, others, load)
    }
}

/// Load of one request on a host of weight 1; larger weights than this count as equal.
const LOAD_UNIT: u64 = 1 << 20;

/// Candidates, best first. The indexes of a policy's answer point into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ranking {
    candidates: Vec<Candidate>,
}

impl Ranking {
    /// Orders candidates. Equal ones take turns by weight, as `spread` grows by 1 from request to request.
    pub(crate) fn of(mut candidates: Vec<Candidate>, spread: u64) -> Self {
        candidates.sort_by_key(Candidate::place);
        for equal in candidates.chunk_by_mut(|one, other| one.place() == other.place()) {
            let first = turn(equal, spread);
            equal.rotate_left(first);
        }
        Self { candidates }
    }

    /// The host that gets the request; `None` if all are excluded.
    #[cfg(test)]
    pub(crate) fn best(&self) -> Option<usize> {
        self.usable().next()
    }

    /// The hosts that may get the request, best first.
    #[cfg(test)]
    pub(crate) fn usable(&self) -> impl Iterator<Item = usize> {
        self.candidates.iter().filter(|candidate| !candidate.is_excluded()).map(|candidate| candidate.host)
    }

    /// All candidates, best first. Excluded ones come last.
    pub(crate) fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// The host at an index of a policy's answer, such as that of
    /// [`Directive::SwitchHost`](upright_core::types::Directive::SwitchHost).
    pub(crate) fn host(&self, index: u32) -> Option<usize> {
        self.candidates.get(usize::try_from(index).ok()?).map(|candidate| candidate.host)
    }

    /// The facts for a policy after a failure on the host `current`. `None` if that host is no candidate.
    pub(crate) fn choice(&self, hosts: &[Arc<Host>], current: usize, model: Option<&ModelName>) -> Option<HostChoice> {
        let at = self.candidates.iter().position(|candidate| candidate.host == current)?;
        // A long answer may have begun before the other host listed its models.
        let digest = |host: usize| hosts.get(host)?.models()?.find(model?)?.digest.clone();
        let current = digest(current);
        let facts = |candidate: &Candidate| {
            Some(HostFacts {
                has_model: candidate.has_model,
                same_digest: digest(candidate.host).zip(current.as_ref()).map(|(its, current)| its == *current),
                loaded_window: candidate.memory.window,
                breaker: hosts.get(candidate.host)?.phase(model),
                outstanding: candidate.outstanding,
                failed: candidate.failed,
            })
        };
        let hosts = self.candidates.iter().map(facts).collect::<Option<Vec<_>>>()?;
        Some(HostChoice { current: u32::try_from(at).ok()?, hosts })
    }
}

/// The index of the candidate whose turn it is.
fn turn(equal: &[Candidate], spread: u64) -> usize {
    let weights = || equal.iter().map(|candidate| u64::from(candidate.weight.max(1)));
    let mut left = spread % weights().sum::<u64>().max(1);
    let is_its_turn = |weight: u64| match left.checked_sub(weight) {
        Some(rest) => {
            left = rest;
            false
        }
        None => true,
    };
    weights().position(is_its_turn).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::LoadedModel;
    use super::super::host::{FULL_RATE, HostSettings, InFlight};
    use super::super::queue::Limits;
    use super::super::testing::{breakers, loaded, model, models, ollama, settings};
    use super::*;
    use std::collections::VecDeque;
    use upright_core::testing::DrivenClock;
    use upright_core::types::{Fault, FaultKind, Phase};
    use upright_logic::classifier::classify;

    fn any(host: usize) -> Candidate {
        Candidate {
            host,
            has_model: Some(true),
            digest: None,
            memory: Memory::default(),
            admits: true,
            failed: 0,
            struck: false,
            full: false,
            rate: FULL_RATE,
            outstanding: 0,
            weight: 1,
        }
    }

    fn warm() -> Memory {
        Memory { warm: true, ..Memory::default() }
    }

    fn cold(others: u32) -> Memory {
        Memory { others, ..Memory::default() }
    }

    #[test]
    fn the_better_host_gets_the_request_whoever_has_the_turn() {
        let better = [
            (
                "has the model, with all against it",
                Candidate { rate: 0, struck: true, outstanding: 99, ..any(0) },
                Candidate { has_model: None, ..any(1) },
            ),
            (
                "may have the model",
                Candidate { has_model: None, struck: true, outstanding: 99, ..any(0) },
                Candidate { has_model: Some(false), memory: warm(), ..any(1) },
            ),
            (
                "can be reached, nothing is known of the other",
                Candidate { has_model: Some(false), ..any(0) },
                Candidate { has_model: None, rate: 0, memory: warm(), ..any(1) },
            ),
            ("can be reached", Candidate { outstanding: 99, memory: cold(9), ..any(0) }, Candidate { rate: 0, memory: warm(), ..any(1) }),
            (
                "is not above its rate",
                Candidate { outstanding: 99, memory: cold(9), ..any(0) },
                Candidate { rate: 4, outstanding: 4, memory: warm(), ..any(1) },
            ),
            ("is above its rate but reachable", Candidate { rate: 1, outstanding: 1, ..any(0) }, Candidate { rate: 0, ..any(1) }),
            ("has it loaded", Candidate { memory: warm(), outstanding: 99, ..any(0) }, any(1)),
            ("evicts fewer", Candidate { memory: cold(1), outstanding: 99, ..any(0) }, Candidate { memory: cold(2), ..any(1) }),
            ("is empty, the loaded one is full", any(0), Candidate { memory: warm(), full: true, ..any(1) }),
            (
                "is full but loaded, the other would evict",
                Candidate { memory: warm(), full: true, ..any(0) },
                Candidate { memory: cold(1), ..any(1) },
            ),
            (
                "is full but loaded, elsewhere a model waits for its memory",
                Candidate { memory: warm(), full: true, ..any(0) },
                Candidate { memory: Memory { others: 1, ..warm() }, ..any(1) },
            ),
            (
                "has it loaded beside a model that waits, the other would evict",
                Candidate { memory: Memory { others: 2, ..warm() }, ..any(0) },
                Candidate { memory: cold(1), ..any(1) },
            ),
            (
                "did not fail by itself, both are loaded",
                Candidate { memory: warm(), outstanding: 99, ..any(0) },
                Candidate { memory: warm(), struck: true, ..any(1) },
            ),
            ("did not fail by itself, the other is empty", Candidate { memory: cold(9), ..any(0) }, Candidate { struck: true, ..any(1) }),
            (
                "failed by itself, but the other would evict",
                Candidate { memory: warm(), struck: true, ..any(0) },
                Candidate { memory: cold(1), ..any(1) },
            ),
            ("has fewer outstanding", Candidate { outstanding: 1, ..any(0) }, Candidate { outstanding: 2, ..any(1) }),
            (
                "has fewer outstanding for its weight",
                Candidate { outstanding: 5, weight: 3, ..any(0) },
                Candidate { outstanding: 2, ..any(1) },
            ),
        ];
        for (why, good, bad) in better {
            for spread in 0..4 {
                for candidates in [vec![good.clone(), bad.clone()], vec![bad.clone(), good.clone()]] {
                    assert_eq!(Ranking::of(candidates, spread).best(), Some(0), "it {why}; turn {spread}");
                }
            }
        }
    }

    #[test]
    fn hosts_that_reject_calls_or_failed_in_this_request_get_nothing_and_come_last() {
        let rejects = Candidate { admits: false, memory: warm(), ..any(0) };
        let failed = Candidate { failed: 1, memory: warm(), ..any(1) };
        let last = Candidate { has_model: Some(false), rate: 0, ..any(2) };
        let ranking = Ranking::of(vec![rejects.clone(), failed.clone(), last], 0);
        assert_eq!((ranking.best(), ranking.usable().collect::<Vec<_>>()), (Some(2), vec![2]));
        assert_eq!(ranking.host(0), Some(2));
        assert_eq!(Ranking::of(vec![rejects, failed], 0).best(), None);
        assert_eq!(Ranking::of(vec![], 0).best(), None);
    }

    #[test]
    fn equal_hosts_take_turns_by_weight_and_a_worse_one_between_them_gets_none() {
        let hosts = [any(0), Candidate { memory: cold(1), ..any(1) }, Candidate { weight: 3, ..any(2) }];
        let mut counts = [0; 3];
        for spread in 0..400 {
            counts[Ranking::of(hosts.to_vec(), spread).best().unwrap()] += 1;
        }
        assert_eq!(counts, [100, 0, 300]);
    }

    #[test]
    fn only_hosts_of_the_right_kind_are_candidates() {
        let breakers = breakers(&DrivenClock::new());
        let openai = Host::new(HostSettings { kind: Kind::Openai, ..settings("openai") }, breakers.clone());
        let hosts = [openai, ollama("ollama", &breakers)];
        let found = |kind| survey(&hosts, &Wish { kind, ..Wish::default() }, 0).iter().map(|candidate| candidate.host).collect::<Vec<_>>();
        assert_eq!((found(None), found(Some(Kind::Ollama)), found(Some(Kind::Openai))), (vec![0, 1], vec![1], vec![0]));
    }

    #[test]
    fn a_policy_gets_the_facts_of_all_hosts_best_first_and_its_index_leads_back() {
        let breakers = breakers(&DrivenClock::new());
        let hosts = ["failing", "other", "best"].map(|name| ollama(name, &breakers));
        for (host, digest) in hosts.iter().zip(["aaa", "bbb", "aaa"]) {
            host.learn_models(models(&[("m:latest", digest)]));
        }
        hosts[2].learn_loaded(loaded(&[("m:latest", 4096)]), 0);
        hosts[0].model_breaker(&model("m")).isolate();
        let name = model("m");
        let wish = Wish { model: Some(&name), failed: &[1], ..Wish::default() };
        let ranking = Ranking::of(survey(&hosts, &wish, 0), 0);
        let facts = |same_digest, loaded_window, failed| HostFacts {
            has_model: Some(true),
            same_digest: Some(same_digest),
            loaded_window,
            breaker: Phase::Closed,
            outstanding: 0,
            failed,
        };
        let choice = ranking.choice(&hosts, 0, Some(&name)).unwrap();
        assert_eq!((choice.current, &choice.hosts[..2]), (2, &[facts(true, Some(4096), 0), facts(false, None, 0)][..]));
        assert_eq!((choice.hosts[2].failed, ranking.host(0), ranking.host(2), ranking.host(3)), (1, Some(2), Some(0), None));
        assert_eq!(ranking.choice(&hosts, 3, Some(&name)), None);
    }

    #[test]
    fn a_black_hole_that_failed_in_the_first_request_ever_is_followed_by_the_next_host() {
        let breakers = breakers(&DrivenClock::new());
        let hosts = [ollama("black hole", &breakers), ollama("other", &breakers)];
        let name = model("m");
        let wish = Wish { model: Some(&name), ..Wish::default() };
        assert_eq!(Ranking::of(survey(&hosts, &wish, 0), 0).best(), Some(0));
        let wish = Wish { failed: &[1, 0], ..wish };
        for spread in 0..4 {
            assert_eq!(Ranking::of(survey(&hosts, &wish, 0), spread).best(), Some(1));
        }
        // Its probes show it, too.
        hosts[0].was_probed(0, 1);
        let wish = Wish { failed: &[], ..wish };
        for spread in 0..4 {
            assert_eq!(Ranking::of(survey(&hosts, &wish, 1), spread).best(), Some(1));
        }
    }

    /// Hosts that keep one model in memory, as a graphics card does, and count their loads.
    struct Cards {
        hosts: Vec<Arc<Host>>,
        loaded: Vec<Option<ModelName>>,
        loads: u32,
    }

    impl Cards {
        fn new(names: &[&str]) -> Self {
            let breakers = breakers(&DrivenClock::new());
            let hosts: Vec<_> = names.iter().map(|name| ollama(name, &breakers)).collect();
            hosts.iter().for_each(|host| host.learn_models(models(&[("m1:latest", "1"), ("m2:latest", "2")])));
            Self { loaded: vec![None; hosts.len()], hosts, loads: 0 }
        }

        fn begin(&mut self, name: &ModelName, number: u64) -> InFlight {
            let wish = Wish { model: Some(name), ..Wish::default() };
            let chosen = Ranking::of(survey(&self.hosts, &wish, number), number).best().unwrap();
            if self.loaded[chosen].as_ref() != Some(name) {
                self.loaded[chosen] = Some(name.clone());
                self.loads += 1;
            }
            self.hosts[chosen].begin(Some(name), None, number).unwrap()
        }

        fn list(&self, now: Instant) {
            for (host, model) in self.hosts.iter().zip(&self.loaded) {
                let listed: Vec<LoadedModel> = model.iter().flat_map(|model| loaded(&[(model.as_str(), 4096)])).collect();
                host.learn_loaded(listed, now);
            }
        }
    }

    #[test]
    fn two_hundred_requests_that_alternate_between_two_models_load_each_once() {
        let names = [model("m1"), model("m2")];
        for in_flight in [1, 2, 8] {
            for first in 0..4 {
                // A list now and then, each time, or never.
                for listed in [7, 1, 1000] {
                    let mut cards = Cards::new(&["a", "b"]);
                    let mut requests = VecDeque::new();
                    for number in 0..200 {
                        requests.push_back(cards.begin(&names[number as usize % 2], first + number));
                        if requests.len() >= in_flight {
                            requests.pop_front().unwrap().succeeded();
                        }
                        if number % listed == 0 {
                            cards.list(first + number + 1);
                        }
                    }
                    assert_eq!(cards.loads, 2, "{in_flight} in flight, turn {first}, a list each {listed}");
                }
            }
        }
    }

    #[test]
    fn a_host_that_fails_at_once_attracts_no_traffic_by_its_emptiness() {
        let clock = DrivenClock::new();
        let breakers = breakers(&clock);
        let hosts = [ollama("fails at once", &breakers), ollama("slow", &breakers)];
        hosts.iter().for_each(|host| host.learn_loaded(loaded(&[("m:latest", 4096)]), 0));
        let name = model("m");
        let fault = Fault { status: Some(503), ..Fault::new(FaultKind::HttpStatus, "server busy, please try again") };
        let mut failures = 0;
        let mut slow = Vec::new();
        for number in 0..200 {
            // One request each millisecond; the slow host takes 300.
            let now = number * 1_000_000;
            let wish = Wish { model: Some(&name), ..Wish::default() };
            let chosen = Ranking::of(survey(&hosts, &wish, now), number).best().unwrap();
            let mut request = hosts[chosen].begin(Some(&name), None, now).unwrap();
            if chosen == 0 {
                failures += 1;
                request.failed(fault.clone(), &classify(&fault), now);
            } else {
                slow.push(request);
            }
        }
        assert_eq!((failures, hosts[1].outstanding()), (1, 199));
    }

    #[test]
    fn a_full_host_yields_to_an_empty_one() {
        let breakers = breakers(&DrivenClock::new());
        let limited =
            |name| Host::new(HostSettings { limits: Limits { concurrent: Some(1), queued: 9 }, ..settings(name) }, breakers.clone());
        let hosts = [limited("a"), limited("b")];
        hosts[0].learn_loaded(loaded(&[("m:latest", 4096)]), 0);
        let name = model("m");
        let best = || Ranking::of(survey(&hosts, &Wish { model: Some(&name), ..Wish::default() }, 0), 0).best();
        assert_eq!(best(), Some(0));
        let _place = hosts[0].queue(&name).unwrap().try_enter().unwrap();
        assert_eq!(best(), Some(1));
    }

    #[test]
    fn a_loaded_window_that_is_too_small_makes_no_host_better() {
        let breakers = breakers(&DrivenClock::new());
        let hosts = [ollama("small", &breakers), ollama("large", &breakers)];
        for (host, window) in hosts.iter().zip([4096, 16_384]) {
            host.learn_loaded(loaded(&[("m:latest", window)]), 0);
        }
        let name = model("m");
        for spread in 0..4 {
            let wish = Wish { model: Some(&name), window: Some(8192), ..Wish::default() };
            assert_eq!(Ranking::of(survey(&hosts, &wish, 0), spread).best(), Some(1));
        }
    }
}
