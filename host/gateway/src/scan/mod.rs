//! Looks at the members of a request by which it is routed. Does no I/O, reads no clock, never panics.

pub mod request;
