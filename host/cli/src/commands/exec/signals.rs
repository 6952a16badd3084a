//! Receives the signals that ask this program to end. Ctrl-C on a terminal reaches the command too; forwarded, it would
//! look like an impatient second Ctrl-C.

use rustix::process::Signal;
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use std::io;
use tokio::sync::mpsc;

const ENDING: &[Signal] = &[Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) signal: Signal,
    /// From a key: the whole foreground group has it.
    pub(super) from_terminal: bool,
}

pub(super) struct Signals {
    receiver: mpsc::UnboundedReceiver<Received>,
}

impl Signals {
    /// Signals ignored at the start (`nohup`, a background job) stay ignored, also by the command.
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

    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Received {
        match self.receiver.recv().await {
            Some(received) => received,
            // The sender lives as long as this.
            None => std::future::pending().await,
        }
    }
}

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
