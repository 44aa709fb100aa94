//! A strict simulator of the Codex backend and of its OAuth issuer.
