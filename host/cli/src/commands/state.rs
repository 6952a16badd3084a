//! `--state`: the store that other programs keep their state in.

use crate::exit::Failure;
use std::path::PathBuf;
use std::sync::Arc;
use upright::clock::SystemClock;
use upright::store::{StateAddress, Store};

#[derive(Debug, clap::Args)]
pub(crate) struct StateArgument {
    /// A file, a folder with one such file, or nats://HOST:PORT [default: the user's folder for state]
    #[arg(long, value_name = "STATE", env = "UPRIGHT_STATE", hide_env_values = true)]
    state: Option<String>,
}

impl StateArgument {
    /// A store that is there already.
    pub(crate) async fn open(&self) -> anyhow::Result<Arc<dyn Store>> {
        let address = self.address()?;
        if let StateAddress::File(path) = &address
            && !path.exists()
        {
            return Err(Failure::bad_input(format!(
                "{}: there is no such file; expected one that a program keeps its state in",
                path.display()
            ))
            .into());
        }
        Ok(address.open(SystemClock::shared()).await?)
    }

    /// A store that is made if it is not there.
    pub(crate) async fn open_or_make(&self) -> anyhow::Result<Arc<dyn Store>> {
        Ok(self.address()?.open(SystemClock::shared()).await?)
    }

    fn address(&self) -> Result<StateAddress, Failure> {
        let address = match &self.state {
            Some(text) => text.parse().map_err(Failure::bad_input)?,
            None => StateAddress::of_this_program().ok_or_else(|| {
                Failure::bad_input("there is no folder for state: neither XDG_STATE_HOME nor HOME is set; expected --state")
            })?,
        };
        match address {
            StateAddress::Memory => {
                Err(Failure::bad_input("a store in memory holds nothing of another program; expected a file or nats://HOST:PORT"))
            }
            StateAddress::File(path) => self.in_folder(path).map(StateAddress::File),
            address => Ok(address),
        }
    }

    /// The file that was meant where a folder was named, or nothing.
    fn in_folder(&self, path: PathBuf) -> Result<PathBuf, Failure> {
        let folder = match (&self.state, path.parent()) {
            (None, Some(folder)) => folder,
            _ if path.is_dir() => &path,
            _ => return Ok(path),
        };
        let is_store = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "redb");
        let entries = folder.read_dir().into_iter().flatten().flatten();
        let mut files: Vec<_> = entries.map(|entry| entry.path()).filter(is_store).collect();
        files.sort();
        match files.as_slice() {
            [file] => Ok(file.clone()),
            [] if self.state.is_none() => Ok(path),
            [] => Err(Failure::bad_input(format!("{}: no file of a store (*.redb) is in this folder", folder.display()))),
            several => {
                let names = several.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
                Err(Failure::bad_input(format!("there are several stores: {names}; expected one of them as --state")))
            }
        }
    }
}
