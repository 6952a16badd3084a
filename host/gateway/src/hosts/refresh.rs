//! Asks the hosts as their schedules say, and stores their answers.

use super::catalogue::{Models, read_loaded, read_version};
use super::host::{Host, Kind};
use super::probe::{Heard, Question, Schedule, Step};
use bytes::Bytes;
use futures_util::future::select;
use std::error::Error;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use upright_core::clock::{Instant, SharedClock};
use upright_core::driving::within;
use upright_core::error::BoxError;

/// Why a host gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// No connection, or none within its time limit.
    #[error("no connection")]
    NoConnection(#[source] io::Error),
    /// The connection ended early, or the answer is no HTTP or too long.
    #[error("no whole answer")]
    NoAnswer(#[source] BoxError),
}

/// Asks hosts over the network.
pub(crate) trait Ask: Send + Sync + 'static {
    /// The status and the body of a `GET`. Needs a limit for connecting and one for the body's length; whoever asks
    /// limits the time of the whole.
    ///
    /// # Errors
    /// [`AskError`] without a whole answer.
    fn get(&self, host: &Host, path: &'static str) -> impl Future<Output = Result<(u16, Bytes), AskError>> + Send;
}

/// Probes hosts and refreshes their lists, with a task for each. Dropping it stops them.
#[derive(Debug)]
#[must_use = "dropping it stops it"]
pub(crate) struct Refresher {
    tasks: Vec<AbortHandle>,
}

impl Refresher {
    /// Starts on this runtime, whose timers must be enabled for the system's clock.
    pub(crate) fn start<A: Ask>(runtime: &Handle, hosts: &[Arc<Host>], ask: &Arc<A>, clock: &SharedClock) -> Self {
        let start = |host: &Arc<Host>| runtime.spawn(watch(Arc::clone(host), Arc::clone(ask), Arc::clone(clock))).abort_handle();
        Self { tasks: hosts.iter().map(start).collect() }
    }
}

impl Drop for Refresher {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

async fn watch<A: Ask>(host: Arc<Host>, ask: Arc<A>, clock: SharedClock) {
    let mut schedule = Schedule::new(clock.now());
    let mut shown = 0;
    loop {
        let now = clock.now();
        let (probe, renew) = host.take_wishes();
        if probe {
            schedule.suspect(now);
        }
        if renew {
            schedule.renew(now);
        }
        let changes = host.changes();
        if changes > shown {
            for question in [Question::Models, Question::Loaded] {
                // A host that comes back lists its models in any case.
                if host.is_reachable() {
                    put(&host, &*ask, &clock, &mut schedule, question).await;
                }
            }
            shown = changes;
            host.shows(shown);
            continue;
        }
        match schedule.next(now) {
            Step::Ask(question) => put(&host, &*ask, &clock, &mut schedule, question).await,
            Step::Wait(span) => {
                select(pin!(host.wished()), clock.sleep(span)).await;
            }
        }
    }
}

/// Puts a question to a host.
async fn put<A: Ask>(host: &Host, ask: &A, clock: &SharedClock, schedule: &mut Schedule, question: Question) {
    let asked = clock.now();
    let answer = within(Some(question.limit()), clock, ask.get(host, question.path(host.kind()))).await;
    let heard = learn(host, question, asked, &answer);
    schedule.heard(question, heard, clock.now());
    if host.is_reachable() != (schedule.rate() > 0) {
        report(host, schedule.rate(), answer);
    }
    host.was_probed(schedule.rate(), clock.now());
}

/// `Err(None)` for an answer that did not come in time.
type Answer = Result<(u16, Bytes), Option<AskError>>;

/// Stores an answer. A list that cannot be read leaves the last one.
fn learn(host: &Host, question: Question, asked: Instant, answer: &Answer) -> Heard {
    let (status, body) = match answer {
        Ok((status, body)) => (*status, body),
        Err(Some(AskError::NoConnection(_))) => return Heard::Refused,
        Err(Some(AskError::NoAnswer(_)) | None) => return Heard::Nothing,
    };
    // A proxy before a dead host.
    if status >= 500 {
        return Heard::Nothing;
    }
    if (200..300).contains(&status) {
        let learned = match (host.kind(), question) {
            (Kind::Ollama, Question::Alive) => {
                host.learn_version(read_version(body));
                Ok(())
            }
            (Kind::Ollama, Question::Loaded) => read_loaded(body).map(|loaded| host.learn_loaded(loaded, asked)),
            (kind, _) => Models::read(kind, body).map(|models| {
                let count = models.len();
                if host.models().is_none_or(|known| known.len() != count) {
                    tracing::info!(target: "upright", host = &**host.name(), models = count, "the host lists its models");
                }
                host.learn_models(models);
            }),
        };
        if let Err(error) = learned {
            let (name, path) = (&**host.name(), question.path(host.kind()));
            tracing::warn!(target: "upright", host = name, path, error = &error as &dyn Error, "a list cannot be read");
        }
    }
    Heard::Answer
}

fn report(host: &Host, rate: u32, answer: Answer) {
    let name = &**host.name();
    let error: BoxError = match answer {
        _ if rate > 0 => return tracing::info!(target: "upright", host = name, "the host can be reached again"),
        Ok((status, _)) => format!("status {status}").into(),
        Err(Some(error)) => error.into(),
        Err(None) => "no answer in time".into(),
    };
    tracing::warn!(target: "upright", host = name, error = &*error as &dyn Error, "the host cannot be reached");
}

#[cfg(test)]
mod tests {
    use super::super::balance::{Ranking, Wish, survey};
    use super::super::host::{FULL_RATE, HostSettings};
    use super::super::testing::{breakers, model, ollama, ps, settings, tags};
    use super::*;
    use std::collections::HashMap;
    use std::sync::Mutex;
    use std::time::Duration;
    use tokio::task::yield_now;
    use upright_core::testing::DrivenClock;

    /// How a scripted host behaves.
    #[derive(Clone, Debug)]
    enum Script {
        /// No process listens.
        Refuses,
        /// Packets vanish, or the machine is too busy for these paths.
        Silent(&'static [&'static str]),
        /// Everything is answered with this status.
        Status(u16),
        /// Its models and its loaded ones.
        Serves(String, String),
    }

    const ALL: &[&str] = &["/api/version", "/api/tags", "/api/ps", "/v1/models"];

    /// A network of scripted hosts, by name. Hosts that it does not know are silent.
    #[derive(Default)]
    struct Network {
        scripts: Mutex<HashMap<String, Script>>,
        asked: Mutex<Vec<(String, String)>>,
    }

    impl Ask for Network {
        async fn get(&self, host: &Host, path: &'static str) -> Result<(u16, Bytes), AskError> {
            let name = host.name().to_string();
            self.asked.lock().unwrap().push((name.clone(), path.to_owned()));
            let script = self.scripts.lock().unwrap().get(&name).cloned().unwrap_or(Script::Silent(ALL));
            yield_now().await;
            let body = match script {
                Script::Refuses => return Err(AskError::NoConnection(io::ErrorKind::ConnectionRefused.into())),
                Script::Silent(paths) if paths.contains(&path) => return std::future::pending().await,
                Script::Status(status) => return Ok((status, Bytes::new())),
                Script::Silent(_) => r#"{"models":[]}"#.to_owned(),
                Script::Serves(..) if path == "/api/version" => r#"{"version":"0.33.0"}"#.to_owned(),
                Script::Serves(_, loaded) if path == "/api/ps" => loaded,
                Script::Serves(models, _) => models,
            };
            Ok((200, body.into()))
        }
    }

    struct Rig {
        network: Arc<Network>,
        hosts: Vec<Arc<Host>>,
        clock: DrivenClock,
        _refresher: Option<Refresher>,
    }

    impl Rig {
        async fn new(scripts: &[(&str, Script)]) -> Self {
            let clock = DrivenClock::new();
            let breakers = breakers(&clock);
            let hosts = scripts.iter().map(|(name, _)| ollama(name, &breakers)).collect();
            Self::with(hosts, scripts, clock).await
        }

        async fn with(hosts: Vec<Arc<Host>>, scripts: &[(&str, Script)], clock: DrivenClock) -> Self {
            let network = Arc::new(Network::default());
            let mut rig = Self { network, hosts, clock, _refresher: None };
            scripts.iter().for_each(|(name, script)| rig.set(name, script.clone()));
            rig._refresher = Some(Refresher::start(&Handle::current(), &rig.hosts, &rig.network, &rig.clock.shared()));
            rig.settle().await;
            rig
        }

        fn set(&self, host: &str, script: Script) {
            self.network.scripts.lock().unwrap().insert(host.to_owned(), script);
        }

        /// Lets all tasks come to where they wait for the clock or for a host.
        async fn settle(&self) {
            for _ in 0..50 {
                yield_now().await;
            }
        }

        async fn advance(&self, milliseconds: u64) {
            self.clock.advance(Duration::from_millis(milliseconds));
            self.settle().await;
        }

        /// The paths asked for since the last look.
        fn asked(&self) -> Vec<String> {
            std::mem::take(&mut *self.network.asked.lock().unwrap()).into_iter().map(|(_, path)| path).collect()
        }

        fn rates(&self) -> Vec<u32> {
            self.hosts.iter().map(|host| host.rate()).collect()
        }

        fn best(&self, name: &str, spread: u64) -> Option<usize> {
            let name = model(name);
            let wish = Wish { model: Some(&name), ..Wish::default() };
            Ranking::of(survey(&self.hosts, &wish, self.clock.shared().now()), spread).best()
        }
    }

    fn serves(models: &[(&str, &str)], loaded: &[(&str, u32)]) -> Script {
        Script::Serves(tags(models), ps(loaded))
    }

    #[tokio::test]
    async fn hosts_are_asked_at_once_and_their_answers_are_stored() {
        let rig = Rig::new(&[("a", serves(&[("m:latest", "d")], &[("m:latest", 4096)]))]).await;
        assert_eq!(rig.asked(), ["/api/version", "/api/tags", "/api/ps"]);
        let host = &rig.hosts[0];
        assert_eq!(host.version().unwrap().to_string(), "0.33.0");
        assert!(host.models().unwrap().find(&model("m")).is_some());
        assert_eq!((host.memory(&model("m"), None).window, host.probed()), (Some(4096), Some(0)));
        rig.advance(10_000).await;
        assert_eq!(rig.asked(), ["/api/version"]);
    }

    #[tokio::test]
    async fn lists_are_renewed_when_somebody_asks_for_it_and_show_the_change() {
        let rig = Rig::new(&[("a", serves(&[], &[]))]).await;
        rig.asked();
        rig.set("a", serves(&[("pulled:latest", "d")], &[]));
        rig.advance(1000).await;
        assert_eq!(rig.asked(), [""; 0]);
        rig.hosts[0].renew();
        rig.settle().await;
        assert_eq!(rig.asked(), ["/api/tags", "/api/ps"]);
        assert!(rig.hosts[0].models().unwrap().find(&model("pulled")).is_some());
    }

    #[tokio::test]
    async fn lists_show_a_change_at_once_however_soon_it_follows_another() {
        let rig = Rig::new(&[("a", serves(&[("old:latest", "d")], &[]))]).await;
        rig.asked();
        for names in [&[][..], &[("new:latest", "d")]] {
            rig.set("a", serves(names, &[]));
            rig.hosts[0].changed();
            rig.hosts[0].shown().await;
            assert_eq!(rig.asked(), ["/api/tags", "/api/ps"]);
            assert_eq!(rig.hosts[0].models().unwrap().len(), names.len());
        }
    }

    #[tokio::test]
    async fn a_dead_host_is_noticed_when_a_request_fails_there_and_comes_back_slowly() {
        let rig = Rig::new(&[("a", serves(&[("m:latest", "d")], &[])), ("b", serves(&[("m:latest", "d")], &[]))]).await;
        rig.set("a", Script::Refuses);
        rig.advance(1000).await;
        assert_eq!(rig.rates(), [FULL_RATE, FULL_RATE]);
        rig.hosts[0].suspect();
        rig.settle().await;
        assert_eq!(rig.rates(), [0, FULL_RATE]);
        assert!((0..4).all(|spread| rig.best("m", spread) == Some(1)));

        rig.set("a", serves(&[("m:latest", "d")], &[]));
        rig.asked();
        rig.advance(500).await;
        assert_eq!((rig.asked(), rig.rates()[0]), (["/api/version", "/api/tags", "/api/ps"].map(str::to_owned).to_vec(), 1));
        let _request = rig.hosts[0].begin(None, None, 0).unwrap();
        assert!((0..4).all(|spread| rig.best("m", spread) == Some(1)));
        for rate in [2, 4] {
            rig.advance(1000).await;
            assert_eq!(rig.rates()[0], rate);
        }
    }

    #[tokio::test]
    async fn a_black_hole_is_found_out_by_its_probes_without_holding_up_the_other_host() {
        let rig = Rig::new(&[("black hole", Script::Silent(ALL)), ("other", serves(&[("m:latest", "d")], &[]))]).await;
        // It has not listed its models, so the other one comes first.
        assert!((0..4).all(|spread| rig.best("m", spread) == Some(1)));
        rig.advance(2000).await;
        assert_eq!(rig.rates(), [FULL_RATE, FULL_RATE]);
        rig.advance(5000).await;
        assert_eq!(rig.rates(), [0, FULL_RATE]);
        assert!((0..4).all(|spread| rig.best("unheard of", spread) == Some(1)));
    }

    #[tokio::test]
    async fn a_host_is_asked_one_question_at_a_time_whoever_wishes_for_more() {
        let rig = Rig::new(&[("a", Script::Silent(ALL))]).await;
        for _ in 0..50 {
            rig.hosts[0].suspect();
            rig.hosts[0].renew();
            rig.advance(20).await;
        }
        assert_eq!(rig.asked(), ["/api/version"]);
    }

    #[tokio::test]
    async fn a_host_that_is_busy_with_loading_is_asked_again_and_not_called_dead() {
        let rig = Rig::new(&[("a", serves(&[("m:latest", "d")], &[]))]).await;
        rig.set("a", Script::Silent(&["/api/version", "/api/tags"]));
        rig.asked();
        for _ in 0..20 {
            rig.advance(10_000).await;
            rig.advance(10_000).await;
            assert_eq!(rig.rates(), [FULL_RATE]);
        }
        assert!(rig.asked().iter().filter(|path| *path == "/api/ps").count() >= 10);
        rig.set("a", Script::Silent(ALL));
        for _ in 0..3 {
            rig.advance(10_000).await;
        }
        assert_eq!(rig.rates(), [0]);
    }

    #[tokio::test]
    async fn a_proxy_before_a_dead_host_is_no_host_and_a_refused_question_is_an_answer() {
        let rig = Rig::new(&[("a", Script::Status(502)), ("b", Script::Status(403))]).await;
        assert_eq!(rig.rates(), [0, FULL_RATE]);
    }

    #[tokio::test]
    async fn a_list_that_cannot_be_read_leaves_the_last_one() {
        let rig = Rig::new(&[("a", serves(&[("m:latest", "d")], &[]))]).await;
        rig.set("a", Script::Serves("<html>".into(), "{}".into()));
        rig.hosts[0].renew();
        rig.advance(1000).await;
        assert!(rig.hosts[0].models().unwrap().find(&model("m")).is_some());
        assert_eq!(rig.rates(), [FULL_RATE]);
    }

    #[tokio::test]
    async fn an_openai_compatible_host_lists_its_models() {
        let clock = DrivenClock::new();
        let host = Host::new(HostSettings { kind: Kind::Openai, ..settings("a") }, breakers(&clock));
        let listed = Script::Serves(r#"{"object":"list","data":[{"id":"Llama-3"}]}"#.into(), String::new());
        let rig = Rig::with(vec![host], &[("a", listed)], clock).await;
        assert_eq!(&*rig.hosts[0].models().unwrap().find(&model("llama-3")).unwrap().name, "Llama-3");
        assert!(rig.asked().iter().all(|path| path == "/v1/models"));
    }

    #[tokio::test]
    async fn a_dropped_refresher_asks_no_more() {
        let mut rig = Rig::new(&[("a", serves(&[], &[]))]).await;
        rig._refresher = None;
        rig.asked();
        rig.hosts[0].renew();
        rig.advance(60_000).await;
        assert_eq!(rig.asked(), [""; 0]);
    }
}
