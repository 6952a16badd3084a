//! The default policy as a component over `upright-logic`.
#![no_std]

use upright_shim::{Policy, export_policy};

struct DefaultPolicy;

impl Policy for DefaultPolicy {}

export_policy!(DefaultPolicy);
