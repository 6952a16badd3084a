//! Access to a server: refusals, and no leaked passwords.

use super::{connect, put, shared, value};
use upright::clock::SystemClock;
use upright::fault::fault_of;
use upright::store::{NatsOptions, NatsStore, StoreError};
use upright::types::FaultKind;
use upright_test_kit::nats_server::NatsServer;

async fn attempt(url: &str) -> Result<NatsStore, StoreError> {
    NatsStore::connect(url, &NatsOptions::default()).await
}

#[tokio::test]
async fn a_refused_nats_login_names_the_expected_credentials_and_repeats_no_password() {
    let Some(server) = NatsServer::start_with("who_is_refused_hears_what_would_be_right", &["-js", "--user", "me", "--pass", "p@ss"])
    else {
        return;
    };
    let place = server.place();
    for (access, expected) in [("", "user:password@ or token@"), ("me:wr0ng@", "the user \"me\""), ("wr0ng@", "the token")] {
        let error = attempt(&format!("nats://{access}{place}")).await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Refused { store: "NATS server", address, .. } if *address == format!("nats://{place}")),
            "{error}"
        );
        let said = format!("{error} {error:?}");
        assert!(said.contains(expected) && !said.contains("wr0ng"), "{said}");
        assert_eq!(fault_of(&error).kind, FaultKind::PermissionDenied);
    }
    let store = attempt(&format!("nats://me:p%40ss@{place}")).await.unwrap();
    put(&store, "a", "1").await;
    assert_eq!(value(&store, "a").await.as_deref(), Some("1"));
    assert!(!format!("{store:?} {}", store.address()).contains("p@ss"));
}

#[tokio::test]
async fn a_token_lets_its_owner_in() {
    let Some(server) = NatsServer::start_with("a_token_lets_its_owner_in", &["-js", "--auth", "s3cret"]) else { return };
    let store = connect(&format!("nats://s3cret@{}", server.place()), SystemClock::shared()).await;
    put(&store, "a", "1").await;
    assert!(!format!("{store:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_server_that_withdraws_access_is_reported_as_refusing_and_not_as_unavailable() {
    let Some(mut server) = NatsServer::start_with("a_server_that_changes_its_mind", &["-js", "--auth", "0ld"]) else { return };
    let store = connect(&format!("nats://0ld@{}", server.place()), SystemClock::shared()).await;
    put(&store, "a", "1").await;
    server.kill();
    server.set_arguments(&["-js", "--auth", "n3w"]);
    server.start();
    let refused = async {
        use upright::store::Store as _;
        loop {
            if let Err(StoreError::Refused { .. }) = store.get("a").await {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    refused.await;
    assert!(!store.is_connected());
}

#[tokio::test]
async fn an_invalid_address_and_a_missing_file_of_credentials_are_reported() {
    let error = attempt("nats://me:s3cret@").await.unwrap_err();
    assert!(matches!(error, StoreError::AddressInvalid { .. }));
    assert!(error.to_string().contains("nats://[user:password@|token@]host"), "{error}");
    let options = NatsOptions { credentials: Some("not/there.creds".into()), ..NatsOptions::default() };
    let error = NatsStore::connect("nats://127.0.0.1:1", &options).await.unwrap_err();
    assert!(error.to_string().contains("not/there.creds"), "{error}");
}

#[tokio::test]
async fn a_server_without_jetstream_is_reported_as_such() {
    use upright::store::Store as _;
    let Some(server) = NatsServer::start_with("a_server_without_jetstream_is_reported_as_such", &[]) else { return };
    let store = connect(&server.url("a"), SystemClock::shared()).await;
    let error = store.get("a").await.unwrap_err();
    assert!(error.to_string().contains("-js"), "{error}");
}

#[tokio::test]
async fn programs_with_buckets_of_their_own_do_not_see_each_other() {
    let Some(server) = shared("programs_with_buckets_of_their_own_do_not_see_each_other") else { return };
    let (one, other) =
        (connect(&server.url("one"), SystemClock::shared()).await, connect(&server.url("one-2"), SystemClock::shared()).await);
    put(&one, "a", "1").await;
    assert_eq!(value(&other, "a").await, None);
}
