//! Shows tokens before their answer is whole.

use super::attempt::Answer;
use crate::output::Output;
use std::cell::RefCell;
use std::future::pending;
use std::io;
use tokio::sync::Notify;
use upright::{Recovered, Served};

pub(super) struct Screen {
    output: Output,
    live: bool,
    state: RefCell<State>,
    failed: Notify,
}

#[derive(Default)]
struct State {
    shown: bool,
    within_line: bool,
    failure: Option<io::Error>,
}

impl Screen {
    pub(super) fn new(output: Output, live: bool) -> Self {
        Self { output, live, state: RefCell::default(), failed: Notify::new() }
    }

    /// Never returns after a write error; [`Screen::broken`] ends the program.
    pub(super) async fn show(&self, token: &str) {
        if !self.live {
            return;
        }
        {
            let mut state = self.state.borrow_mut();
            match self.output.print(token) {
                Ok(()) => {
                    state.shown = true;
                    state.within_line = !token.ends_with('\n');
                    return;
                }
                Err(error) => state.failure = Some(error),
            }
        }
        self.failed.notify_one();
        pending().await
    }

    /// Resolves after a write error.
    pub(super) async fn broken(&self) -> io::Error {
        loop {
            if let Err(error) = self.written() {
                return error;
            }
            self.failed.notified().await;
        }
    }

    pub(super) fn written(&self) -> io::Result<()> {
        self.state.borrow_mut().failure.take().map_or(Ok(()), Err)
    }

    pub(super) fn end_line(&self) {
        let mut state = self.state.borrow_mut();
        if std::mem::take(&mut state.within_line)
            && let Err(error) = self.output.print("\n")
        {
            state.failure = Some(error);
            self.failed.notify_one();
        }
    }

    /// Whether anything was shown since the last call.
    pub(super) fn take_shown(&self) -> bool {
        std::mem::take(&mut self.state.borrow_mut().shown)
    }

    pub(super) fn has_shown_all(&self, recovered: &Recovered<Answer>) -> bool {
        self.live && recovered.served == Served::Live
    }
}
