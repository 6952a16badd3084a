//! The log beside the file: the changes since the database was last written to the disk.
//!
//! A commit of redb writes pages that lie apart, and a disk takes about three times as long for five of them as for one. So a small group of changes is
//! written here in one piece, and the database has it in memory alone, until the log is full and the database is written to the disk as well. After a kill
//! what is in the log is done again.
//!
//! ```text
//! page 0   magic, length of the file, which log it is, checksum
//! page 1…  [blocks](super::block), each from the beginning of a page on
//! ```
//!
//! An epoch is what lies between two writings of the database to the disk, named by a random number that the database has too. A block is done again only on
//! the database that it was written for, and only if all blocks of its epoch before it are there. The file has its length from the beginning on, so that
//! writing a block changes nothing that the file system must remember.

use super::block::{Block, Change, HEAD, MAGIC, read_block, read_change};
use super::failure::{Case, Failure, LogFault};
use super::pages::{PAGE, PageWriter};
use super::place::identity;
use super::record::{u32_at, u64_at};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The length of a log, bytes: some thousand small groups. Longer would make reading it after a kill, and the wait of the group that finds it full, longer.
pub(super) const LENGTH: u64 = 4 << 20;

const FILE_MAGIC: &[u8; 16] = b"upright log 1\r\n\0";
const FILE_LENGTH: Range<usize> = 16..24;
const FILE_ID: Range<usize> = 24..32;
const FILE_CHECKSUM: Range<usize> = 32..36;
const FILE_HEAD: usize = 36;

/// No log of whatever version is longer, bytes.
const LONGEST_FILE: u64 = 64 << 20;

/// What the database knows of its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Epochs {
    /// Which log is its own, or was; zero before the first one.
    pub(super) log: u64,
    /// The epoch of which blocks may be there; zero where there is no log.
    pub(super) now: u64,
    /// An earlier one, of which blocks may be there still, and are in the database.
    pub(super) before: u64,
}

impl Epochs {
    /// There is no log any more.
    pub(super) fn ended(self) -> Self {
        Self { now: 0, before: 0, ..self }
    }
}

fn random() -> u64 {
    fastrand::u64(1..)
}

/// A log that is open. Whoever has it has the database beside it to himself.
pub(super) struct Log {
    path: PathBuf,
    /// With the lock.
    file: File,
    writer: PageWriter,
    id: u64,
    epoch: u64,
    sequence: u64,
    /// Where the next block begins.
    end: u64,
}

impl Log {
    /// The log of the store at this path.
    pub(super) fn path_for(store: &Path) -> PathBuf {
        let mut path = store.as_os_str().to_owned();
        path.push("-wal");
        path.into()
    }

    /// Makes a log for a database that knows these, or takes over the one that an earlier process left. Of no epoch yet.
    ///
    /// # Errors
    /// What the system says, [`LogFault::Foreign`] for a file that is no log or one that another database may need, and [`Case::InUse`] for another store's.
    pub(super) fn create(path: PathBuf, epochs: Epochs) -> Result<Self, Failure> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path)?;
        lock(&file, &path)?;
        if !is_free(&file, epochs)? {
            return Err(Failure::log(&path, LogFault::Foreign));
        }
        let id = random();
        let made = fill(&mut file, id).and_then(|()| PageWriter::open(&file, &path));
        match made {
            Ok(writer) => Ok(Self { path, file, writer, id, epoch: 0, sequence: 0, end: LENGTH }),
            Err(error) => {
                // The room that it took is needed otherwise.
                if is_at(&file, &path).unwrap_or(false) {
                    let _ = std::fs::remove_file(&path);
                }
                Err(error.into())
            }
        }
    }

    /// Opens the log of a database that knows these, with what it has to be done again; none where it was emptied, which is how somebody says that what was
    /// in it is lost for good. It takes nothing more in this epoch.
    ///
    /// # Errors
    /// [`LogFault`], if this is not the whole log of that database.
    pub(super) fn open(path: PathBuf, epochs: Epochs) -> Result<Option<(Self, Found)>, Failure> {
        let of_log = |error: io::Error| Failure::from(error).of(&path);
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Failure::log(&path, LogFault::Missing),
            _ => of_log(error),
        })?;
        lock(&file, &path)?;
        let mut bytes = Vec::new();
        (&file).take(LONGEST_FILE).read_to_end(&mut bytes).map_err(of_log)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let found = Found::read(bytes, epochs).map_err(|fault| Failure::log(&path, fault))?;
        // Perhaps its writer died before the disk had it; from now on it is answered with.
        let writer = file.sync_data().and_then(|()| PageWriter::open(&file, &path)).map_err(of_log)?;
        let log = Self { file, writer, id: epochs.log, epoch: epochs.now, sequence: found.blocks.len() as u64, end: LENGTH, path };
        Ok(Some((log, found)))
    }

    /// What a database is to know that goes to the disk now, and knows this so far.
    pub(super) fn next(&self, epochs: Epochs) -> Epochs {
        let before = match (self.id == epochs.log, self.sequence) {
            (false, _) => 0,
            (true, 0) => epochs.before,
            (true, _) => epochs.now,
        };
        Epochs { log: self.id, now: random(), before }
    }

    /// Whether it lies where it belongs still.
    pub(super) fn is_there(&self) -> bool {
        is_at(&self.file, &self.path).unwrap_or(false)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Begins anew, for a database that is on the disk as it is in memory, and knows this epoch.
    pub(super) fn begin(&mut self, epoch: u64) {
        (self.epoch, self.sequence, self.end) = (epoch, 0, PAGE);
    }

    /// Whether this can be appended.
    pub(super) fn takes(&self, block: &Block) -> bool {
        !block.too_long && self.end + block.room() <= LENGTH
    }

    /// Appends a block that it takes; it is on the disk afterwards.
    pub(super) fn append(&mut self, block: Block) -> io::Result<()> {
        let pages = block.sealed(self.epoch, self.sequence);
        self.writer.write(&pages, self.end)?;
        self.sequence += 1;
        self.end += pages.len() as u64;
        Ok(())
    }

    /// Where the next block will begin.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Makes the block that begins here one that was never written. The log takes no further one afterwards.
    pub(super) fn take_back(&mut self, begin: u64) -> io::Result<()> {
        self.end = LENGTH;
        self.writer.write(&[0; PAGE as usize], begin)
    }

    /// Removes it, of a database that is on the disk and knows no epoch.
    pub(super) fn remove(self) -> io::Result<()> {
        // Under that name another file may lie by now, which is none of ours.
        if self.is_there() { std::fs::remove_file(&self.path) } else { Ok(()) }
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    Ok(identity(&file.metadata()?) == identity(&std::fs::symlink_metadata(path)?))
}

/// A store that was renamed while it is open has its log under the old name still, where another may look for its own.
fn lock(file: &File, path: &Path) -> Result<(), Failure> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => return Err(Failure::new(Case::InUse, "another store has this log").of(path)),
        // A file system without locks.
        Err(TryLockError::Error(_)) | Ok(()) => {}
    }
    // Who had it may have removed it meanwhile.
    if is_at(file, path)? { Ok(()) } else { Err(Failure::new(Case::Unavailable, "it was replaced just now").of(path)) }
}

/// Whether nobody needs what is in this file: it is empty, or a log without blocks, or the one that this database had.
fn is_free(file: &File, epochs: Epochs) -> io::Result<bool> {
    let mut bytes = Vec::new();
    file.take(2 * PAGE).read_to_end(&mut bytes)?;
    Ok(match read_head(&bytes) {
        Some(head) => head.id == epochs.log || !bytes[PAGE as usize..].starts_with(MAGIC),
        // One that was begun and not finished.
        None => bytes.iter().all(|byte| *byte == 0) && [0, LENGTH].contains(&file.metadata()?.len()),
    })
}

/// Makes a log of this file, without blocks.
fn fill(file: &mut File, id: u64) -> io::Result<()> {
    let mut pages = vec![0; LENGTH as usize];
    pages[..FILE_MAGIC.len()].copy_from_slice(FILE_MAGIC);
    pages[FILE_LENGTH].copy_from_slice(&LENGTH.to_le_bytes());
    pages[FILE_ID].copy_from_slice(&id.to_le_bytes());
    let checksum = crc32fast::hash(&pages[..FILE_CHECKSUM.start]);
    pages[FILE_CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
    file.set_len(LENGTH)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&pages)?;
    file.sync_all()
}

struct FileHead {
    length: u64,
    id: u64,
}

/// What a log says of itself.
fn read_head(head: &[u8]) -> Option<FileHead> {
    let whole = head.len() >= FILE_HEAD && head.starts_with(FILE_MAGIC);
    let right = whole && crc32fast::hash(&head[..FILE_CHECKSUM.start]) == u32_at(head, FILE_CHECKSUM);
    let head = right.then(|| FileHead { length: u64_at(head, FILE_LENGTH), id: u64_at(head, FILE_ID) })?;
    (head.length <= LONGEST_FILE).then_some(head)
}

/// What is in a log.
#[derive(Debug)]
pub(super) struct Found {
    bytes: Vec<u8>,
    /// Where each block has its changes, in order.
    blocks: Vec<Range<usize>>,
}

impl Found {
    fn read(bytes: Vec<u8>, epochs: Epochs) -> Result<Self, LogFault> {
        let Some(head) = read_head(&bytes).filter(|head| head.id == epochs.log) else { return Err(LogFault::Foreign) };
        if (bytes.len() as u64) < head.length {
            return Err(LogFault::Short { found: bytes.len() as u64, expected: head.length });
        }
        let page = PAGE as usize;
        let (mut blocks, mut at) = (Vec::new(), page);
        while let Some(block) = read_block(&bytes, at) {
            if block.epoch != epochs.now || block.sequence != blocks.len() as u64 {
                // The first one tells whose log it is; others may have been left by the epoch before.
                if blocks.is_empty() && block.epoch != epochs.before && block.epoch != epochs.now {
                    return Err(LogFault::Foreign);
                }
                break;
            }
            blocks.push(at + HEAD..block.end);
            at = block.end.next_multiple_of(page);
        }
        // Each was on the disk before the next was begun. So what cannot be read was not finished, or it is the last, or somebody has damaged it.
        let later = (at..bytes.len()).step_by(page).filter_map(|at| read_block(&bytes, at));
        if later.into_iter().any(|block| block.epoch == epochs.now && block.sequence >= blocks.len() as u64) {
            return Err(LogFault::Block { offset: at as u64 });
        }
        Ok(Self { bytes, blocks })
    }

    /// What is to be done again, in order.
    pub(super) fn changes(&self) -> Result<Vec<Change<'_>>, LogFault> {
        let mut changes = Vec::new();
        for block in &self.blocks {
            let mut rest = &self.bytes[block.clone()];
            while !rest.is_empty() {
                // The checksum was right, so this only fails on what this module never wrote.
                changes.push(read_change(&mut rest).ok_or(LogFault::Block { offset: block.start as u64 })?);
            }
        }
        Ok(changes)
    }
}

#[cfg(test)]
impl Log {
    /// From now on it cannot be written.
    pub(super) fn break_it(&mut self) {
        self.writer.break_it(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::super::block::LONGEST;
    use super::*;

    const EPOCHS: Epochs = Epochs { log: 7, now: 71, before: 70 };

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("upright-log-{}-{name}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn log(&self) -> PathBuf {
            Log::path_for(&self.0.join("store.redb"))
        }

        /// A log of this epoch with so many blocks; the second is longer than a page.
        fn with(&self, epoch: u64, blocks: u64) -> Log {
            let mut log = Log::create(self.log(), EPOCHS).unwrap();
            // The one that the database knows.
            fill(&mut log.file, EPOCHS.log).unwrap();
            log.id = EPOCHS.log;
            log.begin(epoch);
            (0..blocks).for_each(|number| log.append(block(number)).unwrap());
            log
        }

        fn read(&self) -> Result<Vec<u64>, LogFault> {
            versions(&std::fs::read(self.log()).unwrap())
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn block(number: u64) -> Block {
        let mut block = Block::new();
        let apart = vec![9; if number == 1 { 9000 } else { 0 }];
        block.push(Change::Put { key: b"a", record: &number.to_le_bytes(), apart: &apart });
        block.push(Change::Delete { key: b"b", version: number });
        block
    }

    /// The deletions of each block, in which its number stands.
    fn versions(bytes: &[u8]) -> Result<Vec<u64>, LogFault> {
        let found = Found::read(bytes.to_vec(), EPOCHS)?;
        let deleted = found.changes()?.into_iter().filter_map(|change| match change {
            Change::Delete { version, .. } => Some(version),
            Change::Put { key, record, apart } => {
                assert_eq!((key, record.len(), apart.len() % 9000), (&b"a"[..], 8, 0));
                None
            }
        });
        Ok(deleted.collect())
    }

    #[test]
    fn what_was_appended_is_found_in_order_and_the_log_goes_on_in_the_next_epoch() {
        let folder = Folder::new("order");
        drop(folder.with(71, 3));
        let (mut log, found) = Log::open(folder.log(), EPOCHS).unwrap().unwrap();
        assert_eq!((found.blocks.len(), folder.read().unwrap()), (3, vec![0, 1, 2]));
        assert!(!log.takes(&block(3)), "the tail of what was left is not known to be on the disk");
        let next = log.next(EPOCHS);
        assert_eq!((next.log, next.before), (7, 71));
        log.begin(next.now);
        assert_eq!(log.next(next).before, 71, "nothing of the epoch in between is there");
        log.append(block(0)).unwrap();
        assert_eq!(log.next(next).before, next.now);
        let bytes = std::fs::read(folder.log()).unwrap();
        assert_eq!(Found::read(bytes, next).unwrap().blocks.len(), 1);
    }

    #[test]
    fn what_was_written_before_the_database_was_is_not_found() {
        let folder = Folder::new("epochs");
        let mut log = folder.with(70, 5);
        assert_eq!(folder.read().unwrap(), [0; 0]);
        log.begin(71);
        log.append(block(0)).unwrap();
        assert_eq!(folder.read().unwrap(), [0]);
        log.append(block(1)).unwrap();
        assert_eq!(folder.read().unwrap(), [0, 1]);
    }

    #[test]
    fn a_log_of_another_store_and_a_file_that_is_none_are_refused_and_left_as_they_are() {
        let folder = Folder::new("foreign");
        drop(folder.with(72, 1));
        assert_eq!(folder.read(), Err(LogFault::Foreign));
        std::fs::write(folder.log(), "my notes").unwrap();
        assert_eq!(folder.read(), Err(LogFault::Foreign));
        assert!(Log::create(folder.log(), EPOCHS).is_err());
        assert_eq!(std::fs::read(folder.log()).unwrap(), b"my notes");
    }

    #[test]
    fn a_log_that_another_database_may_need_is_not_taken_over_and_a_void_one_is() {
        let folder = Folder::new("needed");
        drop(folder.with(71, 1));
        let before = std::fs::read(folder.log()).unwrap();
        assert!(Log::create(folder.log(), Epochs { log: 8, ..EPOCHS }).is_err());
        assert!(std::fs::read(folder.log()).unwrap() == before);
        drop(Log::create(folder.log(), EPOCHS.ended()).unwrap());
        // Without blocks, or begun and not finished.
        drop(Log::create(folder.log(), Epochs { log: 8, ..EPOCHS }).unwrap());
        std::fs::write(folder.log(), vec![0; LENGTH as usize]).unwrap();
        drop(Log::create(folder.log(), EPOCHS).unwrap());
        std::fs::write(folder.log(), [0; 100]).unwrap();
        assert!(Log::create(folder.log(), EPOCHS).is_err());
    }

    #[test]
    fn a_log_that_is_far_too_long_is_not_read_to_its_end() {
        let folder = Folder::new("long");
        drop(folder.with(71, 1));
        OpenOptions::new().write(true).open(folder.log()).unwrap().set_len(1 << 40).unwrap();
        let (_, found) = Log::open(folder.log(), EPOCHS).unwrap().unwrap();
        assert_eq!((found.blocks.len(), found.bytes.len() as u64), (1, LONGEST_FILE));
    }

    #[test]
    fn a_block_that_was_taken_back_is_not_found() {
        let folder = Folder::new("back");
        let mut log = folder.with(71, 2);
        let begin = log.end();
        log.append(block(2)).unwrap();
        log.take_back(begin).unwrap();
        assert!(!log.takes(&block(3)));
        assert_eq!(folder.read().unwrap(), [0, 1]);
    }

    #[test]
    fn a_block_that_was_not_finished_is_left_out_however_much_of_it_is_there() {
        let folder = Folder::new("torn");
        let mut log = folder.with(71, 1);
        let before = std::fs::read(folder.log()).unwrap();
        let begin = log.end as usize;
        log.append(block(1)).unwrap();
        let after = std::fs::read(folder.log()).unwrap();
        // What is zero is as it should be whether it was written or not.
        let last = after[begin..].iter().rposition(|byte| *byte != 0).unwrap();
        for written in (0..=last).step_by(7) {
            let mut torn = before.clone();
            torn[begin..begin + written].copy_from_slice(&after[begin..begin + written]);
            assert_eq!(versions(&torn).unwrap(), [0], "{written} bytes");
        }
        assert_eq!(versions(&after).unwrap(), [0, 1]);
    }

    #[test]
    fn damage_before_the_last_block_is_told_with_its_place() {
        let folder = Folder::new("damage");
        drop(folder.with(71, 3));
        let whole = std::fs::read(folder.log()).unwrap();
        let last = {
            let found = Found::read(whole.clone(), EPOCHS).unwrap();
            found.blocks[2].start - HEAD
        };
        for position in (0..last).step_by(3) {
            let mut flipped = whole.clone();
            flipped[position] ^= 0x20;
            match versions(&flipped) {
                Err(LogFault::Foreign) => assert!(position < FILE_HEAD, "{position}"),
                Err(LogFault::Block { offset }) => {
                    assert!(offset <= position as u64 && position as u64 - offset < 12_288, "{position}: {offset}")
                }
                // Behind the head of the file and behind a block there is nothing.
                Ok(found) => assert_eq!((whole[position], found.len()), (0, 3), "{position}"),
                Err(fault) => panic!("{position}: {fault}"),
            }
        }
        assert_eq!(versions(&whole[..whole.len() - 1]), Err(LogFault::Short { found: LENGTH - 1, expected: LENGTH }));
        assert_eq!(versions(&whole[..20]), Err(LogFault::Foreign));
    }

    #[test]
    fn a_log_that_is_missing_is_told_and_one_that_was_emptied_is_gone_without() {
        let folder = Folder::new("missing");
        assert!(Log::open(folder.log(), EPOCHS).is_err());
        std::fs::write(folder.log(), "").unwrap();
        assert!(Log::open(folder.log(), EPOCHS).unwrap().is_none());
    }

    #[test]
    fn what_is_too_long_is_not_taken_and_what_is_full_takes_nothing() {
        let folder = Folder::new("full");
        let mut log = folder.with(71, 0);
        let mut long = block(0);
        long.push(Change::Put { key: b"c", record: &[], apart: &vec![1; LONGEST] });
        long.push(Change::Delete { key: b"d", version: 2 });
        assert!(!log.takes(&long));
        let mut count = 0;
        while log.takes(&block(0)) {
            log.append(block(0)).unwrap();
            count += 1;
        }
        assert_eq!(count, LENGTH / PAGE - 1);
        assert_eq!(std::fs::metadata(folder.log()).unwrap().len(), LENGTH);
    }

    #[test]
    fn a_log_is_removed_and_another_file_in_its_place_is_not() {
        let folder = Folder::new("removed");
        folder.with(71, 1).remove().unwrap();
        assert!(!folder.log().exists());
        let log = folder.with(71, 1);
        std::fs::rename(folder.log(), folder.0.join("elsewhere")).unwrap();
        std::fs::write(folder.log(), "my notes").unwrap();
        log.remove().unwrap();
        assert!(folder.log().exists());
    }
}
