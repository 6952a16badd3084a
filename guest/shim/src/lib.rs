//! What turns decisions into a component of the world `upright:policy/policy`.
//!
//! A policy should be as long as what it decides differently. So the crossing between the component's types and `upright-logic`'s, the
//! allocator and the panic handler are here, once. A policy implements [`Policy`], whose every function answers as the default policy
//! does unless it is overridden, and hands itself to [`export_policy!`]:
//!
//! ```ignore
//! #![no_std]
//! use upright_shim::{Policy, export_policy, logic};
//!
//! /// Retries at once.
//! struct Eager;
//!
//! impl Policy for Eager {
//!     fn delay(_: &logic::backoff::RetryConfig, _: u32, _: f64) -> f64 {
//!         0.0
//!     }
//! }
//!
//! export_policy!(Eager);
//! ```
//!
//! The crate of a policy is a `cdylib` and `no_std`: for `wasm32-unknown-unknown` the panic handler is here.
#![no_std]

extern crate alloc;

// Under WASI the C library behind `std` brings the allocator and what the bindings link against.
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
extern crate std;

pub use upright_logic as logic;

mod exported;
mod policy;
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
mod runtime;

pub use exported::Exported;
pub use policy::Policy;

/// What `wit-bindgen` makes of the contract.
#[doc(hidden)]
pub mod bindings {
    // The generated functions are `unsafe extern`; nothing written here is.
    #![allow(unsafe_code, missing_docs, unreachable_pub)]

    wit_bindgen::generate!({
        world: "policy",
        path: "../../wit",
        pub_export_macro: true,
        default_bindings_module: "$crate::bindings",
    });
}

/// Exports a type that implements [`Policy`] as the component's world. Once in a crate.
#[macro_export]
macro_rules! export_policy {
    ($policy:ty) => {
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, missing_docs)]
        const _: () = {
            type Exported = $crate::Exported<$policy>;
            $crate::bindings::export!(Exported);
        };

        // A native linker does not take the exports' names, and nobody would call them: natively a policy is only checked and tested.
        #[cfg(not(target_family = "wasm"))]
        const _: () = {
            const fn is_policy<P: $crate::Policy>() {}
            is_policy::<$policy>()
        };
    };
}
