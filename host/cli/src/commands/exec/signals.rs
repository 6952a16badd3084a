//! The signals that end programs, as they come.
//!
//! Ctrl-C reaches every process of the terminal's foreground group, this program and the command alike; `kill` reaches one. A command that got both the
//! terminal's and ours would take it for an impatient second Ctrl-C and leave its cleaning up half done. So it is told where a signal came from.

use rustix::process::Signal;
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use std::io;
use tokio::sync::mpsc;

/// Those that ask a program to end.
const ENDING: &[Signal] = &[Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) signal: Signal,
    /// A key was pressed: all of the terminal's foreground group has it.
    pub(super) from_terminal: bool,
}

pub(super) struct Signals {
    receiver: mpsc::UnboundedReceiver<Received>,
}

impl Signals {
    /// From now on these signals do not end this program. What was ignored when it began (`nohup`, a shell's background job) stays ignored, also by the command.
    pub(super) fn listen() -> io::Result<Self> {
        let ignored = ignored();
        let wanted = ENDING.iter().filter(|signal| !ignored.contains(signal)).map(|signal| signal.as_raw());
        let mut incoming = SignalsInfo::<WithOrigin>::new(wanted)?;
        let (sender, receiver) = mpsc::unbounded_channel();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            for origin in incoming.forever() {
                let Some(signal) = Signal::from_named_raw(origin.signal) else { continue };
                let from_terminal = origin.process.is_none() && matches!(signal, Signal::INT | Signal::QUIT);
                if sender.send(Received { signal, from_terminal }).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { receiver })
    }

    /// The next signal. Dropping the future loses none.
    pub(super) async fn next(&mut self) -> Received {
        match self.receiver.recv().await {
            Some(received) => received,
            // The thread above lives as long as this does.
            None => std::future::pending().await,
        }
    }
}

/// The signals that were ignored when this program began, where the system tells.
fn ignored() -> Vec<Signal> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = ignored_mask(&status);
    let is_ignored = |signal: &&Signal| u32::try_from(signal.as_raw() - 1).is_ok_and(|bit| mask >> bit & 1 == 1);
    ENDING.iter().filter(is_ignored).copied().collect()
}

fn ignored_mask(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        assert_eq!(ignored_mask("Name:\tx\nSigBlk:\tff\nSigIgn:\t0000000000001006\nSigCgt:\t0\n"), 0x1006);
        assert_eq!((ignored_mask(""), ignored_mask("SigIgn:\tnonsense")), (0, 0));
    }
}
