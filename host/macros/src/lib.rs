//! The attributes of the crate `upright`, which re-exports them: depend on that one.
//!
//! To guard a function by hand, its body must go into a closure, its arguments must be cloned for every attempt, a strategy must be kept
//! somewhere, and errors must be converted. An attribute does all that and leaves the signature as it is.
//!
//! The expansion holds what only the compiler can know at that place: the closure, the types, one static guard for each function. All else is in
//! `upright::macro_support`, so that it is ordinary code with ordinary tests.
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
