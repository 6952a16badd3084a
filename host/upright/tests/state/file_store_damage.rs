//! Damaged bytes in the store's file: damage is reported, the rest is readable.
//!
//! SQLite's own pages have no checksums, so damage may hide a key: a check finds that, and an export works around it.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::fs;
use upright::store::{FileStore, Store, StoreError};
use upright_state::StoreFile;
use upright_test_kit::folder::Folder;

const TEXT: &str = "text/plain";

type Values = BTreeMap<String, (u64, Vec<u8>)>;

async fn example(folder: &Folder) -> (Vec<u8>, Values) {
    let path = folder.path("example.db");
    let mut values = Values::new();
    let store = FileStore::open(&path).unwrap();
    for round in 0..2 {
        // Out of key order, so that neighbours lie on distant pages.
        for number in (0..400_u64).map(|number| number * 237 % 400) {
            let key = format!("checkpoint/import-{number:03}");
            let length = match number % 50 {
                7 => 70_000,
                8 => 3000,
                other => 20 + other as usize * 4,
            };
            let value: Vec<u8> = format!("{round}:{number};").bytes().cycle().take(length).collect();
            let version = store.put(&key, value.clone().into(), TEXT).await.unwrap();
            values.insert(key, (version, value));
        }
        for number in (0..400).step_by(11) {
            let key = format!("checkpoint/import-{number:03}");
            store.delete(&key).await.unwrap();
            values.remove(&key);
        }
    }
    drop(store);
    (fs::read(&path).unwrap(), values)
}

#[derive(Debug, Default)]
struct Counts {
    files: usize,
    refused: usize,
    without_effect: usize,
    keys_right: usize,
    keys_corrupt: usize,
    keys_not_found: usize,
    lists_refused: usize,
    writes_refused: usize,
    found_by_the_check: usize,
    exported: usize,
}

async fn try_out(folder: &Folder, bytes: &[u8], values: &Values, what: &str, counts: &mut Counts) {
    let path = folder.path("tried.db");
    for beside in ["", "-wal", "-shm", "-bell"] {
        let _ = fs::remove_file(folder.path(&format!("tried.db{beside}")));
    }
    fs::write(&path, bytes).unwrap();
    counts.files += 1;
    let mut exported = Values::new();
    let file = StoreFile::at(&path);
    let wrong = match (file.check(), file.read(|key, entry| drop(exported.insert(key, (entry.version, entry.value.to_vec()))))) {
        (Ok(wrong), Ok(_)) => wrong,
        (Err(error), _) | (_, Err(error)) => vec![refusal(&error, what)],
    };
    assert!(fs::read(&path).unwrap() == bytes, "{what}: checking changed the file");
    for (key, entry) in &exported {
        assert!(values.get(key) == Some(entry), "{what}: {key} was exported and is another one");
    }
    counts.exported += exported.len();
    counts.found_by_the_check += usize::from(!wrong.is_empty());
    let store = match FileStore::open(&path) {
        Ok(store) => store,
        Err(error) => {
            counts.refused += 1;
            assert!(!wrong.is_empty(), "{what}: {}, and the check found nothing", refusal(&error, what));
            assert!(fs::read(&path).unwrap() == bytes, "{what}: the damaged file was changed");
            return;
        }
    };
    let mut missed = 0;
    for (key, (version, value)) in values {
        match store.get(key).await {
            Ok(Some(entry)) => {
                assert!(entry.version == *version && entry.value == *value && entry.content_type == TEXT, "{what}: {key} is another one");
                counts.keys_right += 1;
            }
            Ok(None) => missed += 1,
            Err(StoreError::Corrupt { key: named, .. }) if named == *key => counts.keys_corrupt += 1,
            Err(error) => drop(refusal(&error, what)),
        }
    }
    counts.keys_not_found += missed;
    let listed = store.list("checkpoint/").await;
    match &listed {
        Ok(listed) => {
            let right = |listed: &upright::store::Listed| values.get(&listed.key).is_some_and(|(version, _)| *version == listed.version);
            assert!(listed.iter().all(right), "{what}: a list of others: {listed:?}");
            missed += values.len() - listed.len();
        }
        Err(StoreError::Corrupt { .. } | StoreError::Damaged { .. }) => counts.lists_refused += 1,
        Err(error) => panic!("{what}: {error:?}"),
    }
    assert!(missed == 0 || !wrong.is_empty(), "{what}: {missed} keys are missing, and the check finds nothing");
    counts.without_effect += usize::from(wrong.is_empty());
    for key in ["a", "c", "checkpoint/import-007", "checkpoint/import-200", "z"] {
        match store.put(key, "new".into(), TEXT).await {
            Ok(_) => assert_eq!(store.get(key).await.unwrap().unwrap().value, "new", "{what}: {key}"),
            Err(error) => {
                refusal(&error, what);
                counts.writes_refused += 1;
            }
        }
    }
}

fn refusal(error: &StoreError, what: &str) -> String {
    let typed = matches!(
        error,
        StoreError::Corrupt { .. }
            | StoreError::Damaged { .. }
            | StoreError::NotAStore { .. }
            | StoreError::Newer { .. }
            | StoreError::Unavailable { .. }
    );
    // SQLite takes a file with an unknown write version, byte 18 of the header, for read-only.
    let read_only = what.contains("byte 18 of") && matches!(error, StoreError::NotWritable { .. });
    assert!(typed || read_only, "{what}: {error:?}");
    error.to_string()
}

#[tokio::test]
async fn a_flipped_byte_is_a_typed_error_or_hurts_nothing_or_is_found_by_the_check() {
    let folder = Folder::new("flipped");
    let (bytes, values) = example(&folder).await;
    let seed = std::env::var("UPRIGHT_TEST_SEED").map_or(4711, |seed| seed.parse().unwrap());
    let positions: usize = std::env::var("UPRIGHT_TEST_POSITIONS").map_or(250, |count| count.parse().unwrap());
    let mut random = SmallRng::seed_from_u64(seed);
    // The whole header, then spread over the file, then anywhere.
    let spread = (0..positions).map(|index| index * bytes.len() / positions);
    let anywhere: Vec<_> = std::iter::repeat_with(|| random.random_range(0..bytes.len())).take(positions).collect();
    let mut counts = Counts::default();
    for position in (0..108).chain(spread).chain(anywhere) {
        let mut flipped = bytes.clone();
        flipped[position] ^= random.random_range(1..=u8::MAX);
        let what = format!("seed {seed}, byte {position} of {}: {:#04x} became {:#04x}", bytes.len(), bytes[position], flipped[position]);
        try_out(&folder, &flipped, &values, &what, &mut counts).await;
    }
    println!("{} bytes, {} keys, seed {seed}: {counts:?}", bytes.len(), values.len());
    assert!(counts.refused > 0 && counts.keys_corrupt > 0 && counts.without_effect > 0, "{counts:?}");
}

#[tokio::test]
async fn a_flipped_byte_in_a_value_hurts_that_key_alone() {
    let folder = Folder::new("value");
    let (mut bytes, values) = example(&folder).await;
    let (key, (_, value)) = values.iter().find(|(_, (_, value))| value.len() > 3000).unwrap();
    // Unused pages may hold copies: damage them all.
    let needle = &value[1000..1100];
    let found: Vec<_> = (0..bytes.len() - needle.len()).filter(|at| bytes[*at..].starts_with(needle)).collect();
    assert!(!found.is_empty());
    found.into_iter().for_each(|at| bytes[at] ^= 1);
    let path = folder.path("tried.db");
    fs::write(&path, &bytes).unwrap();
    let store = FileStore::open(&path).unwrap();
    for (other, (_, value)) in &values {
        let got = store.get(other).await;
        if other == key {
            assert!(matches!(&got, Err(StoreError::Corrupt { key: named, .. }) if named == key), "{got:?}");
        } else {
            assert!(got.unwrap().unwrap().value == *value, "{other}");
        }
    }
    assert_eq!(store.list("").await.unwrap().len(), values.len(), "a list reads no values");
    let wrong = StoreFile::at(&path).check().unwrap();
    assert!(wrong.len() == 1 && wrong[0].contains(key.as_str()), "{wrong:?}");
    store.put(key, "new".into(), TEXT).await.unwrap();
    assert_eq!(store.get(key).await.unwrap().unwrap().value, "new");
    assert_eq!(StoreFile::at(&path).check().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn of_a_file_with_pages_that_make_no_sense_all_others_are_exported() {
    let folder = Folder::new("pages");
    let (bytes, values) = example(&folder).await;
    let path = folder.path("tried.db");
    let leaves = "SELECT pageno FROM dbstat WHERE name = 'entries' AND pagetype = 'leaf' AND ncell > 5 ORDER BY path";
    let connection = rusqlite::Connection::open(folder.path("example.db")).unwrap();
    let leaves: Vec<usize> = connection
        .prepare(leaves)
        .unwrap()
        .query_map([], |row| Ok(row.get::<_, i64>(0)? as usize))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let pages = [leaves[0], leaves[leaves.len() / 2], leaves[leaves.len() - 1]];
    let mut damaged = bytes.clone();
    for page in pages {
        damaged[(page - 1) * 4096..][..64].fill(0xa5);
    }
    fs::write(&path, &damaged).unwrap();
    let mut exported = Values::new();
    let lost = StoreFile::at(&path).read(|key, entry| drop(exported.insert(key, (entry.version, entry.value.to_vec())))).unwrap();
    assert!(exported.iter().all(|(key, entry)| values[key] == *entry));
    println!("{} of {} exported around pages {pages:?}: {lost:?}", exported.len(), values.len());
    assert!(!lost.is_empty() && exported.len() + pages.len() * 40 >= values.len() && exported.len() < values.len(), "{lost:?}");
    assert!(!StoreFile::at(&path).check().unwrap().is_empty());
}

#[tokio::test]
async fn a_file_that_was_cut_short_is_found_by_the_check_and_what_is_left_of_it_is_exported() {
    let folder = Folder::new("cut");
    let (bytes, values) = example(&folder).await;
    let mut counts = Counts::default();
    let lengths = (1..40).map(|part| part * bytes.len() / 40).chain([1, 15, 16, 99, 100, 512, 4095, 4096, 4097, 8192]);
    for length in lengths.chain([bytes.len() - 4096, bytes.len() - 1]) {
        try_out(&folder, &bytes[..length], &values, &format!("{length} of {} bytes", bytes.len()), &mut counts).await;
    }
    println!("{} bytes: {counts:?}", bytes.len());
    // One file only lost its last page.
    assert!(
        counts.refused >= counts.files - 1 && counts.found_by_the_check == counts.files && counts.exported > values.len(),
        "{counts:?}"
    );
}
