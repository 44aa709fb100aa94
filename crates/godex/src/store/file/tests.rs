//! Files are replaced as a whole.
