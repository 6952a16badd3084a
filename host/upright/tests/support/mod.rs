//! Policies that misbehave, built from source: each function of the world does what it is told.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, dead_code)]

use std::path::Path;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The functions of the world with their core signatures: interface and function, parameters, result.
const FUNCTIONS: [(&str, &str, &str); 11] = [
    ("metadata#describe", "", "i32"),
    ("settings#recommend", "i32", "i32"),
    ("backoff#delay", "i32 f64 f64 f64 i32 f64 f64 i32 i32 f64", "f64"),
    ("breaker#initial", "i64", "i32"),
    ("breaker#step", "i32", "i32"),
    ("classifier#classify", "i32 i32 i32 i32 i32 i32 i32 i32 i32 f64", "i32"),
    ("degradation#next-model", "i32 i32 i32 i32", "i32"),
    ("degradation#simplify-workflow", "i32 i32", "i32"),
    ("degradation#may-serve-cached", "f64 f64 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32", "i32"),
    ("health#judge", "i64 i64 i64 i64 i32 f64 f64 f64 i64 f64", "i32"),
    ("recovery#decide", "i32", "i32"),
];

/// A component of the world whose functions have these bodies; those that are not named trap. `describe` answers the name
/// `hostile`, the version `1.0.0` and the state layout 7.
pub(crate) fn policy(bodies: &[(&str, &str)]) -> Vec<u8> {
    policy_importing("", &[], "", bodies)
}

/// Such a component that imports: the core module's imports, WIT packages, and the lines of the world that import from them.
pub(crate) fn policy_importing(imports: &str, packages: &[&str], world: &str, bodies: &[(&str, &str)]) -> Vec<u8> {
    let functions = FUNCTIONS.map(|(name, parameters, result)| {
        let given = bodies.iter().find(|(function, _)| *function == name).map(|(_, body)| *body);
        let body = given.unwrap_or(if name == "metadata#describe" { "(i32.const 16)" } else { "unreachable" });
        let (interface, function) = name.split_once('#').unwrap();
        let parameters = if parameters.is_empty() { String::new() } else { format!("(param {parameters})") };
        format!("(func ${function} (export \"upright:policy/{interface}@0.1.0#{function}\") {parameters} (result {result}) {body})\n")
    });
    // At 16 the answer of `describe`: name at 64, 7 bytes; version at 80, 5 bytes; layout 7.
    let module = format!(
        r#"(module
            {imports}
            (memory (export "memory") 4)
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
        )"#,
        functions.concat()
    );
    component(&module, packages, world)
}

fn component(module: &str, packages: &[&str], world: &str) -> Vec<u8> {
    let mut module = wat::parse_str(module).unwrap();
    let mut resolve = Resolve::default();
    resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit")).unwrap();
    for package in packages {
        resolve.push_str("test.wit", package).unwrap();
    }
    let world = format!("package test:policy; world policy {{ {world} include upright:policy/policy@0.1.0; }}");
    let package = resolve.push_str("test.wit", &world).unwrap();
    let world = resolve.select_world(&[package], Some("policy")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}
