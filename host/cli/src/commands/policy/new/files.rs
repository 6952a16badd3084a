//! The files of a new project, by language.

use super::super::build::Language;

/// Path and text.
type File = (String, String);

/// Files in `embedded/`. Its links point out of this crate; a package holds what they point to.
macro_rules! embedded {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/embedded/", $path))
    };
    ($folder:literal: $($path:literal),+ $(,)?) => {
        &[$(($path, embedded!(@ $folder, $path))),+]
    };
    (@ $folder:literal, $path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/embedded/", $folder, "/", $path))
    };
}

const CONTRACT: &[(&str, &str)] = embedded!["wit":
    "backoff.wit",
    "breaker.wit",
    "classifier.wit",
    "degradation.wit",
    "health.wit",
    "metadata.wit",
    "recovery.wit",
    "settings.wit",
    "types.wit",
    "world.wit",
];

const LOGIC: &[(&str, &str)] = embedded!["logic":
    "backoff.rs",
    "breaker.rs",
    "breaker/tests.rs",
    "bridge.rs",
    "classifier/bytes.rs",
    "classifier/mod.rs",
    "classifier/phrases.rs",
    "classifier/rules.rs",
    "classifier/tests.rs",
    "classifier/text.rs",
    "classifier/vocabulary.rs",
    "degradation.rs",
    "health.rs",
    "lib.rs",
    "metadata.rs",
    "named.rs",
    "recovery.rs",
    "recovery/hosts.rs",
    "recovery/rescue.rs",
    "recovery/tests.rs",
    "recovery/window.rs",
    "settings.rs",
    "types.rs",
];

const SHIM: &[(&str, &str)] = embedded!["shim": "exported.rs", "lib.rs", "policy.rs", "runtime.rs"];

/// The manifests have other names here: Cargo takes a folder with a `Cargo.toml` for another package.
const MANIFESTS: [(&str, &str); 2] = [("logic", embedded!("logic.toml")), ("shim", embedded!("shim.toml"))];

/// Source of a project's dependency versions.
const WORKSPACE: &str = embedded!("workspace.toml");

const FROM_THE_WORKSPACE: [&str; 4] = ["talc", "libm", "serde", "wit-bindgen"];

macro_rules! template {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/", $path))
    };
}

pub(super) fn of(language: Language, name: &str) -> Vec<File> {
    let at = |path: &str, text: &str| (path.to_owned(), filled(text, name));
    let below = |folder: &str, files: &[(&str, &str)]| -> Vec<File> {
        files.iter().map(|(path, text)| (format!("{folder}{path}"), (*text).to_owned())).collect()
    };
    let mut files = vec![at("cases.jsonl", template!("cases.jsonl"))];
    match language {
        Language::Rust => {
            files.push(at("README.md", template!("rust/README.md.txt")));
            files.push(at("Cargo.toml", template!("rust/Cargo.toml.txt")));
            files.push(at("src/lib.rs", template!("rust/lib.rs.txt")));
            files.push(at(".gitignore", "/target\n/policy.wasm\n"));
            files.extend(MANIFESTS.map(|(name, text)| (format!("upright/guest/{name}/Cargo.toml"), without_lints(text))));
            files.extend(below("upright/guest/logic/src/", LOGIC));
            files.extend(below("upright/guest/shim/src/", SHIM));
            files.extend(below("upright/guest/shim/wit/", CONTRACT));
        }
        Language::Python => {
            files.push(at("README.md", template!("python/README.md.txt")));
            files.push(at("my_policy.py", template!("python/my_policy.py.txt")));
            files.push(at("default_policy.py", embedded!("python/default_policy.py")));
            files.push(at("power.py", embedded!("python/power.py")));
            files.push(at("rules.json", embedded!("python/rules.json")));
            files.push(at(".gitignore", "/policy.wasm\n__pycache__\n"));
            files.extend(below("wit/", CONTRACT));
        }
        Language::Js => {
            files.push(at("README.md", template!("js/README.md.txt")));
            files.push(at("policy.js", template!("js/policy.js.txt")));
            files.push(at("default-policy.js", embedded!("js/default-policy.js")));
            files.push(at("power.js", embedded!("js/power.js")));
            files.push(at("rules.js", embedded!("js/rules.js")));
            files.push(at(".gitignore", "/policy.wasm\n/node_modules\n"));
            files.extend(below("wit/", CONTRACT));
        }
    }
    files
}

fn filled(text: &str, name: &str) -> String {
    text.replace("{{name}}", name).replace("{{version}}", env!("CARGO_PKG_VERSION")).replace("{{dependencies}}", &dependencies())
}

fn dependencies() -> String {
    let line = |name: &str| WORKSPACE.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(" = ")));
    FROM_THE_WORKSPACE.iter().filter_map(|name| line(name)).collect::<Vec<_>>().join("\n")
}

fn without_lints(manifest: &str) -> String {
    manifest.replace("[lints]\nworkspace = true\n\n", "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    fn below(folder: &str) -> Vec<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("embedded").join(folder);
        let mut folders = vec![PathBuf::new()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(root.join(&folder)).unwrap() {
                let entry = entry.unwrap();
                let path = folder.join(entry.file_name());
                if entry.file_type().unwrap().is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files
    }

    #[test]
    fn the_whole_contract_and_all_sources_of_the_guest_are_in_a_project() {
        for (folder, table) in [("wit", CONTRACT), ("logic", LOGIC), ("shim", SHIM)] {
            for path in below(folder) {
                let is_embedded = table.iter().any(|(known, _)| Path::new(known) == path);
                assert!(is_embedded, "{folder}/{} is not in the table of this file", path.display());
            }
        }
    }

    #[test]
    fn every_crate_that_the_guest_takes_from_its_workspace_is_named_there() {
        let manifest = of(Language::Rust, "n").into_iter().find(|(path, _)| path == "Cargo.toml").unwrap().1;
        for (_, text) in MANIFESTS {
            for line in text.lines().filter(|line| line.contains("workspace = true") && !line.starts_with("workspace")) {
                let name = line.split([' ', '.']).next().unwrap();
                assert!(manifest.lines().any(|line| line.starts_with(&format!("{name} = "))), "{name}");
            }
        }
    }

    #[test]
    fn the_files_of_a_new_policy_contain_no_placeholder() {
        for language in [Language::Rust, Language::Python, Language::Js] {
            for (path, text) in of(language, "my-policy") {
                assert!(!text.contains("{{name}}") && !text.contains("{{version}}") && !text.contains("{{dependencies}}"), "{path}");
            }
        }
    }

    #[test]
    fn the_readme_is_five_lines() {
        for language in [Language::Rust, Language::Python, Language::Js] {
            let readme = of(language, "n").into_iter().find(|(path, _)| path == "README.md").unwrap().1;
            assert_eq!(readme.lines().count(), 5, "{language:?}");
        }
    }
}
