//! Detects changed JSON by its content type: `application/json;schema=2;crc32=1c291ca3`. The value stays plain JSON for
//! other tools.

/// Unsealed JSON.
pub const JSON: &str = "application/json";

/// Number and checksum of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Such as a schema.
    pub number: u64,
    /// CRC-32 of the JSON.
    pub crc32: u32,
}

impl Seal {
    /// Seals JSON.
    pub fn of(number: u64, json: &[u8]) -> Self {
        Self { number, crc32: crc32fast::hash(json) }
    }

    /// Content type, the number under `name`.
    pub fn content_type(self, name: &str) -> String {
        format!("{JSON};{name}={};crc32={:08x}", self.number, self.crc32)
    }

    /// Reads the seal; `None` if absent.
    pub fn read(content_type: &str, name: &str) -> Option<Self> {
        let (number, crc32) =
            content_type.strip_prefix(JSON)?.strip_prefix(';')?.strip_prefix(name)?.strip_prefix('=')?.split_once(";crc32=")?;
        Some(Self { number: number.parse().ok()?, crc32: u32::from_str_radix(crc32, 16).ok()? })
    }

    /// The checksum found, if different.
    pub fn broken_by(self, json: &[u8]) -> Option<u32> {
        Some(crc32fast::hash(json)).filter(|found| *found != self.crc32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_read_as_it_was_written_and_other_types_are_none() {
        let seal = Seal::of(u64::MAX, b"123456789");
        assert_eq!(seal.content_type("schema"), "application/json;schema=18446744073709551615;crc32=cbf43926", "the check value of CRC-32");
        assert_eq!(Seal::read(&seal.content_type("schema"), "schema"), Some(seal));
        assert_eq!((seal.broken_by(b"123456789"), seal.broken_by(b"").is_some()), (None, true));
        for other in
            ["", JSON, "text/plain", "application/json;schema=1", "application/json;schema=x;crc32=0", "application/json;schema=1;crc32="]
        {
            assert_eq!(Seal::read(other, "schema"), None, "{other}");
        }
        assert_eq!(Seal::read(&seal.content_type("schema"), "cached"), None);
    }
}
