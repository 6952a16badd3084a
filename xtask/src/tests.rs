//! Tests of this package. Components are written as text.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::component::{Stale, labelled_with};
use crate::inspect::{self, Refusal, Surface};
use crate::sources::{self, COMPONENTS, Committed};

struct Tree(PathBuf);

impl Tree {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("upright-xtask-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let tree = Self(std::env::temp_dir().join(name));
        tree.write("wit/types.wit", "package upright:policy;\ninterface types {}\n");
        tree.write("guest/logic/src/lib.rs", "//! Logic.\nmod deep;\n");
        tree.write("guest/logic/src/deep/down.rs", "//! Deep.\n");
        for folder in COMPONENTS.iter().flat_map(|component| component.crates) {
            tree.write(&format!("{folder}/Cargo.toml"), &format!("[package]\nname = \"{folder}\"\n"));
            if *folder != "guest/logic" {
                tree.write(&format!("{folder}/src/lib.rs"), &format!("//! {folder}.\n"));
            }
        }
        tree.write("Cargo.lock", &lock("0.2.1", "1.0.0"));
        tree
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn digest(&self) -> String {
        self.digest_of(&COMPONENTS[0])
    }

    fn digest_of(&self, component: &Committed) -> String {
        sources::digest(&self.0, component).unwrap()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn lock(libm: &str, other: &str) -> String {
    format!(
        "[[package]]\nname = \"libm\"\nversion = \"{libm}\"\n\n[[package]]\nname = \"other\"\nversion = \"{other}\"\n\
         dependencies = [\n \"libm\",\n]\n"
    )
}

#[test]
fn the_digest_is_64_hexadecimal_digits_and_does_not_depend_on_where_the_tree_is() {
    let digest = Tree::new().digest();
    assert_eq!(digest.len(), 64);
    assert!(digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    assert_eq!(digest, Tree::new().digest());
}

#[test]
fn the_digest_changes_with_every_kind_of_source() {
    for (path, text) in [
        ("wit/types.wit", "package upright:policy;\ninterface types { }\n"),
        ("wit/more.wit", "package upright:policy;\n"),
        ("guest/logic/src/deep/down.rs", "//! Deeper.\n"),
        ("guest/shim/src/lib.rs", "//! Another shim.\n"),
        ("guest/policy/src/lib.rs", "//! Another policy.\n"),
        ("guest/logic/Cargo.toml", "[package]\nname = \"upright-logic\"\nversion = \"2\"\n"),
        ("guest/policy/Cargo.toml", ""),
        ("Cargo.lock", &lock("0.2.2", "1.0.0")),
    ] {
        let tree = Tree::new();
        let before = tree.digest();
        tree.write(path, text);
        assert_ne!(before, tree.digest(), "{path} does not count");
    }
}

#[test]
fn a_components_own_sources_make_no_other_component_stale_and_shared_ones_make_all_stale() {
    let tree = Tree::new();
    let digests = || COMPONENTS.map(|component| tree.digest_of(&component));
    let before = digests();
    tree.write("guest/examples/steady/src/lib.rs", "//! Steadier.\n");
    let after = digests();
    assert_eq!(before[0], after[0]);
    assert_ne!(before[1], after[1]);
    tree.write("guest/shim/src/lib.rs", "//! Another shim.\n");
    assert!(after.iter().zip(digests()).all(|(after, now)| *after != now));
}

#[test]
fn the_digest_changes_when_a_file_takes_another_name() {
    let tree = Tree::new();
    let before = tree.digest();
    fs::rename(tree.0.join("guest/logic/src/deep/down.rs"), tree.0.join("guest/logic/src/deep/up.rs")).unwrap();
    assert_ne!(before, tree.digest());
}

#[test]
fn the_digest_does_not_change_with_line_ends_other_crates_or_files_that_are_no_sources() {
    let tree = Tree::new();
    let before = tree.digest();
    tree.write("wit/types.wit", "package upright:policy;\r\ninterface types {}\r\n");
    tree.write("Cargo.lock", &lock("0.2.1", "1.0.1").replace('\n', "\r\n"));
    tree.write("wit/README.md", "Not part of the contract.\n");
    tree.write("host/upright/src/lib.rs", "//! The host.\n");
    assert_eq!(before, tree.digest());
}

#[test]
fn a_source_that_cannot_be_read_is_named() {
    let tree = Tree::new();
    fs::remove_file(tree.0.join("guest/policy/Cargo.toml")).unwrap();
    let error = sources::digest(&tree.0, &COMPONENTS[0]).unwrap_err().to_string();
    assert!(error.contains("Cargo.toml"), "{error}");
}

const CONTRACT: [&str; 9] = ["types", "metadata", "settings", "backoff", "breaker", "classifier", "degradation", "health", "recovery"];

fn component(interfaces: &[&str], more: &str) -> Vec<u8> {
    let exports: String =
        interfaces.iter().map(|interface| format!("(export \"upright:policy/{interface}@0.2.0\" (instance $empty))\n")).collect();
    wat::parse_str(format!("(component {more} (instance $empty) {exports})")).unwrap()
}

#[test]
fn a_component_with_the_whole_contract_and_no_import_is_accepted() {
    let surface = Surface::of(&component(&CONTRACT, "")).unwrap();
    surface.must_be_pure().unwrap();
    surface.must_export_the_contract().unwrap();
}

#[test]
fn a_component_with_an_import_is_refused_by_name() {
    let impure = component(&CONTRACT, r#"(import "wasi:clocks/wall-clock@0.2.6" (instance))"#);
    let refusal = Surface::of(&impure).unwrap().must_be_pure().unwrap_err();
    assert!(matches!(&refusal, Refusal::Imports(names) if *names == ["wasi:clocks/wall-clock@0.2.6"]));
    assert!(refusal.to_string().contains("wasi:clocks/wall-clock@0.2.6"));
}

#[test]
fn imports_and_exports_of_nested_components_are_not_the_components_own() {
    let nested = r#"(component (import "inner" (instance)) (instance $i) (export "shown" (instance $i)))
                    (core module (import "a" "b" (func)) (func (export "c")))"#;
    let surface = Surface::of(&component(&CONTRACT, nested)).unwrap();
    assert!(surface.imports.is_empty());
    assert_eq!(surface.exports.len(), CONTRACT.len());
}

#[test]
fn a_component_that_lacks_an_interface_is_refused_by_its_name() {
    let refusal = Surface::of(&component(&CONTRACT[1..], "")).unwrap().must_export_the_contract().unwrap_err();
    assert!(matches!(&refusal, Refusal::Missing(names) if *names == ["upright:policy/types@0.2.0"]));
}

#[test]
fn a_component_that_exports_more_than_the_contract_is_refused() {
    let more = [&CONTRACT[..], &["surprise"]].concat();
    let refusal = Surface::of(&component(&more, "")).unwrap().must_export_the_contract().unwrap_err();
    assert!(matches!(&refusal, Refusal::Unknown(names) if *names == ["upright:policy/surprise@0.2.0"]));
}

#[test]
fn a_core_module_and_bytes_that_are_no_webassembly_are_refused() {
    assert!(matches!(Surface::of(&wat::parse_str("(module)").unwrap()), Err(Refusal::CoreModule)));
    for bytes in [&b""[..], b"\0asm", b"not WebAssembly at all"] {
        assert!(matches!(Surface::of(bytes), Err(Refusal::Malformed(_))));
    }
}

#[test]
fn a_finished_component_carries_its_labels_and_no_other_custom_section() {
    let clutter = r#"(@custom "producers" "outside")
        (component (core module $named (@custom "name of no use" "inside") (func (export "kept"))))"#;
    let finished = inspect::labelled(&component(&CONTRACT, clutter), "0123", "rustc 0").unwrap();

    assert_eq!(sources::recorded(&finished).as_deref(), Some("0123"));
    assert_eq!(sources::custom_section(&finished, inspect::COMPILER_SECTION), Some(&b"rustc 0"[..]));
    let has = |needle: &[u8]| finished.windows(needle.len()).any(|window| window == needle);
    assert!(has(b"kept") && !has(b"outside") && !has(b"inside") && !has(b"named"));
    Surface::of(&finished).unwrap().must_export_the_contract().unwrap();
}

#[test]
fn a_module_without_the_contract_inside_is_not_made_into_a_component() {
    let module = wat::parse_str(r#"(module (func (export "f")))"#).unwrap();
    assert!(inspect::finish(&module, "0123", "rustc 0").is_err());
}

#[test]
fn labelling_a_component_again_replaces_its_labels() {
    let before = inspect::labelled(&component(&CONTRACT, ""), "old", "rustc 0").unwrap();
    let after = inspect::labelled(&before, "new", "rustc 0").unwrap();
    assert_eq!(sources::recorded(&after).as_deref(), Some("new"));
    assert_eq!(before.len(), after.len());
}

fn labelled(digest: &str) -> Vec<u8> {
    let label = format!("(@custom \"before\" \"x\") (@custom \"{}\" \"{digest}\")", sources::SECTION);
    component(&CONTRACT, &label)
}

#[test]
fn a_stale_component_is_reported() {
    let checked = |component: &[u8]| labelled_with("some/policy.wasm", component, "new");
    assert_eq!(checked(&labelled("new")), Ok(()));
    assert_eq!(checked(&labelled("old")), Err(Stale::OtherSources("some/policy.wasm")));
    assert_eq!(checked(&component(&CONTRACT, "")), Err(Stale::Unlabelled("some/policy.wasm")));
    let said = Stale::OtherSources("some/policy.wasm").to_string();
    assert!(said.contains("some/policy.wasm") && said.contains("run `cargo xtask component`"), "{said}");
}

#[test]
fn a_label_is_not_read_from_bytes_that_are_cut_off_or_no_webassembly() {
    let whole = labelled("0123");
    let end_of_label = whole.windows(4).position(|window| window == b"0123").unwrap() + 4;
    for length in 0..end_of_label {
        assert_eq!(sources::recorded(&whole[..length]), None, "cut off at {length}");
    }
    assert_eq!(sources::recorded(b"\x7fELF, and no WebAssembly"), None);
}

#[test]
fn a_component_that_names_a_folder_of_the_machine_is_refused() {
    let home = Path::new("home").join("someone");
    let leaky = component(&[], &format!("(@custom \"path\" \"{}\")", home.join("x").display()).replace('\\', "\\\\"));
    assert!(matches!(inspect::must_not_name(&leaky, &[home]), Err(Refusal::MachinePath(_))));
    inspect::must_not_name(&leaky, &[PathBuf::from("elsewhere")]).unwrap();
}
