//! The packages that are meant for crates.io, in order of dependencies.

#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) folder: &'static str,
    /// Whether `public-api.txt` in its folder shows changes of its interface.
    pub(crate) has_snapshot: bool,
}

pub(crate) static PUBLISHED: [Package; 13] = [
    Package { name: "upright-logic", folder: "guest/logic", has_snapshot: false },
    Package { name: "upright-shim", folder: "guest/shim", has_snapshot: false },
    Package { name: "upright-macros", folder: "host/macros", has_snapshot: false },
    Package { name: "upright-protocol", folder: "host/protocol", has_snapshot: true },
    Package { name: "upright-core", folder: "host/core", has_snapshot: true },
    Package { name: "upright-state", folder: "host/state", has_snapshot: true },
    Package { name: "upright-runtime", folder: "host/runtime", has_snapshot: true },
    Package { name: "upright-operations", folder: "host/operations", has_snapshot: true },
    Package { name: "upright-gateway", folder: "host/gateway", has_snapshot: true },
    Package { name: "upright-simulator", folder: "host/simulator", has_snapshot: false },
    Package { name: "upright", folder: "host/upright", has_snapshot: true },
    Package { name: "upright-conformance", folder: "guest/conformance", has_snapshot: false },
    Package { name: "upright-cli", folder: "host/cli", has_snapshot: false },
];
