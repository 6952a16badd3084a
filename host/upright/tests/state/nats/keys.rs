//! Keys that NATS itself does not accept.

use super::{bucket, keys, put, value};
use upright::store::KEY_LIMIT;

#[tokio::test]
async fn keys_of_odd_characters_are_kept_and_listed_in_the_order_of_their_bytes() {
    let Some(store) = bucket("keys_of_odd_characters").await else { return };
    let longest = ["ü".repeat(KEY_LIMIT / 2), "/".repeat(KEY_LIMIT), "*".repeat(KEY_LIMIT)];
    let mut odd = vec![
        ".",
        "..",
        ".a.",
        "/",
        "//",
        "/a",
        "a/",
        "a//b",
        "=",
        "=2E",
        "a=b",
        "*",
        "a/*",
        "a/>",
        ">",
        " ",
        "\u{0}",
        "\r\n",
        "日本/🦀",
        "$KV.x",
    ];
    odd.extend(longest.iter().map(String::as_str));
    for key in &odd {
        put(&store, key, key).await;
    }
    for key in &odd {
        assert_eq!(value(&store, key).await.as_deref(), Some(*key));
    }
    odd.sort_unstable();
    assert_eq!(keys(&store, "").await, odd);
    for prefix in ["a", "a/", "/", "//", ".", "=", "日", "日本/", "*", "ü"] {
        let under: Vec<_> = odd.iter().filter(|key| key.starts_with(prefix)).copied().collect();
        assert_eq!(keys(&store, prefix).await, under, "{prefix}");
    }
}
