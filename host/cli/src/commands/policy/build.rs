//! `upright policy build`: runs the tool of a policy's language, and says which.

mod encode;
mod tool;

use crate::exit::{Exit, Failure};
use crate::output::Output;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use upright::policy::PolicyLoader;

/// The file that is built.
const COMPONENT: &str = "policy.wasm";

/// Build a policy: DIR/policy.wasm, by the tool of the language that is found there
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Rust is built by cargo for wasm32-unknown-unknown, Python by componentize-py, JavaScript by componentize-js, which npx fetches.

Example: upright policy build my-policy")]
pub(crate) struct BuildArguments {
    /// The policy's folder
    #[arg(default_value = ".")]
    dir: PathBuf,
}

/// What policies can be written in from a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Language {
    // Documentation comments would make `--help` spread over pages.
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

    /// The file that its author changes.
    pub(super) fn source(self) -> &'static str {
        match self {
            Self::Rust => "src/lib.rs",
            Self::Python => "my_policy.py",
            Self::Js => "policy.js",
        }
    }

    /// The file by which a policy in this language is known.
    fn sign(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::Python | Self::Js => self.source(),
        }
    }

    /// The flag that a policy needs which brings this language's runtime along.
    pub(super) fn flags(self) -> &'static str {
        match self {
            Self::Rust => "",
            Self::Python | Self::Js => " --allow-wasi",
        }
    }

    /// The language of the policy in this folder.
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
            // Quick to look at; what it lacks is told now and not when it is used. How it answers is for `policy test`.
            PolicyLoader::default().probe(false).from_bytes(&bytes).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
            std::fs::write(&component, bytes)
                .map_err(|error| Failure::new(Exit::Failed, format!("{} cannot be written: {error}", component.display())))?;
        }
        Language::Python => tool::componentize_py(dir, COMPONENT)?,
        Language::Js => tool::componentize_js(dir, COMPONENT)?,
    }
    let size = std::fs::metadata(&component).map(|file| file.len());
    let size = size.map_err(|error| Failure::new(Exit::Failed, format!("the build left no {}: {error}", component.display())))?;
    let shown = component.display().to_string();
    if output.json {
        output.json_line(&json!({ "file": shown, "size_bytes": size, "language": language.name() }))?;
    } else {
        output.line(format_args!("{shown}: {size} bytes; next: upright policy test {shown}{}", language.flags()))?;
    }
    Ok(Exit::Success.into())
}
