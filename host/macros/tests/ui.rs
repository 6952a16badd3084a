//! Wrong uses do not compile, and what the compiler says is what somebody can act upon. After a change of words, `TRYBUILD=overwrite` writes them anew; read them.
#![allow(missing_docs)]

#[test]
fn wrong_uses_are_refused_with_what_would_be_right() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
