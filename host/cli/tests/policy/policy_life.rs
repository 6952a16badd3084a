//! Policies are signed, swapped, shadowed and rolled back.

use crate::common::{alone, command};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use tokio::process::Child;
use upright_test_kit::command::{Ran, end, interrupt};
use upright_test_kit::folder::Folder;

const STEADY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest/examples/steady/steady.wasm");
const BUILT_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../runtime/policy.wasm");

async fn staying(home: &str, more: &[&str]) -> Child {
    let child = command(None, &[&["demo", "--stay", "--home", home], more].concat()).spawn().unwrap();
    let began = std::time::Instant::now();
    // It answers once it watches its home.
    while alone(&["policy", "shadow", "--home", home, "--json"], "").await.err.contains("not a home") {
        assert!(began.elapsed() < Duration::from_secs(60), "it never made its home");
        tokio::task::yield_now().await;
    }
    child
}

async fn ask(home: &str, arguments: &[&str]) -> Ran {
    alone(&[&["policy"], arguments, &["--home", home, "--json"]].concat(), "").await
}

fn active(ran: &Ran) -> String {
    ran.json()[0]["active"].as_str().unwrap().to_owned()
}

async fn stopped(child: Child) -> Ran {
    interrupt(&child).await;
    end(child).await
}

#[tokio::test]
async fn a_key_pair_signs_and_verifies_and_only_its_owner_can_read_the_secret_half() {
    let scratch = Folder::new("life");
    let (key, public, policy) = (scratch.text("k"), scratch.text("k.pub"), scratch.text("policy.wasm"));
    std::fs::copy(STEADY, &policy).unwrap();
    let made = alone(&["policy", "keygen", &key], "").await.ends_with(0);
    assert!(!made.out.contains(std::fs::read_to_string(&key).unwrap().trim()), "the secret was shown");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let again = alone(&["policy", "keygen", &key], "").await.ends_with(2);
    assert!(again.err.contains("not there yet"), "{}", again.err);

    let unsigned = alone(&["policy", "verify", &policy, "--trust", &public], "").await.ends_with(1);
    assert!(unsigned.err.contains("not signed"), "{}", unsigned.err);
    alone(&["policy", "sign", &policy, "--key", &key, "--revision", "7"], "").await.ends_with(0);
    let verified = alone(&["policy", "verify", &policy, "--trust", &public, "--json"], "").await.ends_with(0);
    assert_eq!(verified.json()[0]["revision"], 7);

    std::fs::copy(BUILT_IN, &policy).unwrap();
    let moved = alone(&["policy", "verify", &policy, "--trust", &public], "").await.ends_with(1);
    assert!(moved.err.contains("vouches for"), "{}", moved.err);
    let wrong_half = alone(&["policy", "verify", &policy, "--trust", &key], "").await.ends_with(2);
    assert!(wrong_half.err.contains("expected the upright-public-key"), "{}", wrong_half.err);
}

#[tokio::test]
async fn a_running_program_is_given_another_policy_and_shown_what_its_shadow_does() {
    let scratch = Folder::new("life");
    let home = scratch.text("home");
    let program = staying(&home, &[]).await;
    let swapped = ask(&home, &["swap", STEADY]).await.ends_with(0);
    assert!(active(&swapped).starts_with("upright-steady"));
    let refused = ask(&home, &["swap", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]).await.ends_with(1);
    assert!(refused.err.contains("not a policy") && refused.err.contains("upright-steady 0.1.0 stays active"), "{}", refused.err);

    let shadowed = ask(&home, &["swap", BUILT_IN, "--shadow"]).await.ends_with(0);
    assert_eq!((shadowed.json()[0]["stage"].as_str(), active(&shadowed).starts_with("upright-steady")), (Some("shadow"), true));
    let began = std::time::Instant::now();
    let report = loop {
        let report = ask(&home, &["shadow"]).await.ends_with(0).json()[0]["shadow"].clone();
        if report["decisions"].as_u64().unwrap() > 0 {
            break report;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "nothing was decided: {report}");
    };
    assert!(report["candidate"].as_str().unwrap().starts_with("upright-default"));
    let promoted = ask(&home, &["shadow", "--promote"]).await.ends_with(0);
    assert!(active(&promoted).starts_with("upright-default"));
    assert!(ask(&home, &["shadow"]).await.ends_with(1).err.contains("no shadow"));
    ask(&home, &["rollback"]).await.ends_with(0);

    let ended = stopped(program).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let stages: Vec<_> = ask(&home, &["history"]).await.ends_with(0).json().iter().map(|entry| entry["stage"].clone()).collect();
    for stage in ["probe", "active", "shadow", "retired", "rolled_back"] {
        assert!(stages.contains(&Value::from(stage)), "{stage}: {stages:?}");
    }
    assert!(ask(&home, &["rollback"]).await.ends_with(1).err.contains("no program answers"));
}

#[tokio::test]
async fn a_program_that_trusts_a_key_lets_in_only_what_it_signed_and_no_lower_revision() {
    let scratch = Folder::new("life");
    let (home, key, public, policy) = (scratch.text("home"), scratch.text("k"), scratch.text("k.pub"), scratch.text("policy.wasm"));
    std::fs::copy(STEADY, &policy).unwrap();
    alone(&["policy", "keygen", &key], "").await.ends_with(0);
    let program = staying(&home, &["--trust", &public]).await;
    let sign = |revision: &'static str| {
        let (policy, key) = (policy.clone(), key.clone());
        async move { alone(&["policy", "sign", &policy, "--key", &key, "--revision", revision], "").await.ends_with(0) }
    };
    assert!(ask(&home, &["swap", &policy]).await.ends_with(1).err.contains("not signed"));
    sign("7").await;
    assert!(active(&ask(&home, &["swap", &policy]).await.ends_with(0)).starts_with("upright-steady"));
    sign("6").await;
    assert!(ask(&home, &["swap", &policy]).await.ends_with(1).err.contains("revision is 6, and 7 was accepted"));
    ask(&home, &["swap", &policy, "--allow-lower-revision"]).await.ends_with(0);
    stopped(program).await;

    let program = staying(&home, &["--trust", &public]).await;
    assert!(ask(&home, &["swap", &policy]).await.ends_with(1).err.contains("7 was accepted"));
    stopped(program).await;
    assert!(Path::new(&home).join("history.jsonl").exists());
}
