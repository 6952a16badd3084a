//! Passes on the command's standard error byte for byte, and keeps its end for the classifier.

use std::convert::Infallible;
use std::fs::File;
use std::future::pending;
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, OwnedFd};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe::Receiver;

/// The classifier's limit, bytes.
const KEPT: usize = upright_core::fault::MESSAGE_LIMIT;
/// The default capacity of a pipe, bytes.
const CHUNK: usize = 64 << 10;
/// Maximum capacity of a pipe, bytes (`pipe-max-size`).
const LARGEST_PIPE: usize = 1 << 20;

#[derive(Clone, Copy)]
enum Way {
    /// Through the reactor, which must notice an empty pipe.
    WhenReady,
    /// Directly: the reactor may not know of the last bytes yet.
    Now,
}

pub(super) struct StandardError {
    /// `None` without a writer, or without a reader of ours.
    pipe: Option<Receiver>,
    /// Written in a thread: a stalled reader must not delay signals and timeouts.
    out: tokio::fs::File,
    chunk: Vec<u8>,
    written: usize,
    kept: Vec<u8>,
}

impl StandardError {
    pub(super) fn new(pipe: PipeReader) -> io::Result<Self> {
        Self::to(io::stderr().as_fd().try_clone_to_owned()?.into(), pipe)
    }

    fn to(out: File, pipe: PipeReader) -> io::Result<Self> {
        let pipe = Some(Receiver::from_owned_fd(pipe.into())?);
        Ok(Self { pipe, out: tokio::fs::File::from_std(out), chunk: Vec::new(), written: 0, kept: Vec::new() })
    }

    /// Cancel safe.
    pub(super) async fn hand_on(&mut self) -> Infallible {
        loop {
            self.write().await;
            let Some(pipe) = &self.pipe else { return pending().await };
            if pipe.readable().await.is_err() {
                self.pipe = None;
            } else {
                self.read(Way::WhenReady);
            }
        }
    }

    /// Descendants that keep the pipe open are not waited for.
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

    pub(super) fn said(&self) -> String {
        let from = self.kept.len().saturating_sub(KEPT);
        String::from_utf8_lossy(&self.kept[from..]).into_owned()
    }

    /// The pipe, if it still has writers.
    pub(super) fn into_pipe(self) -> Option<OwnedFd> {
        self.pipe?.into_blocking_fd().ok()
    }

    /// Returns the number of bytes.
    fn read(&mut self, way: Way) -> usize {
        let Some(pipe) = &self.pipe else { return 0 };
        self.chunk.resize(CHUNK, 0);
        self.written = 0;
        let mut read = || rustix::io::retry_on_intr(|| rustix::io::read(pipe, &mut *self.chunk)).map_err(io::Error::from);
        let read = match way {
            Way::WhenReady => pipe.try_io(&mut read),
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

    /// The command's next write then fails, as it would without us.
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

    fn pair() -> (StandardError, io::PipeWriter, PipeReader) {
        let (its, writer) = io::pipe().unwrap();
        let (reader, ours) = io::pipe().unwrap();
        (StandardError::to(File::from(OwnedFd::from(ours)), its).unwrap(), writer, reader)
    }

    #[tokio::test]
    async fn standard_error_is_drained_at_the_end_even_if_its_writer_stays_open() {
        let (mut stderr, mut writer, mut reader) = pair();
        writer.write_all(b"last words").unwrap();
        // The writer stays open, as in a background process.
        stderr.finish().await;
        assert_eq!(stderr.said(), "last words");
        drop(stderr);
        let mut passed_on = String::new();
        reader.read_to_string(&mut passed_on).unwrap();
        assert_eq!(passed_on, "last words");
    }

    #[tokio::test]
    async fn of_standard_error_only_the_last_bytes_are_kept() {
        let (mut stderr, mut writer, _reader) = pair();
        writer.write_all(&vec![b'a'; KEPT]).unwrap();
        writer.write_all(&vec![b'b'; KEPT - 1]).unwrap();
        drop(writer);
        stderr.finish().await;
        let said = stderr.said();
        assert!(said.len() == KEPT && said.starts_with("ab") && said.ends_with('b'));
    }

    #[tokio::test]
    async fn a_command_gets_a_broken_pipe_if_nobody_reads_its_standard_error() {
        let (mut stderr, mut writer, reader) = pair();
        drop(reader);
        writer.write_all(b"x").unwrap();
        stderr.finish().await;
        assert_eq!(writer.write_all(b"y").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
