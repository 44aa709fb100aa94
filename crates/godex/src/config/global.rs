//! The flags that belong to every command.

use std::path::PathBuf;

use super::Colour;

/// The flags that belong to every command.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct GlobalArgs {
    /// Colour text: auto, always or never
    #[arg(long, value_name = "WHEN", global = true, value_enum, default_value = "auto")]
    #[arg(hide_default_value = true, hide_possible_values = true, help_heading = EVERYWHERE)]
    pub(crate) color: Colour,

    /// Settings file [default: ~/.config/godex/config.toml]
    #[arg(long, env = "GODEX_CONFIG", value_name = "FILE", global = true)]
    #[arg(help_heading = EVERYWHERE)]
    pub(crate) config: Option<PathBuf>,
}

const EVERYWHERE: &str = "Every command";
