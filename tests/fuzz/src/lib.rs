//! Fuzzes the policy runtime, since anybody may write a policy and errors are unforeseen, and the gateway's scanner,
//! since anybody may write a request. Three targets, each a pure function of seed and corpus: altered
//! [`components`](targets::components), absurd [`arguments`](targets::arguments) and altered
//! [`requests`](targets::requests). `README.md` lists the promises.

pub mod campaign;
pub mod corpus;
pub mod dice;
pub mod finding;
pub mod mutate;
pub mod nasty;
pub mod question;
pub mod reach;
pub mod sense;
pub mod targets;
pub mod vary;
