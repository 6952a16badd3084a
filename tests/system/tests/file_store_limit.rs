//! The store in a file under a limit on the size of files.
#![cfg(unix)]

use std::process::Command;
use upright::store::{FileStore, Store};
use upright_test_kit::folder::Folder;
use upright_test_kit::full_store::text;

#[tokio::test]
async fn under_a_limit_on_the_size_of_files_a_store_behaves_as_on_a_full_disk() {
    let folder = Folder::new("limit");
    let file = folder.path("state.db");
    // In blocks of 512 bytes. The refusal's signal would end the process.
    let shell = "trap '' XFSZ; ulimit -f 4000; exec \"$0\" \"$@\"";
    let output = Command::new("sh").args(["-c", shell, env!("CARGO_BIN_EXE_store-program"), "fill"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}{}", output.status, String::from_utf8_lossy(&output.stdout));
    let store = FileStore::open(&file).unwrap();
    assert_eq!(text(&store, "first").await.as_deref(), Some("1"));
    store.put("afterwards", vec![5; 1_000_000].into(), "text/plain").await.unwrap();
}
