//! Wrong uses do not compile, and the compiler's messages help. `TRYBUILD=overwrite` rewrites the expected messages;
//! read them.
#![allow(missing_docs)]

#[test]
fn wrong_uses_are_refused_with_what_would_be_right() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
