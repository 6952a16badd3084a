//! `upright policy keygen`, `sign` and `verify`: signs policies and verifies signatures.

use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::values;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use upright::policy::{Policy, PolicyLoader};
use upright::policy::{PublicKey, Trust};
use upright_operations::signature::{SecretKey, Signature};

const LONGEST_KEY: u64 = 4096;

/// Make a signing key pair: the secret key in FILE, the public key in FILE.pub for hosts that trust it
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: upright policy keygen release.key")]
pub(super) struct KeygenArguments {
    /// File for the secret key; must not exist
    file: PathBuf,
}

/// Sign a policy; writes the signature to FILE.sig
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: upright policy sign policy.wasm --key release.key --revision 7")]
pub(super) struct SignArguments {
    /// WebAssembly component
    file: PathBuf,

    /// Secret key file from `upright policy keygen`
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// Revision of the release; a host refuses a lower one than it has seen
    #[arg(long, value_name = "N", value_parser = values::revision)]
    revision: u64,
}

/// Verify a policy's signature, and show what it covers
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: upright policy verify policy.wasm --trust release.key.pub")]
pub(super) struct VerifyArguments {
    /// WebAssembly component, with its signature in FILE.sig
    file: PathBuf,

    /// Trusted public key; repeatable
    #[arg(long, value_name = "FILE", required = true)]
    trust: Vec<PathBuf>,
}

fn key_text(path: &Path) -> Result<String, Failure> {
    let unreadable = |error: std::io::Error| Failure::bad_input(format!("{}: {error}; expected a key's file", path.display()));
    let found = std::fs::metadata(path).map_err(unreadable)?;
    if !found.is_file() || found.len() > LONGEST_KEY {
        return Err(Failure::bad_input(format!("{}: not a key's file; expected one of at most {LONGEST_KEY} bytes", path.display())));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

fn read_key<K: std::str::FromStr<Err = upright_operations::signature::KeyError>>(path: &Path) -> Result<K, Failure> {
    key_text(path)?.parse().map_err(|error| Failure::bad_input(format!("{}: {error}", path.display())))
}

/// Without keys, trusts every policy.
pub(crate) fn loader(trusted: &[PathBuf]) -> Result<PolicyLoader, Failure> {
    let keys = trusted.iter().map(|path| read_key::<PublicKey>(path)).collect::<Result<Vec<_>, _>>()?;
    Ok(PolicyLoader::default().trust(Trust::keys(keys)))
}

/// The signature does not depend on the policy's answers, time or memory.
fn looking(loader: PolicyLoader) -> PolicyLoader {
    let memory = usize::try_from(4_u64 << 30).unwrap_or(usize::MAX);
    loader.probe(false).decision_limit(Duration::from_secs(10)).memory_limit(memory)
}

/// Only the owner can read a secret file.
fn write_new(path: &Path, text: &str, secret: bool) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if secret { 0o600 } else { 0o644 });
    let _ = secret;
    let written = options.open(path).and_then(|mut file| file.write_all(format!("{text}\n").as_bytes()));
    written.map_err(|error| Failure::bad_input(format!("{}: {error}; expected a file that is not there yet", path.display())))
}

pub(super) fn keygen(arguments: &KeygenArguments, output: &Output) -> anyhow::Result<ExitCode> {
    let public = {
        let mut name = arguments.file.as_os_str().to_owned();
        name.push(".pub");
        PathBuf::from(name)
    };
    let key = SecretKey::generate()?;
    write_new(&arguments.file, &key.reveal(), true)?;
    write_new(&public, &key.public().to_string(), false)?;
    if output.json {
        output.json_line(&json!({ "secret_key": arguments.file, "public_key": public, "key": key.public() }))?;
    } else {
        output.line(format_args!("{}  keep it to yourself; who has it can sign", arguments.file.display()))?;
        output.line(format_args!("{}  for hosts that should trust it: {}", public.display(), key.public()))?;
    }
    Ok(Exit::Success.into())
}

/// Ignores a signature beside the file.
fn unsigned(path: &Path) -> Result<Policy, Failure> {
    let bytes = std::fs::read(path)
        .map_err(|error| Failure::bad_input(format!("{}: {error}; expected a WebAssembly component", path.display())))?;
    looking(PolicyLoader::default()).from_bytes(&bytes).map_err(|error| Failure::bad_input(format!("{}: {error}", path.display())))
}

pub(super) fn sign(arguments: &SignArguments, output: &Output) -> anyhow::Result<ExitCode> {
    let key: SecretKey = read_key(&arguments.key)?;
    let policy = unsigned(&arguments.file)?;
    let signature = Signature::sign(&policy, arguments.revision, &key);
    let path = Signature::path_for(&arguments.file);
    std::fs::write(&path, serde_json::to_string_pretty(&signature)? + "\n")
        .map_err(|error| Failure::bad_input(format!("{}: {error}; expected a file that can be written", path.display())))?;
    show(&signature, Some(&path), output)
}

pub(super) fn verify(arguments: &VerifyArguments, output: &Output) -> anyhow::Result<ExitCode> {
    // First, so that a file that is no policy is reported as such.
    unsigned(&arguments.file)?;
    let policy = looking(loader(&arguments.trust)?)
        .from_file(&arguments.file)
        .map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", arguments.file.display())))?;
    match policy.signature() {
        Some(signature) => show(signature, None, output),
        // Unreachable: trusted keys require a signature.
        None => Err(Failure::new(Exit::Failed, format!("{}: not signed", arguments.file.display())).into()),
    }
}

fn show(signature: &Signature, written: Option<&Path>, output: &Output) -> anyhow::Result<ExitCode> {
    if output.json {
        output.json_line(signature)?;
        return Ok(Exit::Success.into());
    }
    let manifest = &signature.manifest;
    let mut rows = vec![
        ("policy", format!("{} {}", manifest.name, manifest.version)),
        ("contract", format!("upright:policy@{}", manifest.contract)),
        ("revision", manifest.revision.to_string()),
        ("digest", format!("sha256:{}", manifest.digest)),
        ("signed by", signature.key.to_string()),
    ];
    rows.extend(written.map(|path| ("written", path.display().to_string())));
    output.print(&rows.iter().map(|(name, value)| format!("{name:<9}  {value}\n")).collect::<String>())?;
    Ok(Exit::Success.into())
}
