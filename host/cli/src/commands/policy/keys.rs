//! `upright policy keygen`, `sign` and `verify`: who a policy is from.

use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::values;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use upright::policy::signature::{PublicKey, SecretKey, Signature, Trust};
use upright::policy::{Policy, PolicyLoader};

/// A key's file is no longer than this, bytes.
const LONGEST_KEY: u64 = 4096;

/// Make a key pair to sign policies with: FILE for yourself, FILE.pub for those who shall trust it
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: upright policy keygen release.key")]
pub(super) struct KeygenArguments {
    /// Where the secret key goes; must not be there yet
    file: PathBuf,
}

/// Sign a policy: the signature goes into FILE.sig beside it
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: upright policy sign policy.wasm --key release.key --revision 7")]
pub(super) struct SignArguments {
    /// A WebAssembly component
    file: PathBuf,

    /// The secret key, as `upright policy keygen` wrote it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// Counts your releases: a host refuses a lower one than it has seen
    #[arg(long, value_name = "N", value_parser = values::revision)]
    revision: u64,
}

/// Check a policy's signature, and show what it vouches for
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: upright policy verify policy.wasm --trust release.key.pub")]
pub(super) struct VerifyArguments {
    /// A WebAssembly component, with its signature in FILE.sig
    file: PathBuf,

    /// A public key that is trusted; can be given several times
    #[arg(long, value_name = "FILE", required = true)]
    trust: Vec<PathBuf>,
}

/// The text of a key's file.
fn key_text(path: &Path) -> Result<String, Failure> {
    let unreadable = |error: std::io::Error| Failure::bad_input(format!("{}: {error}; expected a key's file", path.display()));
    let found = std::fs::metadata(path).map_err(unreadable)?;
    if !found.is_file() || found.len() > LONGEST_KEY {
        return Err(Failure::bad_input(format!("{}: not a key's file; expected one of at most {LONGEST_KEY} bytes", path.display())));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

fn read_key<K: std::str::FromStr<Err = upright::policy::signature::KeyError>>(path: &Path) -> Result<K, Failure> {
    key_text(path)?.parse().map_err(|error| Failure::bad_input(format!("{}: {error}", path.display())))
}

/// A loader that trusts the keys in these files; everybody where there is none.
pub(crate) fn loader(trusted: &[PathBuf]) -> Result<PolicyLoader, Failure> {
    let keys = trusted.iter().map(|path| read_key::<PublicKey>(path)).collect::<Result<Vec<_>, _>>()?;
    Ok(PolicyLoader::default().trust(Trust::keys(keys)))
}

/// A loader of what is only looked at: who a policy is from does not hang on how it answers, or on how much it needs for that.
fn looking(loader: PolicyLoader) -> PolicyLoader {
    let memory = usize::try_from(4_u64 << 30).unwrap_or(usize::MAX);
    loader.probe(false).decision_limit(Duration::from_secs(10)).memory_limit(memory)
}

/// Writes a file that is not there yet; a secret one for its owner alone.
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
        output.line(format_args!("{}  for those who shall trust it: {}", public.display(), key.public()))?;
    }
    Ok(Exit::Success.into())
}

/// The policy in a file as it is now, whatever signature lies beside it.
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
    // First, so that a file that is no policy is told as that.
    unsigned(&arguments.file)?;
    let policy = looking(loader(&arguments.trust)?)
        .from_file(&arguments.file)
        .map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", arguments.file.display())))?;
    match policy.signature() {
        Some(signature) => show(signature, None, output),
        // Trust was asked for, so there is one.
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
