//! `upright policy inspect`: shows a policy's name, imports, exports and probe result.

use super::row;
use crate::commands::loading::Loading;
use crate::exit::Exit;
use crate::output::{Output, one_line};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Show a policy's name, imports (none) and exports, and whether it passes the probe
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every host refuses a policy that fails the probe. It is still shown, with exit code 1;
`upright policy test` lists its wrong answers.

Example: upright policy inspect my-policy.wasm")]
pub(crate) struct InspectArguments {
    /// WebAssembly component [default: the built-in policy]
    file: Option<PathBuf>,

    #[command(flatten)]
    loading: Loading,
}

pub(super) fn run(arguments: &InspectArguments, output: &Output) -> anyhow::Result<ExitCode> {
    let policy = arguments.loading.look_at(arguments.file.as_deref())?;
    let (description, surface) = (policy.description(), policy.surface());
    let refused = policy.probe().err().map(|error| error.to_string());
    let exit = if refused.is_none() { Exit::Success } else { Exit::Failed };
    if output.json {
        output.json_line(&json!({
            "name": description.name,
            "version": description.version,
            "state_layout": description.state_layout,
            "digest": format!("sha256:{}", policy.digest()),
            "size_bytes": policy.bytes().len(),
            "contract_version": policy.contract_version(),
            "passes_probe": refused.is_none(),
            "refused": refused,
            "imports": surface.imports,
            "exports": surface.exports,
        }))?;
        return Ok(exit.into());
    }
    let imports = if surface.imports.is_empty() { "none".to_owned() } else { surface.imports.join(", ") };
    let rows = [
        ("name", description.name.clone()),
        ("version", description.version.clone()),
        ("digest", format!("sha256:{}", policy.digest())),
        ("size", format!("{} bytes", policy.bytes().len())),
        ("contract", format!("upright:policy@{}", policy.contract_version())),
        ("probe", refused.map_or_else(|| "passed".to_owned(), |refused| format!("refused: {}", one_line(&refused)))),
        ("imports", imports),
        ("exports", surface.exports.first().cloned().unwrap_or_default()),
    ];
    let mut text: String = rows.iter().map(|(name, value)| row(name, value, output)).collect();
    text.extend(surface.exports.iter().skip(1).map(|export| row("", export, output)));
    output.print(&text)?;
    Ok(exit.into())
}
