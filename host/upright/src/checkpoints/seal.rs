//! What is written beside a checkpoint's state: its schema and its checksum.
//!
//! They stand in the content type, as `application/json;schema=2;crc32=1c291ca3`, and the value is the state's JSON and nothing else: whoever looks into the store
//! with other tools sees it as it is.

use crate::store::{Entry, StoreError};

const JSON: &str = "application/json";

/// The schema of a state and the checksum of its JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    schema: u32,
    crc32: u32,
}

impl Seal {
    pub(super) fn of(schema: u32, json: &[u8]) -> Self {
        Self { schema, crc32: crc32fast::hash(json) }
    }

    pub(super) fn content_type(self) -> String {
        format!("{JSON};schema={};crc32={:08x}", self.schema, self.crc32)
    }

    /// The schema of what is stored, if it is what was saved. JSON that others have put there has schema 0.
    pub(super) fn check(key: &str, entry: &Entry) -> Result<u32, StoreError> {
        let corrupt = |detail: String| StoreError::Corrupt { key: key.to_owned(), source: detail.into() };
        if entry.content_type == JSON {
            return Ok(0);
        }
        let Some(seal) = Self::read(&entry.content_type) else {
            return Err(corrupt(format!("its type is {:?}; expected a checkpoint's", entry.content_type)));
        };
        let found = crc32fast::hash(&entry.value);
        if found != seal.crc32 {
            return Err(corrupt(format!("its checksum is {found:08x}; expected {:08x}", seal.crc32)));
        }
        Ok(seal.schema)
    }

    fn read(content_type: &str) -> Option<Self> {
        let (schema, crc32) = content_type.strip_prefix(JSON)?.strip_prefix(";schema=")?.split_once(";crc32=")?;
        Some(Self { schema: schema.parse().ok()?, crc32: u32::from_str_radix(crc32, 16).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_read_as_it_was_written_and_other_types_are_none() {
        let seal = Seal::of(u32::MAX, b"123456789");
        assert_eq!(seal.content_type(), "application/json;schema=4294967295;crc32=cbf43926", "the check value of CRC-32");
        assert_eq!(Seal::read(&seal.content_type()), Some(seal));
        for other in
            ["", "text/plain", "application/json;schema=1", "application/json;schema=x;crc32=0", "application/json;schema=1;crc32="]
        {
            assert_eq!(Seal::read(other), None, "{other}");
        }
    }
}
