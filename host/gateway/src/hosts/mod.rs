//! Knows the upstream hosts, and chooses the one that gets a request.
//!
//! A [`Refresher`] asks the hosts beside the requests. A request reads their last answers and never waits for one:
//! [`balance`] ranks the hosts, [`catalogue`] merges their lists, [`host`] keeps their state. Every decision is pure;
//! the only I/O is the trait [`Ask`], and reading the API keys of a configuration.

mod all;
pub(crate) mod balance;
pub(crate) mod catalogue;
pub(crate) mod host;
pub(crate) mod names;
pub(crate) mod peer;
pub(crate) mod probe;
pub(crate) mod queue;
mod refresh;
#[cfg(test)]
mod testing;

pub(crate) use all::{Hosts, HostsError};
pub(crate) use refresh::{Ask, AskError, Refresher};
