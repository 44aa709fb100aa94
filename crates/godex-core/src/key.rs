//! API keys: what a client presents, what the store keeps, what everybody may see.
//!
//! A generated key is `gxk_`, 43 base64url characters (32 random bytes) and a checksum of six
//! characters from 0-9, A-Z, a-z: the CRC-32 of everything before it, in base 62. A secret
//! scanner finds it with `gxk_[A-Za-z0-9_-]{43}[0-9A-Za-z]{6}` and proves it by the checksum.
//! A key that the owner chose may be any string.

use std::convert::Infallible;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::hex;

const PREFIX: &str = "gxk_";
const CHECKSUM_LEN: usize = 6;
/// `gxk_`, 32 bytes in base64url, the checksum.
const GENERATED_LEN: usize = PREFIX.len() + 43 + CHECKSUM_LEN;

/// A key as a client presents it. It is shown once, when made, and never printed again.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// Makes a key of 32 random bytes.
    pub fn generate(random: &[u8; 32]) -> Self {
        let mut text = String::with_capacity(GENERATED_LEN);
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(random, &mut text);
        let checksum = checksum(text.as_bytes());
        text.push_str(&checksum);
        Self(text)
    }

    /// The secret itself. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the store keeps of this key.
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&self.0)
    }

    /// Whether this is a key that godex generated, without a typing error in it.
    pub fn checksum_holds(&self) -> bool {
        let Some((head, tail)) = self.0.split_at_checked(GENERATED_LEN - CHECKSUM_LEN) else {
            return false;
        };
        head.starts_with(PREFIX) && checksum(head.as_bytes()) == tail
    }

    /// Enough to recognise the key in a list, too little to use it. A short key shows nothing.
    pub fn hint(&self) -> String {
        let secret = self.0.strip_prefix(PREFIX).unwrap_or(&self.0);
        let prefix = if secret.len() < self.0.len() { PREFIX } else { "" };
        if secret.chars().count() < 20 {
            return format!("{prefix}…");
        }
        let tail: String = secret.chars().skip(secret.chars().count() - 4).collect();
        format!("{prefix}…{tail}")
    }
}

impl From<String> for ApiKey {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl FromStr for ApiKey {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// The SHA-256 of a key: what is stored and looked up. Presenting it opens nothing.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of a presented secret.
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyHash {}

impl Hash for KeyHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::of(&self.0))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

/// A stored hash that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key hash is `sha256:` and 64 hexadecimal digits")]
pub struct NotAHash;

impl FromStr for KeyHash {
    type Err = NotAHash;

    fn from_str(text: &str) -> Result<Self, NotAHash> {
        let hex = text.strip_prefix("sha256:").ok_or(NotAHash)?.as_bytes();
        let mut bytes = [0; 32];
        if hex.len() != 2 * bytes.len() {
            return Err(NotAHash);
        }
        for (byte, digits) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            for &digit in digits {
                let value = char::from(digit).to_digit(16).ok_or(NotAHash)?;
                *byte = *byte << 4 | u8::try_from(value).map_err(|_| NotAHash)?;
            }
        }
        Ok(Self(bytes))
    }
}

impl Serialize for KeyHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The public name of a key: in lists, records, metrics and cache keys.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(Arc<str>);

impl KeyId {
    const TOKEN_PREFIX: &str = "any_";

    /// Names a new managed key: `key_` and the random bytes in hexadecimal.
    pub fn generate(random: &[u8]) -> Self {
        Self(format!("key_{}", hex::of(random)).into())
    }

    /// The key given with `--api-key`.
    pub fn fixed() -> Self {
        Self("static".into())
    }

    /// A token accepted by `--allow-any-key`: the same token has the same id, nobody else's.
    pub fn of_token(hash: &KeyHash) -> Self {
        let hex = hash.to_string();
        let digits: String = hex.chars().skip("sha256:".len()).take(16).collect();
        Self(format!("{}{digits}", Self::TOKEN_PREFIX).into())
    }

    /// Whether this names a token accepted by `--allow-any-key`.
    pub fn is_token(&self) -> bool {
        self.0.starts_with(Self::TOKEN_PREFIX)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for KeyId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl std::borrow::Borrow<str> for KeyId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({})", self.0)
    }
}

/// CRC-32 (IEEE 802.3) in base 62, six digits, most significant first.
fn checksum(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 }
        })
    });
    crc = !crc;
    let mut digits = [char::default(); CHECKSUM_LEN];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS.get((crc % 62) as usize).copied().map_or('0', char::from);
        crc /= 62;
    }
    digits.iter().collect()
}

#[cfg(test)]
mod tests;
