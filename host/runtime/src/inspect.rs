//! Inspects a component before it runs: proves that it has no capabilities, and gives a refusal a clear reason.

use super::error::PolicyError;
use serde::Serialize;
use std::fmt;
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

/// Version of `upright:policy` that this host speaks.
pub const CONTRACT_VERSION: &str = "0.2.0";

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

pub(crate) fn interface_name(interface: &str, version: &str) -> String {
    format!("{PACKAGE}{interface}@{version}")
}

/// Earlier versions were drafts.
const FIRST_RELEASED: Series = Series { major: 0, minor: 2, patch: 0 };

const PACKAGE: &str = "upright:policy/";

/// Common part of compatible versions: the major number and, below 1.0, the minor. wasmtime looks up exports by this
/// rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    major: u64,
    /// 0 from 1.0 on.
    minor: u64,
    /// 0 except below 0.1, where each version is a series.
    patch: u64,
}

impl Series {
    /// `None` for a pre-release, which fits only itself.
    fn of(version: &str) -> Option<Self> {
        // Build metadata does not matter.
        let release = version.split('+').next()?;
        let numbers: Vec<u64> = release.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
        match numbers[..] {
            [0, 0, patch] => Some(Self { major: 0, minor: 0, patch }),
            [0, minor, _] => Some(Self { major: 0, minor, patch: 0 }),
            [major, ..] if numbers.len() == 3 => Some(Self { major, minor: 0, patch: 0 }),
            _ => None,
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { major: 0, minor: 0, patch } => write!(formatter, "0.0.{patch}"),
            Self { major: 0, minor, .. } => write!(formatter, "0.{minor}"),
            Self { major, .. } => write!(formatter, "{major}"),
        }
    }
}

fn fits(found: &str, spoken: &str) -> bool {
    Series::of(found).is_some_and(|found| Some(found) == Series::of(spoken))
}

/// Why a host of version `spoken` refuses `found`.
pub(super) fn why_not(found: &str, spoken: &str) -> String {
    let version = found.rsplit('@').next().unwrap_or_default();
    match (Series::of(version), Series::of(spoken)) {
        (Some(series), _) if series < FIRST_RELEASED => format!("{series} was never released and is no longer spoken"),
        (Some(series), Some(host)) if series < host => format!("{series} is no longer spoken"),
        (Some(series), _) => format!("{series} is newer than this host"),
        (None, _) => format!("{version} is no release, and only releases are spoken"),
    }
}

/// Imports and exports of a component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Surface {
    /// Names of all imports.
    pub imports: Vec<String>,
    /// Names of all exports; functions as `interface#function`.
    pub exports: Vec<String>,
}

impl Surface {
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

    /// Checks imports and exports. Returns the contract version.
    pub(crate) fn check(&self, wasi: bool) -> Result<String, PolicyError> {
        let refused = self.imports.iter().find(|import| !(wasi && is_wasi(import)));
        if let Some(import) = refused.cloned() {
            return Err(if wasi { PolicyError::ImportsBeyondWasi { import } } else { PolicyError::Imports { import } });
        }
        let version = self.contract()?;
        for (interface, functions) in INTERFACES {
            let name = interface_name(interface, version);
            if !self.exports.contains(&name) {
                return Err(match self.versions_of(interface).next() {
                    Some((found, _)) => PolicyError::WrongVersion { found: found.to_owned() },
                    None => PolicyError::MissingExport { missing: name },
                });
            }
            let functions = functions.iter().map(|function| format!("{name}#{function}"));
            if let Some(missing) = functions.into_iter().find(|function| !self.exports.contains(function)) {
                return Err(PolicyError::MissingExport { missing });
            }
        }
        Ok(version.to_owned())
    }

    /// One version for all interfaces: of several, chance would decide which answers.
    fn contract(&self) -> Result<&str, PolicyError> {
        let exported = || INTERFACES.iter().flat_map(|(interface, _)| self.versions_of(interface));
        let mut fitting = exported().filter(|(_, version)| fits(version, CONTRACT_VERSION));
        let Some((one, version)) = fitting.next() else {
            return Err(match exported().next() {
                Some((found, _)) => PolicyError::WrongVersion { found: found.to_owned() },
                None => PolicyError::MissingExport { missing: interface_name(INTERFACES[0].0, CONTRACT_VERSION) },
            });
        };
        match fitting.find(|(_, other)| *other != version) {
            Some((other, _)) => Err(PolicyError::MixedVersions { one: one.to_owned(), other: other.to_owned() }),
            None => Ok(version),
        }
    }

    fn versions_of(&self, interface: &str) -> impl Iterator<Item = (&str, &str)> {
        self.exports.iter().filter_map(move |export| {
            let version = export.strip_prefix(PACKAGE)?.strip_prefix(interface)?.strip_prefix('@')?;
            (!version.contains('#')).then_some((export.as_str(), version))
        })
    }
}

/// Packages of the world `wasi:cli/imports`, which language runtimes import.
const WASI_PACKAGES: [&str; 6] = ["cli", "clocks", "filesystem", "io", "random", "sockets"];

fn is_wasi(import: &str) -> bool {
    let package = import.strip_prefix("wasi:").and_then(|import| import.split_once('/'));
    package.is_some_and(|(package, interface)| WASI_PACKAGES.contains(&package) && interface.contains("@0.2."))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn surface(version: impl Fn(&str) -> &'static str) -> Surface {
        let mut exports = Vec::new();
        for (interface, functions) in INTERFACES {
            let name = interface_name(interface, version(interface));
            exports.extend(functions.iter().map(|function| format!("{name}#{function}")));
            exports.push(name);
        }
        Surface { imports: Vec::new(), exports }
    }

    #[test]
    fn versions_fit_that_differ_in_their_patch_and_from_1_0_on_in_their_minor_version() {
        for (found, spoken) in [("0.2.0", "0.2.0"), ("0.2.7", "0.2.0"), ("0.2.0", "0.2.7"), ("1.4.0", "1.0.3"), ("0.2.1+mine", "0.2.0")] {
            assert!(fits(found, spoken), "{found} and {spoken}");
        }
        for (found, spoken) in [
            ("0.1.9", "0.2.0"),
            ("0.3.0", "0.2.0"),
            ("1.2.0", "0.2.0"),
            ("2.0.0", "1.0.0"),
            ("0.0.1", "0.0.2"),
            ("0.2.0-rc1", "0.2.0"),
            ("0.2.0-rc1", "0.2.0-rc1"),
            ("0.2", "0.2.0"),
            ("0.2.0.0", "0.2.0"),
            ("", "0.2.0"),
        ] {
            assert!(!fits(found, spoken), "{found} and {spoken}");
        }
    }

    #[test]
    fn an_error_about_a_version_says_which_of_the_two_is_older() {
        for (found, says) in [
            ("upright:policy/types@0.1.9", "0.1 was never released and is no longer spoken"),
            ("upright:policy/types@0.2.0", "0.2 is no longer spoken"),
            ("upright:policy/types@0.4.0", "0.4 is newer than this host"),
            ("upright:policy/types@1.0.0", "1 is newer than this host"),
            ("upright:policy/types@0.3.0-rc1", "0.3.0-rc1 is no release"),
        ] {
            let why = why_not(found, "0.3.0");
            assert!(why.starts_with(says), "{why}");
        }
    }

    #[test]
    fn a_surface_is_of_the_version_that_all_its_interfaces_have() {
        assert_eq!(surface(|_| CONTRACT_VERSION).check(false).unwrap(), CONTRACT_VERSION);
        let [major, minor] = [0, 1].map(|index| CONTRACT_VERSION.split('.').nth(index).unwrap());
        let later: &'static str = format!("{major}.{minor}.77").leak();
        assert_eq!(surface(|_| later).check(false).unwrap(), later);
        let mixed = surface(|interface| if interface == "health" { later } else { CONTRACT_VERSION }).check(false).unwrap_err();
        assert!(matches!(&mixed, PolicyError::MixedVersions { other, .. } if other.contains("health")), "{mixed}");
        let foreign = surface(|interface| if interface == "health" { "9.0.0" } else { CONTRACT_VERSION }).check(false).unwrap_err();
        assert!(matches!(&foreign, PolicyError::WrongVersion { found } if found.contains("health@9.0.0")), "{foreign}");
        let mut both = surface(|_| CONTRACT_VERSION);
        both.exports.extend(surface(|_| "9.0.0").exports);
        assert_eq!(both.check(false).unwrap(), CONTRACT_VERSION);
    }
}
