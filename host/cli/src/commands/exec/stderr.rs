//! The command's standard error: handed on byte for byte as it comes, with its end kept for the classifier.

use std::convert::Infallible;
use std::fs::File;
use std::future::pending;
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, OwnedFd};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe::Receiver;

/// So much of the end is kept, bytes: as much as the classifier looks at.
const KEPT: usize = upright::types::MESSAGE_LIMIT;
/// So much is read at once, bytes: what a pipe holds.
const CHUNK: usize = 64 << 10;
/// A pipe holds no more, bytes, whatever it is set to (`pipe-max-size`).
const LARGEST_PIPE: usize = 1 << 20;

/// How to look whether something is there.
#[derive(Clone, Copy)]
enum Way {
    /// As the reactor knew it when it last looked, which must hear that there is nothing.
    WhenTold,
    /// As it is: the reactor's knowledge may be older than the last words.
    Now,
}

pub(super) struct StandardError {
    /// None when nobody can write to it, or nobody reads ours any more.
    pipe: Option<Receiver>,
    /// Ours. Writing goes through a thread, so that a reader who stalls does not keep signals and limits of time waiting.
    out: tokio::fs::File,
    chunk: Vec<u8>,
    /// How much of the chunk was handed on.
    written: usize,
    kept: Vec<u8>,
}

impl StandardError {
    /// Hands on to ours.
    pub(super) fn new(pipe: PipeReader) -> io::Result<Self> {
        Self::to(io::stderr().as_fd().try_clone_to_owned()?.into(), pipe)
    }

    fn to(out: File, pipe: PipeReader) -> io::Result<Self> {
        let pipe = Some(Receiver::from_owned_fd(pipe.into())?);
        Ok(Self { pipe, out: tokio::fs::File::from_std(out), chunk: Vec::new(), written: 0, kept: Vec::new() })
    }

    /// Hands on what comes, for as long as it is polled. Dropping the future loses nothing.
    pub(super) async fn hand_on(&mut self) -> Infallible {
        loop {
            self.write().await;
            let Some(pipe) = &self.pipe else { return pending().await };
            if pipe.readable().await.is_err() {
                self.pipe = None;
            } else {
                self.read(Way::WhenTold);
            }
        }
    }

    /// Hands on what is there, after the command has ended: all that it wrote. What it has started and left behind may hold the pipe for longer, and is not
    /// waited for.
    pub(super) async fn finish(&mut self) {
        let mut left = LARGEST_PIPE;
        loop {
            self.write().await;
            let read = self.read(Way::Now);
            left = left.saturating_sub(read);
            if read == 0 || left == 0 {
                return self.write().await;
            }
        }
    }

    /// The end of what was said.
    pub(super) fn said(&self) -> String {
        let from = self.kept.len().saturating_sub(KEPT);
        String::from_utf8_lossy(&self.kept[from..]).into_owned()
    }

    /// Where it is read from, if somebody can still write to it.
    pub(super) fn into_pipe(self) -> Option<OwnedFd> {
        self.pipe?.into_blocking_fd().ok()
    }

    /// Reads what is there into the chunk, which has been written. How much it was.
    fn read(&mut self, way: Way) -> usize {
        let Some(pipe) = &self.pipe else { return 0 };
        self.chunk.resize(CHUNK, 0);
        self.written = 0;
        let mut read = || rustix::io::retry_on_intr(|| rustix::io::read(pipe, &mut *self.chunk)).map_err(io::Error::from);
        let read = match way {
            Way::WhenTold => pipe.try_io(&mut read),
            Way::Now => read(),
        };
        let count = *read.as_ref().unwrap_or(&0);
        let over = read.map_or_else(|error| error.kind() != io::ErrorKind::WouldBlock, |count| count == 0);
        if over {
            self.pipe = None;
        }
        self.chunk.truncate(count);
        self.kept.extend_from_slice(&self.chunk);
        if self.kept.len() > 2 * KEPT {
            self.kept.drain(..self.kept.len() - KEPT);
        }
        count
    }

    /// Writes the rest of the chunk.
    async fn write(&mut self) {
        while let Some(rest) = self.chunk.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.out.write(rest).await {
                Ok(count) if count > 0 => self.written += count,
                _ => return self.nobody_listens(),
            }
        }
        if !self.chunk.is_empty() {
            if self.out.flush().await.is_err() {
                return self.nobody_listens();
            }
            self.chunk.clear();
            self.written = 0;
        }
    }

    /// Lets the command find out, as it would without us between.
    fn nobody_listens(&mut self) {
        self.pipe = None;
        self.chunk.clear();
        self.written = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    /// A command's standard error and what takes the place of ours.
    fn pair() -> (StandardError, io::PipeWriter, PipeReader) {
        let (its, writer) = io::pipe().unwrap();
        let (reader, ours) = io::pipe().unwrap();
        (StandardError::to(File::from(OwnedFd::from(ours)), its).unwrap(), writer, reader)
    }

    #[tokio::test]
    async fn the_last_words_are_heard_before_the_reactor_knows_of_them() {
        let (mut stderr, mut writer, mut reader) = pair();
        writer.write_all(b"last words").unwrap();
        // The writer is still open, as one that was left behind would hold it.
        stderr.finish().await;
        assert_eq!(stderr.said(), "last words");
        drop(stderr);
        let mut told = String::new();
        reader.read_to_string(&mut told).unwrap();
        assert_eq!(told, "last words");
    }

    #[tokio::test]
    async fn only_the_end_is_kept() {
        let (mut stderr, mut writer, _reader) = pair();
        writer.write_all(&vec![b'a'; KEPT]).unwrap();
        writer.write_all(&vec![b'b'; KEPT - 1]).unwrap();
        drop(writer);
        stderr.finish().await;
        let said = stderr.said();
        assert!(said.len() == KEPT && said.starts_with("ab") && said.ends_with('b'));
    }

    #[tokio::test]
    async fn where_nobody_listens_the_command_finds_out() {
        let (mut stderr, mut writer, reader) = pair();
        drop(reader);
        writer.write_all(b"x").unwrap();
        stderr.finish().await;
        assert_eq!(writer.write_all(b"y").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
