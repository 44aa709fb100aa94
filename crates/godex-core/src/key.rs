//! API keys: what a client presents, what the store keeps.
