//! `upright policy build`: runs the build tool of a policy's language.

mod encode;
mod tool;

use crate::exit::{Exit, Failure};
use crate::output::Output;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use upright::policy::PolicyLoader;

const COMPONENT: &str = "policy.wasm";

/// Build DIR/policy.wasm with the tool of the language found in DIR
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Rust is built by cargo for wasm32-unknown-unknown, Python by componentize-py, and JavaScript by
componentize-js, which npx fetches.

Example: upright policy build my-policy")]
pub(crate) struct BuildArguments {
    /// Folder of the policy
    #[arg(default_value = ".")]
    dir: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Language {
    // Doc comments would make `--help` very long.
    Rust,
    Python,
    Js,
}

impl Language {
    const ALL: [Self; 3] = [Self::Rust, Self::Python, Self::Js];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Js => "js",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::Js => "JavaScript",
        }
    }

    pub(super) fn source(self) -> &'static str {
        match self {
            Self::Rust => "src/lib.rs",
            Self::Python => "my_policy.py",
            Self::Js => "policy.js",
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::Python | Self::Js => self.source(),
        }
    }

    pub(super) fn flags(self) -> &'static str {
        match self {
            Self::Rust => "",
            Self::Python | Self::Js => " --allow-wasi",
        }
    }

    fn found(dir: &Path) -> Result<Self, Failure> {
        let found: Vec<Self> = Self::ALL.into_iter().filter(|language| dir.join(language.sign()).is_file()).collect();
        let wrong = |what: &str| {
            let signs = Self::ALL.map(Self::sign).join(", ");
            Failure::bad_input(format!("{} has {what} of {signs}; expected one, as `upright policy new` makes it", dir.display()))
        };
        match found[..] {
            [language] => Ok(language),
            [] => Err(wrong("none")),
            _ => Err(wrong("more than one")),
        }
    }
}

pub(super) fn run(arguments: &BuildArguments, output: &Output) -> anyhow::Result<ExitCode> {
    let dir = &arguments.dir;
    let language = Language::found(dir)?;
    let component = dir.join(COMPONENT);
    match language {
        Language::Rust => {
            let module = tool::cargo(dir)?;
            let bytes = encode::component(&module)?;
            // `policy test` checks the answers; this checks the component.
            PolicyLoader::default().probe(false).from_bytes(&bytes).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
            std::fs::write(&component, bytes)
                .map_err(|error| Failure::new(Exit::Failed, format!("{} cannot be written: {error}", component.display())))?;
        }
        Language::Python => tool::componentize_py(dir, COMPONENT)?,
        Language::Js => tool::componentize_js(dir, COMPONENT)?,
    }
    let size = std::fs::metadata(&component).map(|file| file.len());
    let size = size.map_err(|error| Failure::new(Exit::Failed, format!("the build produced no {}: {error}", component.display())))?;
    let shown = component.display().to_string();
    if output.json {
        output.json_line(&json!({ "file": shown, "size_bytes": size, "language": language.name() }))?;
    } else {
        output.line(format_args!("{shown}: {size} bytes; next: upright policy test {shown}{}", language.flags()))?;
    }
    Ok(Exit::Success.into())
}
