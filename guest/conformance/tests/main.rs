//! The vectors, the simulator's rows and the example policies, against native code and components.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod examples;
mod masking;
mod odd_numbers;
mod rows;
mod vectors;
