//! Checks the prose that a program can check: columns, sentence openings, and words that the glossary rules out.
//!
//! `CONTRIBUTING.md`, section English, has the rules. Code blocks, tables and inline code are not prose.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::workspace::{Workspace, has_sources};

/// Maximum columns of a line of prose.
const COLUMNS: usize = 120;

/// Openings of sentences that make a reader start twice.
const OPENINGS: [&str; 8] = ["What ", "Who ", "Whoever ", "So many ", "So much ", "None where ", "As there", "As many "];

/// Words that the glossary rules out.
const WORDS: [&str; 6] = ["rival", "rivals", "anew", "at hand", "surroundings", "told"];

/// Leftovers of editing.
const LEFTOVERS: [&str; 6] = ["TODO", "FIXME", "XXX", "<<<<<<<", ">>>>>>>", "the the"];

/// Files whose lines quote programs or data.
const EXEMPT: [&str; 3] = ["guest/conformance/field/", "benches/REPORT.md", "CONTRIBUTING.md"];

/// Fails if a tracked file breaks a rule, and names each place.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let mut listed = Vec::new();
    list(&workspace.root, &workspace.root, &mut listed)?;
    listed.sort();
    let (mut found, mut files) = (Vec::new(), 0);
    for file in listed.iter().filter(|file| !EXEMPT.iter().any(|exempt| file.starts_with(exempt)) && *file != "docs/glossary.md") {
        let Ok(text) = fs::read_to_string(workspace.root.join(file)).with_context(|| format!("cannot read {file}")) else { continue };
        files += 1;
        for (number, problem) in problems(Path::new(file), &text) {
            found.push(format!("{file}:{number}: {problem}"));
        }
    }
    ensure!(found.is_empty(), "{} places break the rules of CONTRIBUTING.md, section English:\n{}", found.len(), found.join("\n"));
    println!("{files} files keep to the rules of prose");
    Ok(())
}

/// Lists the sources and pages below a folder, from the root. Hidden folders, those that tools write and symbolic links
/// are left out.
fn list(root: &Path, folder: &Path, listed: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            if has_sources(&entry.file_name().to_string_lossy()) {
                list(root, &path, listed)?;
            }
        } else if kind.is_file() && ["md", "rs", "wit"].iter().any(|extension| path.extension().is_some_and(|of| of == *extension)) {
            listed.push(path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/"));
        }
    }
    Ok(())
}

/// The problems of a file, each with its line.
pub(crate) fn problems(file: &Path, text: &str) -> Vec<(usize, String)> {
    let markdown = file.extension().is_some_and(|extension| extension == "md");
    let (mut found, mut fenced, mut opens) = (Vec::new(), false, true);
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let Some(prose) = (if markdown { Some(line) } else { comment(line) }) else {
            (fenced, opens) = (false, true);
            continue;
        };
        let trimmed = prose.trim_start();
        if trimmed.starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced || trimmed.starts_with('|') || trimmed.starts_with("<!--") {
            opens = true;
            continue;
        }
        let columns = line.chars().count();
        // A link or a path cannot be wrapped.
        if columns > COLUMNS && trimmed.split_whitespace().all(|word| word.chars().count() < COLUMNS / 2) {
            found.push((number, format!("{columns} columns; expected at most {COLUMNS}")));
        }
        if let Some(leftover) = LEFTOVERS.iter().find(|leftover| trimmed.contains(*leftover)) {
            found.push((number, format!("a leftover of editing: {leftover:?}")));
        }
        let plain = without_code(trimmed);
        let lower = plain.to_lowercase();
        if let Some(word) = WORDS.iter().find(|word| has_word(&lower, word)) {
            found.push((number, format!("{word:?}; docs/glossary.md has the word to use")));
        }
        let begins = opens || trimmed.is_empty() || trimmed.starts_with(['-', '*', '#']);
        if let Some(opening) = opening(&plain, begins) {
            found.push((number, format!("a sentence opens with {opening:?}")));
        }
        opens = trimmed.is_empty() || plain.trim_end().ends_with(['.', ':', '!', '?']);
    }
    found
}

/// The text of a line that is a comment.
fn comment(line: &str) -> Option<&str> {
    let line = line.trim_start();
    ["//!", "///", "//"].iter().find_map(|mark| line.strip_prefix(mark))
}

/// The line with inline code and quoted text as a placeholder.
fn without_code(line: &str) -> String {
    let (mut plain, mut code, mut quoted) = (String::new(), false, false);
    for letter in line.chars() {
        match letter {
            '`' if !quoted => code = !code,
            '"' if !code => quoted = !quoted,
            _ if code || quoted => continue,
            _ => plain.push(letter),
        }
        if (letter == '`' && code) || (letter == '"' && quoted) {
            plain.push('x');
        }
    }
    plain
}

fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let is_letter = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_' || letter == '-');
        !is_letter(text[..at].chars().next_back()) && !is_letter(text[at + word.len()..].chars().next())
    })
}

/// The opening of a sentence of this line that is ruled out. A question may open with What.
fn opening(plain: &str, begins: bool) -> Option<&'static str> {
    let start = plain.trim_start_matches(['-', '*', '#', ' ', '>', '1', '2', '3', '4', '5', '6', '7', '8', '9', '.', ')', '(']);
    let is_question = plain.contains('?') || plain.starts_with('#');
    let first = if begins { Some(start) } else { None };
    let rest = plain.match_indices(". ").map(|(at, _)| &plain[at + 2..]);
    first.into_iter().chain(rest).find_map(|sentence| OPENINGS.into_iter().find(|opening| sentence.starts_with(opening) && !is_question))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, text: &str) -> Vec<String> {
        problems(Path::new(name), text).into_iter().map(|(line, problem)| format!("{line}: {problem}")).collect()
    }

    #[test]
    fn banned_openings_are_found_at_the_start_and_within_a_paragraph_but_not_in_a_question() {
        assert_eq!(found("a.rs", "/// What a call costs.").len(), 1);
        assert_eq!(found("a.md", "A call costs time. Who waits pays.").len(), 1);
        assert_eq!(found("a.md", "It returns\nWhat the caller gave.").len(), 0, "a wrapped line is no opening");
        assert_eq!(found("a.md", "What does a call cost?").len(), 0);
    }

    #[test]
    fn banned_words_are_found_in_prose_and_not_in_code_tables_or_other_words() {
        assert_eq!(found("a.md", "A rival is sent."), ["1: \"rival\"; docs/glossary.md has the word to use"]);
        for text in ["`rival` is a name.", "| rival |", "```text\nrival\n```", "An arrival counts."] {
            assert_eq!(found("a.md", text).len(), 0, "{text}");
        }
        assert_eq!(found("a.rs", "let rival = 1;").len(), 0);
    }

    #[test]
    fn lines_of_more_than_120_columns_are_found_unless_one_word_cannot_be_wrapped() {
        assert_eq!(found("a.md", &"word ".repeat(30)).len(), 1);
        assert_eq!(found("a.md", &format!("See {}", "x".repeat(130))).len(), 0);
        assert_eq!(found("a.rs", &format!("let a = \"{}\";", "word ".repeat(30))).len(), 0);
    }
}
