//! The attributes on functions of every form, under strict lints.
#![deny(warnings, unused, unreachable_pub, unused_qualifications, clippy::all)]

mod breaker;
mod forms;
mod retry;
mod settings;
mod together;

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use upright::RetryStrategy;
use upright::testing::DrivenClock;

#[derive(Debug, Default)]
struct Count(AtomicU32);

impl Count {
    const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    fn up(&self) -> u32 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn get(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("no such row: {0}")]
    NoSuchRow(u32),
    #[error("the disk or the network failed")]
    Io(#[from] io::Error),
    #[error("no answer")]
    Guarded(#[from] upright::Error),
}

impl Problem {
    fn attempts(&self) -> Option<u32> {
        match self {
            Self::Guarded(error) => error.failure().map(|failure| failure.attempts),
            _ => None,
        }
    }
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

fn strategy(clock: &DrivenClock) -> RetryStrategy {
    RetryStrategy::builder().jitter(false).use_circuit_breaker(false).clock(clock.shared()).build().unwrap()
}
