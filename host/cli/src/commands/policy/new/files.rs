//! The files of a new project, by language.

use super::super::build::Language;

/// Path and text.
type File = (String, String);

macro_rules! embedded {
    ($($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../", $path)))),+]
    };
}

const CONTRACT: &[(&str, &str)] = embedded![
    "wit/backoff.wit",
    "wit/breaker.wit",
    "wit/classifier.wit",
    "wit/degradation.wit",
    "wit/health.wit",
    "wit/metadata.wit",
    "wit/recovery.wit",
    "wit/settings.wit",
    "wit/types.wit",
    "wit/world.wit",
];

const GUEST: &[(&str, &str)] = embedded![
    "guest/logic/Cargo.toml",
    "guest/logic/src/backoff.rs",
    "guest/logic/src/breaker.rs",
    "guest/logic/src/breaker/tests.rs",
    "guest/logic/src/bridge.rs",
    "guest/logic/src/classifier/bytes.rs",
    "guest/logic/src/classifier/mod.rs",
    "guest/logic/src/classifier/phrases.rs",
    "guest/logic/src/classifier/rules.rs",
    "guest/logic/src/classifier/tests.rs",
    "guest/logic/src/classifier/text.rs",
    "guest/logic/src/classifier/vocabulary.rs",
    "guest/logic/src/degradation.rs",
    "guest/logic/src/health.rs",
    "guest/logic/src/lib.rs",
    "guest/logic/src/metadata.rs",
    "guest/logic/src/named.rs",
    "guest/logic/src/recovery.rs",
    "guest/logic/src/recovery/tests.rs",
    "guest/logic/src/recovery/window.rs",
    "guest/logic/src/settings.rs",
    "guest/logic/src/types.rs",
    "guest/shim/Cargo.toml",
    "guest/shim/src/exported.rs",
    "guest/shim/src/lib.rs",
    "guest/shim/src/policy.rs",
    "guest/shim/src/runtime.rs",
];

/// Source of a project's dependency versions.
const WORKSPACE: &str = include_str!("../../../../../../Cargo.toml");

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
            files.extend(below("upright/", CONTRACT));
            files.extend(below("upright/", GUEST).into_iter().map(|(path, text)| {
                let is_manifest = path.ends_with("Cargo.toml");
                (path, if is_manifest { without_lints(&text) } else { text })
            }));
        }
        Language::Python => {
            files.push(at("README.md", template!("python/README.md.txt")));
            files.push(at("my_policy.py", template!("python/my_policy.py.txt")));
            files.push(at("default_policy.py", embedded!("guest/examples/python/default_policy.py")[0].1));
            files.push(at("power.py", embedded!("guest/examples/python/power.py")[0].1));
            files.push(at("rules.json", embedded!("guest/examples/python/rules.json")[0].1));
            files.push(at(".gitignore", "/policy.wasm\n__pycache__\n"));
            files.extend(below("", CONTRACT));
        }
        Language::Js => {
            files.push(at("README.md", template!("js/README.md.txt")));
            files.push(at("policy.js", template!("js/policy.js.txt")));
            files.push(at("default-policy.js", embedded!("guest/examples/js/default-policy.js")[0].1));
            files.push(at("power.js", embedded!("guest/examples/js/power.js")[0].1));
            files.push(at("rules.js", embedded!("guest/examples/js/rules.js")[0].1));
            files.push(at(".gitignore", "/policy.wasm\n/node_modules\n"));
            files.extend(below("", CONTRACT));
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

    fn is_embedded(path: &Path) -> bool {
        CONTRACT.iter().chain(GUEST).any(|(known, _)| Path::new(known) == path)
    }

    fn below(folder: &str) -> Vec<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut folders = vec![PathBuf::from(folder)];
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
        for folder in ["wit", "guest/logic/src", "guest/shim/src"] {
            for path in below(folder) {
                assert!(is_embedded(&path), "{} is not in the table of this file", path.display());
            }
        }
    }

    #[test]
    fn every_crate_that_the_guest_takes_from_its_workspace_is_named_there() {
        let manifest = of(Language::Rust, "n").into_iter().find(|(path, _)| path == "Cargo.toml").unwrap().1;
        for (_, text) in GUEST.iter().filter(|(path, _)| path.ends_with("Cargo.toml")) {
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
