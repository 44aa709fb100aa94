//! Encrypted reasoning: opaque to clients, recognisable here.
//!
//! Nothing is encrypted. A blob is a header in the look of the real one, the account it was
//! issued to and a checksum, so that a blob of another backend, of another account, or one
//! that lost a byte is told apart without a memory.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

/// The first bytes of the real blobs, then ours.
const PREFIX: &str = "gAAAAABmock";

/// Issues the blob of one reasoning item to one account.
pub(crate) fn issue(item: &str, account: &str) -> String {
    let content = format!("{account}|{item}|{}", "reasoning ".repeat(24));
    let sealed = format!("{content}|{:016x}", checksum(content.as_bytes()));
    format!("{PREFIX}{}", URL_SAFE.encode(sealed))
}

/// Whether the simulator issued this blob to this account.
pub(crate) fn is_genuine(blob: &str, account: &str) -> bool {
    let open = || {
        let sealed = URL_SAFE.decode(blob.strip_prefix(PREFIX)?).ok()?;
        let sealed = String::from_utf8(sealed).ok()?;
        let (content, seal) = sealed.rsplit_once('|')?;
        let (owner, _) = content.split_once('|')?;
        Some(owner == account && seal == format!("{:016x}", checksum(content.as_bytes())))
    };
    open().unwrap_or(false)
}

/// FNV-1a: enough to notice damage, not meant to stop anybody.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_good_for_its_account_and_only_unharmed() {
        let blob = issue("rs_1", "account");
        assert!(is_genuine(&blob, "account"));
        assert!(!is_genuine(&blob, "other"));
        assert!(!is_genuine(&blob[..blob.len() - 4], "account"));
        assert!(!is_genuine("gAAAAABforeign", "account"));
        assert!(!is_genuine("", "account"));
    }
}
