//! The commands: their arguments, their text and their exit codes.
//!
//! - `command_line`: arguments become a command, or a refusal that says how to write it right.
//! - `report`: exit codes and the form of a failure.
//! - `listener` and `signals`: how a serving command begins and ends.
//! - `proxy`: `godex proxy`, from settings to a bound listener, and the folder of its
//!   subcommands.
//! - `keys` and `usage`: `godex proxy keys` and `godex proxy usage`.
//! - `talk` and `table`: where their text goes, and what a list looks like.
//! - `mock`: `godex mock`, the simulator alone.

mod command_line;
mod keys;
mod listener;
mod mock;
mod proxy;
mod report;
mod signals;
mod table;
mod talk;
mod usage;

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::report::{Exit, Failure};
use crate::config::Surroundings;

pub use self::command_line::reference;

/// An OpenAI-compatible API in front of the ChatGPT Codex backend.
#[derive(Debug, Parser)]
#[command(name = "godex", version, max_term_width = 100, propagate_version = false)]
#[command(subcommand_required = true, arg_required_else_help = true)]
struct Godex {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the OpenAI API from your ChatGPT account
    Proxy(Box<proxy::Args>),
    /// Run the simulator of the Codex backend alone
    Mock(mock::Args),
    /// Sign in to ChatGPT
    #[command(hide = true)]
    Login {
        /// What `godex login` will understand.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<OsString>,
    },
}

/// Runs the program with the arguments and the environment of this process.
pub fn main() -> ExitCode {
    let surroundings = Surroundings::of_this_process();
    let exit = match run(&surroundings) {
        Ok(exit) => exit,
        Err(failure) => {
            let mut stderr = io::stderr().lock();
            let colour = surroundings.colour(stderr.is_terminal());
            // Nobody listens any more: the exit code still says it.
            let _ = failure.print(&mut stderr, colour);
            failure.exit()
        }
    };
    exit.into()
}

fn run(surroundings: &Surroundings) -> Result<Exit, Failure> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let colour = surroundings.colour(io::stdout().is_terminal());
    let Some((Godex { command }, matches)) = command_line::parse(&arguments, colour)? else {
        return Ok(Exit::Success);
    };
    match command {
        Command::Proxy(args) => proxy::run(*args, &matches, surroundings),
        Command::Mock(args) => mock::run(&args),
        Command::Login { rest: _ } => Err(Failure::new(
            Exit::Failure,
            "this version cannot sign in by itself yet",
        )
        .help("codex login                  (opens a browser; --device-auth on a server)")
        .help("godex reads the login that Codex CLI writes: ~/.codex/auth.json or --auth-path")),
    }
}
