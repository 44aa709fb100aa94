//! What flags, variables and defaults become together.
