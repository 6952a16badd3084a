//! Events of an operation: for subscribers and in `tracing` spans.

use crate::subscribe;
use futures_util::StreamExt;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::io;
use tracing::field::{Field, Visit};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;
use upright::events::Events;
use upright::testing::{DrivenClock, Script};
use upright::{Event, RecoveryManager, RetryStrategy};
use upright_test_kit::refused;

#[tokio::test]
async fn a_subscription_is_a_stream_that_ends_with_what_it_listens_to() {
    subscribe();
    let clock = DrivenClock::skipping();
    let events = Events::default();
    let (mut all, before) = (events.subscribe(), events.subscribe());
    let strategy = RetryStrategy::builder()
        .use_circuit_breaker(false)
        .clock(clock.shared())
        .name("chat")
        .max_retries(1)
        .events(events)
        .build()
        .unwrap();
    drop(before);
    strategy.execute(|| async { Err::<(), _>(refused()) }).await.unwrap_err();
    let mut late = {
        let clone = strategy.clone();
        drop(strategy);
        assert!(!all.is_closed());
        let seen: Vec<_> = std::iter::from_fn(|| all.try_recv()).collect();
        let attempts: Vec<_> = seen.iter().map(attempt).collect();
        assert_eq!(attempts, [Some(1), Some(2), Some(2), Some(2)], "{seen:?}");
        drop(clone);
        all
    };
    assert!(late.is_closed());
    assert_eq!(late.next().await, None);
}

#[tokio::test]
async fn a_manager_tells_each_subscriber_everything_since_it_subscribed() {
    subscribe();
    let manager = RecoveryManager::builder().clock(DrivenClock::skipping().shared()).build().unwrap();
    let mut first = manager.subscribe();
    manager.operation("a").attempts(1).run(|_| async { Err::<u32, _>(refused()) }).await.unwrap_err();
    let mut second = manager.subscribe();
    manager.operation("b").attempts(1).run(|_| async { Err::<u32, _>(refused()) }).await.unwrap_err();
    let names = |seen: &mut upright::events::Subscription| -> Vec<String> {
        std::iter::from_fn(|| seen.try_recv())
            .filter_map(|event| match event {
                Event::GaveUp { operation, .. } => Some(operation.to_string()),
                _ => None,
            })
            .collect()
    };
    assert_eq!((names(&mut first), names(&mut second)), (vec!["a".to_owned(), "b".to_owned()], vec!["b".to_owned()]));
}

fn attempt(event: &Event) -> Option<u32> {
    match event {
        Event::AttemptFailed { attempt, .. } | Event::RetryScheduled { attempt, .. } | Event::GaveUp { attempt, .. } => Some(*attempt),
        _ => None,
    }
}

#[derive(Clone, Debug, Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0.entry(field.name()).or_default(), "{value:?}").unwrap();
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

#[derive(Clone, Debug)]
struct Logged {
    fields: Fields,
    spans: Vec<(&'static str, Fields)>,
}

impl Logged {
    fn message(&self) -> &str {
        &self.fields.0["message"]
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.0.get(name).map(String::as_str)
    }

    fn scope(&self) -> Vec<String> {
        let text = |(name, fields): &(&str, Fields)| {
            fields.0.iter().fold((*name).to_owned(), |text, (field, value)| format!("{text} {field}={value}"))
        };
        self.spans.iter().map(text).collect()
    }
}

thread_local!(static LOGGED: RefCell<Vec<Logged>> = const { RefCell::new(Vec::new()) });

pub(crate) struct Recorder;

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorder {
    fn on_new_span(&self, attributes: &tracing::span::Attributes<'_>, id: &tracing::span::Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        context.span(id).unwrap().extensions_mut().insert(fields);
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let spans = context.event_scope(event).into_iter().flat_map(|scope| scope.from_root());
        let spans = spans.map(|span| (span.name(), span.extensions().get::<Fields>().cloned().unwrap_or_default())).collect();
        LOGGED.with_borrow_mut(|logged| logged.push(Logged { fields, spans }));
    }
}

fn logged(future: impl Future<Output = ()>) -> Vec<Logged> {
    subscribe();
    LOGGED.take();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future);
    LOGGED.take()
}

fn missing() -> io::Error {
    io::Error::other("model 'a' not found")
}

fn manager() -> RecoveryManager {
    RecoveryManager::builder().clock(DrivenClock::skipping().shared()).build().unwrap()
}

#[test]
fn every_event_of_an_operation_is_logged_within_its_span_with_the_attempts_number() {
    let logged = logged(async {
        let ask = Script::<u32, _>::failing(1, missing).then_failing(2, refused);
        let operation = manager().operation("chat").models(["a", "b"]).attempts(2).run(|_| ask.call()).await;
        operation.unwrap_err();
    });
    assert_eq!(logged[0].field("error"), Some("model 'a' not found"));
    let lines: Vec<_> = logged.iter().map(|logged| (logged.message(), logged.field("attempt").unwrap_or("?"))).collect();
    let expected = [
        ("attempt failed", "1"),
        ("switching model", "1"),
        ("attempt failed", "2"),
        ("retrying", "3"),
        ("attempt failed", "3"),
        ("giving up", "3"),
    ];
    assert_eq!(lines, expected);
    for logged in &logged {
        assert_eq!((logged.scope(), logged.field("operation")), (vec!["operation operation=chat".to_owned()], Some("chat")), "{logged:?}");
    }
}

#[test]
fn code_within_an_attempt_logs_within_the_spans_of_the_attempt_and_the_operation() {
    let logged = logged(async {
        let ask = |attempt: upright::Attempt| async move {
            tracing::info!("asking");
            tokio::task::yield_now().await;
            tracing::info!("still asking");
            match attempt.number {
                1 => Err(missing()),
                2 => Err(refused()),
                _ => Ok(0),
            }
        };
        manager().operation("chat").models(["a", "b"]).attempts(2).run(ask).await.unwrap();
    });
    let asking: Vec<_> = logged.iter().filter(|logged| logged.message().ends_with("asking")).map(Logged::scope).collect();
    let within = |attempt: &str| ["operation operation=chat".to_owned(), format!("attempt {attempt}")];
    let expected = ["model=a number=1", "model=a number=1", "model=b number=2", "model=b number=2", "model=b number=3", "model=b number=3"];
    assert_eq!(asking, expected.map(within));
}

#[test]
fn strategies_and_blocking_calls_have_the_same_spans() {
    let logged = logged(async {
        let strategy = || RetryStrategy::builder().name("fetch").max_retries(0).build().unwrap();
        let ask = || async {
            tracing::info!("asking");
            Ok::<_, io::Error>(())
        };
        strategy().execute(ask).await.unwrap();
        strategy().execute_with_fallback(ask, ask).await.unwrap();
        let ask = || {
            tracing::info!("asking");
            Ok::<_, io::Error>(())
        };
        strategy().execute_blocking(ask).unwrap();
        tracing::info!("outside");
    });
    let scopes: Vec<_> = logged.iter().map(Logged::scope).collect();
    let within = || vec!["operation operation=fetch".to_owned(), "attempt number=1".to_owned()];
    assert_eq!(scopes, [within(), within(), within(), vec![]]);
}
