//! Checks a component's promises: no imports, the whole contract, nothing of its build machine. Works on bytes, so that
//! components written as text test it.

use std::borrow::Cow;
use std::ops::Range;
use std::path::PathBuf;

use thiserror::Error;
use wasm_encoder::{ComponentSection as _, CustomSection, RawSection};
use wasmparser::{Encoding, Parser, Payload, Validator};

use crate::sources;

const CONTRACT: (&str, &str) = ("upright:policy", "0.2.0");

const INTERFACES: [&str; 9] = ["types", "metadata", "settings", "backoff", "breaker", "classifier", "degradation", "health", "recovery"];

/// Names the compiler, because another one may give other bytes.
pub(crate) const COMPILER_SECTION: &str = "upright:compiler";

/// Prefix of the custom sections by which `wit-bindgen` hands the contract to `wit-component`.
const CONTRACT_SECTION: &str = "component-type";

/// Defect of a component.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    #[error("not a valid WebAssembly component: {0}")]
    Malformed(String),
    #[error("a core module, where a component was expected")]
    CoreModule,
    /// A policy is pure: it may import nothing.
    #[error("the component imports {}: a policy imports nothing", .0.join(", "))]
    Imports(Vec<String>),
    #[error("the component does not export {}", .0.join(", "))]
    Missing(Vec<String>),
    #[error("the component exports {}, which the contract does not know", .0.join(", "))]
    Unknown(Vec<String>),
    /// The result would differ between machines.
    #[error("the component contains the path {}: it would not be the same on another machine", .0.display())]
    MachinePath(PathBuf),
}

impl From<wasmparser::BinaryReaderError> for Refusal {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        Self::Malformed(error.message().lines().next().unwrap_or_default().to_owned())
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Surface {
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
}

impl Surface {
    pub(crate) fn of(component: &[u8]) -> Result<Self, Refusal> {
        Validator::new().validate_all(component)?;
        let mut surface = Self::default();
        // Imports and exports of nested modules do not concern the host.
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

    pub(crate) fn must_be_pure(&self) -> Result<(), Refusal> {
        if self.imports.is_empty() { Ok(()) } else { Err(Refusal::Imports(self.imports.clone())) }
    }

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

/// Encodes, strips and checks the core module, and labels it with sources and compiler.
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

/// Keeps only the labels among its custom sections.
pub(crate) fn labelled(component: &[u8], digest: &str, compiler: &str) -> Result<Vec<u8>, Refusal> {
    let mut labelled = without_custom_sections(component, |_| false)?;
    for (name, text) in [(sources::SECTION, digest), (COMPILER_SECTION, compiler)] {
        CustomSection { name: name.into(), data: text.as_bytes().into() }.append_to_component(&mut labelled);
    }
    Ok(labelled)
}

pub(crate) fn must_not_name(component: &[u8], folders: &[PathBuf]) -> Result<(), Refusal> {
    for folder in folders {
        // With its separator, because a short path could occur by chance.
        let needle = folder.join("").to_string_lossy().into_owned().into_bytes();
        if component.windows(needle.len()).any(|window| window == needle) {
            return Err(Refusal::MachinePath(folder.clone()));
        }
    }
    Ok(())
}

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
        // The parser enters nested parts, which are done already.
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
