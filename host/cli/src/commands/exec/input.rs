//! Gives every attempt the same standard input.
//!
//! A file is rewound. Piped data is passed on and kept up to [`LONGEST`]; beyond that no other attempt follows.
//! Terminals, `/dev/null` and other devices are inherited.

use crate::output::complain;
use std::convert::Infallible;
use std::fs::File;
use std::future::pending;
use std::io::{self, IsTerminal, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;
use tokio::sync::mpsc;

/// Maximum piped input kept, bytes.
pub(super) const LONGEST: usize = 16 << 20;
const CHUNK: usize = 64 << 10;

pub(super) enum Input {
    /// As it is.
    Inherited,
    /// Inherited, and rewound to this position.
    Rewound { file: File, start: u64 },
    /// Copied into a pipe.
    Replayed(Replay),
}

impl Input {
    /// Inherited untouched if needed only once.
    pub(super) fn new(repeated: bool) -> Self {
        let stdin = io::stdin();
        let ours = || stdin.as_fd().try_clone_to_owned().map(File::from);
        if !repeated || stdin.is_terminal() {
            return Self::Inherited;
        }
        let Ok(mut file) = ours() else { return Self::Inherited };
        let Ok(kind) = file.metadata().map(|about| about.file_type()) else { return Self::Inherited };
        if kind.is_fifo() || kind.is_socket() {
            return Self::Replayed(Replay::new(file));
        }
        if kind.is_file() || kind.is_block_device() {
            return file.stream_position().map_or(Self::Inherited, |start| Self::Rewound { file, start });
        }
        Self::Inherited
    }

    pub(super) fn begin(&mut self) -> io::Result<Stdio> {
        match self {
            Self::Inherited => Ok(Stdio::inherit()),
            Self::Rewound { file, start } => file.seek(SeekFrom::Start(*start)).map(|_| Stdio::inherit()),
            Self::Replayed(replay) if replay.lost => Ok(Stdio::null()),
            Self::Replayed(replay) => {
                replay.given = 0;
                Ok(Stdio::piped())
            }
        }
    }

    pub(super) fn is_repeatable(&self) -> bool {
        !matches!(self, Self::Replayed(replay) if replay.lost)
    }

    /// Cancel safe.
    pub(super) async fn feed(&mut self, pipe: &mut Option<ChildStdin>) -> Infallible {
        match self {
            Self::Replayed(replay) => replay.feed(pipe).await,
            Self::Inherited | Self::Rewound { .. } => pending().await,
        }
    }
}

pub(super) struct Replay {
    source: Source,
    kept: Vec<u8>,
    /// Number of kept bytes the current process has received.
    given: usize,
    /// The beginning is gone.
    lost: bool,
    longest: usize,
}

enum Source {
    Untouched(File),
    Read(mpsc::Receiver<io::Result<Vec<u8>>>),
    Ended,
}

impl Replay {
    fn new(file: File) -> Self {
        Self { source: Source::Untouched(file), kept: Vec::new(), given: 0, lost: false, longest: LONGEST }
    }

    async fn feed(&mut self, pipe: &mut Option<ChildStdin>) -> Infallible {
        loop {
            let Some(process) = pipe else { return pending().await };
            let rest = &self.kept[self.given..];
            if !rest.is_empty() {
                match process.write(rest).await {
                    Ok(count) if count > 0 => self.given += count,
                    // The process reads no more.
                    _ => *pipe = None,
                }
            } else if !self.read().await {
                *pipe = None;
            }
        }
    }

    /// Returns whether there was more.
    async fn read(&mut self) -> bool {
        if let Source::Untouched(_) = self.source
            && let Source::Untouched(file) = std::mem::replace(&mut self.source, Source::Ended)
        {
            self.source = Source::Read(read_in_thread(file));
        }
        let Source::Read(chunks) = &mut self.source else { return false };
        match chunks.recv().await {
            Some(Ok(chunk)) => {
                self.keep(&chunk);
                true
            }
            Some(Err(error)) => {
                complain(format_args!("standard input cannot be read: {error}; the command gets the input read so far"));
                self.source = Source::Ended;
                false
            }
            None => {
                self.source = Source::Ended;
                false
            }
        }
    }

    fn keep(&mut self, chunk: &[u8]) {
        self.lost |= self.kept.len() + chunk.len() > self.longest;
        if self.lost {
            self.kept.clear();
            self.given = 0;
        }
        self.kept.extend_from_slice(chunk);
    }
}

/// In a thread: a pipe shared with others must not become non-blocking.
fn read_in_thread(mut file: File) -> mpsc::Receiver<io::Result<Vec<u8>>> {
    /// Used when another process has made the pipe non-blocking.
    const PAUSE: Duration = Duration::from_millis(10);
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        loop {
            let mut chunk = vec![0; CHUNK];
            let read = file.read(&mut chunk).map(|count| {
                chunk.truncate(count);
                chunk
            });
            match read {
                Ok(chunk) if chunk.is_empty() => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
                read => {
                    let over = read.is_err();
                    if sender.blocking_send(read).is_err() || over {
                        return;
                    }
                }
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exec_input_beyond_the_limit_is_passed_on_once_and_not_replayed() {
        let file = File::open("/dev/null").unwrap();
        let mut input = Input::Replayed(Replay { longest: 10, ..Replay::new(file) });
        let Input::Replayed(replay) = &mut input else { unreachable!() };
        replay.keep(b"12345");
        replay.given = 5;
        replay.keep(b"67890");
        assert_eq!((replay.kept.as_slice(), replay.given, replay.lost), (&b"1234567890"[..], 5, false));
        replay.given = 10;
        replay.keep(b"x");
        assert_eq!((replay.kept.as_slice(), replay.given, replay.lost), (&b"x"[..], 0, true));
        replay.given = 1;
        replay.keep(b"y");
        assert_eq!((replay.kept.as_slice(), replay.given), (&b"y"[..], 0));
        assert!(!input.is_repeatable());
    }
}
