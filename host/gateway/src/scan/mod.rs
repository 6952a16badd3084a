//! Looks at bodies on their way: the members of a request by which it is routed, and the ends of an answer's lines and
//! events. Does no I/O, reads no clock, never panics.

pub mod ends;
pub mod request;
