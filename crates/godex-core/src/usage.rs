//! What requests cost: usage records and their sums.
