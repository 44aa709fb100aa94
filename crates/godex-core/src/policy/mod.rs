//! Who may do how much: request rates and token quotas.
