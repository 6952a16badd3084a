//! Decides whether a request may come in, before anything of it is read: its `Host`, its `Origin`, its API key, the
//! rate of that key.
//!
//! Nothing here does I/O or reads a clock.

pub(crate) mod guard;
pub(crate) mod keys;
pub(crate) mod rate;
