//! Reads the journals of a replay.

use crate::exit::Failure;
use std::cmp::Reverse;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use upright_operations::replay::Replay;

const LONGEST_LINE: u64 = 16 << 20;
const BUFFER: usize = 256 << 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Journal {
    StandardInput,
    File(PathBuf),
}

pub(super) fn find(paths: &[PathBuf]) -> Result<Vec<Journal>, Failure> {
    let mut journals = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            journals.push(Journal::StandardInput);
            continue;
        }
        let found = path.metadata().map_err(|error| cannot_read(path, &error))?;
        if found.is_dir() {
            journals.extend(in_folder(path)?.into_iter().map(Journal::File));
        } else {
            journals.push(Journal::File(path.clone()));
        }
    }
    Ok(journals)
}

fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    Failure::bad_input(format_args!("{} cannot be read: {error}; expected a journal, a folder with journals, or -", path.display()))
}

/// The journals by name; rotated files oldest first.
fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = folder.read_dir().and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(|error| cannot_read(folder, &error))?;
    let mut journals: Vec<_> =
        entries.iter().filter_map(|entry| rotation(&entry.path()).map(|(base, number)| (base, Reverse(number), entry.path()))).collect();
    journals.sort();
    if journals.is_empty() {
        return Err(Failure::bad_input(format_args!("{} has no journals; expected files such as journal.jsonl", folder.display())));
    }
    Ok(journals.into_iter().map(|(_, _, path)| path).collect())
}

/// Name and rotation number; 0 is the current file.
fn rotation(path: &Path) -> Option<(String, u64)> {
    let name = path.file_name()?.to_str()?;
    if name.ends_with(".jsonl") {
        return Some((name.to_owned(), 0));
    }
    let (base, number) = name.rsplit_once('.')?;
    let number = number.parse().ok().filter(|number| *number > 0)?;
    base.ends_with(".jsonl").then(|| (base.to_owned(), number))
}

impl Journal {
    pub(super) fn name(&self) -> String {
        match self {
            Self::StandardInput => "-".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    pub(super) fn read(&self, replay: &mut Replay) -> Result<(), Failure> {
        match self {
            Self::StandardInput => read(io::stdin().lock(), replay),
            Self::File(path) => File::open(path).and_then(|file| read(BufReader::with_capacity(BUFFER, file), replay)),
        }
        .map_err(|error| cannot_read(Path::new(&self.name()), &error))
    }
}

fn read(mut from: impl BufRead, replay: &mut Replay) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = (&mut from).take(LONGEST_LINE + 1).read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(());
        }
        if length as u64 > LONGEST_LINE {
            skip_line(&mut from)?;
            replay.unreadable_line(format!("it is longer than {LONGEST_LINE} bytes"));
        } else {
            replay.line(&line);
        }
    }
}

fn skip_line(from: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffered = from.fill_buf()?;
        let end = buffered.iter().position(|byte| *byte == b'\n');
        let (passed, ended) = end.map_or((buffered.len(), buffered.is_empty()), |end| (end + 1, true));
        from.consume(passed);
        if ended {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use upright_operations::replay::Replayer;

    #[test]
    fn the_files_of_a_journal_are_known_by_their_names() {
        let known = |name: &str| rotation(Path::new(name));
        assert_eq!(known("a/journal.jsonl"), Some(("journal.jsonl".into(), 0)));
        assert_eq!(known("journal.jsonl.12"), Some(("journal.jsonl".into(), 12)));
        for other in ["journal.json", "journal.jsonl.0", "journal.jsonl.old", "notes.txt.1", "journal.jsonl.-1"] {
            assert_eq!(known(other), None, "{other}");
        }
    }

    #[test]
    fn a_line_without_end_is_passed_over_and_the_next_is_read() {
        let mut replay = Replay::new(Replayer::built_in().unwrap(), None);
        let long = vec![b' '; LONGEST_LINE as usize + 7];
        let text = [&long[..], b"\n{\"lost\": 2}\n", &long].concat();
        read(&text[..], &mut replay).unwrap();
        let report = replay.report();
        assert_eq!((report.unreadable.lines, report.lost), (2, 2));
        assert_eq!(report.unreadable.first.unwrap().place.line, 1);
    }
}
