//! Appends lines to a journal's file, renames it when full, and removes the oldest.
//!
//! A full or missing disk fails nothing: lost decisions are counted, and the count is the first line once writing
//! works.

use super::entry::Entry;
use crate::clock::Instant;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Nanoseconds from an error to reopening, and between checks that the file exists.
const AGAIN_AFTER: u64 = 1_000_000_000;
const BUFFER: usize = 256 << 10;
const LOSS: u64 = 64;

#[derive(Debug)]
pub(super) struct Files {
    path: PathBuf,
    file_limit: u64,
    total_limit: u64,
    file: Option<File>,
    size: u64,
    buffer: Vec<u8>,
    lines: Vec<usize>,
    /// Losses not written yet.
    unreported: u64,
    next_look: Instant,
    reported: bool,
    pub(super) written: u64,
    pub(super) lost: u64,
}

impl Files {
    pub(super) fn open(path: PathBuf, file_limit: u64, total_limit: u64, now: Instant) -> io::Result<Self> {
        let mut files = Self {
            path,
            file_limit,
            total_limit,
            file: None,
            size: 0,
            buffer: Vec::new(),
            lines: Vec::new(),
            unreported: 0,
            next_look: now.saturating_add(AGAIN_AFTER),
            reported: false,
            written: 0,
            lost: 0,
        };
        files.reopen()?;
        files.trim();
        Ok(files)
    }

    pub(super) fn push(&mut self, entry: &Entry, now: Instant) {
        let start = self.buffer.len();
        // Writing to memory cannot fail, and every entry serializes.
        let written = serde_json::to_writer(&mut self.buffer, entry).is_ok();
        self.end_line(start, written, now);
    }

    /// Reports decisions lost after those pushed.
    pub(super) fn push_lost(&mut self, lost: u64, now: Instant) {
        self.flush(now);
        self.lose(lost);
        self.tell_lost();
    }

    /// A line longer than a file is lost.
    fn end_line(&mut self, start: usize, whole: bool, now: Instant) {
        self.buffer.push(b'\n');
        let length = (self.buffer.len() - start) as u64;
        if !whole || length > self.file_limit - LOSS {
            self.buffer.truncate(start);
            self.lose(1);
            return;
        }
        if self.size + self.buffer.len() as u64 > self.file_limit - LOSS {
            let line = self.buffer.split_off(start);
            self.flush(now);
            self.rotate(now);
            self.buffer = line;
        }
        self.lines.push(self.buffer.len());
        if self.buffer.len() >= BUFFER {
            self.flush(now);
        }
    }

    fn lose(&mut self, decisions: u64) {
        self.unreported += decisions;
        self.lost += decisions;
    }

    pub(super) fn flush(&mut self, now: Instant) {
        if now >= self.next_look {
            self.next_look = now.saturating_add(AGAIN_AFTER);
            // A moved or removed file loses writes.
            if self.file.as_ref().is_none_or(|file| !is_at(file, &self.path))
                && let Err(error) = self.reopen()
            {
                self.failed(&error);
            }
        }
        self.tell_lost();
        let (buffer, lines) = (std::mem::take(&mut self.buffer), std::mem::take(&mut self.lines));
        if buffer.is_empty() {
            return;
        }
        let bytes = self.write(&buffer);
        let written = lines.iter().filter(|end| **end <= bytes).count();
        self.written += written as u64;
        self.lose((lines.len() - written) as u64);
        (self.buffer, self.lines) = (buffer, lines);
        self.buffer.clear();
        self.lines.clear();
    }

    fn tell_lost(&mut self) {
        if self.unreported > 0 {
            let line = format!("{{\"lost\": {}}}\n", self.unreported);
            if self.write(line.as_bytes()) == line.len() {
                self.unreported = 0;
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        let Some(file) = &mut self.file else { return 0 };
        let mut written = 0;
        while written < bytes.len() {
            let error = match file.write(&bytes[written..]) {
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Ok(more) => {
                    written += more;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            self.failed(&error);
            break;
        }
        self.size += written as u64;
        written
    }

    /// Logged once: repeats would fill the next disk.
    fn failed(&mut self, error: &io::Error) {
        self.file = None;
        if !self.reported {
            self.reported = true;
            let path = self.path.display();
            tracing::warn!(%path, %error, "the journal cannot be written: decisions are counted until it can; expected room and a writable folder");
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.file = None;
        let mut options = OpenOptions::new();
        options.create(true).append(true).read(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&self.path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        // An existing file may be readable for all.
        #[cfg(unix)]
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        self.size = found.len();
        // A cut line would spoil the next.
        if self.size > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                self.size += 1;
            }
        }
        self.file = Some(file);
        Ok(())
    }

    /// A failure is retried after [`AGAIN_AFTER`].
    fn rotate(&mut self, now: Instant) {
        if self.file.is_none() {
            return;
        }
        self.file = None;
        let moved = (1..).take_while(|number| older(&self.path, *number).exists()).last().unwrap_or(0);
        let renamed = (1..=moved).rev().try_for_each(|number| fs::rename(older(&self.path, number), older(&self.path, number + 1)));
        let begun = renamed.and_then(|()| fs::rename(&self.path, older(&self.path, 1))).and_then(|()| self.reopen());
        if let Err(error) = begun {
            self.next_look = now.saturating_add(AGAIN_AFTER);
            self.failed(&error);
        }
        self.trim();
    }

    /// Removes the oldest until a new file fits.
    fn trim(&self) {
        let mut all = self.file_limit;
        for number in 1.. {
            let path = older(&self.path, number);
            let Ok(found) = fs::metadata(&path) else { break };
            all = all.saturating_add(found.len());
            if all > self.total_limit {
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// `journal.jsonl.1` is the newest.
pub(super) fn older(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |found: io::Result<fs::Metadata>| found.ok().map(|found| (found.dev(), found.ino()));
    let there = identity(fs::metadata(path));
    there.is_some() && there == identity(file.metadata())
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{By, Line};
    use upright_core::policy::Question;
    use upright_test_kit::folder::Folder;

    const SECOND: u64 = 1_000_000_000;

    fn journal(folder: &Folder) -> PathBuf {
        folder.path("journal.jsonl")
    }

    fn bytes(folder: &Folder) -> u64 {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    }

    fn entry(at: u64) -> Entry {
        let question = Question::Initial { now: at };
        let answer = question.answer_natively();
        Entry { at, policy: "native".into(), by: By::Native, layout: 1, question, answer, nanoseconds: 1 }
    }

    fn lines(path: &Path) -> Vec<Line> {
        fs::read_to_string(path).unwrap().lines().map(|line| Line::read(line.as_bytes()).unwrap()).collect()
    }

    fn instants(path: &Path) -> Vec<u64> {
        let at = |line| match line {
            Line::Entry(entry) => entry.at,
            Line::Lost(lost) => panic!("{lost} lost"),
        };
        lines(path).into_iter().map(at).collect()
    }

    #[test]
    fn a_full_file_becomes_an_older_one_and_the_oldest_go() {
        let folder = Folder::new("rotation");
        let (file_limit, total_limit) = (2000, 7000);
        let mut files = Files::open(journal(&folder), file_limit, total_limit, 0).unwrap();
        for at in 0..200 {
            files.push(&entry(at), 0);
            files.flush(0);
            assert!(bytes(&folder) <= total_limit, "{} bytes after {at}", bytes(&folder));
        }
        assert_eq!((files.written, files.lost), (200, 0));
        let mut kept: Vec<u64> = Vec::new();
        for number in [2, 1] {
            let older = older(&journal(&folder), number);
            assert!(fs::metadata(&older).unwrap().len() <= file_limit);
            kept.extend(instants(&older));
        }
        kept.extend(instants(&journal(&folder)));
        assert_eq!(kept, (200 - kept.len() as u64..200).collect::<Vec<_>>(), "the youngest are kept, in order");
        assert!(!older(&journal(&folder), 3).exists());
    }

    #[test]
    fn a_file_that_fills_up_within_one_batch_rotates_as_well() {
        let folder = Folder::new("batch");
        let mut files = Files::open(journal(&folder), 2000, 100_000, 0).unwrap();
        (0..50).for_each(|at| files.push(&entry(at), 0));
        files.flush(0);
        assert_eq!(files.written, 50);
        let older: Vec<_> = (1..20).map(|number| older(&journal(&folder), number)).filter(|path| path.exists()).collect();
        assert!(older.len() > 3);
        let all = older.iter().rev().chain([&journal(&folder)]).flat_map(|path| instants(path)).collect::<Vec<_>>();
        assert_eq!(all, (0..50).collect::<Vec<_>>());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn entries_that_a_full_disk_refuses_are_counted_and_reported_once_it_has_space_again() {
        let folder = Folder::new("full");
        let mut files = Files::open(journal(&folder), 100_000, 1_000_000, 0).unwrap();
        files.push(&entry(1), 0);
        files.flush(0);
        files.file = Some(OpenOptions::new().write(true).open("/dev/full").unwrap());
        (2..5).for_each(|at| files.push(&entry(at), 0));
        files.flush(0);
        files.push(&entry(5), 0);
        files.flush(SECOND - 1);
        assert_eq!((files.written, files.lost, files.reported), (1, 4, true));
        files.push(&entry(6), SECOND);
        files.flush(SECOND);
        assert_eq!(lines(&journal(&folder)), [Line::Entry(Box::new(entry(1))), Line::Lost(4), Line::Entry(Box::new(entry(6)))]);
    }

    #[test]
    fn a_folder_that_is_gone_fails_nothing_and_one_that_comes_back_is_written_to() {
        let folder = Folder::new("gone");
        let mut files = Files::open(journal(&folder), 100_000, 1_000_000, 0).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        files.push(&entry(1), SECOND);
        files.flush(SECOND);
        assert_eq!((files.written, files.lost), (0, 1));
        fs::create_dir_all(&folder).unwrap();
        files.push(&entry(2), 2 * SECOND);
        files.flush(2 * SECOND);
        assert_eq!(lines(&journal(&folder)), [Line::Lost(1), Line::Entry(Box::new(entry(2)))]);
    }

    #[test]
    fn a_line_that_was_cut_off_does_not_spoil_the_next() {
        let folder = Folder::new("cut");
        fs::write(journal(&folder), "{\"at\":1,\"pol").unwrap();
        let mut files = Files::open(journal(&folder), 100_000, 1_000_000, 0).unwrap();
        files.push(&entry(2), 0);
        files.flush(0);
        let text = fs::read_to_string(journal(&folder)).unwrap();
        let read: Vec<_> = text.lines().map(|line| Line::read(line.as_bytes()).ok()).collect();
        assert_eq!(read, [None, Some(Line::Entry(Box::new(entry(2))))]);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_read_a_journal() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new("mode");
        fs::write(journal(&folder), "").unwrap();
        fs::set_permissions(journal(&folder), fs::Permissions::from_mode(0o644)).unwrap();
        let mut files = Files::open(journal(&folder), 2000, 10_000, 0).unwrap();
        (0..20).for_each(|at| files.push(&entry(at), 0));
        files.flush(0);
        for path in [journal(&folder), older(&journal(&folder), 1)] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_line_that_no_file_has_room_for_is_lost_alone() {
        let folder = Folder::new("long");
        let mut files = Files::open(journal(&folder), 2000, 10_000, 0).unwrap();
        let long = Entry { policy: "x".repeat(5000), ..entry(1) };
        [long, entry(2)].iter().for_each(|entry| files.push(entry, 0));
        files.flush(0);
        assert_eq!(lines(&journal(&folder)), [Line::Lost(1), Line::Entry(Box::new(entry(2)))]);
        assert_eq!((files.written, files.lost), (1, 1));
    }
}
