//! Is this the component that the project promises: no imports, the whole contract, nothing of the machine it was made on?
//!
//! Everything here is a function of bytes, so that each refusal is tested with a component written as text.

use std::borrow::Cow;
use std::ops::Range;
use std::path::PathBuf;

use thiserror::Error;
use wasm_encoder::{ComponentSection as _, CustomSection, RawSection};
use wasmparser::{Encoding, Parser, Payload, Validator};

use crate::sources;

/// The package whose interfaces a policy exports, and its version.
const CONTRACT: (&str, &str) = ("upright:policy", "0.2.0");

/// The interfaces of the contract: a policy exports each of them.
const INTERFACES: [&str; 9] = ["types", "metadata", "settings", "backoff", "breaker", "classifier", "degradation", "health", "recovery"];

/// Names the compiler that made a component: another compiler may give other bytes for the same sources.
pub(crate) const COMPILER_SECTION: &str = "upright:compiler";

/// How `wit-bindgen` hands the contract to `wit-component`: custom sections whose names begin so.
const CONTRACT_SECTION: &str = "component-type";

/// Why a component is not what it should be.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    /// Not WebAssembly, or not valid.
    #[error("not a valid WebAssembly component: {0}")]
    Malformed(String),
    /// Valid, but a core module.
    #[error("a core module, where a component was expected")]
    CoreModule,
    /// A policy is pure: it may import nothing.
    #[error("the component imports {}: a policy imports nothing", .0.join(", "))]
    Imports(Vec<String>),
    /// Interfaces of the contract that it does not export.
    #[error("the component does not export {}", .0.join(", "))]
    Missing(Vec<String>),
    /// Exports that the contract does not know.
    #[error("the component exports {}, which the contract does not know", .0.join(", "))]
    Unknown(Vec<String>),
    /// The result would differ from machine to machine.
    #[error("the component contains the path {}: it would not be the same on another machine", .0.display())]
    MachinePath(PathBuf),
}

impl From<wasmparser::BinaryReaderError> for Refusal {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        // One line: the reader's own text may go on with hints.
        Self::Malformed(error.message().lines().next().unwrap_or_default().to_owned())
    }
}

/// What a component asks of its host and offers to it, by name, in the order of the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Surface {
    /// What it asks for.
    pub(crate) imports: Vec<String>,
    /// What it offers.
    pub(crate) exports: Vec<String>,
}

impl Surface {
    /// Validates a component and reads its outermost imports and exports.
    pub(crate) fn of(component: &[u8]) -> Result<Self, Refusal> {
        Validator::new().validate_all(component)?;
        let mut surface = Self::default();
        // Nested modules and components have imports and exports of their own, which are no concern of the host.
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(component) {
            match payload? {
                Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => return Err(Refusal::CoreModule),
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        surface.imports.push(import?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        surface.exports.push(export?.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(surface)
    }

    /// Refuses a component that imports anything.
    pub(crate) fn must_be_pure(&self) -> Result<(), Refusal> {
        if self.imports.is_empty() { Ok(()) } else { Err(Refusal::Imports(self.imports.clone())) }
    }

    /// Refuses a component that exports less than the contract, or more.
    pub(crate) fn must_export_the_contract(&self) -> Result<(), Refusal> {
        let (package, version) = CONTRACT;
        let promised = INTERFACES.map(|interface| format!("{package}/{interface}@{version}"));
        let missing: Vec<_> = promised.iter().filter(|name| !self.exports.contains(name)).cloned().collect();
        let unknown: Vec<_> = self.exports.iter().filter(|name| !promised.contains(name)).cloned().collect();
        match (missing.is_empty(), unknown.is_empty()) {
            (false, _) => Err(Refusal::Missing(missing)),
            (_, false) => Err(Refusal::Unknown(unknown)),
            _ => Ok(()),
        }
    }
}

/// The finished component: the core module encoded, freed of what it does not need, checked, and labelled with the digest
/// of its sources and the compiler.
pub(crate) fn finish(core: &[u8], digest: &str, compiler: &str) -> Result<Vec<u8>, Refusal> {
    let core = without_custom_sections(core, |name| name.starts_with(CONTRACT_SECTION))?;
    let encoded = wit_component::ComponentEncoder::default()
        .validate(true)
        .module(&core)
        .and_then(|encoder| encoder.encode())
        .map_err(|error| Refusal::Malformed(format!("{error:#}").replace('\n', " ")))?;
    let component = labelled(&encoded, digest, compiler)?;
    let surface = Surface::of(&component)?;
    surface.must_be_pure()?;
    surface.must_export_the_contract()?;
    Ok(component)
}

/// A component whose only custom sections are its labels.
pub(crate) fn labelled(component: &[u8], digest: &str, compiler: &str) -> Result<Vec<u8>, Refusal> {
    let mut labelled = without_custom_sections(component, |_| false)?;
    for (name, text) in [(sources::SECTION, digest), (COMPILER_SECTION, compiler)] {
        CustomSection { name: name.into(), data: text.as_bytes().into() }.append_to_component(&mut labelled);
    }
    Ok(labelled)
}

/// Refuses bytes that contain one of these folders' paths.
pub(crate) fn must_not_name(component: &[u8], folders: &[PathBuf]) -> Result<(), Refusal> {
    for folder in folders {
        // With the separator after it: a short path alone could be there by chance.
        let needle = folder.join("").to_string_lossy().into_owned().into_bytes();
        if component.windows(needle.len()).any(|window| window == needle) {
            return Err(Refusal::MachinePath(folder.clone()));
        }
    }
    Ok(())
}

/// A module or component without its custom sections, also those of the modules and components inside it, but for those to
/// keep.
fn without_custom_sections(wasm: &[u8], keep: fn(&str) -> bool) -> Result<Vec<u8>, Refusal> {
    let header = wasm.get(..8).ok_or_else(|| Refusal::Malformed("too short for a header".to_owned()))?;
    let mut kept = header.to_vec();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        let is_nested = matches!(payload, Payload::ModuleSection { .. } | Payload::ComponentSection { .. });
        let is_dropped = matches!(&payload, Payload::CustomSection(custom) if !keep(custom.name()));
        if let Some((id, range)) = payload.as_section().filter(|_| depth == 0 && !is_dropped) {
            let body = bytes_of(wasm, range)?;
            let body = if is_nested { Cow::Owned(without_custom_sections(body, keep)?) } else { Cow::Borrowed(body) };
            RawSection { id, data: &body }.append_to_component(&mut kept);
        }
        // The parser goes on into what is nested, which has been dealt with.
        match payload {
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => depth += usize::from(is_nested),
        }
    }
    Ok(kept)
}

fn bytes_of(wasm: &[u8], range: Range<u64>) -> Result<&[u8], Refusal> {
    let outside = || Refusal::Malformed("a section reaches past the end".to_owned());
    let start = usize::try_from(range.start).map_err(|_| outside())?;
    let end = usize::try_from(range.end).map_err(|_| outside())?;
    wasm.get(start..end).ok_or_else(outside)
}
