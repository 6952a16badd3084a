//! wasmtime's bindings of the contract, converted to the crate's types.
#![allow(missing_docs, unreachable_pub, clippy::all)]

wasmtime::component::bindgen!({ path: "wit", world: "policy" });

upright_logic::bridge!(crate::bindings::exports::upright::policy);
