//! Bytes as hexadecimal digits, in lower case.

/// Appends the two digits of a byte.
pub fn push(text: &mut String, byte: u8) {
    for nibble in [byte >> 4, byte & 0x0f] {
        text.push(char::from(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }));
    }
}

/// The digits of all bytes.
pub fn of(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        push(&mut text, *byte);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_two_digits() {
        for byte in 0..=u8::MAX {
            assert_eq!(of(&[byte]), format!("{byte:02x}"));
        }
        assert_eq!(of(&[0xde, 0xad, 0x00]), "dead00");
    }
}
