//! `--state`: where programs keep their state.

use crate::exit::Failure;
use std::fs;
use std::sync::Arc;
use upright::clock::SystemClock;
use upright::store::{StateAddress, Store};

#[derive(Debug, clap::Args)]
pub(crate) struct StateArgument {
    /// A file, a folder, or nats://HOST:PORT [default: UPRIGHT_STATE, else the file that the user's programs have in common]
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
}

impl StateArgument {
    /// A store that is there already.
    pub(crate) async fn open(&self) -> anyhow::Result<Arc<dyn Store>> {
        Ok(self.existing()?.open(SystemClock::shared()).await?)
    }

    /// A store that is made if it is not there.
    pub(crate) async fn open_or_make(&self) -> anyhow::Result<Arc<dyn Store>> {
        Ok(self.address()?.open(SystemClock::shared()).await?)
    }

    /// The address of a store that is there already, as far as that can be seen without opening it.
    pub(crate) fn existing(&self) -> Result<StateAddress, Failure> {
        let address = self.address()?;
        let Some(file) = address.file() else { return Ok(address) };
        let missing = |what: &str| {
            let expected = "expected one that a program keeps its state in";
            Failure::bad_input(format!("{}: {what}; {expected}", file.display()))
        };
        match fs::metadata(&file) {
            Err(_) => Err(missing("there is no such file")),
            Ok(found) if found.len() == 0 => Err(missing("the file is empty")),
            Ok(_) => Ok(address),
        }
    }

    /// The address, in which something of another program can be.
    pub(crate) fn address(&self) -> Result<StateAddress, Failure> {
        match address(self.state.as_deref())? {
            StateAddress::Memory => {
                Err(Failure::bad_input("a store in memory holds nothing of another program; expected a file or nats://HOST:PORT"))
            }
            address => Ok(address),
        }
    }
}

/// The address that was given, else the one that all programs of this user have in common.
pub(crate) fn address(given: Option<&str>) -> Result<StateAddress, Failure> {
    let address = given.map_or_else(StateAddress::of_this_user, str::parse);
    address.map_err(|error| Failure::bad_input(format!("{error}; or name it as --state")))
}
