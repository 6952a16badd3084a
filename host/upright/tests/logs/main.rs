//! The library's events in `tracing`. A binary of its own, because its tests share one global subscriber: a callsite
//! that another test's thread reaches first, without a subscriber, would stay silent.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod events;
mod getting_started;
mod own_errors;
mod second_try;

use std::cell::RefCell;
use std::io;
use std::sync::Once;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, fmt};

thread_local!(static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });

/// Writes the lines of this thread.
struct Lines;

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Installs the subscriber. Must run first in each test, before any thread reaches a callsite.
fn subscribe() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        let lines = fmt::layer().with_ansi(false).with_writer(|| Lines);
        let subscriber = Registry::default()
            .with(events::Recorder.with_filter(LevelFilter::INFO))
            .with(second_try::Counting)
            .with(lines.with_filter(LevelFilter::INFO));
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

/// The lines that this thread has logged since it was last asked.
fn logged() -> String {
    String::from_utf8(LINES.take()).unwrap()
}
