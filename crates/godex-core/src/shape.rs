//! How to show what holds words of clients and models: what it is and how much of it, never the
//! words. A test in `crates/godex/tests/it/tidy.rs` finds types that would show them.

/// Implements `Debug` of a type in the words of a format string.
macro_rules! shape {
    ($type:ty, $it:ident => $($format:tt)+) => {
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let $it = self;
                write!(f, $($format)+)
            }
        }
    };
}
