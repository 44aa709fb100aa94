//! The secret of this installation, beside the key file. It makes the names of sessions stable
//! across restarts and meaningless to anybody else; it opens nothing.

use std::io;
use std::path::Path;

use godex_core::hex;

use super::file::{self, Lock};
use crate::clock;

const NAME: &str = "proxy-secret";

/// The secret, made at the first call. Without a place to keep it, it lasts for this run.
pub(crate) fn of_installation(keys_path: &Path) -> [u8; 32] {
    let path = keys_path.with_file_name(NAME);
    read_or_create(&path).unwrap_or_else(|error| {
        tracing::warn!(
            "cannot keep `{}` ({error}): prompt caches will not survive a restart",
            path.display()
        );
        clock::random().unwrap_or_default()
    })
}

fn read_or_create(path: &Path) -> io::Result<[u8; 32]> {
    if let Some(secret) = read(path)? {
        return Ok(secret);
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let _lock = Lock::acquire(path)?;
    if let Some(secret) = read(path)? {
        return Ok(secret);
    }
    let secret: [u8; 32] = clock::random()?;
    let mut text = hex::of(&secret);
    text.push('\n');
    file::replace(path, text.as_bytes(), 0o600)?;
    Ok(secret)
}

/// The secret of the file; `None` when there is none or it is damaged.
fn read(path: &Path) -> io::Result<Option<[u8; 32]>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut secret = [0; 32];
    let digits = text.trim();
    if digits.len() != 64 {
        return Ok(None);
    }
    for (index, byte) in secret.iter_mut().enumerate() {
        let pair =
            digits.get(2 * index..2 * index + 2).and_then(|it| u8::from_str_radix(it, 16).ok());
        let Some(value) = pair else { return Ok(None) };
        *byte = value;
    }
    Ok(Some(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("deep/proxy-keys.json");
        let first = of_installation(&keys);
        assert_eq!(of_installation(&keys), first);
        assert_ne!(first, [0; 32]);
    }

    #[test]
    fn a_damaged_secret_is_replaced_and_an_impossible_place_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("proxy-keys.json");
        std::fs::write(folder.path().join(NAME), "short").unwrap();
        assert_eq!(of_installation(&keys), of_installation(&keys));
        assert_ne!(of_installation(Path::new("/dev/null/x/keys")), [0; 32]);
    }
}
