//! A store without space for more.

use upright::fault::fault_of;
use upright::store::{FileStore, Store, StoreError};
use upright::types::{Endpoint, FaultKind};

const TEXT: &str = "text/plain";

/// Saves until the store is full. Checks that saved values stay readable, that the failed one is absent, and that the
/// next large value is refused too. The key `first` has the value `1` afterwards.
pub async fn fill_and_recover(store: &FileStore) {
    let large = vec![1; 50_000];
    store.put("first", "1".into(), TEXT).await.unwrap();
    let mut saved = 0;
    let error = loop {
        match store.put(&format!("large/{saved}"), large.clone().into(), TEXT).await {
            Ok(_) => saved += 1,
            Err(error) => break error,
        }
        assert!(saved < 1000, "it is never full");
    };
    assert!(saved > 0);
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    let fault = fault_of(&error);
    assert_eq!((fault.kind, fault.endpoint), (FaultKind::DiskFull, Endpoint::Store));

    for round in 0..3 {
        assert_eq!(text(store, "first").await.as_deref(), Some("1"), "round {round}");
        for number in 0..saved {
            assert!(store.get(&format!("large/{number}")).await.unwrap().unwrap().value == large);
        }
        assert_eq!(store.get(&format!("large/{saved}")).await.unwrap(), None, "what failed is not there");
        assert_eq!(store.list("large/").await.unwrap().len(), saved);
        let error = store.put(&format!("large/{saved}"), vec![2; 4_000_000].into(), TEXT).await.unwrap_err();
        assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    }
}

/// A key's value as text.
pub async fn text(store: &FileStore, key: &str) -> Option<String> {
    store.get(key).await.unwrap().map(|entry| String::from_utf8(entry.value.to_vec()).unwrap())
}
