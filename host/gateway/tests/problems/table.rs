//! The page's table of problems names tests that exist.

use std::path::Path;

/// All Rust sources below a folder, one after another.
fn sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            *text += &std::fs::read_to_string(path).unwrap();
        }
    }
}

#[test]
fn each_problem_of_the_page_names_tests_that_exist() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(package.join("../../docs/gateway.md")).unwrap();
    let section = page.split("\n## Problems that users report\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    let mut text = String::new();
    ["src", "tests"].iter().for_each(|folder| sources(&package.join(folder), &mut text));
    let missing = |name: &&str| !text.contains(&format!("fn {name}()")) && !text.contains(&format!("fn {name}(\n"));
    let mut names = 0;
    for row in &rows {
        let tests: Vec<&str> = row.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() > 3).collect();
        assert!(!tests.is_empty(), "no test is named in {row}");
        names += tests.len();
        assert_eq!(tests.into_iter().find(missing), None, "{row}");
    }
    println!("{} problems, {names} tests", rows.len());
    assert!(rows.len() >= 25, "{}", rows.len());
}
