//! `upright policy inspect`: who a policy is, and what it imports and exports.

use super::row;
use crate::commands::loading::Loading;
use crate::exit::Exit;
use crate::output::Output;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use upright::policy::CONTRACT_VERSION;

/// Show who a policy is, and what it imports (nothing) and exports
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: upright policy inspect my-policy.wasm")]
pub(crate) struct InspectArguments {
    /// A WebAssembly component [default: the built-in policy]
    file: Option<PathBuf>,

    #[command(flatten)]
    loading: Loading,
}

pub(super) fn run(arguments: &InspectArguments, output: &Output) -> anyhow::Result<ExitCode> {
    let policy = arguments.loading.load(arguments.file.as_deref())?;
    let (description, surface) = (policy.description(), policy.surface());
    if output.json {
        output.json_line(&json!({
            "name": description.name,
            "version": description.version,
            "state_layout": description.state_layout,
            "digest": format!("sha256:{}", policy.digest()),
            "size_bytes": policy.size(),
            "contract_version": CONTRACT_VERSION,
            "imports": surface.imports,
            "exports": surface.exports,
        }))?;
        return Ok(Exit::Success.into());
    }
    let imports = if surface.imports.is_empty() { "none".to_owned() } else { surface.imports.join(", ") };
    let rows = [
        ("name", description.name.clone()),
        ("version", description.version.clone()),
        ("digest", format!("sha256:{}", policy.digest())),
        ("size", format!("{} bytes", policy.size())),
        ("contract", format!("upright:policy@{CONTRACT_VERSION}")),
        ("imports", imports),
        ("exports", surface.exports.first().cloned().unwrap_or_default()),
    ];
    let mut text: String = rows.iter().map(|(name, value)| row(name, value, output)).collect();
    text.extend(surface.exports.iter().skip(1).map(|export| row("", export, output)));
    output.print(&text)?;
    Ok(Exit::Success.into())
}
