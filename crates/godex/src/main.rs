//! The `godex` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    godex::cli::main()
}
