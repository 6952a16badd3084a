//! The default policy as a component: every decision is `upright-logic`'s.
#![no_std]

use upright_shim::{Policy, export_policy};

struct DefaultPolicy;

impl Policy for DefaultPolicy {}

export_policy!(DefaultPolicy);
