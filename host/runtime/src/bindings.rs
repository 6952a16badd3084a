//! The contract's types as wasmtime sees them, and their conversions to the types that the rest of the crate uses.
#![allow(missing_docs, unreachable_pub, clippy::all)]

wasmtime::component::bindgen!({ path: "../../wit", world: "policy" });

upright_logic::bridge!(crate::bindings::exports::upright::policy);
