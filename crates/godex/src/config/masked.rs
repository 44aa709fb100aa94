//! What is quoted back to a user, without what may be a secret that slipped into the wrong place.

/// `text` without words that may be keys or tokens that slipped into the wrong place.
pub(crate) fn masked(text: &str) -> String {
    let quiet = |word: &str| match ["gxk_", "sk-", "eyJ"].into_iter().find(|it| word.contains(it)) {
        Some(prefix) => format!("{prefix}…"),
        None if long_and_mixed(word) => "…".to_owned(),
        None => word.to_owned(),
    };
    text.split_inclusive([' ', '\'', '`', '"', '='])
        .map(|piece| {
            let word = piece.trim_end_matches([' ', '\'', '`', '"', '=']);
            quiet(word) + piece.get(word.len()..).unwrap_or_default()
        })
        .collect()
}

/// Whether a word looks random: long, with digits, and neither a path, a name of ours nor prose.
fn long_and_mixed(word: &str) -> bool {
    word.len() >= 20
        && word.bytes().any(|byte| byte.is_ascii_digit())
        && !word.contains(['/', ':', ' '])
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn keys_in_the_wrong_place_are_not_repeated() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            assert_eq!(masked(text), expected);
        }
        check("unrecognized subcommand 'gxk_abc123'", "unrecognized subcommand 'gxk_…'");
        check("invalid `sk-proj-1` here", "invalid `sk-…` here");
        check("found '0123456789abcdef0123'", "found '…'");
        check("unexpected argument '--rates' found", "unexpected argument '--rates' found");
        check("/home/ann/a-very-long-folder-0123/x", "/home/ann/a-very-long-folder-0123/x");
    }
}
