//! Attributes of the crate `upright`, which re-exports them: depend on that crate.
//!
//! Guarding by hand takes a closure, clones of arguments, a stored strategy and error conversions. An attribute does
//! this and keeps the signature. Its expansion holds only the closure, the types and one static guard;
//! `upright::macro_support` has the rest, as ordinary code with tests.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod attribute;
mod expand;
mod function;
mod literal;
mod options;

use attribute::Attribute;
use proc_macro::TokenStream;

#[doc = include_str!("../docs/with_retry.md")]
#[proc_macro_attribute]
pub fn with_retry(options: TokenStream, item: TokenStream) -> TokenStream {
    attribute::expand(Attribute::Retry, options.into(), item.into()).into()
}

#[doc = include_str!("../docs/with_circuit_breaker.md")]
#[proc_macro_attribute]
pub fn with_circuit_breaker(options: TokenStream, item: TokenStream) -> TokenStream {
    attribute::expand(Attribute::CircuitBreaker, options.into(), item.into()).into()
}
