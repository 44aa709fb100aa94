//! One row per rule of the contract.
