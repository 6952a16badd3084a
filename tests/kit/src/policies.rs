//! Builds misbehaving policies from source: each function of the world gets a body.

use std::path::Path;
use upright::Policy;
use upright::policy::{CONTRACT_VERSION, PolicyLoader, SwapOptions};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Functions of the world with core signatures: interface and function, parameters, result.
const FUNCTIONS: [(&str, &str, &str); 11] = [
    ("metadata#describe", "", "i32"),
    ("settings#recommend", "i32", "i32"),
    ("backoff#delay", "i32 f64 f64 f64 i32 f64 f64 i32 i32 f64", "f64"),
    ("breaker#initial", "i64", "i32"),
    ("breaker#step", "i32", "i32"),
    ("classifier#classify", "i32", "i32"),
    ("degradation#next-model", "i32 i32 i32 i32", "i32"),
    ("degradation#simplify-workflow", "i32 i32", "i32"),
    ("degradation#may-serve-cached", "f64 f64 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32", "i32"),
    ("health#judge", "i64 i64 i64 i64 i32 f64 f64 f64 i64 f64", "i32"),
    ("recovery#decide", "i32", "i32"),
];

/// A component whose functions have these bodies; the others trap. `describe` answers `hostile`, `1.0.0`, state layout
/// 7. `start` is the start function's body, `memory` the initial pages.
pub fn policy(bodies: &[(&str, &str)]) -> Vec<u8> {
    policy_importing("", &[], "", bodies)
}

/// A [`policy`] with imports: those of the core module, WIT packages, and import lines of the world.
pub fn policy_importing(imports: &str, packages: &[&str], world: &str, bodies: &[(&str, &str)]) -> Vec<u8> {
    let functions = FUNCTIONS.map(|(name, parameters, result)| {
        let given = bodies.iter().find(|(function, _)| *function == name).map(|(_, body)| *body);
        let body = given.unwrap_or(if name == "metadata#describe" { "(i32.const 16)" } else { "unreachable" });
        let (interface, function) = name.split_once('#').unwrap();
        let parameters = if parameters.is_empty() { String::new() } else { format!("(param {parameters})") };
        format!("(func ${function} (export \"upright:policy/{interface}@{CONTRACT_VERSION}#{function}\") {parameters} (result {result}) {body})\n")
    });
    let start = bodies.iter().find(|(function, _)| *function == "start").map(|(_, body)| format!("(func $start {body}) (start $start)"));
    let memory = bodies.iter().find(|(function, _)| *function == "memory").map_or("4", |(_, pages)| *pages);
    // At 16 the answer of `describe`: name at 64, 7 bytes; version at 80, 5 bytes; layout 7.
    let module = format!(
        r#"(module
            {imports}
            (memory (export "memory") {memory})
            (global $free (mut i32) (i32.const 4096))
            (data (i32.const 16) "\40\00\00\00\07\00\00\00\50\00\00\00\05\00\00\00\07\00\00\00")
            (data (i32.const 64) "hostile")
            (data (i32.const 80) "1.0.0")
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $free) (i32.const 15)) (i32.const -16)))
                (global.set $free (i32.add (local.get $at) (local.get 3)))
                (if (i32.gt_u (global.get $free) (i32.const 200000)) (then (global.set $free (i32.const 4096))))
                (local.get $at))
            {}
            {}
        )"#,
        functions.concat(),
        start.unwrap_or_default()
    );
    component(&module, packages, world)
}

/// A policy with the default time limits, without asking whether it passes the probe.
pub fn hurried(bytes: &[u8]) -> Policy {
    PolicyLoader::default().probe(false).from_bytes(bytes).unwrap()
}

/// A swap without a probe.
pub fn unprobed() -> SwapOptions {
    SwapOptions { probe: false, ..SwapOptions::default() }
}

fn component(module: &str, packages: &[&str], world: &str) -> Vec<u8> {
    let mut module = wat::parse_str(module).unwrap();
    let mut resolve = Resolve::default();
    resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit")).unwrap();
    for package in packages {
        resolve.push_str("test.wit", package).unwrap();
    }
    let world = format!("package test:policy; world policy {{ {world} include upright:policy/policy@{CONTRACT_VERSION}; }}");
    let package = resolve.push_str("test.wit", &world).unwrap();
    let world = resolve.select_world(&[package], Some("policy")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}

/// The component with `count` instances of another core module.
pub fn with_instances(component: &[u8], module: &str, count: u8) -> Vec<u8> {
    let module = wat::parse_str(module).unwrap();
    // The module has the next index; wit-component makes one for a policy without imports.
    let instances: Vec<u8> = std::iter::once(count).chain((0..count).flat_map(|_| [0, 1, 0])).collect();
    let section = |id: u8, content: &[u8]| {
        let size = content.len() as u32;
        // Two bytes of LEB128 suffice here.
        assert!(size < 1 << 14);
        [&[id, (size as u8 & 0x7f) | 0x80, (size >> 7) as u8], content].concat()
    };
    [component, &section(1, &module), &section(2, &instances)].concat()
}

/// Sensible bodies, so that a policy with one bad function gets as far as that one.
pub mod hostile {
    /// A body for each function but `describe`.
    pub fn sensible() -> Vec<(&'static str, &'static str)> {
        SENSIBLE.to_vec()
    }

    /// Sensible bodies, but for one function.
    pub fn sensible_but<'a>(function: &'a str, body: &'a str) -> Vec<(&'a str, &'a str)> {
        let others = SENSIBLE.iter().copied().filter(|(name, _)| *name != function);
        others.chain([(function, body)]).collect()
    }

    /// These bodies, but for one function.
    pub fn owned<'a>(bodies: &[(&'a str, &'a str)], function: &str, body: &'a str) -> Vec<(&'a str, &'a str)> {
        bodies.iter().map(|(name, given)| (*name, if *name == function { body } else { *given })).collect()
    }

    /// Answers lie above the memory of `cabi_realloc`, at the canonical ABI's offsets; the rest is 0.
    const SENSIBLE: [(&str, &str); 10] = [
        // 0 retries; delays of 1 s; a breaker of 1 failure, 1 s, 1 success, 1 probe, a window of 1 s, a rate of 1 of 1
        // call; no call slow, or all; no limits of time.
        (
            "settings#recommend",
            "(f64.store (i32.const 210008) (f64.const 1)) (f64.store (i32.const 210016) (f64.const 1)) (f64.store (i32.const 210024) (f64.const 1))
             (f64.store (i32.const 210040) (f64.const 1)) (f64.store (i32.const 210048) (f64.const 1)) (i32.store (i32.const 210064) (i32.const 1))
             (f64.store (i32.const 210072) (f64.const 1)) (i32.store (i32.const 210080) (i32.const 1)) (i32.store (i32.const 210084) (i32.const 1))
             (f64.store (i32.const 210088) (f64.const 1)) (f64.store (i32.const 210096) (f64.const 1)) (i32.store (i32.const 210104) (i32.const 1))
             (f64.store (i32.const 210128) (f64.const 1)) (i32.const 210000)",
        ),
        ("backoff#delay", "(f64.const 0)"),
        ("breaker#initial", "(i32.const 211000)"),
        // Same phase and generation; an admission of the phase's number, with payload 1.
        (
            "breaker#step",
            "(i32.store8 (i32.const 212000) (i32.load8_u offset=72 (local.get 0))) (i64.store (i32.const 212024) (i64.load offset=96 (local.get 0)))
             (i32.store8 (i32.const 212040) (i32.load8_u offset=72 (local.get 0))) (i64.store (i32.const 212048) (i64.const 1))
             (i32.const 212000)",
        ),
        ("classifier#classify", "(i32.store (i32.const 213016) (i32.const 80)) (i32.store (i32.const 213020) (i32.const 5)) (i32.const 213000)"),
        ("degradation#next-model", "(i32.const 214000)"),
        ("degradation#simplify-workflow", "(i32.const 214000)"),
        ("degradation#may-serve-cached", "(i32.const 0)"),
        ("health#judge", "(i32.const 214000)"),
        ("recovery#decide", GIVES_UP),
    ];

    /// Body of `backoff#delay` that answers its third call differently.
    pub const REMEMBERS: &str = "(i32.store (i32.const 220000) (i32.add (i32.load (i32.const 220000)) (i32.const 1)))
         (f64.convert_i32_u (i32.eq (i32.load (i32.const 220000)) (i32.const 3)))";

    /// Body of `recovery#decide` that gives up.
    pub const GIVES_UP: &str =
        "(i32.store (i32.const 215016) (i32.const 80)) (i32.store (i32.const 215020) (i32.const 5))
         (i32.store8 (i32.const 215024) (i32.load8_u offset=216 (local.get 0)))
         (i32.store8 (i32.const 215032) (i32.load8_u offset=296 (local.get 0))) (i64.store (i32.const 215056) (i64.load offset=320 (local.get 0)))
         (i32.store8 (i32.const 215072) (i32.load8_u offset=296 (local.get 0))) (i64.store (i32.const 215080) (i64.const 1))
         (i32.store8 (i32.const 215088) (i32.const 12))
         (i32.const 215000)";
}
