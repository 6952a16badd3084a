//! Turns a Rust policy's core module into a component, by the contract that `wit-bindgen` left in a custom section.

use crate::exit::{Exit, Failure};
use std::path::Path;

pub(super) fn component(module: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |what: String| Failure::new(Exit::Failed, what);
    let bytes = std::fs::read(module).map_err(|error| failed(format!("{} cannot be read: {error}", module.display())))?;
    let encoded = wit_component::ComponentEncoder::default().validate(true).module(&bytes).and_then(|encoder| encoder.encode());
    encoded.map_err(|error| {
        failed(format!("{} cannot be turned into a component: {error:#}; expected a module with `export_policy!`", module.display()))
    })
}
