//! Each test named in `docs/traps.md` and among the promises of `docs/gateway.md` exists. And no test really sleeps.

use std::fs;
use std::path::{Path, PathBuf};

const SECTIONS: &[&str] = &["Classifying", "Breaker", "Retry", "Hedging and bulkheads", "Degradation, cache, checkpoints", "Health"];
const PACKAGES: &[&str] = &["guest", "host", "tests", "xtask"];
const HEADERS: [&str; 2] = ["What went wrong elsewhere", "| promise |"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn problems(document: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut problems = Vec::new();
    for section in SECTIONS {
        if !document.lines().any(|line| line.strip_prefix("## ") == Some(section)) {
            problems.push(format!("the section {section:?} is missing"));
        }
    }
    for section in document.split("\n## ").skip(1) {
        problems.extend(problems_of_section(section, &read));
    }
    problems
}

fn problems_of_section(section: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut problems = Vec::new();
    let title = section.lines().next().unwrap_or_default();
    let rows: Vec<_> = section.lines().filter(|line| is_row(line)).collect();
    if rows.is_empty() {
        problems.push(format!("the section {title:?} is empty"));
    }
    for row in rows {
        let tests = tests_of(row);
        if tests.is_empty() {
            problems.push(format!("no test is named: {row}"));
        }
        problems.extend(tests.into_iter().filter_map(|test| missing(test, &read)));
    }
    problems
}

fn is_row(line: &str) -> bool {
    line.starts_with('|') && !line.starts_with("|--") && !HEADERS.iter().any(|header| line.contains(header))
}

fn tests_of(row: &str) -> Vec<&str> {
    let cell = row.trim().trim_end_matches('|').rsplit('|').next().unwrap_or_default();
    cell.split('`').skip(1).step_by(2).collect()
}

fn missing(test: &str, read: impl Fn(&str) -> Option<String>) -> Option<String> {
    let Some((path, name)) = test.split_once("::") else { return Some(format!("{test}: expected path::name")) };
    let Some(source) = read(path) else { return Some(format!("{test}: there is no such file")) };
    (!has_test(&source, name)).then(|| format!("{test}: there is no such test in the file"))
}

fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<_> = source.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(index, line)| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        let named = line.strip_prefix("fn ").and_then(|rest| rest.strip_prefix(name)).is_some_and(|rest| rest.starts_with('('));
        let attributes = || lines[..index].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        let is_test = |line: &str| line == "#[test]" || line.starts_with("#[tokio::test");
        named && attributes().any(|line| is_test(line)) && !attributes().any(|line| line.starts_with("#[ignore"))
    })
}

#[test]
fn each_trap_has_a_test_that_exists() {
    let workspace = workspace();
    let document = fs::read_to_string(workspace.join("docs/traps.md")).unwrap();
    let problems = problems(&document, |path| fs::read_to_string(workspace.join(path)).ok());
    assert!(problems.is_empty(), "docs/traps.md:\n{}", problems.join("\n"));
}

#[test]
fn each_promise_of_the_gateway_has_a_test_that_exists() {
    let workspace = workspace();
    let document = fs::read_to_string(workspace.join("docs/gateway.md")).unwrap();
    let promises = document.split("\n## ").find(|section| section.starts_with("Promises")).unwrap();
    let problems = problems_of_section(promises, |path| fs::read_to_string(workspace.join(path)).ok());
    assert!(problems.is_empty(), "docs/gateway.md:\n{}", problems.join("\n"));
}

#[test]
fn a_missing_test_and_an_empty_section_are_reported() {
    let section = |title: &str, test: &str| format!("\n## {title}\n\n| {} | here |\n|---|---|\n| It broke | `{test}` |\n", HEADERS[0]);
    let document = |test: &str| SECTIONS.iter().map(|title| section(title, test)).collect::<String>();
    let source = "#[test]\nfn one() {}\n\n    /// Two.\n    #[tokio::test]\n    async fn two() {}\n\nfn three() {}\n\n#[test]\n#[ignore]\nfn four() {}\n";
    let problems_of = |document: &str| problems(document, |path| (path == "a.rs").then(|| source.to_owned()));

    for test in ["a.rs::one", "a.rs::two"] {
        assert_eq!(problems_of(&document(test)), [""; 0]);
    }
    for test in ["a.rs::three", "a.rs::four", "a.rs::on", "a.rs::five", "b.rs::one", "a.rs", ""] {
        assert_eq!(problems_of(&document(test)).len(), SECTIONS.len(), "{test}");
    }
    let empty = document("a.rs::one").replacen("| It broke | `a.rs::one` |\n", "", 1);
    assert_eq!(problems_of(&empty), ["the section \"Classifying\" is empty"]);
    assert_eq!(problems_of(&document("a.rs::one").replace("## Health", "## Wealth")), ["the section \"Health\" is missing"]);
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn test_code<'s>(path: &Path, source: &'s str) -> &'s str {
    let in_package = path.iter().skip(1).any(|part| part == "tests" || part == "tests.rs");
    if in_package {
        return source;
    }
    source.find("#[cfg(test)]\nmod tests {").map_or("", |start| &source[start..])
}

fn sleeping(code: &str) -> Vec<(usize, &str)> {
    let calls = [concat!("sl", "eep("), concat!("sl", "eep_until("), concat!("sl", "eep_ms(")];
    let sleeps = |line: &str| {
        calls.iter().flat_map(|call| line.match_indices(call)).any(|(at, _)| {
            let before = &line[..at];
            !before.ends_with(|letter: char| letter == '.' || letter == '_' || letter.is_alphanumeric()) && !before.ends_with("fn ")
        })
    };
    code.lines().enumerate().filter(|(_, line)| sleeps(line)).map(|(index, line)| (index + 1, line.trim())).collect()
}

#[test]
fn no_test_sleeps() {
    let workspace = workspace();
    let mut files = Vec::new();
    PACKAGES.iter().for_each(|folder| sources(&workspace.join(folder), &mut files));
    let (mut read, mut found) = (0, Vec::new());
    for file in files {
        let source = fs::read_to_string(&file).unwrap();
        let path = file.strip_prefix(&workspace).unwrap();
        let code = test_code(path, &source);
        read += usize::from(!code.is_empty());
        found.extend(sleeping(code).into_iter().map(|(line, text)| format!("{}, line {line} of its tests: {text}", path.display())));
    }
    assert!(read > 40, "only {read} files with tests were found");
    assert!(found.is_empty(), "drive a clock, or wait for what shall happen:\n{}", found.join("\n"));
}

#[test]
fn a_test_that_sleeps_is_found_however_it_calls_it() {
    let name = concat!("sl", "eep");
    for call in ["std::thread::NAME(span);", "tokio::time::NAME(span).await;", "NAME(span).await", "time::NAME_until(then)", "x(NAME(y))"] {
        assert_eq!(sleeping(&call.replace("NAME", name)).len(), 1, "{call}");
    }
    for harmless in ["clock.NAME(span).await", "fn NAME(span: Duration)", "clock.NAME_blocking(span)", "as_NAME(1)", "it is NAME"] {
        assert_eq!(sleeping(&harmless.replace("NAME", name)), [], "{harmless}");
    }
    let file = "fn f() {}\n\n#[cfg(test)]\nmod tests {\n}\n";
    assert_eq!(test_code(Path::new("host/upright/src/a.rs"), file), "#[cfg(test)]\nmod tests {\n}\n");
    assert_eq!(test_code(Path::new("host/simulator/src/a.rs"), "fn f() {}"), "");
    for whole in ["host/upright/tests/a.rs", "tests/system/tests/a.rs", "guest/logic/src/classifier/tests.rs"] {
        assert_eq!(test_code(Path::new(whole), file), file);
    }
}
