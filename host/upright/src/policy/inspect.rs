//! What a file is, before any of it runs: the capability proof.
//!
//! Policies are linked against an empty linker, so one that imports anything could not run anyway. Looking at its imports and exports first
//! gives a reason that a person can act on.

use super::error::PolicyError;
use serde::Serialize;
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

/// The version of `upright:policy` that this host speaks.
pub const CONTRACT_VERSION: &str = "0.2.0";

/// The contract's interfaces and their functions.
pub(crate) const INTERFACES: [(&str, &[&str]); 9] = [
    ("types", &[]),
    ("metadata", &["describe"]),
    ("settings", &["recommend"]),
    ("backoff", &["delay"]),
    ("breaker", &["initial", "step"]),
    ("classifier", &["classify"]),
    ("degradation", &["next-model", "simplify-workflow", "may-serve-cached"]),
    ("health", &["judge"]),
    ("recovery", &["decide"]),
];

/// The name under which a component exports an interface of the contract.
pub(crate) fn interface_name(interface: &str) -> String {
    format!("upright:policy/{interface}@{CONTRACT_VERSION}")
}

/// What a component imports and exports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Surface {
    /// Names of all imports.
    pub imports: Vec<String>,
    /// Names of all exports; functions of an exported interface as `interface#function`.
    pub exports: Vec<String>,
}

impl Surface {
    /// The surface of a component.
    pub(crate) fn of(component: &Component, engine: &Engine) -> Self {
        let surface = component.component_type();
        let imports = surface.imports(engine).map(|(name, _)| name.to_owned()).collect();
        let mut exports = Vec::new();
        for (name, item) in surface.exports(engine) {
            exports.push(name.to_owned());
            if let ComponentItem::ComponentInstance(instance) = item.ty {
                let functions = instance.exports(engine).filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)));
                exports.extend(functions.map(|(function, _)| format!("{name}#{function}")));
            }
        }
        Self { imports, exports }
    }

    /// Whether a policy may look like this; where it is allowed WASI, it may import that.
    pub(crate) fn check(&self, wasi: bool) -> Result<(), PolicyError> {
        let refused = self.imports.iter().find(|import| !(wasi && is_wasi(import)));
        if let Some(import) = refused.cloned() {
            return Err(if wasi { PolicyError::ImportsBeyondWasi { import } } else { PolicyError::Imports { import } });
        }
        for (interface, functions) in INTERFACES {
            let name = interface_name(interface);
            if !self.exports.contains(&name) {
                let other_version = format!("upright:policy/{interface}@");
                return Err(match self.exports.iter().find(|export| export.starts_with(&other_version)) {
                    Some(found) => PolicyError::WrongVersion { found: found.clone() },
                    None => PolicyError::MissingExport { missing: name },
                });
            }
            let functions = functions.iter().map(|function| format!("{name}#{function}"));
            if let Some(missing) = functions.into_iter().find(|function| !self.exports.contains(function)) {
                return Err(PolicyError::MissingExport { missing });
            }
        }
        Ok(())
    }
}

/// The packages of WASI 0.2 that a policy may be allowed: those of the world `wasi:cli/imports`, which languages' runtimes import.
const WASI_PACKAGES: [&str; 6] = ["cli", "clocks", "filesystem", "io", "random", "sockets"];

fn is_wasi(import: &str) -> bool {
    let package = import.strip_prefix("wasi:").and_then(|import| import.split_once('/'));
    package.is_some_and(|(package, interface)| WASI_PACKAGES.contains(&package) && interface.contains("@0.2."))
}

/// What bytes that should be a component look like, for a message.
pub(crate) fn describe_bytes(bytes: &[u8]) -> Option<String> {
    match bytes {
        [] => Some("the file is empty".into()),
        [b'\0', b'a', b's', b'm', version @ ..] => match version {
            [0x0d, 0, 1, 0, ..] => None,
            [1, 0, 0, 0, ..] => Some("a core WebAssembly module, not a component".into()),
            _ => Some("WebAssembly of an unknown or truncated kind".into()),
        },
        [0x7f, b'E', b'L', b'F', ..] => Some("an ELF file (a precompiled policy is machine code and is not loaded)".into()),
        _ => Some(format!("{} bytes that are not WebAssembly", bytes.len())),
    }
}
