//! Ed25519 keys as text: 64 hexadecimal digits after a word for the half, so that nobody hands out the secret one.

use crate::policy::hexadecimal;
use rand::TryRng;
use rand::rngs::SysRng;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

const PUBLIC: &str = "upright-public-key";
const SECRET: &str = "upright-secret-key";

/// Why a text is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text has another form.
    #[error("not a key; expected `{expected}:` and 64 hexadecimal digits, as `upright policy keygen` writes them")]
    Form {
        /// Expected first word.
        expected: &'static str,
    },
    /// The text is the pair's other half.
    #[error("this is the {found}; expected the {expected}")]
    OtherHalf {
        /// Half found.
        found: &'static str,
        /// Half expected.
        expected: &'static str,
    },
    /// The system gives no random numbers.
    #[error("cannot get random numbers from the system: {detail}")]
    NoRandomness {
        /// Why.
        detail: String,
    },
}

fn read(text: &str, expected: &'static str, other: &'static str) -> Result<[u8; 32], KeyError> {
    let text = text.trim();
    let Some((word, digits)) = text.split_once(':') else { return Err(KeyError::Form { expected }) };
    if word == other {
        return Err(KeyError::OtherHalf { found: other, expected });
    }
    let bytes = if word == expected { bytes(digits.trim()) } else { None };
    bytes.ok_or(KeyError::Form { expected })
}

fn bytes<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let digits = digits.as_bytes();
    let value = |digit: u8| char::from(digit).to_digit(16);
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::try_from(value(pair[0])? << 4 | value(pair[1])?).ok()?;
    }
    Some(bytes)
}

/// A public key, which verifies signatures.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    pub(super) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        let Some(signature) = bytes::<64>(signature) else { return false };
        ed25519_compact::PublicKey::new(self.0).verify(message, &ed25519_compact::Signature::new(signature)).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PUBLIC}:{}", hexadecimal(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        read(text, PUBLIC, SECRET).map(Self)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A secret key, which signs policies. `Debug` hides it.
#[derive(Clone)]
pub struct SecretKey(ed25519_compact::KeyPair);

impl SecretKey {
    /// Generates a key.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`].
    pub fn generate() -> Result<Self, KeyError> {
        let mut seed = [0; 32];
        SysRng.try_fill_bytes(&mut seed).map_err(|error| KeyError::NoRandomness { detail: error.to_string() })?;
        Ok(Self::from_seed(seed))
    }

    pub(super) fn from_seed(seed: [u8; 32]) -> Self {
        Self(ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new(seed)))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(*self.0.pk)
    }

    /// The key as text, for a file only its owner can read.
    pub fn reveal(&self) -> String {
        format!("{SECRET}:{}", hexadecimal(&*self.0.sk.seed()))
    }

    pub(super) fn sign(&self, message: &[u8]) -> String {
        // Without noise, equal policies have equal signatures.
        hexadecimal(&*self.0.sk.sign(message, None))
    }
}

impl FromStr for SecretKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        read(text, SECRET, PUBLIC).map(Self::from_seed)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SecretKey(of {})", self.public())
    }
}
