//! Damaged bytes in the store's file: what is wrong is said, and what is not is read.
//!
//! A flipped byte may stand in a value, in a key, in a page of redb's own or in none of them. Whatever is read then must be right, or a typed error: never
//! another value, never a missing key without an error, never a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(feature = "redb")]

mod scratch;

use scratch::Folder;
use std::collections::BTreeMap;
use std::fs;
use upright::clock::SystemClock;
use upright::store::{FileStore, Store, StoreError};

const TEXT: &str = "text/plain";

/// What redb panics about on a damaged page is caught, and need not be printed each time.
fn quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.location().is_none_or(|location| location.file().contains("host/upright") || location.file().starts_with("tests")) {
                loud(panic);
            }
        }));
    });
}

type Values = BTreeMap<String, (u64, Vec<u8>)>;

/// A store that has been in use for a while, as the bytes of its file and what is in it.
async fn example(folder: &Folder) -> (Vec<u8>, Values) {
    let path = folder.0.join("example.redb");
    let mut values = Values::new();
    let store = FileStore::open(&path, SystemClock::shared()).unwrap();
    for round in 0..2 {
        for number in 0..150_u64 {
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
        // Closed in between, so that the pages lie as they do after several sessions.
        for number in (0..150).step_by(11) {
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
    keys_corrupt: usize,
    keys_right: usize,
    lists_refused: usize,
    writes_refused: usize,
}

/// Opens the file with these bytes, reads all, and counts how it ended. What is read must be right.
async fn try_out(folder: &Folder, bytes: &[u8], values: &Values, what: &str, counts: &mut Counts) {
    let path = folder.0.join("tried.redb");
    fs::write(&path, bytes).unwrap();
    counts.files += 1;
    let store = match FileStore::open(&path, SystemClock::shared()) {
        Ok(store) => store,
        Err(StoreError::Damaged { .. } | StoreError::Newer { .. }) => {
            counts.refused += 1;
            assert!(fs::read(&path).unwrap().len() == bytes.len(), "{what}: the damaged file was changed");
            return;
        }
        Err(error) => panic!("{what}: {error:?}"),
    };
    let before = counts.keys_corrupt + counts.lists_refused;
    for (key, (version, value)) in values {
        match store.get(key).await {
            Ok(Some(entry)) => {
                assert!(entry.version == *version && entry.value == *value && entry.content_type == TEXT, "{what}: {key} is another one");
                counts.keys_right += 1;
            }
            Err(StoreError::Corrupt { key: told, .. }) if told == *key => counts.keys_corrupt += 1,
            other => panic!("{what}: {key}: {other:?}"),
        }
    }
    match store.list("checkpoint/").await {
        Ok(listed) => assert!(
            listed.iter().map(|listed| (&listed.key, listed.version)).eq(values.iter().map(|(key, (version, _))| (key, *version))),
            "{what}: another list: {listed:?}"
        ),
        Err(StoreError::Corrupt { .. } | StoreError::Damaged { .. }) => counts.lists_refused += 1,
        Err(error) => panic!("{what}: {error:?}"),
    }
    counts.without_effect += usize::from(before == counts.keys_corrupt + counts.lists_refused);
    // Writing beside the damage works, or says why not.
    // So many that the log has a part in it.
    let keys: Vec<_> = (0..7).map(|number| format!("checkpoint/import-{:03}", number * 25)).collect();
    for key in ["a", "b", "c", "checkpoint", "x", "y", "z"].into_iter().chain(keys.iter().map(String::as_str)) {
        match store.put(key, "new".into(), TEXT).await {
            Ok(_) => assert_eq!(store.get(key).await.unwrap().unwrap().value, "new", "{what}: {key}"),
            Err(StoreError::Corrupt { .. } | StoreError::Damaged { .. } | StoreError::Unavailable { .. }) => counts.writes_refused += 1,
            Err(error) => panic!("{what}: {key}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn a_flipped_byte_is_a_typed_error_or_hurts_its_own_key_alone() {
    quiet();
    let folder = Folder::new("flipped");
    let (bytes, values) = example(&folder).await;
    let seed = std::env::var("UPRIGHT_TEST_SEED").map_or(4711, |seed| seed.parse().unwrap());
    let positions: usize = std::env::var("UPRIGHT_TEST_POSITIONS").map_or(250, |count| count.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(seed);
    // The whole header, then spread over the file, then anywhere.
    let spread = (0..positions).map(|index| index * bytes.len() / positions);
    let anywhere: Vec<_> = std::iter::repeat_with(|| random.usize(..bytes.len())).take(positions).collect();
    let mut counts = Counts::default();
    for position in (0..320).step_by(3).chain(spread).chain(anywhere) {
        let mut flipped = bytes.clone();
        flipped[position] ^= random.u8(1..);
        let what = format!("seed {seed}, byte {position} of {}: {:#04x} became {:#04x}", bytes.len(), bytes[position], flipped[position]);
        try_out(&folder, &flipped, &values, &what, &mut counts).await;
    }
    println!("{} bytes, seed {seed}: {counts:?}", bytes.len());
    assert!(counts.refused > 0 && counts.keys_corrupt > 0 && counts.without_effect > 0, "{counts:?}");
}

#[tokio::test]
async fn a_flipped_byte_in_a_value_hurts_that_key_alone() {
    let folder = Folder::new("value");
    let (mut bytes, values) = example(&folder).await;
    let (key, (_, value)) = values.iter().find(|(_, (_, value))| value.len() > 3000).unwrap();
    // Pages that are not used any more may have a copy: all of them are hit.
    let needle = &value[1000..1100];
    let found: Vec<_> = (0..bytes.len() - needle.len()).filter(|at| bytes[*at..].starts_with(needle)).collect();
    assert!(!found.is_empty());
    found.into_iter().for_each(|at| bytes[at] ^= 1);
    let path = folder.0.join("tried.redb");
    fs::write(&path, &bytes).unwrap();
    let store = FileStore::open(&path, SystemClock::shared()).unwrap();
    for (other, (_, value)) in &values {
        let got = store.get(other).await;
        if other == key {
            assert!(matches!(&got, Err(StoreError::Corrupt { key: told, .. }) if told == key), "{got:?}");
        } else {
            assert!(got.unwrap().unwrap().value == *value, "{other}");
        }
    }
    assert_eq!(store.list("").await.unwrap().len(), values.len(), "a list reads no values");
    // It can be written anew.
    store.put(key, "new".into(), TEXT).await.unwrap();
    assert_eq!(store.get(key).await.unwrap().unwrap().value, "new");
}

#[tokio::test]
async fn a_file_that_was_cut_short_is_refused_and_left_as_it_is() {
    quiet();
    let folder = Folder::new("cut");
    let (bytes, values) = example(&folder).await;
    let mut counts = Counts::default();
    let lengths = (1..40).map(|part| part * bytes.len() / 40).chain([
        1,
        8,
        9,
        63,
        64,
        320,
        511,
        4095,
        4096,
        4097,
        bytes.len() - 4096,
        bytes.len() - 1,
    ]);
    for length in lengths {
        try_out(&folder, &bytes[..length], &values, &format!("{length} of {} bytes", bytes.len()), &mut counts).await;
    }
    println!("{} bytes: {counts:?}", bytes.len());
    assert_eq!(counts.refused, counts.files);
}
