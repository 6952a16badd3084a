//! `upright policy new`: creates a policy project that builds without this repository.

mod files;

use super::build::Language;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Create a policy project from a template that builds
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: upright policy new my-policy && upright policy build my-policy && upright policy test my-policy/policy.wasm"
)]
pub(crate) struct NewArguments {
    /// Folder to create; its name becomes the policy's
    dir: PathBuf,

    /// Language of the project
    #[arg(long, value_enum, default_value = "rust")]
    lang: Language,
}

pub(super) fn run(arguments: &NewArguments, output: &Output) -> anyhow::Result<ExitCode> {
    let NewArguments { dir, lang } = arguments;
    let name = name_of(dir)?;
    must_be_free(dir)?;
    let files = files::of(*lang, &name);
    for (path, text) in &files {
        let path = dir.join(path);
        let cannot = |error: std::io::Error| Failure::new(Exit::Failed, format!("{} cannot be written: {error}", path.display()));
        path.parent().map_or(Ok(()), fs::create_dir_all).map_err(cannot)?;
        fs::write(&path, text).map_err(cannot)?;
    }
    let shown = dir.display().to_string();
    if output.json {
        output.json_line(&json!({ "dir": shown, "name": name, "language": lang.name(), "files": files.len() }))?;
    } else {
        output.line(format_args!("{shown}: {name}, a policy in {}; change `decide` in {}", lang.title(), lang.source()))?;
        output.line(format_args!("next: upright policy build {shown} && upright policy test {shown}/policy.wasm{}", lang.flags()))?;
    }
    Ok(Exit::Success.into())
}

fn name_of(dir: &Path) -> Result<String, Failure> {
    let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let fits = name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-');
    let wrong = || format!("{:?} cannot be a policy's name; expected a folder named in lower-case letters, digits and -", name);
    if fits { Ok(name) } else { Err(Failure::bad_input(wrong())) }
}

fn must_be_free(dir: &Path) -> Result<(), Failure> {
    let wrong = |what: String| Err(Failure::bad_input(format!("{} {what}; expected a new or an empty folder", dir.display())));
    match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().map_or(Ok(()), |_| wrong("is not empty".to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => wrong(format!("cannot be used: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_name_a_policy_is_refused_by_its_name() {
        assert_eq!(name_of(Path::new("a/my-policy-2/")).unwrap(), "my-policy-2");
        for wrong in ["My-Policy", "2nd", "with space", "..", "/", "-x", ""] {
            assert!(name_of(Path::new(wrong)).unwrap_err().message.contains("expected a folder named"), "{wrong}");
        }
    }
}
