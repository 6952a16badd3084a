//! Makes a component of the core module that a Rust policy is compiled to.
//!
//! `wit-bindgen` leaves the contract in a custom section of the module; without it there is nothing to make a component by.

use crate::exit::{Exit, Failure};
use std::path::Path;

/// The component of the module in this file.
pub(super) fn component(module: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |what: String| Failure::new(Exit::Failed, what);
    let bytes = std::fs::read(module).map_err(|error| failed(format!("{} cannot be read: {error}", module.display())))?;
    let encoded = wit_component::ComponentEncoder::default().validate(true).module(&bytes).and_then(|encoder| encoder.encode());
    encoded.map_err(|error| {
        failed(format!("{} cannot be made a component: {error:#}; expected a module with `export_policy!`", module.display()))
    })
}
