//! Flags and environment become a settled configuration.
