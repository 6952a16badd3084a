//! Fills a store under a limit on the size of files.

use upright::store::FileStore;
use upright_test_kit::full_store::fill_and_recover;

/// Checks that the store behaves as on a full disk.
pub fn run(file: &str) {
    let store = FileStore::open(file).unwrap();
    crate::block_on(fill_and_recover(&store));
}
