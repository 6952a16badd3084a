//! The `--state` option.

use crate::exit::Failure;
use std::fs;
use std::sync::Arc;
use upright::store::{StateAddress, Store};

#[derive(Debug, clap::Args)]
pub(crate) struct StateArgument {
    /// State store: a file, a folder, or nats://HOST:PORT [default: UPRIGHT_STATE, else this user's shared state file]
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
}

impl StateArgument {
    /// The option with this value.
    pub(crate) const fn of(state: Option<String>) -> Self {
        Self { state }
    }

    pub(crate) async fn open(&self) -> anyhow::Result<Arc<dyn Store>> {
        Ok(self.existing()?.open().await?)
    }

    pub(crate) async fn open_or_make(&self) -> anyhow::Result<Arc<dyn Store>> {
        Ok(self.address()?.open().await?)
    }

    /// The address of a store that exists, found without contacting a server.
    pub(crate) fn existing(&self) -> Result<StateAddress, Failure> {
        let address = self.address()?;
        let Some(file) = address.file() else { return Ok(address) };
        let missing = |what: &str| {
            let expected = "expected the state file of a program";
            Failure::bad_input(format!("{}: {what}; {expected}", file.display()))
        };
        match fs::metadata(&file) {
            Err(_) => Err(missing("there is no such file")),
            Ok(found) if found.len() == 0 => Err(missing("the file is empty")),
            Ok(_) => Ok(address),
        }
    }

    /// Refuses a store in memory, which cannot hold another program's state.
    pub(crate) fn address(&self) -> Result<StateAddress, Failure> {
        match address(self.state.as_deref())? {
            StateAddress::Memory => {
                Err(Failure::bad_input("a store in memory cannot hold the state of another program; expected a file or nats://HOST:PORT"))
            }
            address => Ok(address),
        }
    }
}

pub(crate) fn address(given: Option<&str>) -> Result<StateAddress, Failure> {
    let address = given.map_or_else(StateAddress::of_this_user, str::parse);
    address.map_err(|error| Failure::bad_input(format!("{error}; or name it as --state")))
}
